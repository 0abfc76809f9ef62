import numpy as np
import pytest

from sonho.errors import UsageError

SYMBOLS = "ABabc: \n"


@pytest.fixture
def model(make_model):
    made = make_model(symbols=SYMBOLS)
    made.model_file.record["data"] = {"speakers": ["A", "B"]}
    return made


def test_an_answer_is_what_generate_writes_behind_the_speakers_lines(model, each_engine):
    chat = model.chat(temperature=0, max_tokens=30)
    answer = chat.say("ab")
    alone = model.generate("A: ab\nB:", temperature=0, max_tokens=30, stop="\n", echo=False)
    assert answer.text == alone.text.lstrip(" ")
    assert answer.finish_reason == alone.finish_reason


def test_the_state_stays_between_turns(model):
    chat = model.chat(temperature=0, max_tokens=30)
    said = "A: ab\nB:"
    said += model.generate(said, temperature=0, max_tokens=30, stop="\n", echo=False).text + "\nA: ca\nB:"
    chat.say("ab")
    second = chat.say("ca")
    drawn = model.generate(said, temperature=0, max_tokens=30, stop="\n", echo=False).text
    assert second.text == drawn.lstrip(" ")
    # Greedy texts of so small a model may agree by chance; the states do not.
    ids = model.tokenizer.encode(said + drawn + "\n").astype(np.int64)
    whole = model.stepper.advance(ids[None], model.stepper.initial_state(1))
    for kept, wanted in zip(chat._state, whole, strict=True):
        np.testing.assert_array_equal(kept, wanted)


def test_reset_forgets_what_was_said(model):
    chat = model.chat(temperature=0, max_tokens=30)
    first = chat.say("ab").text
    chat.say("cc")
    chat.reset()
    assert chat.say("ab").text == first


def test_a_seed_gives_the_same_conversation_and_the_turns_differ(model):
    def conversation(seed):
        chat = model.chat(seed=seed, temperature=1.0, max_tokens=30)
        return [chat.say("ab").text for _ in range(4)]

    assert conversation(1) == conversation(1)
    assert len(set(conversation(1))) > 1
    assert conversation(1) != conversation(2)


def test_speakers_are_the_models_unless_they_are_given(model, make_model):
    assert (model.chat().person, model.chat().model) == ("A", "B")
    assert model.chat(speakers=["B", "A"]).model == "A"
    with pytest.raises(UsageError, match=r"trained without data\.speakers"):
        make_model(symbols=SYMBOLS).chat()
    with pytest.raises(UsageError, match="separate records"):
        make_model(symbols=SYMBOLS, data_kind="records").chat(speakers=["A", "B"])
    with pytest.raises(UsageError, match="needs two speakers"):
        model.chat(speakers=["A"])
