"""What the products of the kernels are made of while a network learns.

In bfloat16 a processor that has the instructions multiplies twice as many numbers at once. Each number that goes into a
product is rounded to 8 significant bits; sums, states, gates, gradients as they come out, and the weights themselves
stay float32 (docs/decisions/0014-products-of-bfloat16.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sonho.errors import UsageError
from sonho.native import library

_precision = ContextVar("precision", default=library.PRECISIONS["float32"])


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within, the kernels multiply numbers of this precision, "float32" or "bfloat16". Elsewhere it is float32."""
    token = _precision.set(library.PRECISIONS[precision])
    try:
        yield
    finally:
        _precision.reset(token)


def precision_in_force() -> int:
    """As the kernels call it: `Precision` of native/kernels.h."""
    return _precision.get()


def resolve_precision(wanted: str) -> str:
    """ "float32" or "bfloat16"; what "auto" means on this machine. Raises UsageError where there is no bfloat16."""
    possible = library.engine_name() == "native" and library.has_bfloat16()
    if wanted == "bfloat16" and not possible:
        raise UsageError(
            "training.precision=bfloat16 needs the native kernels and a processor with AVX512-BF16;"
            " set it to auto or float32"
        )
    if wanted == "auto":
        return "bfloat16" if possible else "float32"
    return wanted
