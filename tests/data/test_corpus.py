from itertools import chain

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.batches import make_batches
from sonho.data.corpus import Corpus, build_corpus, encode_for_evaluation, encode_text
from sonho.errors import DataError, InputNotFoundError, UsageError
from sonho.text import fit_tokenizer

PROSE = "".join(f"It was the {n}th of the days, and the {n * 7}th of the nights. " for n in range(200))


def build(*paths, seed=0, **settings) -> Corpus:
    return build_corpus(paths, DataConfig(**settings), seed=seed)


def test_the_splits_of_a_stream_join_to_the_text(write, text_of):
    corpus = build(write("a.txt", PROSE), test="0.2")
    parts = [corpus.train, corpus.validation, corpus.test]
    assert "".join(text_of(part, corpus.tokenizer) for part in parts) == PROSE
    assert [part.num_chars for part in parts] == [part.num_tokens for part in parts]
    assert corpus.notes[0] == (
        f"{len(PROSE):,} characters: {parts[0].num_chars:,} train, {parts[1].num_chars:,} validation, "
        f"{parts[2].num_chars:,} test; the tail is held out"
    )


@pytest.mark.parametrize("kind", ["stream", "records"])
@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_pieces_of_words_are_learned_from_the_training_part_alone(write, text_of, texts_of, kind, held_out):
    text = PROSE + "Zarathustra went down. " * 20 + "x"
    if kind == "records":
        text = "".join(f"{name * 3} of the {n}th\n" for n in range(40) for name in ("Zara", "Thus", "tra"))
    share = {"validation": 0.3} if held_out == "validation" else {"validation": 0.0, "test": "0.3"}
    settings = {"kind": kind, "level": "subword", "max_vocab": 400, **share}
    corpus = build(write("a.txt", text), **settings)
    learned = [text_of(corpus.train, corpus.tokenizer)]
    if kind == "records":
        learned = texts_of(corpus.train, corpus.tokenizer)
    again = fit_tokenizer(learned, DataConfig(**settings))
    assert again.to_json() == corpus.tokenizer.to_json()
    if kind == "stream":
        assert not any("Zara" in corpus.tokenizer.token_text(id) for id in range(corpus.tokenizer.vocab_size))
        assert "Zara" in corpus.tokenizer.decode(getattr(corpus, held_out).tokens.read(0, 10**6))


@pytest.mark.parametrize("level", ["char", "byte", "word", "subword"])
@pytest.mark.parametrize("kind", ["stream", "records"])
def test_a_held_out_text_gets_the_tokens_of_its_split(write, texts_of, level, kind):
    settings = {"level": level, "kind": kind, "max_vocab": 300 if level == "subword" else 0, "bptt": 20}
    text = "".join(f"Die {n}. Straße, São Paulo \t{n % 5}! \n" for n in range(300))
    corpus = build(write("a.txt", text), **settings)
    held = corpus.validation
    content = text[int(len(text) * 0.9) :]
    if kind == "records":
        content = "".join(f"{record}\n" for record in texts_of(held, corpus.tokenizer))
    part = encode_for_evaluation([write("held.txt", content)], corpus.tokenizer, DataConfig(**settings))
    again = encode_text(content, corpus.tokenizer, DataConfig(**settings))
    assert held.digest == part.digest == again.digest
    assert (held.num_chars, held.num_bytes) == (part.num_chars, part.num_bytes)
    if level != "word":  # a word cut in two by the split is unknown
        assert (part.num_chars, part.num_bytes) == (len(content), len(content.encode()))


def test_the_vocabulary_has_the_letters_of_the_validation_part_but_not_of_the_test(write):
    path = write("a.txt", "abcd" * 200 + "v" * 30 + "t" * 100)
    corpus = build(path, test="0.1")
    assert corpus.tokenizer.unknown_in("abcdvt") == []
    assert build(path, test=str(write("t.txt", "abcxyz" * 9))).tokenizer.unknown_in("vtx") == ["x"]
    assert build(path, test="0.05").tokenizer.unknown_in("t") == []
    assert build(path, test="0.2").tokenizer.unknown_in("vt") == ["v", "t"]


def test_letters_seen_only_in_a_test_share_are_unknown_and_said_so(write):
    corpus = build(write("a.txt", "abcd" * 200 + "t" * 60), test="0.1")
    assert corpus.test.unknown == ("t",)
    assert corpus.test.num_tokens == 86 - 60
    assert "test: symbols that the vocabulary lacks were left out: 't'" in corpus.notes


