"""One training step, the same for sonho's network and for torch's layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from workers import Work

WARM_UP_STEPS = 3


def training_work(
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    state: Any,
    detach: Callable[[Any], Any],
    shape: tuple[int, int],
    vocab_size: int,
) -> Work:
    """A whole optimiser step on a window of `shape` (N, T), with a carried state, loss and clipping."""
    inputs, targets = torch.randint(0, vocab_size, (2, *shape))

    def step() -> dict[str, float]:
        nonlocal state
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        logits, state = model(inputs, state)
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        state = detach(state)
        return {"count": inputs.numel()}

    for _ in range(WARM_UP_STEPS):
        step()
    return step


def adamw(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)]
