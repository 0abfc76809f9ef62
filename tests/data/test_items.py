from pathlib import Path

import pytest

from sonho.config import DataConfig
from sonho.data import files
from sonho.data.corpus import resolved_item
from sonho.data.items import item_of, items_of
from sonho.data.sources import iter_records, iter_text
from sonho.errors import DataError, UsageError

TUNES = "\n\nX:1\nT:a\n\n \nX:2\r\nT:b\r\n\r\nX:3"


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_tunes_are_paragraphs_wherever_the_file_is_cut(write, monkeypatch, block):
    monkeypatch.setattr(files, "BLOCK_BYTES", block)
    assert list(iter_records([write("a.abc", TUNES)], DataConfig())) == ["X:1\nT:a", "X:2\r\nT:b", "X:3"]


def test_paragraphs_of_a_file_and_of_a_text_are_the_same(write):
    config = DataConfig(item="paragraph")
    assert items_of(TUNES, config) == list(iter_records([write("a.txt", TUNES)], config))
    assert items_of(TUNES, DataConfig()) == ["X:1", "T:a", "X:2", "T:b", "X:3"]


def test_what_an_item_is_follows_from_the_name_unless_it_is_said(write):
    assert item_of([Path("a.abc.gz")], DataConfig()) == "paragraph"
    assert item_of([Path("a.txt")], DataConfig()) == "line"
    assert item_of([Path("a.abc")], DataConfig(item="line")) == "line"
    assert resolved_item([write("a.abc", TUNES)], DataConfig()) == "paragraph"


def test_rows_become_a_line_for_each_speaker(write):
    path = write("d.csv", 'q,a\nHello!,"Hi\nyou."\n,\nBye,')
    config = DataConfig(columns=["q", "a"], speakers=["A", "B"])
    assert "".join(iter_text([path], config)) == "A: Hello!\nB: Hi you.\nA: Bye\nB: \n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speakers": ["A"]}, "at least two different names"),
        ({"speakers": ["A", "A"]}, "at least two different names"),
        ({"speakers": ["A", " "]}, "is not empty"),
        ({"speakers": ["A", "B"], "kind": "records"}, "leave out data.kind=records"),
    ],
)
def test_speakers_that_cannot_be_are_refused(write, settings, message):
    with pytest.raises(UsageError, match=message):
        list(iter_text([write("d.csv", "q,a\nx,y")], DataConfig(columns=["q", "a"], **settings)))


def test_a_speaker_without_a_column_is_named(write):
    with pytest.raises(DataError, match=r"d.csv gives 1 columns for 2 speakers \(A, B\)"):
        list(iter_text([write("d.csv", "q,a\nx,y")], DataConfig(columns=["q"], speakers=["A", "B"])))
