"""AdamW, and what it shares with Muon: groups of parameters and what is remembered of each.

torch.optim imports torch's compiler when an optimiser is made, which takes as long as torch itself: two seconds of
somebody's twenty. The names and the layout of the state are those of torch.optim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class Optimizer(ABC):
    """Parameter groups, each with its settings, and a memory for every parameter."""

    def __init__(self, groups: Iterable[Mapping[str, Any]], **defaults: Any) -> None:
        self.param_groups: list[dict[str, Any]] = [
            {**defaults, **group, "params": list(group["params"])} for group in groups
        ]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @abstractmethod
    def step(self) -> None:
        """Move every parameter that has a gradient."""

    def state_dict(self) -> dict[str, Any]:
        """What is remembered, by the number of the parameter."""
        numbered = enumerate(self._parameters())
        return {"state": {number: self.state[p] for number, p in numbered if p in self.state}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        parameters = self._parameters()
        self.state = {
            parameters[number]: {name: value.clone() for name, value in values.items()}
            for number, values in state_dict["state"].items()
        }

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), by PyTorch's fused kernel."""

    def __init__(self, groups: Iterable[Mapping[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=1e-8, weight_decay=0.0)

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            states = [self._remembered(parameter) for parameter in parameters]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _remembered(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]
