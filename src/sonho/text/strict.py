"""Checks for what is read from a stored tokenizer, which may be damaged or hostile.

Knows plain JSON values, not what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sonho.errors import DataError


def require_keys(values: Any, keys: Collection[str], what: str) -> Mapping[str, Any]:
    """Return `values` if it is a table with exactly these keys, else raise DataError."""
    if not isinstance(values, Mapping):
        raise DataError(f"{what} must be a table, got {type(values).__name__}; the file is damaged")
    missing = [key for key in keys if key not in values]
    surplus = [key for key in values if key not in keys]
    if missing or surplus:
        problem = f"lacks {missing[0]!r}" if missing else f"has the unknown key {str(surplus[0])[:40]!r}"
        raise DataError(f"{what} {problem}; the file is damaged or made by another version of sonho")
    return values


def require_choice(value: Any, choices: Collection[str], what: str) -> str:
    """Return `value` if it is one of the choices, else raise DataError."""
    if not isinstance(value, str) or value not in choices:
        raise DataError(f"{what} is {repr(value)[:60]}, expected one of {', '.join(choices)}")
    return value


def require_bool(value: Any, what: str) -> bool:
    """Return `value` if it is true or false, else raise DataError."""
    if not isinstance(value, bool):
        raise DataError(f"{what} is {repr(value)[:60]}, expected true or false")
    return value


def require_list(value: Any, longest: int, what: str) -> list[Any]:
    """Return `value` if it is a list of at most `longest` items, else raise DataError."""
    if not isinstance(value, list):
        raise DataError(f"{what} must be a list, got {type(value).__name__}; the file is damaged")
    if len(value) > longest:
        raise DataError(f"{what} has {len(value)} items, at most {longest} can be real; the file is damaged")
    return value
