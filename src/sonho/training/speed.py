"""How fast this machine learns: up to two seconds of real steps on the real text at two sizes, and what lies between.

Shapes: N batch, T time, V vocabulary, H hidden, G gates.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from sonho.config import Config, ModelConfig

SIZES = (128, 384)
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
LEAST_POWER = 0.3  # of the multiplications; what was measured at a bad moment may say less
# Of Muon's products with the matrix itself, and of those of the square of its shorter side (native/muon_kernels.cpp); a
# symmetric one counts half.
WHOLE_PRODUCTS, SQUARE_PRODUCTS = 1.5, 4.5


@dataclass(frozen=True)
class Speed:
    """What a training step takes, from two that were measured: the multiplications and the seconds of each."""

    less: tuple[float, float]
    more: tuple[float, float]

    def step_seconds(self, config: Config, vocab_size: int, step_tokens: float) -> float:
        """A power of the multiplications up to the larger step: small layers use less of what the processor can do,
        so that a straight line would promise too much between the two. Beyond it, in proportion.
        """
        (flops, seconds), (most_flops, most_seconds) = self.less, self.more
        wanted = step_flops(config, vocab_size, step_tokens)
        if wanted >= most_flops:
            return most_seconds * wanted / most_flops
        power = math.log(most_seconds / seconds) / math.log(most_flops / flops)
        return seconds * float((wanted / flops) ** min(max(power, LEAST_POWER), 1.0))

    def tokens(self, seconds: float, config: Config, vocab_size: int, step_tokens: float) -> float:
        """Tokens learned from in so many seconds, `step_tokens` a step."""
        return seconds / self.step_seconds(config, vocab_size, step_tokens) * step_tokens


def step_flops(config: Config, vocab_size: int, step_tokens: float) -> float:
    """Multiplications and additions of one step: forward, backward, Muon. Gathers are free."""
    model, shapes = config.model, layer_shapes(config.model, vocab_size)
    muon = 0.0
    if config.training.optimizer == "muon":
        for shape in shapes:
            shorter, longer = min(shape), max(shape)
            muon += 2.0 * shorter**2 * (WHOLE_PRODUCTS * longer + SQUARE_PRODUCTS * shorter)
    words = float(vocab_size)
    if samples := config.training.softmax_samples:  # and about every second token is a word of its own
        words = min(words, samples + step_tokens / 2)
    return 6.0 * step_tokens * (layer_weights(model, vocab_size) + model.hidden_size * words) + muon


def layer_shapes(model: ModelConfig, vocab_size: int) -> list[tuple[int, int]]:
    """The matrices that every token is multiplied with, without the output layer's."""
    size, shapes = model.hidden_size, []
    for layer in range(model.num_layers):
        inputs = size if layer else model.embedding_dim
        if model.cell == "conv":
            shapes.append((2 * size, model.kernel_size * (inputs or vocab_size)))
            continue
        gates = GATES[model.cell] * size
        shapes.append((gates, size))
        if layer:
            shapes.append((gates, inputs))
    return shapes


def layer_weights(model: ModelConfig, vocab_size: int) -> int:
    """Weights of those matrices. A symbol's own rows, in the input table and the output layer, are not among them."""
    return sum(rows * columns for rows, columns in layer_shapes(model, vocab_size))


def measure_speed(
    config: Config,
    vocab_size: int,
    step_tokens: float,
    start: Callable[[Config], Callable[[], None]],
    *,
    seconds: float = 2.0,
) -> Speed:
    """`start(config)` sets a training up and gives what makes one step of it; it takes about so many `seconds`."""
    points = []
    for size in SIZES:
        model = dataclasses.replace(config.model, hidden_size=size)
        if config.model.tied:
            model = dataclasses.replace(model, embedding_dim=size)
        sized = dataclasses.replace(config, model=model)
        learn = start(sized)
        learn()  # the first step makes what the others find
        began, took = time.perf_counter(), list[float]()
        while not took or time.perf_counter() - began < seconds / len(SIZES):
            before = time.perf_counter()
            learn()
            took.append(time.perf_counter() - before)
        points.append((step_flops(sized, vocab_size, step_tokens), statistics.median(took)))
    return Speed(*points)
