import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data import parts
from sonho.data.batches import make_batches
from sonho.data.corpus import build_corpus, encode_for_evaluation
from sonho.data.parts import MemoryStore
from sonho.data.prepare import load_prepared, prepare
from sonho.data.shards import ShardStore, ShardWriter
from sonho.errors import DataError, StorageError, UsageError

LINES = [f"line {n} of {n * n % 97}, né\n" for n in range(3000)]


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(parts, "PIECE_BYTES", 10_000)


@pytest.fixture
def source(write):
    return write("a.txt", "".join(LINES))


def write_shards(folder, tokens):
    writer = ShardWriter(folder, "train", tokens.dtype)
    for piece in np.array_split(tokens, 7):
        writer.append(piece)
    return writer.finish()


def test_shards_hold_what_memory_would(tmp_path, small_shards):
    tokens = np.random.default_rng(0).integers(0, 60_000, 23_456).astype(np.uint16)
    shards = write_shards(tmp_path, tokens)
    store, memory = ShardStore(tmp_path, shards, tokens.dtype), MemoryStore(tokens)
    assert [shard.count for shard in shards] == [5000, 5000, 5000, 5000, 3456]
    assert (len(store), store.digest) == (len(memory), memory.digest)
    for start, stop in [(0, 23_456), (4990, 15_010), (7, 7), (23_000, 99_999), (5000, 10_000)]:
        np.testing.assert_array_equal(store.read(start, stop), tokens[start:stop])
    starts = np.array([0, 4995, 9999, 23_449, 77])
    rows, expected = store.gather(starts, 11), memory.gather(starts, 11)
    np.testing.assert_array_equal(rows[[0, 1, 2, 4]], expected[[0, 1, 2, 4]])
    np.testing.assert_array_equal(rows[3, :7], tokens[23_449:])
    assert not list(tmp_path.glob("*.tmp"))


def test_more_shards_than_files_may_be_open_are_read(tmp_path, small_shards, monkeypatch):
    monkeypatch.setattr("sonho.data.shards.MAX_OPEN_FILES", 2)
    tokens = np.arange(23_456, dtype=np.uint16)
    store = ShardStore(tmp_path, write_shards(tmp_path, tokens), tokens.dtype)
    assert store.gather(np.array([1, 20_000, 6000, 12_000, 1]), 1)[:, 0].tolist() == [1, 20_000, 6000, 12_000, 1]


def test_a_shard_that_shrank_while_in_use_is_named(tmp_path, small_shards):
    tokens = np.arange(6000, dtype=np.uint16)
    store = ShardStore(tmp_path, write_shards(tmp_path, tokens), tokens.dtype)
    (tmp_path / "train-00001.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"train-00001.bin is too short; prepare the data again"):
        store.read(0, 6000)


@pytest.mark.parametrize("kind", ["stream", "records", "windows"])
def test_prepared_data_gives_the_batches_of_data_in_memory(source, tmp_path, small_shards, kind):
    config = DataConfig(kind=kind, test="0.1", batch_size=7)
    memory = build_corpus([source], config, seed=3)
    prepare([source], config, seed=3, folder=tmp_path / "p")
    prepared = build_corpus([tmp_path / "p"], config, seed=3)
    assert len(list((tmp_path / "p").glob("train-0*.bin"))) > 5
    assert (prepared.digest, prepared.kind, prepared.notes) == (memory.digest, kind, memory.notes)
    assert prepared.tokenizer.to_json() == memory.tokenizer.to_json()
    ours = make_batches(memory.train, memory.tokenizer, config, 3)
    theirs = make_batches(prepared.train, prepared.tokenizer, config, 3)
    assert ours.steps_in(0) == theirs.steps_in(0)
    for index in range(0, ours.steps_in(0), 5):
        np.testing.assert_array_equal(ours.batch(1, index).inputs, theirs.batch(1, index).inputs)
        np.testing.assert_array_equal(ours.batch(1, index).targets, theirs.batch(1, index).targets)


def test_a_large_input_is_prepared_by_itself_and_a_small_one_is_not(source, tmp_path):
    folder = tmp_path / "shards"
    small = build_corpus([source], DataConfig(), seed=0, folder=folder)
    assert not folder.exists()
    large = build_corpus([source], DataConfig(prepare_megabytes=0.01), seed=0, folder=folder)
    assert isinstance(large.train.tokens, ShardStore)
    assert large.digest == small.digest
    part = encode_for_evaluation([source], small.tokenizer, DataConfig(prepare_megabytes=0.01))
    assert part.digest == encode_for_evaluation([source], small.tokenizer, DataConfig()).digest
    assert isinstance(part.tokens, ShardStore)


def test_the_same_files_and_settings_are_not_prepared_twice(source, tmp_path):
    def stamp(seed=0, **settings):
        prepare([source], DataConfig(**settings), seed=seed, folder=tmp_path / "p")
        return (tmp_path / "p" / "manifest.json").stat().st_mtime_ns

    first = stamp()
    assert stamp(batch_size=3) == first
    second = stamp(lowercase=True)
    assert second > first
    os.utime(source, (1, 1))
    third = stamp(lowercase=True)
    assert third > second
    assert stamp(lowercase=True, seed=1) > third


def test_preparing_again_leaves_nothing_of_before_but_what_is_not_ours(source, tmp_path, small_shards):
    folder = tmp_path / "p"
    prepare([source], DataConfig(test="0.2", kind="records"), seed=0, folder=folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "train.tmp").write_text("left by a killed run")
    prepare([source], DataConfig(validation=0.9), seed=0, folder=folder)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("validation-"))
    assert names == ["manifest.json", "notes.txt", "train-00000.bin", "train-00001.bin"]


