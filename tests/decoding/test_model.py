import subprocess
import sys
import warnings

import numpy as np
import pytest

from sonho.config import SamplingConfig
from sonho.decoding import Model, SonhoWarning, load, ramp
from sonho.errors import DataError, InputNotFoundError, ModelFileError, UsageError
from sonho.storage.model_file import save_model_file

pytestmark = pytest.mark.usefixtures("each_engine")

CELLS = [
    {"cell": "lstm", "num_layers": 2},
    {"cell": "gru", "hidden_size": 33},
    {"cell": "rnn"},
    {"cell": "conv", "num_layers": 3},
    {"cell": "lstm", "data_kind": "windows", "window": 5},
    {"cell": "gru", "level": "byte", "embedding_dim": 5},
]


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def records(make_model):
    return make_model(data_kind="records")


@pytest.mark.parametrize("config", CELLS, ids=str)
def test_every_row_of_a_batch_is_the_text_it_would_be_alone(make_model, config):
    model, prompts = make_model(**config), ["ab", "", "ab", "hhh gXY", "c"]
    options = {"max_tokens": 40, "stop": ["X"], "repetition_penalty": 1.1, "top_p": 0.95}
    together = model.generate_batch(prompts, seed=5, **options)
    assert together == [model.generate(prompt, seed=5, **options) for prompt in prompts]
    seeded = model.generate_batch(prompts, seeds=[1, 2, 3, 4, 5], **options)
    assert len({generation.num_tokens for generation in seeded}) > 1  # rows that leave and rows that stay
    assert seeded == [
        model.generate(prompt, seed=seed, **options) for prompt, seed in zip(prompts, range(1, 6), strict=True)
    ]


@pytest.mark.parametrize("level", ["char", "byte", "word"])
@pytest.mark.parametrize("stop", [None, ["ab", "c"]])
@pytest.mark.filterwarnings("ignore::sonho.decoding.SonhoWarning")
def test_a_stream_shows_the_text_of_generate(make_model, level, stop):
    model = make_model(symbols="a b c d ab cd e\n", level=level, data_kind="records")
    whole = model.generate("b", seed=3, stop=stop, max_tokens=60)
    pieces = list(model.stream("b", seed=3, stop=stop, max_tokens=60))
    assert "".join(map(str, pieces)) == whole.text == str(whole)
    last = pieces[-1]
    assert (last.finish_reason, last.seed, last.num_tokens) == (whole.finish_reason, 3, whole.num_tokens)
    assert all(piece.finish_reason is None and piece.text for piece in pieces[:-1])


def test_a_text_is_what_the_stepper_and_the_arg_max_give(model):
    ids = model.tokenizer.encode("ab").tolist()
    state, stepper = model.stepper.initial_state(1), model.stepper
    for token in ids:
        logits, state = stepper.step(np.array([token]), state)
    for _ in range(30):
        ids.append(int(logits[0].argmax()))
        logits, state = stepper.step(np.array(ids[-1:]), state)
    assert model.generate("ab", temperature=0, max_tokens=30).text == model.tokenizer.decode(ids)


def test_the_same_seed_repeats_and_no_seed_draws_one_and_tells_it(model):
    first, second = model.generate("a", max_tokens=50), model.generate("a", max_tokens=50)
    assert first.seed != second.seed
    assert first.text != second.text
    assert model.generate("a", max_tokens=50, seed=first.seed) == first
    assert len({generation.seed for generation in model.generate_batch(["a"] * 9)}) == 9


def test_the_output_begins_with_the_prompt_unchanged(make_model):
    model = make_model(data={"lowercase": True, "newlines": "fold"})
    prompt = "A\r\nB 🙂 Ω"
    with pytest.warns(SonhoWarning, match=r"does not know '🙂', 'ω' of the prompt") as caught:
        generation = model.generate(prompt, seed=1, max_tokens=5)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert generation.text.startswith(prompt)
    assert len(generation.text) == len(prompt) + 5
    with pytest.warns(SonhoWarning):
        without = model.generate(prompt, seed=1, max_tokens=5, echo=False)
    assert prompt + without.text == generation.text


