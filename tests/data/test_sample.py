"""Pieces spread over texts that are too long to be read whole."""

import itertools
import json
import random
from pathlib import Path

import pytest

from sonho.config import DataConfig
from sonho.data import sample
from sonho.data.corpus import build_corpus, encode_for_evaluation
from sonho.data.prepare import load_prepared, prepare
from sonho.data.sample import can_be_sampled, spread_sample, spread_spans
from sonho.data.sources import iter_text
from sonho.errors import DataError, StorageError, UsageError

LINES = [f"line {number:05d} of the text\n" for number in range(4_000)]  # 23 bytes each


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(sample, "LEAST_PIECE_BYTES", 1_000)


def sampled(files, **settings):
    """The text of the sample, and its files."""
    config = DataConfig(**{"sample_megabytes": 0.02, **settings})
    found, note = spread_sample(files, config)
    return "".join(iter_text(found, config)), found, note


def test_the_pieces_are_whole_lines_from_the_first_to_the_last(write):
    text, _, note = sampled([write("a.txt", "".join(LINES))])
    lines = text.splitlines(keepends=True)
    assert set(lines) <= set(LINES)
    assert lines == sorted(lines)
    assert lines[0] == LINES[0]
    assert lines[-1] == LINES[-1]
    starts = [int(line[5:10]) for line in lines]
    gaps = [after - before for before, after in itertools.pairwise(starts) if after - before > 1]
    assert len(gaps) == 19  # between 20 pieces
    assert max(gaps) - min(gaps) <= 2
    assert len(text) == pytest.approx(20_000, abs=100)
    assert note == "sample: 20 pieces spread over the input, 0.0 of 0.1 MB"


def test_there_are_never_very_many_pieces(monkeypatch):
    monkeypatch.setattr(sample, "LEAST_PIECE_BYTES", 1)
    spans = spread_spans(10**9, 90_000_000)
    assert len(spans) == 256
    assert sum(end - begin for begin, end in spans) <= 90_000_000
    assert spans[0][0] == 0
    assert spans[-1][1] == 10**9
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_a_sample_shorter_than_a_piece_is_the_beginning(write):
    text, _, _ = sampled([write("a.txt", "".join(LINES))], sample_megabytes=0.0005)
    assert text == "".join(LINES[:22])


@pytest.mark.parametrize("megabytes", [0.0, 0.092, 5.0])
def test_what_is_no_longer_is_read_as_it_is(write, megabytes):
    path = write("a.txt", "".join(LINES))
    assert spread_sample([path], DataConfig(sample_megabytes=megabytes)) == ([path], "")


def test_of_many_files_some_are_read_and_each_keeps_its_name(write):
    files = [write(f"{number:03d}/kind-{number % 7}.txt", "".join(LINES[number * 10 :][:10])) for number in range(400)]
    _, found, _ = sampled(files)
    assert 20 <= len(found) <= 120  # each of 20 pieces meets up to six files of 230 bytes
    assert any(file in files for file in found)
    assert {file.name for file in found} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in found) <= 20_000


def test_a_text_of_one_line_is_cut_between_words(write):
    words = [f"word{number:05d}" for number in range(9_000)]
    text, _, _ = sampled([write("a.txt", " ".join(words))])
    assert set(text.split()) <= set(words)


def test_a_text_without_a_space_is_cut_between_characters(write):
    text, _, _ = sampled([write("a.txt", "жø漢🎈" * 9_000)])
    assert set(text) == set("жø漢🎈")


def test_lines_of_old_machines_end_too(write):
    text, _, _ = sampled([write("a.txt", "".join(LINES).replace("\n", "\r"))])
    assert set(text.splitlines()) <= {line.rstrip("\n") for line in LINES}


def test_records_are_whole_however_long_they_are(write):
    lines = [f"{number:03d}" + " long" * 150 for number in range(120)]
    config = DataConfig(kind="records", sample_megabytes=0.02)
    found, _ = spread_sample([write("a.txt", "\n".join(lines))], config)
    read = found[0].read_text().splitlines()
    assert len(read) == pytest.approx(26, abs=4)
    assert set(read) <= set(lines)


def test_records_longer_than_a_piece_are_whole_too(write):
    lengths = random.Random(0).choices(range(1_000, 3_000), k=50)
    lines = [f"{number:03d}" + " long" * length for number, length in enumerate(lengths)]
    config = DataConfig(kind="records", sample_megabytes=0.1)
    found, _ = spread_sample([write("a.txt", "\n".join(lines))], config)
    read = found[0].read_text().splitlines()
    assert len(read) == len(set(read)) == pytest.approx(10, abs=3)
    assert set(read) <= set(lines)