def test_letters_seen_only_in_test_records_are_unknown_too(write):
    # Every record has a letter of its own, so those of the test share are known to nobody.
    corpus = build(write("a.txt", "\n".join(chr(0x4E00 + n) for n in range(50))), kind="records", test="0.2")
    assert len(corpus.test.unknown) == 10
    assert corpus.tokenizer.vocab_size == 40 + 2


def test_records_keep_their_line_whole_and_end_it(write, texts_of):
    names = [f"name {n}" for n in range(100)]
    corpus = build(write("a.txt", "\r\n".join(names)), kind="records", test="0.2")
    parts = [texts_of(part, corpus.tokenizer) for part in (corpus.train, corpus.validation, corpus.test)]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert sorted(chain.from_iterable(parts)) == sorted(names)
    assert corpus.notes[0] == (
        "100 records of 790 characters: 70 train, 10 validation, 20 test; chosen by their text and seed 0"
    )


def test_duplicates_share_a_side_and_are_counted_after_lower_casing(write, texts_of):
    lines = [f"Title {n}" for n in range(30)] + [f"title {n}" for n in range(30)]
    corpus = build(write("a.txt", "\n".join(lines)), kind="records", lowercase=True, validation=0.3)
    train, held_out = (set(texts_of(part, corpus.tokenizer)) for part in (corpus.train, corpus.validation))
    assert not train & held_out
    assert len(held_out) == 9
    assert "30 records are exact duplicates of others and share their side of the split" in corpus.notes


def test_records_are_cut_to_the_longest_length_and_said_so(write, texts_of):
    path = write("a.txt", "abcdefgh\nxyz\nvwxyz\n" + "pq" * 800)
    corpus = build(path, kind="records", validation=0, max_length=5)
    assert texts_of(corpus.train, corpus.tokenizer) == ["abcde", "xyz", "vwxyz", "pqpqp"]
    assert "train: 2 records are longer than data.max_length tokens and were cut there" in corpus.notes
    assert max(map(len, texts_of(build(path, kind="records", validation=0).train, corpus.tokenizer))) == 1000


def test_records_are_cut_into_pieces_on_demand(write, texts_of):
    path = write("a.txt", "abcdefgh\nxyz\n1234\n" + "p" * 4002)
    corpus = build(path, kind="records", validation=0, num_chars=4)
    pieces = texts_of(corpus.train, corpus.tokenizer)
    assert pieces[:5] == ["abcd", "efgh", "xyz", "1234", "pppp"]
    assert pieces[-1] == "pp"
    assert len(build(path, kind="records", validation=0, num_chars=2000).train.offsets) == 1 + 3 + 3


def test_the_words_of_two_records_never_run_together(write):
    corpus = build(write("a.txt", "one\ntwo\nsix\nten\n" * 9), kind="records", level="word", validation=0)
    assert corpus.tokenizer.vocab_size == 4 + 3


def test_a_text_of_200_characters_trains_and_says_what_it_gave_up(write):
    corpus = build(write("a.txt", PROSE[:200]))
    size = corpus.tokenizer.vocab_size
    assert corpus.notes == [
        "200 characters: 160 train, 40 validation; the tail is held out",
        f"{size - 2} symbols in the vocabulary ({size} ids with <pad> and <eos>), level char",
    ]
    assert make_batches(corpus.train, corpus.tokenizer, DataConfig(), 0).batch(0, 0).num_tokens == 120


@pytest.mark.parametrize("level", ["char", "byte", "word", "subword"])
@pytest.mark.parametrize("kind", ["stream", "records", "windows"])
@pytest.mark.parametrize("content", ["", " \n\t\n", "too short", "\n".join("abc")])
def test_nothing_to_learn_from_is_bad_data(write, level, kind, content):
    with pytest.raises(DataError):
        build(write("a.txt", content), level=level, kind=kind)


def test_the_errors_for_too_little_text_say_how_little(write):
    with pytest.raises(DataError, match=r"a\.txt is empty or holds only white space"):
        build(write("a.txt", "\n \n"))
    with pytest.raises(DataError, match="the text has only 9 tokens; at least 20 are needed"):
        build(write("a.txt", "too short"))


