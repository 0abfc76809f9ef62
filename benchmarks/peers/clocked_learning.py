"""The loop of the board's torch peers: learn until the deadline, keep the weights that did best on the validation part.

Shapes: N rows, T time, V vocabulary.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from board.peer import Job

LOOKS = 8
# A look at the validation part takes at most this share of the budget; where it would take more, it is at less text.
LOOK_SHARE = 0.0125
TRIAL_CHARACTERS = 4_000
LEAST_CHARACTERS = 2_000
SPARE_SECONDS = 0.2


@dataclass
class Learning:
    """What differs between the peers.

    step(progress) makes one optimiser step at progress 0..1 of the run;
    look(limit) gives the validation nats per character over the first `limit` characters.
    """

    network: nn.Module
    step: Callable[[float], None]
    look: Callable[[int], float]
    validation_characters: int


def learn(job: Job, learning: Learning) -> None:
    """Train by the clock of `job`; the network ends with its best weights."""
    characters, look_seconds = _look_size(job, learning)
    deadline = job.seconds - look_seconds - SPARE_SECONDS
    started = last_look = job.elapsed()
    every = max((deadline - started) / LOOKS, 10 * look_seconds)
    best, kept, step_seconds = math.inf, copy.deepcopy(learning.network.state_dict()), 0.0
    while True:
        # A step that would not end in time is not begun; the first always is.
        last = step_seconds > 0 and job.elapsed() + step_seconds > deadline
        if last or job.elapsed() - last_look >= every:
            loss = _look(learning, characters)
            job.note(loss)
            last_look = job.elapsed()
            if loss < best:
                best, kept = loss, copy.deepcopy(learning.network.state_dict())
        if last:
            break
        began = job.elapsed()
        learning.network.train()
        learning.step(min(max((began - started) / max(deadline - started, 1e-9), 0.0), 1.0))
        step_seconds = job.elapsed() - began
    learning.network.load_state_dict(kept)
    learning.network.eval()


def _look_size(job: Job, learning: Learning) -> tuple[int, float]:
    """How many characters a look is at, and the seconds that it takes."""
    trial = min(TRIAL_CHARACTERS, learning.validation_characters)
    _look(learning, min(LEAST_CHARACTERS, trial))  # the first call prepares what the others find
    began = time.perf_counter()
    _look(learning, trial)
    each = (time.perf_counter() - began) / trial
    affordable = max(int(LOOK_SHARE * job.seconds / each), LEAST_CHARACTERS)
    characters = min(affordable, learning.validation_characters)
    return characters, characters * each


def _look(learning: Learning, characters: int) -> float:
    learning.network.eval()
    with torch.inference_mode():
        return learning.look(characters)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def parameters_of(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
