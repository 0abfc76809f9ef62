"""The network of a model file as libsonho runs it: the fast twin of `network.py`.

Shapes: N rows, T time, V vocabulary, D input, H hidden, G gates, K kernel size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sonho.config import ModelConfig
from sonho.decoding.conditioning import make_conditioning
from sonho.decoding.conv import dilation_of
from sonho.decoding.network import fits_a_table, norm_weights
from sonho.decoding.sampler import Source
from sonho.decoding.settings import Settings
from sonho.decoding.state import Array, State
from sonho.native.network import LayerSpec, Logits, Network, Sampler


class NativeStepper:
    """A Stepper whose `forward` has the same bits as its steps. `bits` of a weight: 32, or 8 with a scale a row."""

    def __init__(self, config: ModelConfig, arrays: dict[str, Array], masked_ids: Iterable[int], bits: int) -> None:
        self.vocab_size = len(arrays["output.bias"])
        vectors = arrays.get("embedding.weight")
        by_table = vectors is None or fits_a_table(arrays)
        layers = []
        for index in range(config.num_layers):
            make = _conv_layer if config.cell == "conv" else _recurrent_layer
            layers.append(make(config, arrays, index, vectors, takes_ids=index == 0 and by_table))
        bias = np.array(arrays["output.bias"], dtype=np.float32)
        bias[list(masked_ids)] = -np.inf
        weight = arrays["embedding.weight" if config.tied else "output.weight"]
        self._conditioning = make_conditioning(config, arrays)
        self.network = Network(layers, weight, bias, vectors=None if by_table else vectors, bits=bits)
        self._empty = tuple(array for layer in layers for array in _empty_state(layer))

    def initial_state(self, batch_size: int, condition: Array | None = None) -> State:
        """The state before any token; `condition` (N, F) where the network has one."""
        if self._conditioning is not None:
            return self._conditioning.first_states(batch_size, condition)
        return tuple(np.repeat(array, batch_size, axis=0) for array in self._empty)

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N,) to logits (N, V) and the new state."""
        return self._run(np.asarray(tokens)[:, None], state, Logits.LAST)

    def advance(self, tokens: Array, state: State) -> State:
        """The state after `tokens` (N, T)."""
        return self.network.run(tokens, state, Logits.NONE)[1]

    def forward(self, tokens: Array, state: State) -> tuple[Array, State]:
        """`tokens` (N, T) to logits (N, T, V) and the new state."""
        return self._run(tokens, state, Logits.ALL)

    def last(self, tokens: Array, state: State) -> Array:
        """`tokens` (N, T), at least one, to the logits (N, V) after the last."""
        return self._run(tokens, state, Logits.LAST)[0]

    def _run(self, tokens: Array, state: State, which: Logits) -> tuple[Array, State]:
        logits, after = self.network.run(tokens, state, which)
        assert logits is not None
        return logits, after


def make_samplers(
    settings: Settings, sources: Sequence[Source], *, bias: Array | None, vocab_size: int, eos_id: int
) -> list[Sampler]:
    """The native twins of one `Sampler`, a row each."""
    return [
        Sampler(
            bias,
            source.prompt_ids,
            repetition_penalty=settings.repetition_penalty,
            frequency_penalty=settings.frequency_penalty,
            presence_penalty=settings.presence_penalty,
            typical_p=settings.typical_p,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_window=settings.repetition_window,
            no_repeat_ngram=settings.no_repeat_ngram or 0,
            top_k=settings.top_k or 0,
            uniform=settings.uniform,
            V=vocab_size,
            eos=eos_id,
            seed=source.seed,
            stream=source.stream,
        )
        for source in sources
    ]


def _recurrent_layer(
    config: ModelConfig, arrays: dict[str, Array], index: int, vectors: Array | None, *, takes_ids: bool
) -> LayerSpec:
    weight_ih, weight_hh, bias = (arrays[f"layers.{index}.{name}"] for name in ("weight_ih", "weight_hh", "bias"))
    cell = config.cell if config.cell != "rnn" else f"rnn_{config.nonlinearity}"
    inputs: dict[str, Any] = {"weight_ih": weight_ih, "bias": bias}
    if takes_ids:
        inputs = {"table": weight_ih.T + bias if vectors is None else vectors @ weight_ih.T + bias}  # (V, G*H)
    return LayerSpec(
        cell,
        config.hidden_size,
        weight_hh=weight_hh,
        norm=norm_weights(arrays, index),
        is_conditioned=f"layers.{index}.weight_condition" in arrays,
        **inputs,
    )


def _conv_layer(
    config: ModelConfig, arrays: dict[str, Array], index: int, vectors: Array | None, *, takes_ids: bool
) -> LayerSpec:
    weight, size = arrays[f"layers.{index}.weight"], config.hidden_size  # (2H, K, D)
    rows, kernel_size, input_size = weight.shape
    residual = table = None
    if takes_ids:
        taps = weight.transpose(1, 2, 0)  # (K, D, 2H)
        table = taps if vectors is None else vectors @ taps  # (K, V, 2H)
        if input_size == size:
            residual = np.eye(input_size, dtype=np.float32) if vectors is None else vectors
    return LayerSpec(
        "conv",
        size,
        table=table,
        weight_ih=None if takes_ids else weight.reshape(rows, -1),
        bias=arrays[f"layers.{index}.bias"],
        kernel_size=kernel_size,
        dilation=dilation_of(index, kernel_size),
        norm=norm_weights(arrays, index),
        residual=residual,
        adds_input=not takes_ids and input_size == size,
    )


def _empty_state(layer: LayerSpec) -> State:
    """The state of one row before any token."""
    if layer.cell != "conv":
        return (np.zeros((1, layer.hidden_size), np.float32),) * (2 if layer.cell == "lstm" else 1)
    past = (layer.kernel_size - 1) * layer.dilation
    if layer.weight_ih is None:
        return (np.full((1, past), -1, np.int64),)
    return (np.zeros((1, past, layer.weight_ih.shape[1] // layer.kernel_size), np.float32),)
