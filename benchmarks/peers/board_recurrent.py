"""The board's nn.LSTM and nn.GRU: embedding, one layer, AdamW with a linear decay to the deadline.

64 columns of the text are learned side by side, in windows of 64 with the state carried from each to the next. The
rate and the dropout are settings; time_to_quality.py picks them on the validation part. Shapes: N rows, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from board.peer import Characters, Job, Trained, serve, write_text
from board.scoring import carried, cold_bounds, stream_bounds
from peers.clocked_learning import Learning, learn, parameters_of, set_rate

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}
ROWS, WINDOW = 64, 64
EMBEDDING = 128
WARM_UP = 0.02
CLIP_NORM = 1.0
# Columns of the validation part that are read side by side.
LOOK_ROWS, LOOK_STEPS = 32, 128


class Network(nn.Module):
    """Tokens (N, T) and a state to logits (N, T, V) and the state after them."""

    def __init__(self, cell: str, hidden_size: int, dropout: float, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, EMBEDDING)
        self.layer = LAYERS[cell](EMBEDDING, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        hidden, state = self.layer(self.dropout(self.embedding(tokens)), state)
        return self.output(self.dropout(hidden)), state


class Recurrent:
    """A network that has learned."""

    def __init__(self, network: Network, symbols: Characters) -> None:
        self.network, self.symbols = network, symbols
        self.parameters = parameters_of(network)

    def score(self, test: str, kind: str) -> dict[str, float | None]:
        ids = self.symbols.read(test, kind)
        bounds = {"stream": stream_bounds(ids), "cold": cold_bounds(ids)}
        return {protocol: carried(self.carry, ids, each) for protocol, each in bounds.items()}

    def write(self, prompt: str, length: int, seed: int) -> str:
        state: Any = None

        def step(new: list[int]) -> np.ndarray:
            nonlocal state
            logits, state = self.carry(np.array([new]), state)
            return np.asarray(logits[0, -1])

        return write_text(step, self.symbols, prompt, length, seed)

    def carry(self, inputs: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        with torch.inference_mode():
            logits, state = self.network(torch.from_numpy(inputs), state)
        return logits.numpy(), state


def train(job: Job) -> Trained:
    torch.manual_seed(job.seed)
    symbols, ids, validation = job.characters()
    network = Network(job.settings["cell"], job.settings["hidden_size"], job.settings["dropout"], len(symbols))
    rate = job.settings["rate"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    windows = endless_windows(ids, np.random.default_rng(job.seed))
    state: Any = None

    def step(progress: float) -> None:
        nonlocal state
        set_rate(optimizer, rate * min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP)))
        window, fresh = next(windows)
        logits, state = network(window[:, :-1], None if fresh else state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()

    def look(limit: int) -> float:
        columns, at, total = torch.from_numpy(in_columns(validation[:limit], LOOK_ROWS)), None, 0.0
        for first in range(0, columns.shape[1] - 1, LOOK_STEPS):
            piece = columns[:, first : first + LOOK_STEPS + 1]
            logits, at = network(piece[:, :-1], at)
            total += float(F.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten(), reduction="sum"))
        return total / (columns.shape[0] * (columns.shape[1] - 1))

    learn(job, Learning(network, step, look, len(validation)))
    return Recurrent(network, symbols)


def endless_windows(ids: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[Tensor, bool]]:
    """Windows (N, T + 1) of the columns, and whether the state starts anew; each pass begins a little later."""
    while True:
        columns = torch.from_numpy(in_columns(ids[rng.integers(WINDOW) :], ROWS))
        starts = range(0, columns.shape[1] - WINDOW, WINDOW)
        for start in starts:
            yield columns[:, start : start + WINDOW + 1], start == 0


def in_columns(ids: np.ndarray, rows: int) -> np.ndarray:
    """A text in pieces of equal length, (N, T); what is left over is dropped."""
    length = len(ids) // rows
    return ids[: rows * length].reshape(rows, length)


if __name__ == "__main__":
    serve(train)
