"""The output layer and its loss in one: the mean cross-entropy of a softmax, nats per target.

Shapes: R rows, H hidden, V vocabulary. Knows vectors and ids, not text or time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sonho.native import library

IGNORED = -100  # a target that does not count


def cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of predicting `targets` (R,), ids or -100, from `hidden` (R, H); `weight` (V, H), `bias` (V,).

    A bias of -inf takes its id out of the softmax. The native kernel has the gradients before anybody
    asks for them, so it is used where somebody will; elsewhere, and as its readable twin, PyTorch.
    """
    tensors = (hidden, weight, bias)
    if (
        torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in tensors)
        and all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
        and library.engine_name() == "native"
    ):
        loss: Tensor = _cross_entropy(hidden, weight, bias, targets)[0]
        return loss
    return F.cross_entropy(F.linear(hidden, weight, bias), targets, ignore_index=IGNORED)


@torch.library.custom_op("sonho::cross_entropy", mutates_args=(), device_types="cpu")
def _cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients for hidden, weight and bias."""
    hidden, weight, bias = hidden.contiguous(), weight.contiguous(), bias.contiguous()
    targets = targets.to(torch.int64).contiguous()
    loss, *gradients = _cross_entropy_like(hidden, weight, bias, targets)
    mean = torch.empty((), dtype=torch.float64)
    library.cross_entropy(
        library.Loss(
            threads=torch.get_num_threads(),
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
    loss.copy_(mean)
    return loss, gradients[0], gradients[1], gradients[2]


@_cross_entropy.register_fake
def _cross_entropy_like(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        hidden.new_empty(()),
        hidden.new_empty(hidden.shape),
        weight.new_empty(weight.shape),
        bias.new_empty(bias.shape),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_loss: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if d_loss is None:
        return None, None, None, None
    # The loss itself is what one usually differentiates, and 1 times a gradient need not be worked out.
    whole = d_loss.item() == 1.0
    return *(gradient if whole else gradient * d_loss for gradient in ctx.saved_tensors), None


_cross_entropy.register_autograd(_differentiate, setup_context=_remember)
