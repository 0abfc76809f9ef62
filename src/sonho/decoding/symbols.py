"""Symbols that a caller names, as strings or ids, turned into what the sampler needs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sonho.config import DataKind
from sonho.decoding.settings import Settings, Symbol
from sonho.decoding.state import Array
from sonho.errors import UsageError
from sonho.text import Tokenizer, masked_ids


def logit_biases(settings: Settings, tokenizer: Tokenizer, data_kind: DataKind) -> Array | None:
    """What is added to the logits: (V,) float64, or None where nothing is. Raises UsageError."""
    bias = np.zeros(tokenizer.vocab_size)
    if tokenizer.unk_id is not None and not settings.allow_unknown:
        bias[tokenizer.unk_id] = -np.inf
    for symbol, value in settings.logit_bias.items():
        if not isinstance(value, int | float) or math.isnan(value) or value == math.inf:
            raise UsageError(f"logit_bias of {symbol!r} must be a number or -inf, got {value!r}")
        bias[symbol_id(symbol, tokenizer, "logit_bias")] += value
    if settings.allowed is not None:
        ids = [symbol_id(symbol, tokenizer, "allowed") for symbol in settings.allowed]
        bias[_all_but([*ids, tokenizer.eos_id], tokenizer.vocab_size)] = -np.inf
    for symbol in settings.banned:
        if not is_unknown(symbol, tokenizer):  # what the model lacks cannot be drawn anyway
            bias[symbol_id(symbol, tokenizer, "banned")] = -np.inf
    if np.isneginf(bias[_all_but(masked_ids(tokenizer, data_kind), tokenizer.vocab_size)]).all():
        raise UsageError("every symbol is ruled out; loosen banned, allowed or logit_bias")
    return bias if bias.any() else None


def forced_ids(settings: Settings, tokenizer: Tokenizer, data_kind: DataKind) -> dict[int, int]:
    """Position of a draw -> the id it must have. Raises UsageError."""
    forced = {}
    for position, symbol in settings.forced.items():
        if isinstance(position, bool) or not isinstance(position, int) or position < 0:
            raise UsageError(f"forced maps positions from 0 to symbols, got the position {position!r}")
        forced[position] = symbol_id(symbol, tokenizer, "forced")
        if forced[position] in masked_ids(tokenizer, data_kind):
            raise UsageError(f"forced symbol {symbol!r} can never be drawn from this model")
    return forced


def symbol_id(symbol: Symbol, tokenizer: Tokenizer, option: str) -> int:
    """The id of one symbol: an id, `<pad>`, `<unk>`, `<eos>`, or a string of one token. Raises UsageError."""
    if isinstance(symbol, str):
        special = {"<pad>": tokenizer.pad_id, "<unk>": tokenizer.unk_id, "<eos>": tokenizer.eos_id}.get(symbol)
        if special is not None:
            return special
        if is_unknown(symbol, tokenizer):
            raise UsageError(f"{option} names {symbol!r}, which the model does not know")
        ids = tokenizer.encode(symbol).tolist()
        if len(ids) != 1:
            raise UsageError(f"{option} takes single symbols; {symbol!r} is {len(ids)} tokens of this model")
        return int(ids[0])
    if isinstance(symbol, bool) or not isinstance(symbol, int) or not 0 <= symbol < tokenizer.vocab_size:
        raise UsageError(f"{option} takes strings or ids from 0 to {tokenizer.vocab_size - 1}, got {symbol!r}")
    return symbol


def is_unknown(symbol: Symbol, tokenizer: Tokenizer) -> bool:
    """Whether a string holds something that the model has no token for.

    Special names such as `<eos>` are known, whatever their letters are.
    """
    specials = ("<pad>", "<eos>") + (("<unk>",) if tokenizer.unk_id is not None else ())
    return isinstance(symbol, str) and symbol not in specials and bool(tokenizer.unknown_in(symbol))


def _all_but(ids: Iterable[int], vocab_size: int) -> Array:
    kept = np.ones(vocab_size, dtype=bool)  # np.setdiff1d would load numpy.ma, and the first letter would wait for it
    kept[list(ids)] = False
    return np.flatnonzero(kept)
