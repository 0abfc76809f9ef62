"""How fast this machine learns: up to two seconds of real steps on the real text at two sizes, and a line through both.

Shapes: N batch, T time, V vocabulary, H hidden, G gates.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from sonho.config import Config, ModelConfig

SIZES = (128, 384)
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
NEWTON_SCHULZ_PRODUCTS = 9  # of Muon: three a step of the iteration, three steps; about half are symmetric


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step: a constant, and what its multiplications take."""

    constant: float
    seconds_a_flop: float

    def step_seconds(self, config: Config, vocab_size: int, step_tokens: float) -> float:
        return self.constant + self.seconds_a_flop * step_flops(config, vocab_size, step_tokens)

    def tokens(self, seconds: float, config: Config, vocab_size: int, step_tokens: float) -> float:
        """Tokens learned from in so many seconds, `step_tokens` a step."""
        return seconds / self.step_seconds(config, vocab_size, step_tokens) * step_tokens


def step_flops(config: Config, vocab_size: int, step_tokens: float) -> float:
    """Multiplications and additions of one step: forward, backward, Muon. Gathers are free."""
    model, shapes = config.model, layer_shapes(config.model, vocab_size)
    muon = 0.0
    if config.training.optimizer == "muon":
        muon = NEWTON_SCHULZ_PRODUCTS * sum(
            rows * columns * min(columns, model.hidden_size) for rows, columns in shapes
        )
    return 6.0 * step_tokens * (layer_weights(model, vocab_size) + model.hidden_size * vocab_size) + muon


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
        began, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - began < seconds / len(SIZES):
            learn()
            steps += 1
        points.append((step_flops(sized, vocab_size, step_tokens), (time.perf_counter() - began) / steps))
    (less, quick), (more, slow) = points
    per_flop = max(slow - quick, 0.1 * slow) / (more - less)
    return Speed(max(quick - per_flop * less, 0.0), per_flop)
