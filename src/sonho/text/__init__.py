"""Strings to ids and back: four kinds of tokenizer behind one interface.

Needs NumPy only; the subword level loads its library when it encodes.
"""

from sonho.text.fitting import fit_tokenizer, grow, tokenizer_from_json
from sonho.text.incremental import IncrementalDecoder
from sonho.text.steps import Steps
from sonho.text.tokenizer import Tokenizer, masked_ids

__all__ = [
    "IncrementalDecoder",
    "Steps",
    "Tokenizer",
    "fit_tokenizer",
    "grow",
    "masked_ids",
    "tokenizer_from_json",
]
