"""`model.prior=ngram`: counts of the text beside the network, and the gate that says how much either is to be trusted.

The gate is learned on held-out tokens that were not counted: it must see how the counts do on a text that is new to
them. Afterwards the held-out tokens are counted as well, because the end of a text is what resembles its
continuation most; nothing that was measured before changes by it.

Shapes: M predictions, V vocabulary, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sonho.config import Config
from sonho.data.corpus import Part
from sonho.decoding.prior import LEAST_NETWORK, MOST_WEIGHT, Prior
from sonho.decoding.processors import softmax
from sonho.decoding.state import Array
from sonho.decoding.stepper import build_stepper
from sonho.errors import UsageError
from sonho.evaluation.evaluate import log_softmax
from sonho.evaluation.kneser_ney import read_end
from sonho.evaluation.prior_counts import MOST_BYTES_A_BYTE, MOST_TOKENS, count_prior, num_bytes
from sonho.evaluation.protocol import scoring_blocks
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
from sonho.storage.prior import GATE_EXTRAS, unpack_prior
from sonho.text import Tokenizer, masked_ids

# Held-out tokens that the gate is learned on, and how many numbers they may become.
GATE_TOKENS, GATE_NUMBERS = 16_384, 2**24
# Steps of Newton's method, the shortest that is tried, and how many nats it must bring to go on.
GATE_STEPS, SMALLEST_SHARE, ENOUGH = 20, 1e-3, 1e-6
# What a gate is before it is learned, and what keeps it there where there is little to learn from.
HALF, PULL = 0.5, 1e-4


def count_parts(parts: Sequence[Part], tokenizer: Tokenizer, masked: Sequence[int], order: int) -> Arrays:
    """The counts of parts that follow each other, of a long text of its end; the gate is half and half."""
    tokens, offsets = _read_ends(parts)
    arrays = count_prior(
        tokens,
        order,
        tokenizer.vocab_size,
        most_bytes=MOST_BYTES_A_BYTE * num_text_bytes(tokens, tokenizer),
        masked=masked,
        offsets=offsets,
    )
    arrays["gate"][:, :-GATE_EXTRAS] = HALF
    return arrays


def check_prior(config: Config) -> None:
    """Raise UsageError for a model beside which no prior can stand."""
    if config.model.prior == "none":
        return
    if config.model.task != "generate":
        raise UsageError(f"model.prior=ngram is for language models; leave it out of model.task={config.model.task}")
    if config.model.cell == "ngram":
        raise UsageError("model.cell=ngram is all counts; leave out model.prior")
    if config.model.condition != "none":
        raise UsageError("model.prior=ngram counts text whatever its labels; leave it out, or model.condition")
    if config.data.objective == "last":
        raise UsageError("model.prior=ngram needs predictions of every position; leave out data.objective=last")


def prior_advice(config: Config, bits_per_char: float, baselines: Mapping[str, float]) -> str:
    """A line for a network that n-grams of its own text beat; empty where they do not, or no prior can stand there."""
    better = {name: bits for name, bits in baselines.items() if "-gram" in name and bits < bits_per_char}
    if not better or config.model.prior != "none":
        return ""
    try:
        check_prior(replace(config, model=replace(config.model, prior="ngram")))
    except UsageError:
        return ""
    best = min(better, key=lambda name: better[name])
    return f"{best} does better than the network alone; with --prior ngram such counts stand beside it"


def prior_note(prior: Arrays, num_tokens: int) -> str:
    """What the counts of so many tokens hold and what they take, in one line."""
    sizes = prior["sizes"]
    what = f"The n-gram prior holds {int(sizes.sum()):,} grams of up to {len(sizes)} tokens"
    if num_tokens > MOST_TOKENS:
        what += f" of the last {MOST_TOKENS:,}"
    return f"{what} and takes {num_bytes(prior) / 1e6:.2f} MB of the model file"


def num_text_bytes(tokens: Array, tokenizer: Tokenizer) -> int:
    """Bytes in UTF-8 of the text of tokens (L,)."""
    return int(np.bincount(tokens, minlength=tokenizer.vocab_size) @ tokenizer.byte_counts())


def learn_gate(model_file: ModelFile, held_out: Part) -> Array:
    """The gate (2, F) float32 for the network and the counts of `model_file`, learned on tokens in neither.

    Newton's method: the loss is that of a log-linear model, convex between the bounds of the two weights.
    """
    examples = _examples(model_file, held_out)
    start = np.zeros((2, examples.features.shape[1]))
    start[:, :-GATE_EXTRAS] = HALF
    gate, loss = start, examples.loss(start, start)
    for _ in range(GATE_STEPS):
        gradient, curvature = examples.slope(gate, start)
        direction = np.linalg.solve(curvature, gradient.ravel()).reshape(gate.shape)
        gain, share = 0.0, 1.0
        while gain <= 0 and share > SMALLEST_SHARE:
            following = gate - share * direction
            gain = loss - examples.loss(following, start)
            share /= 4
        if gain < ENOUGH:
            break
        gate, loss = following, loss - gain
    return gate.astype(np.float32)


@dataclass(frozen=True)
class _Examples:
    """Of each held-out position: what both say, log-probabilities (M, 2, V), features (M, F) and the target (M,)."""

    voices: Array
    features: Array
    targets: Array

    def loss(self, gate: Array, start: Array) -> float:
        """Mean nats of the target, and what it costs to be away from `start`."""
        weights, _ = self._weights(gate)
        logits = (weights[:, None] @ self.voices)[:, 0]  # (M, V)
        top = logits.max(1)
        partition = np.log(np.exp(logits - top[:, None]).sum(1)) + top
        nats = (partition - logits[np.arange(len(logits)), self.targets]).mean(dtype=np.float64)
        return float(nats + PULL * np.square(gate - start).sum())

    def slope(self, gate: Array, start: Array) -> tuple[Array, Array]:
        """Gradient (2, F) and Hessian (2F, 2F) of the loss: mean and covariance of the voices under the mixture."""
        weights, inside = self._weights(gate)
        count, size = self.features.shape
        expected = softmax(weights[:, None] @ self.voices) * self.voices  # (M, 2, V)
        means = expected.sum(2)
        covariance = expected @ self.voices.transpose(0, 2, 1) - means[:, :, None] * means[:, None, :]
        errors = (means - self.voices[np.arange(count), :, self.targets]) * inside  # (M, 2)
        covariance *= inside[:, :, None] * inside[:, None, :]
        gradient = errors.T @ self.features / count + 2 * PULL * (gate - start)
        blocks = np.einsum("mkl,mf,mg->kflg", covariance, self.features, self.features, optimize=True) / count
        return gradient, blocks.reshape(2 * size, 2 * size) + 2 * PULL * np.eye(2 * size)

    def _weights(self, gate: Array) -> tuple[Array, Array]:
        """Weights of the voices (M, 2) float32, and which of them are between their bounds."""
        free = (self.features @ gate.T).astype(np.float32)
        weights = np.clip(free, np.array([LEAST_NETWORK, 0.0], np.float32), np.float32(MOST_WEIGHT))
        return weights, free == weights


def _examples(model_file: ModelFile, held_out: Part) -> _Examples:
    tokenizer, kind = model_file.tokenizer, model_file.data_kind
    trie = unpack_prior(model_file.prior, tokenizer.vocab_size)
    masked = masked_ids(tokenizer, kind)
    prior, stepper = Prior(trie, masked), build_stepper(model_file, prior=False)
    open_ids = np.setdiff1d(np.arange(tokenizer.vocab_size), list(masked))
    limit = min(GATE_TOKENS, max(GATE_NUMBERS // tokenizer.vocab_size, 1))
    logits, features, ngram, targets = [], [], [], []
    for block in scoring_blocks(held_out, kind, 0, 1, tokenizer.eos_id, limit=limit):
        if block.fresh:
            state, last = stepper.initial_state(len(block.inputs)), np.zeros(len(block.inputs), np.int64)
        scored = block.targets >= 0
        predicted, state = stepper.forward(block.inputs, state)
        nodes = prior.advance(block.inputs, last)  # (N, T)
        last = nodes[:, -1]
        logits.append(predicted[scored][:, open_ids])
        targets.append(np.searchsorted(open_ids, block.targets[scored]))
        for node in nodes[scored].tolist():
            depth, top, log_gamma, log_probs = prior.features(node)
            features.append([*(float(depth == d) for d in range(trie.order)), top, log_gamma])
            ngram.append(log_probs[open_ids])
    network = log_softmax(np.concatenate(logits))
    voices = np.stack([network, np.stack(ngram)], axis=1).astype(np.float32)
    return _Examples(voices, np.array(features, np.float32), np.concatenate(targets))


def _read_ends(parts: Sequence[Part]) -> tuple[Array, Array | None]:
    """The tokens of parts that follow each other, of more than MOST_TOKENS the end, and the bounds of their records."""
    room, pieces, bounds = MOST_TOKENS, list[Array](), list[Array]()
    for part in reversed(parts):
        if room <= 0:
            break
        tokens, offsets = read_end(part, room)
        pieces.insert(0, tokens)
        if offsets is not None:
            bounds.insert(0, np.diff(offsets))
        room -= len(tokens)
    offsets = np.cumsum([0, *np.concatenate(bounds).tolist()]) if bounds else None
    return np.concatenate(pieces), offsets
