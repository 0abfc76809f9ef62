"""Pairs of texts: from tables and from files line by line, split by their sources, in batches and in shards."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.batches import make_batches
from sonho.data.corpus import build_corpus, encode_for_evaluation
from sonho.data.pairs import iter_pairs
from sonho.data.prepare import load_prepared, prepare
from sonho.data.records import take_records
from sonho.errors import DataError, UsageError
from sonho.text.fitting import fit_tokenizer

PAIRS = [(f"Hund {n} läuft", f"dog {n} runs{' and runs' * (n % 5)}") for n in range(60)]
TSV = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
DE, EN = ("".join(pair[side] + "\n" for pair in PAIRS) for side in (0, 1))


def config(**settings):
    return DataConfig(kind="records", pairs=True, **settings)


def texts(part, tokenizer):
    ends = part.offsets.tolist()
    return [tokenizer.decode(part.tokens.read(a, b)) for a, b in itertools.pairwise(ends)]


def pairs_of(part, corpus):
    source = corpus.source_tokenizer or corpus.tokenizer
    return list(zip(texts(part.source, source), texts(part, corpus.tokenizer), strict=True))


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("a.tsv", TSV, {}),
        ("a.txt", TSV, {}),
        ("a.csv", "target,n,Source\n" + "".join(f"{t},1,{s}\n" for s, t in PAIRS), {}),
        ("a.csv", "en,de\n" + "".join(f"{t},{s}\n" for s, t in PAIRS), {"source_column": "de", "target_column": "en"}),
        ("a.tsv", "".join(f"x\t{t}\t{s}\n" for s, t in PAIRS), {"source_column": "3", "target_column": "2"}),
        ("a.jsonl", "".join(f'{{"source": "{s}", "target": "{t}"}}\n' for s, t in PAIRS), {}),
    ],
)
def test_a_table_has_a_pair_in_each_row(write, name, content, settings):
    corpus = build_corpus([write(name, content)], config(**settings), seed=1)
    assert sorted(pairs_of(corpus.train, corpus) + pairs_of(corpus.validation, corpus)) == sorted(PAIRS)
    assert corpus.notes[0] == "60 pairs: 54 train, 6 validation; chosen by their source and seed 1"


@pytest.mark.parametrize("shared_vocab", [True, False])
def test_pieces_of_words_are_learned_from_the_training_pairs_alone(write, shared_vocab):
    settings = config(level="subword", max_vocab=350, shared_vocab=shared_vocab, validation=0.3)
    corpus = build_corpus([write("a.tsv", TSV)], settings, seed=1)
    sources, targets = zip(*pairs_of(corpus.train, corpus), strict=True)
    learned = [text for pair in zip(sources, targets, strict=True) for text in pair] if shared_vocab else targets
    assert fit_tokenizer(learned, settings).to_json() == corpus.tokenizer.to_json()
    if corpus.source_tokenizer is not None:
        assert fit_tokenizer(sources, settings).to_json() == corpus.source_tokenizer.to_json()


def test_two_plain_texts_are_read_line_by_line_and_may_be_packed(write, tmp_path):
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(DE.encode()))
    more = [write("b.de", " Katze \n\nMaus\n"), write("b.en", "cat\nnothing\nmouse")]
    files = [tmp_path / "a.de.gz", write("a.en", EN), *more]
    corpus = build_corpus(files, config(validation=0.0), seed=1)
    assert pairs_of(corpus.train, corpus) == [*PAIRS, ("Katze", "cat"), ("Maus", "mouse")]
    assert "1 pairs of which a side is empty were left out" in corpus.notes


def test_unequal_line_counts_are_told_with_both(write):
    files = [write("a.de", DE), write("a.en", EN + "one more\nand another\n")]
    with pytest.raises(DataError, match=r"a\.de has 60 lines and .*a\.en 62; line by line translations need"):
        build_corpus(files, config(), seed=1)
    with pytest.raises(DataError, match=r"a\.en has 62 lines and .*a\.de 60"):
        list(iter_pairs(files[::-1], config()))


@pytest.mark.parametrize(
    ("name", "content", "settings", "error", "message"),
    [
        ("a.de", DE, {}, UsageError, r"a\.de has no translation beside it: plain texts come in twos"),
        (
            "a.csv",
            "a,b\n1,2\n",
            {"source_column": "a"},
            UsageError,
            r"both data\.source_column and data\.target_column",
        ),
        ("a.csv", "a,b\n1,2\n", {"source_column": "a", "target_column": "c"}, DataError, "has no column 'c'"),
        ("a.tsv", "\t\n \tx\n", {}, DataError, "no pair of texts that both say something"),
        ("a.tsv", TSV, {"labelled": True}, UsageError, "leave out labels"),
    ],
)
def test_what_is_no_pair_is_told_in_one_line(write, name, content, settings, error, message):
    with pytest.raises(error, match=message):
        build_corpus([write(name, content)], config(**settings), seed=1)


def test_near_duplicates_of_a_source_share_their_side(write):
    rows = [(f"Satz {n // 3}{' .!'[n % 3]}", f"translation {n}") for n in range(90)]
    corpus = build_corpus([write("a.tsv", "".join(f"{s}\t{t}\n" for s, t in rows))], config(validation=0.3), seed=2)
    sides = [{s.rstrip(" .!") for s, _ in pairs_of(part, corpus)} for part in (corpus.train, corpus.validation)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 9
    assert "60 pairs have nearly the source of another and share their side of the split" in corpus.notes


def test_long_pairs_are_left_out_and_files_validate(write):
    files = [write("a.tsv", TSV + "one two three four\tx\n"), write("v.tsv", "Hund 55\tdog 55\n")]
    corpus = build_corpus(files[:1], config(max_words=3, validation_files=[str(files[1])]), seed=1)
    assert pairs_of(corpus.validation, corpus) == [("Hund 55", "dog 55")]
    assert {target for _, target in pairs_of(corpus.train, corpus)} == {t for _, t in PAIRS if len(t.split()) <= 3}
    assert any(note.endswith("pairs of more than 3 words (data.max_words) were left out") for note in corpus.notes)
    assert f"validation: {files[1]}" in corpus.notes


def test_other_tasks_may_validate_and_test_on_files_too(write):
    files = [write(name, f"{name} says\nthis and that\n" * 20) for name in ("a.txt", "v.txt", "s.txt", "t.txt")]
    settings = {"validation_files": [str(files[1])], "test": f"{files[2]},{files[3]}"}
    corpus = build_corpus(files[:1], DataConfig(**settings), seed=1)
    shown = [corpus.tokenizer.decode(part.tokens.read(0, 5)) for part in (corpus.train, corpus.validation, corpus.test)]
    assert shown == ["a.txt", ".txt ", "s.txt"]  # letters that the training text lacks are left out
    assert corpus.test.num_chars > 1.8 * corpus.validation.num_chars


def test_a_shared_vocabulary_is_one(write):
    corpus = build_corpus([write("a.tsv", TSV)], config(shared_vocab=True), seed=1)
    assert corpus.source_tokenizer is None
    assert set(corpus.tokenizer.decode(np.arange(1, corpus.tokenizer.vocab_size - 1))) >= set("Hundläftogrs")


def test_batches_bring_the_source_of_each_target_and_sort_by_length(write):
    corpus = build_corpus([write("a.tsv", TSV)], config(batch_size=7), seed=1)
    batches = make_batches(corpus.train, corpus.tokenizer, config(batch_size=7), seed=3)
    seen = []
    for index in range(batches.steps_in(0)):
        batch = batches.batch(0, index)
        assert np.ptp(batch.lengths) <= 9
        for row, length in enumerate(batch.source_lengths):
            assert batch.sources[row, length - 1] == corpus.source_tokenizer.eos_id
            assert (batch.sources[row, length:] == 0).all()
            target = batch.targets[row][batch.targets[row] >= 0]
            seen.append((corpus.source_tokenizer.decode(batch.sources[row]), corpus.tokenizer.decode(target)))
    assert sorted(seen) == sorted(pairs_of(corpus.train, corpus))


def test_prepared_pairs_are_those_in_memory_and_are_verified(write, tmp_path):
    files, wanted = [write("a.tsv", TSV)], config(test="0.1")
    memory = build_corpus(files, wanted, seed=1)
    prepare(files, wanted, seed=1, folder=tmp_path / "shards")
    corpus = load_prepared(tmp_path / "shards", verify=True)
    assert corpus.digest == memory.digest
    assert pairs_of(corpus.test, corpus) == pairs_of(memory.test, memory)
    batches = [make_batches(one.train, one.tokenizer, wanted, seed=3).batch(1, 0) for one in (corpus, memory)]
    np.testing.assert_array_equal(batches[0].sources, batches[1].sources)
    shard = tmp_path / "shards" / "train-source-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-2] + b"\1\0")
    with pytest.raises(DataError, match=r"train-source-00000\.bin has been altered"):
        load_prepared(tmp_path / "shards", verify=True)


def test_records_are_taken_with_their_sources(write):
    corpus = build_corpus([write("a.tsv", TSV)], config(validation=0.0), seed=1)
    chosen = take_records(corpus.train, np.array([5, 2]))
    assert pairs_of(chosen, corpus) == [PAIRS[5], PAIRS[2]]


def test_pairs_for_evaluation_have_the_models_tokens(write, tmp_path):
    corpus = build_corpus([write("a.tsv", TSV)], config(validation=0.0), seed=1)
    held = [write("b.de", DE), write("b.en", EN)]
    part = encode_for_evaluation(held, corpus.tokenizer, config(), source_tokenizer=corpus.source_tokenizer)
    assert pairs_of(part, corpus) == PAIRS
    assert Path(held[0]).exists()
