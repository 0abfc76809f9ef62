"""How well a model predicts held-out tokens: the blocks of protocol.py, scored in NumPy.

Shapes: N rows, T time, V vocabulary, M scored predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sonho.config import DataKind, Weights
from sonho.decoding.state import State
from sonho.decoding.stepper import Stepper, build_stepper
from sonho.evaluation.metrics import Report, Tally
from sonho.evaluation.ngram_model import NgramModel
from sonho.evaluation.protocol import Block, chosen_records, record_offsets, scoring_blocks, stream_spans
from sonho.text import Tokenizer, masked_ids

if TYPE_CHECKING:
    from sonho.data.parts import Part
    from sonho.storage.model_file import ModelFile

CACHED_LOGITS = 2**17  # worked on at a time: half a megabyte
NGRAM_CHUNK = 2**19  # tokens scored at a time, so that memory stays bounded
NGRAM_RECORDS = 4096


def evaluate(
    model_file: ModelFile,
    part: Part,
    *,
    stride: int = 1,
    limit: int = 0,
    weights: Weights = "float32",
    prior: bool = True,
    progress: Callable[[int], None] | None = None,
    conditions: np.ndarray | None = None,
) -> Report:
    """Score `part`, made with the model's own tokenizer, and report.

    `limit` > 0 scores about so many tokens, spread evenly; `stride` is the distance between the windows of
    a model that was trained on windows; `prior=False` leaves out the n-gram prior of a model that has one;
    `progress` is told the number of tokens scored so far. `conditions` (C, F):
    what a conditioned model is told of a record, by its label; without them it is told the mean.
    Raises DataError where there is nothing to predict.
    """
    tokenizer, kind = model_file.tokenizer, model_file.data_kind
    if model_file.model.cell == "ngram":
        return evaluate_ngram(ngram_of(model_file), part, tokenizer, kind, limit=limit, progress=progress)
    return evaluate_stepper(
        build_stepper(model_file, weights=weights, prior=prior),
        part,
        tokenizer,
        kind,
        window=model_file.window,
        stride=stride,
        limit=limit,
        progress=progress,
        conditions=conditions,
    )


def evaluate_stepper(
    stepper: Stepper,
    part: Part,
    tokenizer: Tokenizer,
    data_kind: DataKind,
    *,
    window: int = 0,
    stride: int = 1,
    limit: int = 0,
    progress: Callable[[int], None] | None = None,
    conditions: np.ndarray | None = None,
) -> Report:
    """As `evaluate`, for any stepper."""
    tally = Tally(tokenizer)
    state: State = ()
    for block in scoring_blocks(part, data_kind, window, stride, tokenizer.eos_id, limit=limit):
        if block.fresh:
            told = None if conditions is None or block.labels is None else conditions[block.labels]  # (N, F)
            state = stepper.initial_state(len(block.inputs), told)
        logits, targets, state = _scored(stepper, block, state)  # (M, V), (M,)
        nats = target_nats(logits, targets)
        tally.add(float(nats.sum()), int((logits.argmax(axis=-1) == targets).sum()), targets)
        if progress:
            progress(tally.num_tokens)
    return tally.report(left_out=part.unknown)


def evaluate_ngram(
    model: NgramModel,
    part: Part,
    tokenizer: Tokenizer,
    data_kind: DataKind,
    *,
    limit: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """As `evaluate`, for an n-gram model: the same predictions, without a step at a time."""
    tally = Tally(tokenizer)
    pieces = _ngram_records(part, limit) if data_kind == "records" else _ngram_spans(part, model.order, limit)
    for tokens, offsets, num_targets in pieces:
        log_probs, likeliest = model.score(tokens, offsets)
        targets = tokens[len(tokens) - num_targets :].astype(np.int64)
        correct = int((likeliest[len(likeliest) - num_targets :] == targets).sum())
        tally.add(-float(log_probs[len(log_probs) - num_targets :].sum()), correct, targets)
        if progress:
            progress(tally.num_tokens)
    return tally.report(left_out=part.unknown)


def _scored(stepper: Stepper, block: Block, state: State) -> tuple[np.ndarray, np.ndarray, State]:
    """Logits (M, V) and targets (M,) of the scored positions of a block, and the state after it."""
    inputs, targets = block.inputs, block.targets
    if block.last_only:
        state = stepper.advance(inputs[:, :-1], state)
        inputs, targets = inputs[:, -1:], targets[:, -1:]
    logits, state = stepper.forward(inputs, state)  # (N, T, V)
    scored = targets >= 0
    return logits[scored], targets[scored], state


def ngram_of(model_file: ModelFile) -> NgramModel:
    """The n-gram model in a model file. Raises ModelFileError."""
    masked = masked_ids(model_file.tokenizer, model_file.data_kind)
    vocab_size = model_file.tokenizer.vocab_size
    return NgramModel.from_arrays(model_file.arrays, model_file.model.order, vocab_size, masked)


def target_nats(logits: np.ndarray, targets: np.ndarray) -> NDArray[np.float64]:
    """The surprise (M,) in nats of targets (M,) under logits (M, V), summed up in float64."""
    nats = np.empty(len(logits), np.float64)
    rows = max(1, CACHED_LOGITS // logits.shape[-1])
    for at in range(0, len(logits), rows):
        some = logits[at : at + rows]
        highest = some.max(axis=-1, keepdims=True)
        total = np.exp(some - highest).sum(axis=-1, dtype=np.float64)
        chosen = np.take_along_axis(some, targets[at : at + rows, None], axis=-1) - highest
        nats[at : at + rows] = np.log(total) - chosen[:, 0]
    return nats


def log_softmax(logits: np.ndarray) -> NDArray[np.float64]:
    """Log-probabilities (..., V) in float64 of logits (..., V), which may be -inf.

    >>> np.exp(log_softmax(np.array([0.0, 0.0, -np.inf])))
    array([0.5, 0.5, 0. ])
    """
    shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), dtype=np.float64)
    log_probs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


def _ngram_spans(part: Part, order: int, limit: int) -> Iterator[tuple[np.ndarray, None, int]]:
    """Pieces of a stream, each with the context of its first target, and the number of its targets."""
    for first, last in stream_spans(len(part.tokens), limit):
        for start in range(first, last, NGRAM_CHUNK):
            stop = min(start + NGRAM_CHUNK, last)
            yield part.tokens.read(max(start - max(order - 1, 1), 0), stop), None, stop - start


def _ngram_records(part: Part, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    bounds_of = record_offsets(part)
    chosen = chosen_records(bounds_of, limit)
    for first in range(0, len(chosen), NGRAM_RECORDS):
        bounds = [(int(bounds_of[i]), int(bounds_of[i + 1])) for i in chosen[first : first + NGRAM_RECORDS]]
        tokens = np.concatenate([part.tokens.read(start, stop) for start, stop in bounds])
        offsets = np.cumsum([0, *(stop - start for start, stop in bounds)])
        yield tokens, offsets, len(tokens)
