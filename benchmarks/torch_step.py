"""One training step, the same for sonho's network and for torch's layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers import Work

WARM_UP_STEPS = 3

# inputs and targets (N, T) and a state to the mean loss and the new state
Loss = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]


class Optimizer(Protocol):
    """torch's or sonho's."""

    def step(self) -> Any: ...


def training_work(
    model: nn.Module,
    loss_of: Loss,
    optimizers: Sequence[Optimizer],
    state: Any,
    detach: Callable[[Any], Any],
    shape: tuple[int, int],
    vocab_size: int,
) -> Work:
    """A whole optimiser step on a window of `shape` (N, T), with a carried state, loss and clipping."""
    inputs, targets = torch.randint(0, vocab_size, (2, *shape))

    def step() -> dict[str, float]:
        nonlocal state
        model.zero_grad(set_to_none=True)
        loss, state = loss_of(inputs, targets, state)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        state = detach(state)
        return {"count": inputs.numel()}

    for _ in range(WARM_UP_STEPS):
        step()
    return step


def cross_entropy(model: nn.Module) -> Loss:
    """The loss from logits, as everyone writes it."""

    def loss_of(inputs: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = model(inputs, state)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state

    return loss_of


def adamw(model: nn.Module) -> list[Optimizer]:
    return [torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)]
