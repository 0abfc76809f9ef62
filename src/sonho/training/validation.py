"""Scores a torch model on a held-out part, block by block, exactly as `sonho evaluate` does in NumPy."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from sonho.config import DataKind
from sonho.data.corpus import Part
from sonho.evaluation.metrics import Report, Tally
from sonho.evaluation.protocol import IGNORED, scoring_blocks
from sonho.models.language_model import LanguageModel
from sonho.text import Tokenizer


def validation_report(
    model: LanguageModel,
    part: Part,
    tokenizer: Tokenizer,
    data_kind: DataKind,
    window: int,
    stride: int,
    *,
    limit: int = 0,
    conditions: np.ndarray | None = None,
) -> Report:
    """Score `part` with the weights now in `model`, frozen; `limit` > 0 looks at about so many tokens.

    `conditions` (C, F): what a conditioned model is told of a record, by its label.
    """
    tally = Tally(tokenizer)
    model.eval()
    with torch.no_grad():
        for block in scoring_blocks(part, data_kind, window, stride, tokenizer.eos_id, limit=limit):
            if block.fresh:
                told = None
                if conditions is not None and block.labels is not None:
                    told = torch.from_numpy(conditions[block.labels])  # (N, F)
                state = model.initial_state(block.inputs.shape[0], told)
            logits, state = model(torch.from_numpy(block.inputs), state, last_only=block.last_only)
            seen = block.targets[:, -1:] if block.last_only else block.targets  # (N, T)
            targets = torch.from_numpy(seen)
            # Summed in float64: a hundred thousand float32 terms would lose the fifth digit.
            losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
            correct = int((logits.argmax(-1) == targets).sum())
            tally.add(float(losses.double().sum()), correct, seen)
    return tally.report(left_out=part.unknown)
