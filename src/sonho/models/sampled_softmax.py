"""A softmax over a part of a large vocabulary: the words of a batch, and some others that stand for all the rest.

The sum over the rest is estimated from a uniform sample, each of whose words counts for as many as it stands for (after
Bengio and Senecal 2008; Jean et al. 2015 take the words of a batch together): the gradient differs by chance only, and
costs as much less as the vocabulary is larger than the part. Shapes: R rows, V vocabulary, S words of the part.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sonho.nn.losses import IGNORED


class Words(NamedTuple):
    """A part of the vocabulary, `ids` (S,). To its logits `bias` (S,) is added; `targets` (R,) are places in `ids`."""

    ids: Tensor
    bias: Tensor
    targets: Tensor


def draw_words(targets: Tensor, mask: Tensor, samples: int) -> Words:
    """The words of `targets` (R,), ids or -100, and `samples` others, or all where there are no more.

    `mask` (V,) is 0, or -inf for what is never predicted, of which none is drawn. Draws from torch's generator.
    """
    counted = targets != IGNORED
    own = torch.unique(targets[counted])
    is_other = torch.isfinite(mask)
    is_other[own] = False
    others = is_other.nonzero().flatten()
    drawn = others if len(others) <= samples else others[torch.randperm(len(others))[:samples]]
    ids = torch.cat([own, drawn])
    bias = mask[ids]
    if len(drawn):
        bias[len(own) :] += math.log(len(others) / len(drawn))
    places = torch.zeros(len(mask), dtype=torch.int64)
    places[ids] = torch.arange(len(ids))
    return Words(ids, bias, torch.where(counted, places[targets.clamp(min=0)], targets))
