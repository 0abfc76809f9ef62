"""BLEU and chrF with their signatures, and the picture of an attention."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from sonho.decoding.encoder_decoder import Score
from sonho.evaluation.agreement import agreement
from sonho.evaluation.attention_svg import attention_svg
from sonho.evaluation.translation import translation_report


def test_bleu_and_chrf_are_sacrebleus_with_their_signatures():
    texts = ["The dog bit the man.", "It was not surprising."]
    references = ["The dog bit the man.", "It was not unexpected."]
    found = agreement(texts, [[one] for one in references])
    # Counted by hand: 10 of 11 words, 7 of 9, 5 of 7, 3 of 5 runs of one to four (the full stops are words).
    precisions = [10 / 11, 7 / 9, 5 / 7, 3 / 5]
    assert found.bleu == pytest.approx(100 * np.prod(precisions) ** 0.25, abs=1e-6)
    assert 0 < found.chrf < 100
    assert re.fullmatch(r"nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:[\d.]+", found.bleu_signature)
    assert found.chrf_signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0")
    several = agreement(texts, [[references[0]], ["It is.", texts[1]]])
    assert several.bleu == pytest.approx(100.0)
    assert several.bleu_signature.startswith("nrefs:var|")


def test_a_report_has_its_figures_with_and_without_agreement():
    report = translation_report(Score(20.0, 10, 4), ["a b"], ["a b"], beam=5, agree=False)
    assert report.figures() == {"loss": 2.0, "accuracy": 0.4}
    assert report.perplexity == pytest.approx(np.exp(2.0))
    assert "bleu" not in report.to_dict()
    assert translation_report(Score(20.0, 10, 4), ["a"], ["a"], beam=5).to_dict()["bleu_signature"]


def test_an_attention_is_drawn_with_a_row_for_what_was_written():
    picture = attention_svg([" <Hund>", "läuft", "<eos>"], [" dog", " "], np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]]))
    root = ElementTree.fromstring(picture)
    shapes = "{http://www.w3.org/2000/svg}"
    titles = [title.text for title in root.iter(f"{shapes}title")][1:]
    assert len(titles) == 6
    assert titles[0] == "dog looked at <Hund>: 90.0 %"
    assert titles[5] == "␣ looked at <eos>: 50.0 %"
    opacities = [float(cell.get("fill-opacity")) for cell in root.iter(f"{shapes}rect") if cell.get("fill-opacity")]
    assert opacities.index(max(opacities)) == 0
