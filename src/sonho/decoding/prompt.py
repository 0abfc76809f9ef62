"""From a prompt to the ids that the model is fed before it draws."""

from __future__ import annotations

import warnings

import numpy as np

from sonho.config import DataKind, UnknownPolicy
from sonho.decoding.state import Array
from sonho.errors import UsageError
from sonho.text import Tokenizer

MOST_NAMED = 10


class SonhoWarning(UserWarning):
    """Something that a person should know and that does not stop the work."""


def encode_prompt(tokenizer: Tokenizer, prompt: str, unknown: UnknownPolicy, *, stacklevel: int) -> Array:
    """The prompt's ids (T,), after one warning that names the symbols the model does not know.

    `stacklevel` counts the calls up to the person's own line. Raises UsageError for what is no
    string, DataError for the policy "error" and an unknown symbol.
    """
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt must be a string, got {type(prompt).__name__}")
    ids = tokenizer.encode(prompt, unknown)
    if missing := tokenizer.unknown_in(prompt):
        named = ", ".join(map(repr, missing[:MOST_NAMED]))
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        message = f"the model does not know {named}{more} of the prompt; {_what_is_read(tokenizer, unknown)}"
        warnings.warn(message, SonhoWarning, stacklevel=stacklevel + 1)
    return ids.astype(np.int64)


def ids_to_feed(tokenizer: Tokenizer, data_kind: DataKind, prompt_ids: Array) -> Array:
    """What goes into the zero state before the first draw (T,), at least one id.

    Records begin after an <eos>, as in training. A stream has no beginning: without a prompt it is
    fed a line end, else a space, else the commonest symbol; none of them is shown.
    """
    if data_kind == "records":
        return np.concatenate([[tokenizer.eos_id], prompt_ids]).astype(np.int64)
    if len(prompt_ids):
        return prompt_ids
    for opening in ("\n", " "):
        if not tokenizer.unknown_in(opening):
            ids = tokenizer.encode(opening)
            if len(ids):
                return ids.astype(np.int64)
    return np.array([1])


def _what_is_read(tokenizer: Tokenizer, unknown: UnknownPolicy) -> str:
    rest = "skipped" if tokenizer.unk_id is None else "read as <unk>"
    if unknown == "nearest":
        return f"the nearest known symbols are read instead; what has none is {rest}"
    return f"what it does not know is {rest}"