def test_tunes_are_whole(write):
    tunes = [f"X:{number}\nK:C\n" + "abc def\n" * 20 for number in range(400)]
    config = DataConfig(kind="records", sample_megabytes=0.02)
    found, _ = spread_sample([write("a.abc", "\n".join(tunes))], config)
    assert set(found[0].read_text().rstrip("\n").split("\n\n")) <= {tune.rstrip("\n") for tune in tunes}


def test_json_lines_are_whole(write):
    lines = [json.dumps({"text": f"number {number} " + "of many words " * 90}) + "\n" for number in range(100)]
    text, _, _ = sampled([write("a.jsonl", "".join(lines))])
    assert len(text) == pytest.approx(20_000, rel=0.2)
    assert set(text.splitlines(keepends=True)) <= {json.loads(line)["text"] + "\n" for line in lines}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text\nhello\n"), ("a.txt.gz", ""), ("a.txt", "hello".encode("utf-16"))],
    ids=["table", "compressed", "UTF-16"],
)
def test_what_means_nothing_in_pieces_is_refused(write, name, content):
    file = write(name, content * 20_000 if content else b"\x1f\x8b" * 20_000)
    assert not can_be_sampled(file)
    with pytest.raises(DataError, match=rf"{name} can only be read whole: .* leave it out"):
        spread_sample([file], DataConfig(sample_megabytes=0.001))


def test_the_end_of_the_sample_is_held_out_and_held_out_files_are_whole(write, text_of):
    path, other = write("a.txt", "".join(LINES)), write("b.txt", "".join(LINES[2_000:]))
    config = DataConfig(sample_megabytes=0.02, test=str(other))
    corpus = build_corpus([path], config, seed=0)
    assert corpus.notes[0] == "sample: 20 pieces spread over the input, 0.0 of 0.1 MB"
    assert corpus.train.num_chars + corpus.validation.num_chars <= 20_000
    assert text_of(corpus.validation, corpus.tokenizer).endswith(LINES[-1])
    assert corpus.test.num_chars == 2_000 * 23
    assert encode_for_evaluation([path], corpus.tokenizer, config).num_chars == 4_000 * 23


def test_a_sample_is_found_again_in_its_shards(write, tmp_path):
    path = write("a.txt", "".join(LINES))
    config = DataConfig(sample_megabytes=0.02)
    first = prepare([path], config, seed=0, folder=tmp_path / "shards")
    stamp = (tmp_path / "shards" / "manifest.json").stat().st_mtime_ns
    again = prepare([path], config, seed=0, folder=tmp_path / "shards")
    assert (tmp_path / "shards" / "manifest.json").stat().st_mtime_ns == stamp
    assert again.digest == first.digest == build_corpus([path], config, seed=0).digest
    other = prepare([path], DataConfig(sample_megabytes=0.01), seed=0, folder=tmp_path / "shards")
    assert other.digest != first.digest
    assert load_prepared(tmp_path / "shards", verify=True).digest == other.digest


def test_an_error_says_that_its_place_is_one_of_the_sample(write):
    path = write("a.txt", b"good text\n" * 5_000 + b"\xff\n" * 5_000)
    with pytest.raises(DataError, match=r"the sample of .*a\.txt is not UTF-8: byte 0xFF at offset"):
        build_corpus([path], DataConfig(sample_megabytes=0.02), seed=0)


@pytest.mark.parametrize("beside", [{"vectors": "v.npy"}, {"pairs": True}], ids=str)
def test_records_with_something_beside_them_cannot_be_sampled(write, beside):
    path = write("a.txt", "".join(LINES))
    with pytest.raises(UsageError, match=r"leave out data\.sample_megabytes"):
        build_corpus([path], DataConfig(kind="records", sample_megabytes=0.02, **beside), seed=0)


def test_less_than_a_byte_is_no_sample(write):
    path = write("a.txt", "".join(LINES))
    assert spread_sample([path], DataConfig(sample_megabytes=1e-9)) == ([path], "")


def test_a_disk_that_refuses_the_copies_is_a_storage_error(write, tmp_path, monkeypatch):
    path = write("a.txt", "".join(LINES))
    monkeypatch.setattr(sample, "scratch_folder", lambda: Path(tmp_path, "absent"))
    with pytest.raises(StorageError, match=r"cannot copy pieces of .*a\.txt: No such file .* set TMPDIR"):
        spread_sample([path], DataConfig(sample_megabytes=0.02))
