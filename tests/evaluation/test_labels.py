import numpy as np
import pytest

from sonho.errors import DataError
from sonho.evaluation.confusion_svg import confusion_svg
from sonho.evaluation.labels import label_report, word_counts

LABELS = ("a", "b<", "never")


def report():
    targets = np.array([0, 0, 0, 1, 1])
    shares = np.array([[0.8, 0.1, 0.1], [0.6, 0.4, 0.0], [0.2, 0.7, 0.1], [0.3, 0.65, 0.05], [0.55, 0.45, 0.0]])
    return label_report(LABELS, targets, shares)


def test_the_figures_are_those_of_the_textbook():
    found = report()
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert (found.count, found.accuracy, found.commonest) == (5, 0.6, 0.6)
    first, second, third = found.rows()
    assert (first.precision, first.recall, first.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (second.precision, second.recall, second.f1) == pytest.approx((0.5, 0.5, 0.5))
    assert (third.count, third.f1) == (0, 0.0)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.5) / 2)  # of the labels that occur
    assert found.loss == pytest.approx(-np.log([0.8, 0.6, 0.2, 0.65, 0.45]).mean())


def test_calibration_is_the_distance_between_sure_and_right():
    found = report()
    assert [(row.low, row.count) for row in found.reliability] == [(0.5, 1), (0.6, 2), (0.7, 1), (0.8, 1)]
    gaps = [1 * (0.55 - 0.0), 2 * (1.0 - 0.625), 1 * 0.7, 1 * 0.2]
    assert found.calibration_error == pytest.approx(sum(gaps) / 5)


def test_a_picture_names_every_cell_and_escapes_the_labels():
    svg = confusion_svg(report())
    assert svg.count("<rect") == 10
    assert "a taken for b&lt;: 1 (33.3 %)" in svg
    assert "b<" not in svg


def test_nothing_to_score_is_an_error():
    with pytest.raises(DataError, match="nothing to score"):
        label_report(LABELS, np.zeros(0, np.int64), np.zeros((0, 3)))
    assert word_counts(np.array([-1, -1]), np.array([True, False])) == (0, 0)
