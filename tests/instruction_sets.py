"""The instruction set that the tests were begun with."""

import os

from sonho.native import library


def isa_at_start() -> str:
    return os.environ.get("SONHO_ISA") or library.isas()[0]