@pytest.mark.parametrize("door", ["stream", "generate_batch"])
def test_a_warning_points_at_the_line_that_called(model, door):
    with pytest.warns(SonhoWarning) as caught:
        getattr(model, door)("🙂" if door == "stream" else ["a", "🙂"])
    assert caught[0].filename == __file__


def test_an_unknown_prompt_can_be_an_error(model):
    with pytest.raises(DataError, match="🙂"):
        model.generate("🙂", unknown="error")


def test_a_prompt_of_unknown_symbols_only_is_like_none(model):
    with pytest.warns(SonhoWarning):
        assert model.generate("🙂Ж", seed=2).text == "🙂Ж" + model.generate("", seed=2).text


def test_a_line_end_is_fed_but_not_shown_before_an_empty_prompt(model):
    assert model.generate("", seed=2).text == model.generate("\n", seed=2, echo=False).text


def test_records_end_by_themselves_and_streams_never(model, records):
    ends = [records.generate("", seed=seed, max_tokens=500) for seed in range(20)]
    assert {end.finish_reason for end in ends} == {"stop"}
    assert all(end.num_tokens == len(end.text) + 1 for end in ends)  # the end was drawn too
    endless = model.generate("", seed=0, max_tokens=500)
    assert (endless.finish_reason, endless.num_tokens, len(endless.text)) == ("length", 500, 500)


def test_a_record_is_fed_after_the_end_symbol(records):
    eos = np.array([records.tokenizer.eos_id])
    logits, _ = records.stepper.step(eos, records.stepper.initial_state(1))
    assert records.generate("", temperature=0, max_tokens=1).text == records.tokenizer.decode([logits.argmax()])


@pytest.mark.parametrize("temperature", [1e-9, 1e9])
def test_filler_and_foreign_ends_are_drawn_at_no_temperature(make_file, temperature):
    file = make_file()
    file.arrays["output.bias"][[0, -1]] = 1e6
    text = Model(file).generate("a", temperature=temperature, max_tokens=2000, seed=1).text
    assert len(text) == 2001
    assert len(set(text)) > 1 or temperature < 1


def test_the_unknown_symbol_is_drawn_only_with_leave(make_model):
    model = make_model(symbols="the cat and the dog", level="word", scale=0.01)
    assert "<unk>" not in model.generate("the", uniform=True, max_tokens=500, seed=1).text
    assert "<unk>" in model.generate("the", uniform=True, max_tokens=500, seed=1, allow_unknown=True).text


def test_a_stop_cuts_the_same_text_short(model):
    whole = model.generate("ab", seed=1, max_tokens=100).text
    stop = whole[40:42]
    cut = model.generate("ab", seed=1, max_tokens=100, stop=["🙂", stop])
    assert cut.text == whole[: whole.index(stop, 2)]
    assert cut.finish_reason == "stop"


def test_a_stop_in_the_prompt_stops_nothing(model):
    assert model.generate("ab", seed=1, max_tokens=3, stop="ab", banned=["a"]).finish_reason == "length"


def test_n_texts_differ_and_begin_with_the_one_of_the_seed(model):
    texts = model.generate("a", n=4, seed=9)
    assert texts[0] == model.generate("a", seed=9)
    assert len({text.text for text in texts}) == 4
    assert {text.seed for text in texts} == {9}
    assert len(model.generate("a", n=1)) == 1


def test_a_list_of_temperatures_makes_a_gallery(model):
    gallery = model.generate("a", temperature=[0.3, 1.8], seed=4, n=2)
    assert gallery == [
        *model.generate("a", temperature=0.3, seed=4, n=2),
        *model.generate("a", temperature=1.8, seed=4, n=2),
    ]
    assert len(model.generate("a", temperature=[0.5])) == 1
    with pytest.raises(UsageError, match="temperature is an empty list"):
        model.generate("a", temperature=[])


