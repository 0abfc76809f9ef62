"""What a model expects, how surprised it is, and what its units do: numbers for the inspect routes.

Each is work for the engine, in slices. Shapes: T tokens, V vocabulary, U units.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from sonho.decoding.processors import softmax
from sonho.decoding.sampler import Sampler, Source
from sonho.decoding.state import Array
from sonho.errors import UsageError
from sonho.evaluation.score import Scorer, TokenScore
from sonho.serving.completion import begin, feed_slowly
from sonho.serving.pace import Pace
from sonho.serving.replies import dumps
from sonho.serving.sampling import make_settings
from sonho.serving.schemas import NextRequest, ScoreRequest, UnitsRequest
from sonho.serving.served_model import ServedModel

TOKENS_A_SLICE = 64

Slices = Generator[None, None, dict[str, Any]]


def next_symbols(model: ServedModel, request: NextRequest, pace: Pace) -> Slices:
    """The symbols that may come next, before and after the options reshape them."""
    settings, bias = make_settings(request, model)
    ids = model.tokenizer.encode(request.prompt).astype(np.int64)
    logits, _ = yield from feed_slowly(
        model, begin(model, ids), model.stepper.initial_state(1, model.told(request)), pace
    )
    before = softmax(logits)[0]  # (V,)
    sampler = Sampler(settings, [Source(0, 0, ids.tolist())], bias=bias, forced={})
    weights = sampler.weights(logits, 0)[0]
    after = weights / weights.sum()
    order = np.argsort(-before, kind="stable")[: request.limit].tolist()
    return {
        "symbols": [
            {"id": id, "text": model.token_strings[id], "before": float(before[id]), "after": float(after[id])}
            for id in order
        ],
        "entropy_before": entropy(before),
        "entropy_after": entropy(after),
        "kept": int((after > 0).sum()),
    }


def scored_text(model: ServedModel, request: ScoreRequest, pace: Pace) -> Generator[None, None, bytes]:
    """The surprise of every token, as `Scorer` finds it; as JSON, which may be a dozen megabytes."""
    scorer = Scorer(model.file, stepper=model.stepper)
    scores: list[TokenScore] = []
    written: list[bytes] = []
    for score in scorer.tokens(request.text, alternatives=request.alternatives):
        scores.append(score)
        written.append(dumps(_shown_score(model, score)))  # here, as no piece of work may hold up the event loop
        if len(scores) % TOKENS_A_SLICE == 0:
            yield
    counts = model.tokenizer.char_counts()
    predicted = [score for score in scores if score.bits is not None]
    num_chars = int(sum(counts[score.token_id] for score in predicted))
    bits = sum(score.bits or 0.0 for score in predicted)
    rest = {
        "bits_per_char": _finite(bits / num_chars) if num_chars else None,
        "num_chars": num_chars,
        "unknown": model.tokenizer.unknown_in(request.text),
    }
    return b'{"tokens":[%b],%b' % (b",".join(written), dumps(rest)[1:])


def unit_values(
    model: ServedModel, request: UnitsRequest, ids: Array, spans: Sequence[tuple[int, int]] | None, pace: Pace
) -> Slices:
    """What the units of a layer give out after each token; `spans` are the characters that a pattern marks."""
    layers = model.file.model.num_layers
    layer = layers - 1 if request.layer is None else request.layer
    if layer >= layers:
        raise UsageError(f"layer must be at most {layers - 1}, got {layer}; the first is 0")
    network = model.units_of(layer)
    fed = begin(model, ids)
    state, pieces = network.initial_state(1), []
    for at in range(0, len(fed), TOKENS_A_SLICE):
        hidden, state = network.hidden(fed[None, at : at + TOKENS_A_SLICE], state)
        pieces.append(hidden[0])
        yield
    values = np.concatenate(pieces)[len(fed) - len(ids) :].astype(np.float64)  # (T, U)
    variance = values.var(axis=0)
    correlation = None if spans is None else correlations(values, _marks(model, ids, spans))
    key = np.arange(len(variance)) if request.sort == "index" else -variance
    if request.sort == "correlation" and correlation is not None:  # without a pattern, by variance
        key = -np.abs(np.nan_to_num(correlation))
    chosen = np.argsort(key, kind="stable")[: request.limit].tolist()
    return {
        "layer": layer,
        "num_layers": layers,
        "tokens": [model.token_strings[id] for id in ids.tolist()],
        "units": [
            {
                "unit": unit,
                "variance": float(variance[unit]),
                "correlation": None if correlation is None else _finite(float(correlation[unit])),
                "values": values[:, unit].round(3).tolist(),
            }
            for unit in chosen
        ],
    }


def correlations(values: Array, marks: Array) -> Array:
    """Pearson's between each column of `values` (T, U) and `marks` (T,); NaN where one of them never changes.

    >>> correlations(np.array([[1.0, 5.0], [0.0, 5.0]]), np.array([1.0, 0.0])).tolist()
    [1.0, nan]
    """
    centred, marked = values - values.mean(axis=0), marks - marks.mean()
    scale = np.sqrt(np.square(centred).sum(axis=0) * np.square(marked).sum())
    products: Array = marked @ centred
    shares: Array = np.divide(products, scale, out=np.full(len(scale), np.nan), where=scale > 1e-12)
    return shares


def entropy(probabilities: Array) -> float:
    """In bits.

    >>> entropy(np.array([0.5, 0.5, 0.0]))
    1.0
    """
    some = probabilities[probabilities > 0]
    return float(-(some * np.log2(some)).sum()) + 0.0


def _marks(model: ServedModel, ids: Array, spans: Sequence[tuple[int, int]]) -> Array:
    """1 for each token (T,) of which a character lies in a span."""
    text = model.tokenizer.decode(ids)
    inside = np.zeros(len(text) + 1)
    for start, end in spans:
        inside[start:end] = 1
    marks, place, decoder = np.zeros(len(ids)), 0, model.tokenizer.decoder()
    for number, id in enumerate(ids.tolist()):
        start, place = place, place + len(decoder.push((id,)))
        marks[number] = inside[start : max(place, start + 1)].max()
    return marks


def _shown_score(model: ServedModel, score: TokenScore) -> dict[str, Any]:
    bits = None if score.bits is None else _finite(score.bits)
    return {
        "id": score.token_id,
        "text": model.token_strings[score.token_id],
        "bits": bits,
        "rank": score.rank,
        "probability": None if bits is None else 2.0**-bits,
        "entropy": score.entropy,
        "top": [
            {"id": other.token_id, "text": model.token_strings[other.token_id], "probability": other.probability}
            for other in score.alternatives
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
