"""The root mean square of each weight's gradient on the training text: what adapting needs to know of training.

It is measured once, at the end, on stretches of the training part read as adapting reads: one row, a step every few
tokens. In a model file it takes a byte a weight. Shapes: N rows, T time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sonho.data.corpus import Part
from sonho.models.language_model import LanguageModel, detach
from sonho.storage.container import Arrays
from sonho.storage.model_file import NO_GRADIENT

# A code c stands for 2 ** (-c / STEPS_PER_OCTAVE); the last one for zero.
STEPS_PER_OCTAVE = 8
ZERO = NO_GRADIENT
INTERVAL = 64  # tokens of a gradient
STRETCHES = 8  # places of the training part, evenly spread, each read with a carried state
MOST_GRADIENTS = 256


def measure_rms(model: LanguageModel, part: Part, *, gradients: int = MOST_GRADIENTS) -> Arrays:
    """The codes (uint8) of every parameter of `model`, by name, from about so many gradients."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    model.eval()
    count = 0
    for stretch in range(STRETCHES):
        state = model.initial_state(1)
        for inputs, targets in _stretch(part, stretch, -(-gradients // STRETCHES)):
            logits, state = model(torch.from_numpy(inputs), state)
            loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
            for square, gradient in zip(squares, torch.autograd.grad(loss, parameters), strict=True):
                square.addcmul_(gradient, gradient)
            count, state = count + 1, detach(state)
    means = (square.double().numpy() / max(count, 1) for square in squares)
    return {name: encode_rms(np.sqrt(mean)) for name, mean in zip(names, means, strict=True)}


def encode_rms(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Numbers of at least 0 as codes, to 4.5 %.

    >>> decode_rms(encode_rms(np.array([0.0, 1.0, 0.001]))).round(4).tolist()
    [0.0, 1.0, 0.001]
    """
    with np.errstate(divide="ignore"):
        codes = np.round(-STEPS_PER_OCTAVE * np.log2(values))
    return np.clip(codes, 0, ZERO).astype(np.uint8)


def decode_rms(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 2.0 ** (-codes.astype(np.float64) / STEPS_PER_OCTAVE)
    return np.where(codes == ZERO, 0.0, values)


def _stretch(part: Part, number: int, gradients: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Inputs and targets (1, T) of stretch `number`, one gradient each, in the order of the text.

    Records stand one behind the other there, with their <eos> between them: near enough for a scale.
    """
    length = len(part.tokens)
    start = length * number // STRETCHES
    stop = min(length, start + INTERVAL * gradients + 1)
    ids = part.tokens.read(start, stop).astype(np.int64)
    for at in range(0, len(ids) - 1, INTERVAL):
        yield ids[None, at : at + INTERVAL][:, : len(ids) - 1 - at], ids[None, at + 1 : at + INTERVAL + 1]
