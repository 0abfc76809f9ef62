"""Letters or pieces of words, by the clock."""

import random

import pytest

from sonho.config import build_config
from sonho.storage.model_file import load_model_file
from sonho.training import level
from sonho.training.level import choose_level
from sonho.training.run import explain, given_settings, train

TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 120
BY_CLOCK = {"training": {"minutes": 0.05}}


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """A text of some thousand bytes is long."""
    monkeypatch.setattr(level, "LEAST_BYTES", 5_000)
    monkeypatch.setattr(level, "CERTAIN_BYTES", 50_000)
    monkeypatch.setattr(level, "BYTES_A_SECOND", 5_000)
    monkeypatch.setattr(level, "COUNTED_BYTES", 0)
    monkeypatch.setattr(level, "PIECES", ((None, 300),))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(TEXT)
    return str(path)


def choose(settings, path):
    config = build_config(settings)
    said = choose_level(config, given_settings(settings), [path])
    return config.data.level, config.data.max_vocab, said


def test_a_long_text_is_cut_into_pieces_of_words(text, monkeypatch):
    chosen, most, said = choose(BY_CLOCK, text)
    assert (chosen, most) == ("char", 0)  # 9,480 bytes are no more than 5,000 for each of three seconds
    monkeypatch.setattr(level, "BYTES_A_SECOND", 1_000)
    chosen, most, said = choose(BY_CLOCK, text)
    assert (chosen, most) == ("subword", 300)
    assert said.startswith("9,480 bytes are much for 3 seconds: cut into at most 300 pieces of words")
    assert choose({}, text)[0] == "char"  # five minutes
    monkeypatch.setattr(level, "LEAST_BYTES", 9_481)
    assert choose(BY_CLOCK, text)[0] == "char"


def test_a_very_long_text_is_cut_whatever_the_time(text, monkeypatch):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 9_480)
    assert choose({"training": {"minutes": 600.0}}, text)[0] == "subword"


def words_by_chance(lexicon, num_words):
    return " ".join(random.Random(1).choices(lexicon, k=num_words))


OF_FEW_WORDS = words_by_chance(
    ["river", "mountain", "yesterday", "window", "forgotten", "silver", "garden", "whisper", "lantern", "harbour"], 3000
)
OF_MADE_UP_WORDS = words_by_chance(["".join(random.Random(n).choices("abcdefgh", k=5)) for n in range(3000)], 4000)


@pytest.fixture
def counting(monkeypatch):
    """Of a text of some thousand bytes counts decide."""
    monkeypatch.setattr(level, "COUNTED_BYTES", 49_999)
    monkeypatch.setattr(level, "SECONDS_FOR_COUNTING", 3.0)
    monkeypatch.setattr(level, "BYTES_A_SECOND", 1_000)


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize(("content", "chosen"), [(OF_FEW_WORDS, "subword"), (OF_MADE_UP_WORDS, "char")])
def test_counts_decide_where_the_length_does_not(tmp_path, monkeypatch, content, chosen):
    path = tmp_path / "a.txt"
    path.write_text(content)
    assert choose(BY_CLOCK, str(path))[0] == chosen
    monkeypatch.setattr(level, "COUNTED_BYTES", 0)
    assert choose(BY_CLOCK, str(path))[0] == "subword"


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize(
    "settings", [{"training": {"minutes": 0.04}}, {**BY_CLOCK, "data": {"kind": "records"}}], ids=str
)
def test_letters_where_counting_takes_too_long_or_texts_are_short(tmp_path, settings):
    path = tmp_path / "a.txt"
    path.write_text(OF_FEW_WORDS)
    assert choose(BY_CLOCK, str(path))[0] == "subword"
    assert choose(settings, str(path))[0] == "char"


@pytest.mark.parametrize(
    "settings",
    [
        {"training": {"steps": 10}},
        {"training": {"epochs": 1.0}},
        {"data": {"level": "char"}},
        {"data": {"max_vocab": 30}},
        {"data": {"min_count": 2}},
        {"data": {"kind": "records", "num_chars": 50}},
        {"data": {"kind": "windows"}},
        {"data": {"objective": "last"}},
        {"model": {"cell": "ngram"}},
        {"model": {"task": "classify"}},
        {"model": {"condition": "label"}},
    ],
    ids=str,
)
def test_who_decides_something_about_the_tokens_gets_letters(text, monkeypatch, settings):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    assert choose({}, text)[0] == "subword"
    before = build_config(settings).data
    assert choose(settings, text) == (before.level, before.max_vocab, "")


def test_what_has_no_words_stays_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    log = tmp_path / "a.log"
    log.write_text(
        "".join(f"17000{n:05d} GET /cart?id={n * 7919 % 1000} status=200 time={n % 97}ms\n" for n in range(200))
    )
    assert choose({}, str(log))[0] == "char"
    log.write_text("यह एक लंबी कहानी है जो कभी ख़त्म नहीं होती। " * 200)
    assert choose({}, str(log))[0] == "subword"


def test_what_was_prepared_stays_as_it_is(text, monkeypatch):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    monkeypatch.setattr(level, "is_prepared", lambda path: True)
    assert choose({}, text)[0] == "char"


def test_without_the_library_of_pieces_it_is_letters(text, monkeypatch):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    monkeypatch.setattr(level, "library_is_installed", lambda: False)
    assert choose({}, text)[0] == "char"


def test_a_run_says_it_learns_pieces_and_goes_on_with_them(text, monkeypatch, tmp_path):
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    assert any("pieces of words" in line for line in explain([text], BY_CLOCK))
    said = []
    train([text], tmp_path / "run", BY_CLOCK, say=said.append)
    assert any("--level char keeps to letters" in line for line in said)
    made = load_model_file(tmp_path / "run")
    assert made.tokenizer.level == "subword"
    assert 258 < made.tokenizer.vocab_size <= 300
    train([text], tmp_path / "run", {"training": {"minutes": 0.08}}, resume=True)
    again = load_model_file(tmp_path / "run")
    assert again.tokenizer.to_json() == made.tokenizer.to_json()


def test_a_model_to_start_from_keeps_its_letters(text, monkeypatch, tmp_path):
    train([text], tmp_path / "letters", {"training": {"steps": 2}, "model": {"hidden_size": 8}})
    monkeypatch.setattr(level, "CERTAIN_BYTES", 1)
    train([text], tmp_path / "run", BY_CLOCK, init=str(tmp_path / "letters"))
    assert load_model_file(tmp_path / "run").tokenizer.level == "char"
