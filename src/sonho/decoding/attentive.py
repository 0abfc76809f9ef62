"""A decoder that attends, without torch: the twin of models/attentive_decoder.py, a step at a time.

    decoder = AttentiveDecoder(config, arrays)           # of a model file, the names behind `decoder.`
    attended = decoder.attend(values, lengths)           # a memory (N, S, D), for N items
    state = attended.initial_state()                     # a row an item; `take_rows` repeats and reorders
    logits, state, weights = attended.step(tokens, state)

Shapes: N items, S places of the memory, D memory, A attention, B rows, as many for each item, R readout, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.network import build_recurrent
from sonho.decoding.recurrent import RecurrentLayer
from sonho.decoding.state import Array, State
from sonho.storage.container import Arrays


class AttentiveDecoder:
    """The decoder of a model file's arrays. It never changes, so threads may share one."""

    def __init__(
        self, config: ModelConfig, arrays: Arrays, masked_ids: Iterable[int] = (0,), *, prefix: str = "decoder."
    ) -> None:
        own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        # A table that both sides share stands under the name of the first.
        self.embedding = own.get("embedding.weight", arrays.get("embedding.weight") if config.embedding_dim else None)
        self.config, self.arrays = config, own
        self.layers = [self._layer(index) for index in range(config.num_layers)]
        weight = own.get("output.weight", self.embedding)
        assert weight is not None  # expected_shapes: tied weights need an embedding
        self.output_weight: Array = np.ascontiguousarray(weight.T)  # (R, V)
        self.output_bias = np.array(own["output.bias"], np.float32)
        self.output_bias[list(masked_ids)] = -np.inf
        self.vocab_size = len(self.output_bias)

    def attend(self, values: Array, lengths: Array) -> Attended:
        """A memory (N, S, D), of which the first `lengths` (N,) of a row count, at least one."""
        return Attended(self, np.asarray(values, np.float32), np.asarray(lengths, np.int64))

    def first_state(self, mean: Array) -> State:
        """The state before any token, made from the memory's mean (N, D)."""
        size, state = self.config.hidden_size, []
        for index, layer in enumerate(self.layers):
            total = mean @ self.arrays[f"layers.{index}.first.weight"].T + self.arrays[f"layers.{index}.first.bias"]
            state += [np.tanh(total[:, :size]), total[:, size:]][: layer.memories]
        if self.config.input_feeding:
            state.append(np.zeros((len(mean), len(self.arrays["combine.bias"])), np.float32))
        return tuple(state)

    def run(self, tokens: Array, state: State) -> tuple[Array, State]:
        """One step of all layers: tokens (B,) to outputs (B, H) and the state. What is fed (B, R) is its last array."""
        hidden = tokens[:, None] if self.embedding is None else self.embedding[tokens[:, None]]
        after: list[Array] = []
        for index, layer in enumerate(self.layers):
            own = state[len(after) : len(after) + layer.memories]
            if index == 0 and self.config.input_feeding:
                own = (*own, state[-1] @ self.arrays["layers.0.weight_condition"].T)
            hidden, new = layer.forward(hidden, own)
            after += new[: layer.memories]
        return hidden[:, 0], tuple(after)

    def readout(self, hidden: Array, context: Array | None) -> Array:
        """r = tanh(W [h; context] + b), (B, R)."""
        both = hidden if context is None else np.concatenate([hidden, context], axis=1)
        return np.asarray(np.tanh(both @ self.arrays["combine.weight"].T + self.arrays["combine.bias"]))

    def _layer(self, index: int) -> RecurrentLayer:
        weight_ih, weight_hh, bias = (self.arrays[f"layers.{index}.{n}"] for n in ("weight_ih", "weight_hh", "bias"))
        adds = index == 0 and self.config.input_feeding
        if index == 0 and self.embedding is None:
            return build_recurrent(self.config, None, weight_hh, bias, weight_ih.T + bias, adds=adds)
        return build_recurrent(self.config, weight_ih, weight_hh, bias, None, adds=adds)


class Attended:
    """A decoder that looks at one memory. The state's last array but what is fed says to which item a row belongs."""

    def __init__(self, decoder: AttentiveDecoder, values: Array, lengths: Array) -> None:
        self.decoder, self.values = decoder, values
        self.vocab_size = decoder.vocab_size
        arrays = decoder.arrays
        key = arrays.get("attention.key")
        self.keys: Array | None = None if key is None else values @ key.T  # (N, S, A)
        inside = np.arange(values.shape[1]) < lengths[:, None]  # (N, S)
        self.outside = np.where(inside, np.float32(0), np.float32(-np.inf))
        self.mean: Array = (values * inside[:, :, None]).sum(axis=1) / lengths[:, None].astype(np.float32)

    def initial_state(self) -> State:
        """The state before any token, (N, ...): the items' numbers, then what the decoder remembers."""
        return (np.arange(len(self.values)), *self.decoder.first_state(self.mean))

    def step(self, tokens: Array, state: State) -> tuple[Array, State, Array | None]:
        """`tokens` (B,) to logits (B, V), the new state and the attention (B, S), if there is any.

        The rows of an item stand together, as many of each as of any other.
        """
        decoder, items = self.decoder, state[0]
        hidden, after = decoder.run(tokens, state[1:])
        context, weights = None, None
        if self.keys is not None:
            width = int(np.count_nonzero(items == items[0]))
            context, weights = self._look(hidden, items[::width], self.keys[items[::width]])
        readout = decoder.readout(hidden, context)
        logits: Array = readout @ decoder.output_weight
        logits += decoder.output_bias
        return logits, (items, *after, *([readout] if decoder.config.input_feeding else [])), weights

    def _look(self, hidden: Array, items: Array, keys: Array) -> tuple[Array, Array]:
        """Contexts (B, D) and weights (B, S) of the rows of the items, which have these keys (N, S, A)."""
        arrays, queries = self.decoder.arrays, hidden.reshape(len(items), -1, hidden.shape[1])  # (N, B/N, Q)
        values = self.values[items]
        if self.decoder.config.attention == "additive":
            sums = np.tanh((queries @ arrays["attention.query"].T)[:, :, None] + keys[:, None])
            scores = sums @ arrays["attention.vector"]
        else:
            scores = queries @ keys.swapaxes(1, 2) * np.float32(queries.shape[-1] ** -0.5)  # (N, B/N, S)
        scores += self.outside[items][:, None]
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ values).reshape(len(hidden), -1), weights.reshape(len(hidden), -1)
