"""The table of nodes against a dictionary of grams."""

import numpy as np
import pytest

from sonho.config import DataConfig, ModelConfig
from sonho.decoding import Model, build_stepper, feed
from sonho.decoding.ngram_stepper import NgramStepper
from sonho.errors import ModelFileError
from sonho.storage.model_file import ModelFile
from sonho.text import fit_tokenizer

ORDER = 4
TEXT = "abcabdaabbcacbdbacabda"


@pytest.fixture
def tokenizer():
    return fit_tokenizer([TEXT + "\nz"], DataConfig())


@pytest.fixture
def tables(tokenizer):
    """(prob, gamma) as dictionaries from grams, with numbers that mean nothing but differ."""
    ids, rng = tokenizer.encode(TEXT).tolist(), np.random.default_rng(3)
    prob, gamma = {}, {(): 0.25}
    for depth in range(1, ORDER + 1):
        for gram in sorted({tuple(ids[at : at + depth]) for at in range(len(ids) - depth + 1)}):
            prob[gram] = float(np.float32(rng.uniform(0.01, 0.3)))
            gamma[gram] = float(np.float32(rng.uniform(0.1, 0.9)))
    return prob, gamma


@pytest.fixture
def arrays(tokenizer, tables):
    prob, gamma = tables
    nodes, arrays = {(): 0}, {"ngram.0.gamma": np.array([gamma[()]], np.float32)}
    for depth in range(1, ORDER + 1):
        grams = sorted(
            (gram for gram in prob if len(gram) == depth),
            key=lambda gram: nodes[gram[:-1]] * tokenizer.vocab_size + gram[-1],
        )
        keys = [nodes[gram[:-1]] * tokenizer.vocab_size + gram[-1] for gram in grams]
        suffix = [nodes[gram[1:]] for gram in grams]
        nodes.update({gram: at for at, gram in enumerate(grams)})
        arrays[f"ngram.{depth}.parent_token"] = np.array(keys, np.int64)
        arrays[f"ngram.{depth}.suffix"] = np.array(suffix, np.int64)
        arrays[f"ngram.{depth}.prob"] = np.array([prob[gram] for gram in grams], np.float32)
        if depth < ORDER:
            arrays[f"ngram.{depth}.gamma"] = np.array([gamma[gram] for gram in grams], np.float32)
    return arrays


@pytest.fixture
def file(tokenizer, arrays):
    return ModelFile(ModelConfig(cell="ngram", order=ORDER), tokenizer, "stream", arrays)


def by_hand(tables, context, token, drawable):
    prob, gamma = tables
    if (*context, token) in prob:
        return prob[(*context, token)]
    if not context:
        return gamma[()] / drawable
    return gamma.get(context, 1.0) * by_hand(tables, context[1:], token, drawable)


@pytest.mark.parametrize("prompt", ["a", "abcab", "dab", "zab", "az", "zzzz", "cadbca", "\n"])
def test_the_probability_of_every_token_is_the_recursion_by_hand(file, tables, prompt):
    ids, vocab_size = file.tokenizer.encode(prompt), file.tokenizer.vocab_size
    stepper = build_stepper(file)
    logits, _ = feed(stepper, ids, stepper.initial_state(1))
    context = tuple(ids.tolist())[-(ORDER - 1) :]
    expected = [by_hand(tables, context, token, vocab_size - 2) for token in range(1, vocab_size - 1)]
    np.testing.assert_allclose(np.exp(logits[0, 1:-1]), expected, rtol=1e-5)
    assert np.isneginf(logits[0, [0, -1]]).all()


def test_steps_give_the_bits_of_one_forward_in_any_company(file):
    stepper = build_stepper(file)
    tokens = np.random.default_rng(1).integers(1, 6, (3, 12))
    whole, end = stepper.forward(tokens, stepper.initial_state(3))
    state = stepper.initial_state(3)
    for t in range(12):
        logits, state = stepper.step(tokens[:, t], state)
        np.testing.assert_array_equal(logits, whole[:, t])
    np.testing.assert_array_equal(state[0], end[0])
    alone, _ = feed(stepper, tokens[1], stepper.initial_state(1))
    np.testing.assert_array_equal(alone[0], whole[1, -1])


def test_a_model_of_single_letters_has_no_memory(file, tables):
    file.model.order = 1
    stepper = build_stepper(file)
    logits, state = stepper.step(np.array([3]), stepper.initial_state(1))
    assert state[0].shape == (1, 0)
    assert np.exp(logits[0, 1]) == pytest.approx(tables[0][(1,)], rel=1e-5)


def test_it_generates(file):
    assert len(Model(file).generate("ab", max_tokens=30, seed=1).text) == 32


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ngram.2.parent_token", lambda keys: keys[::-1].copy()),
        ("ngram.2.parent_token", lambda keys: keys + 10**6),
        ("ngram.3.prob", lambda probs: probs[1:]),
        ("ngram.2.suffix", lambda nodes: nodes + 99),
        ("ngram.3.suffix", lambda nodes: nodes[1:]),
        ("ngram.1.gamma", lambda gammas: gammas[1:]),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(file, name, change):
    file.arrays[name] = change(file.arrays[name])
    with pytest.raises(ModelFileError, match="is not well formed"):
        build_stepper(file)


def test_an_empty_table_of_long_grams_falls_back_to_short_ones(tokenizer, arrays):
    for depth in (3, 4):
        for name in ("parent_token", "prob", "suffix", "gamma"):
            arrays[f"ngram.{depth}.{name}"] = arrays.get(f"ngram.{depth}.{name}", np.zeros(0, np.float32))[:0]
    stepper = NgramStepper(ORDER, tokenizer.vocab_size, arrays, [0])
    logits, _ = feed(stepper, tokenizer.encode("abca"), stepper.initial_state(1))
    assert np.isfinite(logits[0, 1:]).all()
