"""The output layer and its loss in one: the mean cross-entropy of a softmax, nats per target.

Shapes: R rows, H hidden, V vocabulary. Knows vectors and ids, not text or time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from sonho.native import library
from sonho.nn.precision import precision_in_force

IGNORED = -100  # a target that does not count


def cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Mean loss of predicting `targets` (R,), ids or -100, from `hidden` (R, H); `weight` (V, H), `bias` (V,).

    A bias of -inf takes its id out of the softmax. The native kernel has the gradients before anybody
    asks for them, so it is used where somebody will; elsewhere, and as its readable twin, PyTorch.

    `label_smoothing` spreads that share of each target evenly over all ids of the softmax (Szegedy et al. 2016).
    The loss is -log p(y) = log Z - z_y, and smoothing only puts (1 - share) z_y + share * mean(z) in the place of the
    logit z_y: a product with two vectors, beside the loss that is there already.
    """
    loss = _plain_cross_entropy(hidden, weight, bias, targets)
    if not label_smoothing:
        return loss
    counted = targets != IGNORED
    hidden, targets, allowed = hidden[counted], targets[counted], torch.isfinite(bias)
    own = (hidden * F.embedding(targets, weight)).sum(dim=-1) + bias[targets]  # (R,)
    evenly = allowed.to(weight.dtype) / allowed.sum()  # (V,)
    mean = hidden @ (evenly @ weight) + bias[allowed].mean()
    return loss + label_smoothing * (own - mean).mean()


def _plain_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    tensors = (hidden, weight, bias)
    if (
        torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in tensors)
        and all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
        and library.engine_name() == "native"
    ):
        loss: Tensor = _CrossEntropy.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(hidden, weight, bias), targets, ignore_index=IGNORED)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        hidden, weight, bias = hidden.contiguous(), weight.contiguous(), bias.contiguous()
        targets = targets.to(torch.int64).contiguous()
        gradients = [tensor.new_empty(tensor.shape) for tensor in (hidden, weight, bias)]
        mean = torch.empty((), dtype=torch.float64)
        library.cross_entropy(
            library.Loss(
                threads=torch.get_num_threads(),
                precision=precision_in_force(),
                R=hidden.shape[0],
                H=hidden.shape[1],
                V=weight.shape[0],
                hidden=hidden.data_ptr(),
                weight=weight.data_ptr(),
                bias=bias.data_ptr(),
                targets=targets.data_ptr(),
                loss=mean.data_ptr(),
                d_hidden=gradients[0].data_ptr(),
                d_weight=gradients[1].data_ptr(),
                d_bias=gradients[2].data_ptr(),
            )
        )
        ctx.save_for_backward(*gradients)
        return mean.to(torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        # The loss itself is what one usually differentiates, and 1 times a gradient need not be worked out.
        whole = d_loss.item() == 1.0
        return *(gradient if whole else gradient * d_loss for gradient in ctx.saved_tensors), None
