import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.splits import Shares, TextCutter, data_kind, read_shares, split_records, stream_sizes
from sonho.errors import UsageError


def sides(records, shares, seed=0):
    split = split_records([records], shares, seed)
    masks = split.sides(split.hash(records))
    return {name: [r for r, own in zip(records, mask, strict=True) if own] for name, mask in masks.items()}


WORDS = [f"word {n}" for n in range(1000)]


def test_a_stream_is_cut_at_its_tail():
    assert stream_sizes(1000, Shares(0.1, 0.2), least=64) == {"train": 700, "validation": 100, "test": 200}


def test_the_held_out_tail_of_a_small_text_is_as_long_as_a_window_but_no_more_than_a_fifth():
    assert stream_sizes(400, Shares(0.1, 0), least=64) == {"train": 336, "validation": 64, "test": 0}
    assert stream_sizes(200, Shares(0.1, 0), least=64) == {"train": 160, "validation": 40, "test": 0}
    assert stream_sizes(200, Shares(0, 0.05), least=30) == {"train": 170, "validation": 0, "test": 30}
    assert stream_sizes(200, Shares(0, 0), least=64) == {"train": 200, "validation": 0, "test": 0}


def test_a_text_is_handed_out_in_runs_that_join_to_the_text():
    cutter = TextCutter(["abc", "defg", "h", "ijk"])
    assert ["".join(cutter.take(count)) for count in (2, 0, 4, 9)] == ["ab", "", "cdef", "ghijk"]


def test_records_are_shared_out_as_asked_and_none_is_lost():
    found = sides(WORDS, Shares(0.1, 0.2))
    assert {name: len(own) for name, own in found.items()} == {"train": 700, "validation": 100, "test": 200}
    assert sorted(record for own in found.values() for record in own) == sorted(WORDS)


def test_many_records_are_shared_out_by_their_hash_alone():
    many = [str(n) for n in range(50_000)]
    found = sides(many, Shares(0.1, 0.2))
    assert len(found["validation"]) == pytest.approx(5000, rel=0.05)
    assert len(found["test"]) == pytest.approx(10_000, rel=0.05)


def test_the_side_of_a_record_does_not_depend_on_the_order():
    backwards = sides(WORDS[::-1], Shares(0.1, 0.2))
    assert {name: sorted(own) for name, own in backwards.items()} == {
        name: sorted(own) for name, own in sides(WORDS, Shares(0.1, 0.2)).items()
    }


def test_another_seed_chooses_other_records():
    assert sides(WORDS, Shares(0.1, 0), seed=1)["validation"] != sides(WORDS, Shares(0.1, 0))["validation"]


def test_duplicates_share_a_side():
    found = sides(WORDS[:7] * 5, Shares(0.3, 0.3))
    assert sum(len(set(own)) for own in found.values()) == 7


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (1, Shares(0.1, 0.1), (1, 0, 0)),
        (2, Shares(0.1, 0), (1, 1, 0)),
        (2, Shares(0.1, 0.1), (1, 1, 0)),
        (3, Shares(0.1, 0.1), (1, 1, 1)),
        (3, Shares(0, 0.1), (2, 0, 1)),
        (3, Shares(0, 0), (3, 0, 0)),
        (5, Shares(0.9, 0), (1, 4, 0)),
    ],
)
def test_few_records_give_each_side_one_where_they_can(count, shares, expected):
    found = sides(WORDS[:count], shares)
    assert tuple(len(found[name]) for name in ("train", "validation", "test")) == expected


def test_choosing_reads_no_more_records_than_it_needs():
    def blocks():
        yield [str(n) for n in range(20_000)]
        raise AssertionError("read on")

    split = split_records(blocks(), Shares(0.25, 0), seed=0)
    assert split.validation_below == 2**62


def test_a_record_of_half_characters_has_a_hash():
    split = split_records([], Shares(0.1, 0), seed=0)
    assert split.hash(["\udce9", "\ud83d"]).dtype == np.uint64


def test_the_test_setting_is_a_share_or_a_file(tmp_path):
    assert read_shares(DataConfig(test="0.25")) == Shares(0.1, 0.25)
    assert read_shares(DataConfig(test="held.txt")) == Shares(0.1, 0.0, ("held.txt",))
    (tmp_path / "7").write_text("x")
    assert read_shares(DataConfig(test=str(tmp_path / "7"))).test_files


@pytest.mark.parametrize("test", ["1", "-0.1", "nan"])
def test_a_share_outside_0_and_1_is_refused(test):
    with pytest.raises(UsageError, match=f"data.test = {test}: a share lies between 0 and 1"):
        read_shares(DataConfig(test=test))


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(UsageError, match=r"validation = 0.6 and data.test = 0.4 leave nothing to train on"):
        read_shares(DataConfig(validation=0.6, test="0.4"))


def test_predicting_the_last_token_implies_windows():
    assert data_kind(DataConfig(objective="last")) == "windows"
    with pytest.raises(UsageError, match=r"leave out data.kind=records"):
        data_kind(DataConfig(objective="last", kind="records"))