def test_a_test_file_is_tokenised_like_the_rest_and_never_fitted(write, text_of):
    corpus = build(write("a.txt", PROSE), test=str(write("t.txt", "The nights, Zoë")))
    assert text_of(corpus.test, corpus.tokenizer) == "he nights, o"
    assert corpus.test.unknown == ("T", "Z", "ë")
    with pytest.raises(InputNotFoundError, match=r"gone.txt"):
        build(write("a.txt", PROSE), test="gone.txt")


def test_a_given_tokenizer_is_kept_and_what_it_lacks_is_said(write):
    tokenizer = fit_tokenizer(["abcdefghij"], DataConfig())
    corpus = build_corpus([write("a.txt", "abc-" * 50)], DataConfig(), seed=0, tokenizer=tokenizer)
    assert corpus.tokenizer is tokenizer
    assert corpus.train.num_tokens == 120
    assert corpus.notes[-1] == "validation: symbols that the vocabulary lacks were left out: '-'"


def test_nothing_held_out_leaves_no_validation_part(write):
    corpus = build(write("a.txt", PROSE), validation=0)
    assert corpus.validation is None
    assert corpus.notes[0].endswith("train; nothing is held out")


def test_the_share_of_unknown_words_is_said(write):
    corpus = build(write("a.txt", PROSE), level="word", max_vocab=20)
    assert (
        f"train: {100 * corpus.train.num_unknown / corpus.train.num_tokens:.2f} % of the tokens are <unk>"
        in corpus.notes
    )


def test_the_digest_changes_with_the_text_the_split_and_the_tokenizer(write):
    path = write("a.txt", "\n".join(f"name {n}" for n in range(100)))
    base = build(path, kind="records").digest
    assert build(path, kind="records", batch_size=3).digest == base
    others = [
        build(path, kind="records", seed=1),
        build(path, kind="records", lowercase=True),
        build(path, kind="records", validation=0.2),
        build(path),
        build(write("b.txt", "\n".join(f"nomo {n}" for n in range(100))), kind="records"),
    ]
    assert len({base, *(corpus.digest for corpus in others)}) == 6


def test_windows_across_the_cut_belong_to_no_side(write):
    corpus = build(write("a.txt", PROSE[:1000]), objective="last", window=10, stride=3, batch_size=5)
    assert corpus.kind == "windows"
    assert (
        corpus.notes[-1] == "330 windows of 10 every 3 characters: 297 train, 30 validation, 3 across the cut left out"
    )


def test_the_text_of_the_textbook_has_its_figures(corpora):
    path = corpora / "nietzsche" / "nietzsche.txt"
    corpus = build(path, lowercase=True, objective="last", window=60, stride=3, batch_size=128)
    assert corpus.tokenizer.vocab_size == 57 + 2
    assert corpus.notes[-1] == (
        "200,278 windows of 60 every 3 characters: 180,248 train, 20,010 validation, 20 across the cut left out"
    )


def test_shakespeare_is_cut_where_everybody_cuts_it(corpora):
    corpus = build(corpora / "tinyshakespeare" / "input.txt")
    assert (corpus.train.num_tokens, corpus.validation.num_tokens) == (1_003_854, 111_540)


def test_news_titles_have_their_vocabulary_and_little_padding(corpora):
    corpus = build(corpora / "ag_news" / "train_titles.csv.gz", kind="records", columns=["2"])
    assert corpus.tokenizer.vocab_size == 84
    hello = corpus.tokenizer.encode("Hello, world!").tolist()
    assert hello == [47, 2, 10, 10, 5, 45, 1, 25, 5, 8, 10, 13, 78]
    assert make_batches(corpus.train, corpus.tokenizer, DataConfig(kind="records"), 0).padding_efficiency() > 0.95


def test_byte_level_reads_what_is_not_utf8_without_loss(write):
    data = bytes(range(256)) * 2
    corpus = build(write("a.bin", data), level="byte", newlines="keep", validation=0)
    tokens = corpus.train.tokens.read(0, 512)
    np.testing.assert_array_equal(tokens, np.frombuffer(data, np.uint8).astype(int) + 1)


def test_kinds_that_do_not_go_together_are_wrong_usage(write):
    with pytest.raises(UsageError, match=r"leave out data.kind=records"):
        build(write("a.txt", PROSE), kind="records", objective="last")
