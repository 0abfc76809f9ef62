"""Optimisers: Muon for the layers' matrices with AdamW for the rest, or one for everything.

Shapes: G gates, H hidden, D input, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sonho.config import TrainingConfig
from sonho.native import library
from sonho.nn.causal_conv import CausalConv
from sonho.nn.picture_encoder import ConvNorm
from sonho.nn.precision import precision_in_force
from sonho.nn.recurrent import Recurrent
from sonho.training.adamw import AdamW, Optimizer
from sonho.training.elementwise import runs_natively

AnyOptimizer = Optimizer | torch.optim.Optimizer
DEFAULT_RATES = {"muon": 0.02, "adamw": 0.004, "rmsprop": 0.002, "sgd": 1.0}
# A one-hot input's table learns this many times faster than the rest: a row moves only when its symbol comes.
ONE_HOT_RATE = 5.0
# Coefficients of the Newton-Schulz steps: each the best polynomial for where the one before left the singular values
# (Amsel et al. 2025), so that those above 0.01 end between 0.73 and 1.27. benchmarks/experiments/newton_schulz.py finds
# them, native/muon_kernels.cpp has the same.
NEWTON_SCHULZ = ((8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526))

# What they are for ends at 1, past which they grow fast: so much room is left for rounding.
NORM = 1.01


class Muon(Optimizer):
    """Momentum, orthogonalised in float32 (Jordan et al. 2024; scale of Liu et al. 2025).

    A parameter is one matrix (R, C): all gates of a layer stand on one another, (G*H, D). Each of its rows, the weights
    of one gate of one unit, then takes a step of the same length (as of Li et al. 2025, without their memory of it):
    otherwise gates with small gradients learn too slowly. That is as good as gate by gate, for less than half of the
    arithmetic (docs/log.md, 43). The update has the root mean square of an AdamW update, so that one learning rate
    serves both.
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        native_steps = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter not in self.state:
                    self.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
                buffer = self.state[parameter]["momentum_buffer"]
                if runs_natively(parameter, parameter.grad, buffer):
                    native_steps.append(_native_step(group, parameter, buffer))
                else:
                    muon_step(group, parameter, buffer)
        if native_steps:
            library.muon(native_steps, torch.get_num_threads(), precision_in_force())


def muon_step(group: dict[str, Any], parameter: Tensor, buffer: Tensor) -> None:
    """One parameter's step: the readable twin of the native one."""
    assert parameter.grad is not None
    buffer.lerp_(parameter.grad, 1 - group["momentum"])
    ahead = parameter.grad.lerp(buffer, group["momentum"])  # Nesterov
    update = direction(ahead.flatten(1))
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(update.reshape(parameter.shape), alpha=-group["lr"])


def _native_step(group: dict[str, Any], parameter: Tensor, buffer: Tensor) -> library.Muon:
    assert parameter.grad is not None
    return library.Muon(
        rows=parameter.shape[0],
        columns=parameter.numel() // parameter.shape[0],
        parameter=parameter.data_ptr(),
        buffer=buffer.data_ptr(),
        gradient=parameter.grad.data_ptr(),
        rate=group["lr"],
        momentum=group["momentum"],
        weight_decay=group["weight_decay"],
    )


