"""What is done to every number of many arrays by itself: natively where they allow it, otherwise by PyTorch.

PyTorch's lists of tensors take 0.2 to 0.6 ms a call here, of which the numbers of a small network are a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from sonho.native import library


def runs_natively(*tensors: Tensor) -> bool:
    """Whether the kernels can work on these."""
    return library.engine_name() == "native" and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous() and tensor.numel() > 0
        for tensor in tensors
    )


class Prepared:
    """Structures for the kernels, kept for as long as the tensors that they point to stay the same ones."""

    def __init__(self) -> None:
        self._tensors: tuple[Tensor, ...] = ()
        self.structures: Sequence[Any] = ()

    def suit(self, tensors: tuple[Tensor, ...]) -> bool:
        """Whether `structures` are those of these very tensors. Where they are not, make them and `keep` them."""
        return len(tensors) == len(self._tensors) and all(map(is_, tensors, self._tensors))

    def keep(self, tensors: tuple[Tensor, ...], structures: Sequence[Any]) -> None:
        self._tensors, self.structures = tensors, structures


class Arrays:
    """Some tensors and, one for each, those that they move towards."""

    def __init__(self) -> None:
        self._prepared = Prepared()

    def of(self, values: Sequence[Tensor], towards: Sequence[Tensor]) -> Sequence[library.Array]:
        """For the kernels; empty where these cannot work on the tensors."""
        tensors = (*values, *towards)
        if library.engine_name() != "native":
            return ()
        if not self._prepared.suit(tensors):
            pairs = zip(values, towards, strict=True) if runs_natively(*tensors) else ()
            arrays = [library.Array(value.numel(), value.data_ptr(), other.data_ptr()) for value, other in pairs]
            self._prepared.keep(tensors, library.array_of(arrays))
        return self._prepared.structures


class Clipping:
    """Holds the norm of all gradients of a module together within a limit."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters = list(module.parameters())
        self._arrays = Arrays()

    @torch.no_grad()
    def clip(self, limit: float) -> float:
        """Scale the gradients down to a norm of `limit` where they are above it (0: never); the norm that they had."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if arrays := self._arrays.of(gradients, gradients):
            norm = math.sqrt(library.sum_of_squares(arrays))
            if limit and norm > limit:
                library.scale(arrays, limit / (norm + 1e-6), torch.get_num_threads())
            return norm
        norm = torch.nn.utils.get_total_norm(gradients).item()
        if limit and norm > limit:
            torch._foreach_mul_(gradients, limit / (norm + 1e-6))
        return norm


class Following:
    """Values that follow others, a share of the way at a time."""

    def __init__(self, values: Iterable[Tensor], towards: Iterable[Tensor]) -> None:
        self._values, self._towards = list(values), [tensor.detach() for tensor in towards]
        self._arrays = Arrays()

    @torch.no_grad()
    def approach(self, share: float) -> None:
        arrays = self._arrays.of(self._values, self._towards)
        if arrays:
            library.approach(arrays, share, torch.get_num_threads())
        else:
            torch._foreach_lerp_(self._values, self._towards, share)
