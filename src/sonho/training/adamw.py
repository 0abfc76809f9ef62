"""AdamW, and what it shares with Muon: groups of parameters and what is remembered of each.

torch.optim imports torch's compiler when an optimiser is made, which takes as long as torch itself: two seconds of
somebody's twenty. The names and the layout of the state are those of torch.optim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sonho.native import library
from sonho.training.elementwise import Prepared, runs_natively

# A parameter with the settings of its group and what is remembered of it.
Owner = tuple[Mapping[str, Any], Tensor, dict[str, Tensor]]


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
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, groups: Iterable[Mapping[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=1e-8, weight_decay=0.0)
        # Not a tensor in the state, as torch.optim has it: adding 1 to a few of those takes as long as the step itself.
        self._steps: dict[Tensor, int] = {}
        self._prepared = Prepared()

    def state_dict(self) -> dict[str, Any]:
        numbered = enumerate(self._parameters())
        steps = {number: torch.tensor(float(self._steps[p])) for number, p in numbered if p in self._steps}
        states = super().state_dict()["state"]
        return {"state": {number: {"step": steps[number], **state} for number, state in states.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._steps = {parameter: int(state.pop("step")) for parameter, state in self.state.items()}

    @torch.no_grad()
    def step(self) -> None:
        owners = [
            (group, parameter, self._remembered(parameter))
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        for _, parameter, _ in owners:
            self._steps[parameter] = self._steps.get(parameter, 0) + 1
        if library.engine_name() == "native" and (steps := self._structures(owners)):
            for structure, (group, parameter, _) in zip(steps, owners, strict=True):
                _set_rates(structure, group, self._steps[parameter])
            library.adamw(steps, torch.get_num_threads())
        else:
            for group in self.param_groups:
                self._step_by_torch(group, [p for p in group["params"] if p.grad is not None])

    def _structures(self, owners: Sequence[Owner]) -> Sequence[library.AdamW]:
        """For the kernels; none where these cannot work on the tensors."""
        tensors: tuple[Tensor, ...] = ()
        for _, parameter, state in owners:
            assert parameter.grad is not None
            tensors += (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
        if not self._prepared.suit(tensors):
            native = runs_natively(*tensors)
            self._prepared.keep(tensors, library.array_of([_structure(*owner) for owner in owners] if native else []))
        return self._prepared.structures

    def _step_by_torch(self, group: Mapping[str, Any], parameters: list[Tensor]) -> None:
        """The twin of the native step."""
        if not parameters:
            return
        states = [self.state[parameter] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._fused_adamw_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [torch.tensor(self._steps[parameter], dtype=torch.float32) for parameter in parameters],
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
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]


def _structure(group: Mapping[str, Any], parameter: Tensor, state: Mapping[str, Tensor]) -> library.AdamW:
    assert parameter.grad is not None
    return library.AdamW(
        n=parameter.numel(),
        parameter=parameter.data_ptr(),
        mean=state["exp_avg"].data_ptr(),
        square=state["exp_avg_sq"].data_ptr(),
        gradient=parameter.grad.data_ptr(),
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        epsilon=group["eps"],
    )


def _set_rates(structure: library.AdamW, group: Mapping[str, Any], steps: int) -> None:
    """What changes from step to step; `steps` counts this one."""
    beta1, beta2 = group["betas"]
    structure.rate, structure.weight_decay = group["lr"], group["weight_decay"]
    structure.correction1, structure.correction2 = 1.0 - beta1**steps, 1.0 - beta2**steps