def direction(matrix: Tensor) -> Tensor:
    """Where a matrix (R, C) moves at a rate of 1: orthogonalised, and of a tall one each row equally far."""
    update = orthogonalize(matrix)
    if matrix.shape[0] > matrix.shape[1]:  # the rows of others are about one long already
        update = update / (torch.linalg.vector_norm(update, dim=1, keepdim=True) + 1e-12)
    return update * (0.2 * math.sqrt(matrix.shape[1]))


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring every singular value of a matrix (R, C) near 1, by Newton-Schulz iteration.

    A matrix of zeros stays zero.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (NORM * torch.linalg.matrix_norm(x) + 1e-12)
    for a, b, c in NEWTON_SCHULZ:
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[AnyOptimizer]:
    """One or two optimisers that together own every parameter once, each at its peak rate."""
    rate = config.learning_rate or DEFAULT_RATES[config.optimizer]
    if config.optimizer == "rmsprop":
        return [torch.optim.RMSprop(model.parameters(), lr=rate, alpha=0.9, eps=1e-7)]
    if config.optimizer == "sgd":
        return [torch.optim.SGD(model.parameters(), lr=rate, momentum=config.momentum, nesterov=True)]
    matrices = _muon_matrices(model) if config.optimizer == "muon" else []
    table = _one_hot_table(model) + _condition_maps(model)
    taken = {id(p) for p in (*matrices, *table)}
    rest = [p for p in model.parameters() if id(p) not in taken and p.requires_grad]
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
        {"params": table, "weight_decay": 0.0, "lr": ONE_HOT_RATE * rate},
    ]
    optimizers: list[AnyOptimizer] = [AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.99))]
    if matrices:
        optimizers.insert(0, Muon([{"params": matrices}], rate, config.momentum, config.weight_decay))
    return optimizers


def _one_hot_table(model: nn.Module) -> list[nn.Parameter]:
    """The first layers' input weights, where the input is one-hot."""
    firsts = [layer for layer, reads_one_hot in _layers(model) if reads_one_hot]
    return [first.weight if isinstance(first, CausalConv) else first.weight_ih for first in firsts]


def _layers(model: nn.Module) -> list[tuple[Any, bool]]:
    """The layers of both directions, then those of a decoder, each with whether its input is one-hot."""
    found = []
    for owner in filter(None, (model, getattr(model, "decoder", None))):
        one_hot = getattr(owner, "embedding", None) is None
        stacks = [getattr(owner, name, []) for name in ("layers", "reverse")]
        found += [(layer, one_hot and index == 0) for stack in stacks for index, layer in enumerate(stack)]
    return found


def _condition_maps(model: nn.Module) -> list[nn.Parameter]:
    """The maps of a condition, of which each label has a column of its own, as a symbol has of a table."""
    if not getattr(model, "condition_size", 0):
        return []
    ending = ("weight_condition", "first.weight")
    return [parameter for name, parameter in model.named_parameters() if name.endswith(ending)]


def _muon_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices inside the layers and around an attention. One-hot input weights are a table of symbols: AdamW's."""
    matrices: list[nn.Parameter] = []
    for layer, reads_one_hot in _layers(model):
        if isinstance(layer, Recurrent):
            matrices += [layer.weight_hh] if reads_one_hot else [layer.weight_ih, layer.weight_hh]
        elif isinstance(layer, CausalConv) and not reads_one_hot:
            matrices.append(layer.weight)
    decoder: Any = getattr(model, "decoder", None)
    if decoder is not None:
        matrices += _around_attention(decoder)
    return matrices + [layer.weight for layer in model.modules() if isinstance(layer, ConvNorm)]


def _around_attention(decoder: Any) -> list[nn.Parameter]:
    """The matrices of a decoder outside its layers: first states, what is fed, attention, readout."""
    matrices: list[nn.Parameter] = []
    for layer in decoder.layers:
        matrices.append(layer.first.weight)
        if layer.weight_condition is not None:
            matrices.append(layer.weight_condition)
    if decoder.attention is not None:
        matrices += [parameter for parameter in decoder.attention.parameters() if parameter.dim() > 1]
    return [*matrices, decoder.combine.weight]


def optimizer_arrays(optimizers: list[AnyOptimizer]) -> dict[str, Tensor]:
    """Everything that the optimisers remember, as named tensors."""
    named = {}
    for index, optimizer in enumerate(optimizers):
        for number, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    named[f"{index}.{number}.{key}"] = value
    return named


def load_optimizer_arrays(optimizers: list[AnyOptimizer], named: dict[str, Tensor]) -> None:
    """Give the optimisers their memory back."""
    for index, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in named.items():
            owner, number, key = name.split(".", 2)
            if int(owner) == index:
                state.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
