"""An exponential moving average of the weights: steadier than the weights themselves, and what is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sonho.training.elementwise import Following


class Averaged:
    """Follows a module's parameters. `decay` 0 means no averaging: the average is the weights."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = list(module.parameters())
        self.decay = decay
        self.values: list[Tensor] = [p.detach().clone() for p in self.parameters]
        self._following = Following(self.values, self.parameters)

    def update(self, step: int) -> None:
        """Move towards the weights after optimiser step `step` (counted from 1)."""
        # Early weights are far off: the memory grows with the run until it reaches 1 / (1 - decay).
        decay = min(self.decay, step / (step + 10.0)) if self.decay else 0.0
        self._following.approach(1.0 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module has the averaged weights; outside its own again, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, value in zip(self.parameters, self.values, strict=True):
            own = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(own)
