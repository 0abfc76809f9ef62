"""What libsonho makes and gives back by its address."""

from __future__ import annotations


def created(handle: int | None) -> int:
    """The address of a new object. Raises MemoryError where there is none."""
    if handle is None:
        raise MemoryError("not enough memory for the model")
    return handle
