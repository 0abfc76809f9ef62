"""The textbook's way to generate: the network is run again over the last `window` tokens each time.

A network that was trained on windows from the zero state, each with one prediction at its end, has
never learned to carry a state; this stepper shows it what it was trained on. A step costs `window`
times as much. Shapes: N rows, T time, W window, V vocabulary.
"""

from __future__ import annotations

import numpy as np

from sonho.decoding.native_stepper import NativeStepper
from sonho.decoding.network import NetworkStepper
from sonho.decoding.state import Array, State

# Windows run side by side in `forward`: enough for efficient products, few enough for the memory.
WINDOWS_AT_ONCE = 256


class WindowStepper:
    """State: the last W token ids (N, W) int64, oldest first, -1 before the start."""

    def __init__(self, network: NetworkStepper | NativeStepper, window: int) -> None:
        self.vocab_size = network.vocab_size
        self._network, self._window = network, window

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        return (np.full((batch_size, self._window), -1, dtype=np.int64),)

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state."""
        (windows,) = state = self.advance(tokens[:, None], state)
        logits = np.empty((len(windows), self.vocab_size), dtype=np.float32)
        for rows, pieces in _by_length(windows):
            fresh = self._network.initial_state(len(rows))
            after = self._network.advance(pieces[:, :-1], fresh)
            logits[rows], _ = self._network.step(pieces[:, -1], after)
        return logits, state

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T)."""
        return (np.concatenate([state[0], tokens], axis=1)[:, tokens.shape[1] :],)

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state."""
        seen = np.concatenate([state[0], tokens], axis=1)  # (N, W + T)
        windows = np.lib.stride_tricks.sliding_window_view(seen, self._window, axis=1)[:, 1:]  # (N, T, W)
        flat = windows.reshape(-1, self._window)
        logits = np.empty((len(flat), self.vocab_size), dtype=np.float32)
        for rows, pieces in _by_length(flat):
            for start in range(0, len(rows), WINDOWS_AT_ONCE):
                chunk = pieces[start : start + WINDOWS_AT_ONCE]
                fresh = self._network.initial_state(len(chunk))
                logits[rows[start : start + WINDOWS_AT_ONCE]] = self._network.last(chunk, fresh)
        return logits.reshape(*tokens.shape, self.vocab_size), (seen[:, tokens.shape[1] :],)


def _by_length(windows: Array) -> list[tuple[Array, Array]]:
    """Rows of equal length together: (row numbers, their tokens without what is before the start)."""
    lengths = (windows >= 0).sum(axis=1)
    groups = []
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        groups.append((rows, windows[rows, windows.shape[1] - length :]))
    return groups