def test_a_preparation_that_fails_leaves_no_manifest_and_no_half_shard(write, tmp_path):
    bad = write("bad.txt", b"good " * 9_000_00 + b"\xff")
    with pytest.raises(DataError, match="is not UTF-8"):
        prepare([bad], DataConfig(level="char", test="0.1"), seed=0, folder=tmp_path / "p")
    assert not list((tmp_path / "p").glob("*.tmp"))
    assert not (tmp_path / "p" / "manifest.json").exists()


def test_a_full_disk_is_a_storage_error(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    (tmp_path / "train.tmp").symlink_to("/dev/full")
    writer = ShardWriter(tmp_path, "train", np.dtype(np.uint16))
    with pytest.raises(StorageError, match=r"cannot write shards to .*: No space left on device"):
        writer.append(np.arange(10, dtype=np.uint16))


def test_a_folder_that_cannot_be_made_is_a_storage_error(source, write, tmp_path):
    write("file", "in the way")
    with pytest.raises(StorageError, match="cannot prepare data in"):
        prepare([source], DataConfig(), seed=0, folder=tmp_path / "file" / "p")


@pytest.fixture
def prepared(source, tmp_path):
    prepare([source], DataConfig(kind="records"), seed=0, folder=tmp_path / "p")
    return tmp_path / "p"


def edit(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_untouched_folder_passes_the_check_of_every_byte(prepared):
    assert load_prepared(prepared, verify=True).train.num_records == 2700


@pytest.mark.parametrize("name", ["train-00000.bin", "validation-offsets-00000.bin"])
def test_a_missing_or_truncated_shard_is_refused_at_once(prepared, name):
    data = (prepared / name).read_bytes()
    (prepared / name).write_bytes(data[:-2])
    with pytest.raises(DataError, match=rf"{name} has {len(data) - 2} bytes, {len(data)} expected"):
        load_prepared(prepared)
    (prepared / name).unlink()
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        load_prepared(prepared)


@pytest.mark.parametrize("name", ["train-00000.bin", "validation-offsets-00000.bin"])
def test_a_flipped_bit_is_found_on_request(prepared, name):
    data = bytearray((prepared / name).read_bytes())
    data[len(data) // 2] ^= 1
    (prepared / name).write_bytes(data)
    load_prepared(prepared)
    with pytest.raises(DataError, match=f"{name} has been altered; prepare the data again"):
        load_prepared(prepared, verify=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format="something else"),
        lambda m: m.update(kind="sculpture"),
        lambda m: m.update(kind=["records"]),
        lambda m: m.update(parts=[]),
        lambda m: m["parts"].pop("train"),
        lambda m: m["parts"]["train"].update(shards=[]),
        lambda m: m["parts"]["train"].update(shards=[["x", "y"]]),
        lambda m: m["parts"]["train"].update(records=-1),
        lambda m: m["parts"]["train"].update(num_chars="many"),
        lambda m: m["tokenizer"]["symbols"].reverse(),
        lambda m: m.update(tokenizer=None),
        lambda m: m.pop("digest"),
        lambda m: m.update(notes=None),
    ],
)
def test_an_altered_manifest_is_refused(prepared, change):
    edit(prepared, change)
    with pytest.raises(DataError):
        load_prepared(prepared)


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\xff"])
def test_a_manifest_that_is_no_manifest_is_refused(prepared, content):
    (prepared / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest.json is (damaged|not of this version)"):
        build_corpus([prepared], DataConfig(kind="records"), seed=0)


def test_a_moved_folder_is_still_prepared(prepared, tmp_path):
    shutil.move(prepared, tmp_path / "elsewhere")
    assert load_prepared(tmp_path / "elsewhere", verify=True).train.num_records == 2700


def test_prepared_records_cannot_be_read_as_one_text(prepared):
    with pytest.raises(UsageError, match=r"was prepared with data.kind=records; ask for that, not for stream"):
        build_corpus([prepared], DataConfig(), seed=0)


def test_data_prepared_as_one_text_can_be_read_as_windows(source, tmp_path):
    prepare([source], DataConfig(), seed=0, folder=tmp_path / "p")
    config = DataConfig(objective="last")
    corpus = build_corpus([tmp_path / "p"], config, seed=0)
    assert corpus.kind == "windows"
    assert corpus.digest == build_corpus([source], config, seed=0).digest


def test_settings_of_a_prepared_folder_hold_and_are_said(source, tmp_path):
    prepare([source], DataConfig(lowercase=True), seed=0, folder=tmp_path / "p")
    notes = build_corpus([tmp_path / "p"], DataConfig(), seed=0).notes
    assert any(note.endswith("keeps the settings it was prepared with: data.lowercase=True") for note in notes)


def test_a_model_of_another_vocabulary_cannot_go_on_with_prepared_data(prepared, source):
    other = build_corpus([source], DataConfig(lowercase=True), seed=0).tokenizer
    with pytest.raises(UsageError, match="was prepared with another tokenizer"):
        build_corpus([prepared], DataConfig(kind="records"), seed=0, tokenizer=other)


def test_prepared_data_is_not_mistaken_for_texts(prepared, source):
    tokenizer = load_prepared(prepared).tokenizer
    with pytest.raises(UsageError, match="is prepared data"):
        build_corpus([prepared, source], DataConfig(), seed=0)
    with pytest.raises(UsageError, match="is prepared data"):
        encode_for_evaluation([prepared], tokenizer, DataConfig(kind="records"))


MEASURE = """
import re, sys
from pathlib import Path
from sonho.config import DataConfig
from sonho.data.batches import make_batches
from sonho.data.prepare import prepare

def peak():  # the peak that getrusage knows is inherited from the parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

config = DataConfig(kind=sys.argv[3], prepare_megabytes=0)
before = peak()
corpus = prepare([sys.argv[1]], config, seed=0, folder=Path(sys.argv[2]))
batches = make_batches(corpus.train, corpus.tokenizer, config, 0)
for index in range(0, batches.steps_in(0), 9):
    batches.batch(0, index)
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["stream", "records"])
def test_preparing_and_reading_take_little_memory_even_for_one_long_line(write, tmp_path, kind):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("peak memory is read from /proc")
    sentences = [f"The {n}th sentence of a long text, quite without end." for n in range(10_000)]
    if kind == "records":
        sentences = [" ".join(sentences[n : n + 10]) + "\n" for n in range(0, 10_000, 10)]
    source = write("long.txt", " ".join(sentences) * 80)  # 42 MB, which are 84 MB of ids
    command = [sys.executable, "-c", MEASURE, source, tmp_path / "p", kind]
    megabytes = float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert megabytes < 80