def test_a_temperature_may_change_along_the_text(model):
    text = model.generate("a", temperature=ramp(0.0, 0.0, 5), max_tokens=20).text
    assert text == model.generate("a", temperature=0, max_tokens=20).text


def test_symbols_are_banned_allowed_forced_and_biased(model):
    assert set(model.generate("", max_tokens=200, allowed=["a", "b"]).text) == {"a", "b"}
    assert "a" not in model.generate("", max_tokens=300, banned=["a"], uniform=True).text
    assert model.generate("", max_tokens=4, forced={0: "X", 3: "Y"}).text[::3] == "XY"
    assert model.generate("", max_tokens=9, logit_bias={"c": 1e6}).text == "c" * 9


def test_penalties_know_the_prompt(model):
    assert model.generate("a" * 9, temperature=0, max_tokens=1, logit_bias={"a": 50}).text[-1] == "a"
    penalised = model.generate("a" * 9, temperature=0, max_tokens=1, logit_bias={"a": 50}, frequency_penalty=20)
    assert penalised.text[-1] != "a"


def test_the_defaults_come_from_the_file_and_one_temperature_only(make_file):
    file = make_file()
    file.sampling = SamplingConfig(max_tokens=7, temperatures=[0.0], top_k=3)
    greedy = Model(file).generate("a", temperature=0, max_tokens=7, seed=1)
    assert Model(file).generate("a", seed=1) == greedy
    file.sampling.temperatures = [0.3, 1.8]
    assert Model(file).generate("a", seed=1) == Model(file).generate("a", seed=1, temperature=0.8, top_k=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.generate("a", n=0), "n must be at least 1, got 0"),
        (lambda model: model.generate("a", top_k=0), "top_k must be at least 1, got 0"),
        (lambda model: model.generate("a", temperature=[0.5, -1]), "temperature must be a finite number"),
        (lambda model: model.generate(None), "the prompt must be a string, got NoneType"),
        (lambda model: model.stream("a", temperature=[1.0]), r"temperature must be a number, got \[1\.0\]"),
        (lambda model: model.stream("a", banned=["ab"]), "banned takes single symbols"),
        (lambda model: model.generate_batch("ab"), "prompts must be a list of strings"),
        (lambda model: model.generate_batch(["a"], seeds=[1, 2]), "give seed for all or 1 seeds"),
        (lambda model: model.generate_batch(["a"], seeds=[-1]), "seed must be at least 0, got -1"),
        (lambda model: model.generate_batch(["a"], seed=1, seeds=[1]), "give seed for all or 1 seeds"),
    ],
)
def test_a_call_that_cannot_be_is_refused_at_once(model, call, message):
    with pytest.raises(UsageError, match=message):
        call(model)


def test_no_prompts_make_no_texts(model):
    assert model.generate_batch([]) == []


def test_a_saved_model_generates_the_same_after_loading(make_file, tmp_path):
    file = make_file(num_layers=2)
    save_model_file(tmp_path / "model.safetensors", file)
    expected = Model(file).generate("ab", seed=6)
    for path in (tmp_path, tmp_path / "model.safetensors", str(tmp_path)):
        assert load(path).generate("ab", seed=6) == expected


def test_a_path_without_a_model_is_named(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"nothing\.safetensors"):
        load(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("not a model")
    with pytest.raises(ModelFileError, match=r"text\.safetensors"):
        load(tmp_path / "text.safetensors")


def test_generating_loads_no_torch_and_little_else(make_file, tmp_path):
    save_model_file(tmp_path / "model.safetensors", make_file())
    code = (
        "import sys; from sonho.decoding import load;"
        f"print(load({str(tmp_path)!r}).generate('ab', max_tokens=5).num_tokens,"
        "sorted({'torch', 'pydantic', 'rich', 'tokenizers', 'pyarrow'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "5 []\n"


def test_generating_warns_of_nothing(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for temperature in (0, 1e-9, 0.8, 1e9):
            model.generate("ab", temperature=temperature, top_k=3, top_p=0.9, min_p=0.1, typical_p=0.9)
