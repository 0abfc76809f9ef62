"""Which arrays a network has, and their shapes: what a model file must hold. Knows settings and sizes, not files.

Shapes: V vocabulary, D input, H hidden, G gates; model_file.py has the table.
"""

from __future__ import annotations

from sonho.config import OF_LABELS, ModelConfig

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
Shapes = dict[str, tuple[int, ...]]


def expected_shapes(
    config: ModelConfig, vocab_size: int, num_labels: int = 0, condition_size: int = 0, source_size: int = 0
) -> Shapes:
    """The name and shape of every array that a network of this configuration has.

    `source_size` is the size of a vocabulary of the source's own; 0 where one serves both sides.

    >>> from math import prod
    >>> shapes = expected_shapes(ModelConfig(cell="lstm", hidden_size=128), vocab_size=84)
    >>> sum(prod(shape) for shape in shapes.values())
    119892
    """
    shapes: Shapes = {}
    if config.task in OF_LABELS:
        return _labelling_shapes(config, vocab_size, num_labels)
    if config.task == "translate":
        shapes, width = _encoder_shapes(config, source_size or vocab_size)
        own = _decoder_shapes(config, vocab_size, width)
        if not source_size:
            own.pop("embedding.weight", None)
        return {**shapes, **{f"decoder.{name}": shape for name, shape in own.items()}}
    if config.task == "caption":
        own = _decoder_shapes(config, vocab_size, config.picture_channels << config.picture_blocks)
        return {**_picture_shapes(config), **{f"decoder.{name}": shape for name, shape in own.items()}}
    if config.embedding_dim:
        shapes["embedding.weight"] = (vocab_size, config.embedding_dim)
    size, inputs = config.hidden_size, config.embedding_dim or vocab_size
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}"
        if config.cell == "conv":
            shapes[f"{prefix}.weight"] = (2 * size, config.kernel_size, inputs)
            shapes[f"{prefix}.bias"] = (2 * size,)
        else:
            rows = GATES[config.cell] * size
            shapes[f"{prefix}.weight_ih"] = (rows, inputs)
            shapes[f"{prefix}.weight_hh"] = (rows, size)
            shapes[f"{prefix}.bias"] = (rows,)
        if condition_size:
            shapes |= _condition_shapes(config, layer, condition_size)
        if config.layer_norm:
            shapes[f"{prefix}.norm.weight"] = shapes[f"{prefix}.norm.bias"] = (size,)
        inputs = size
    if not config.tied:
        shapes["output.weight"] = (vocab_size, size)
    shapes["output.bias"] = (vocab_size,)
    return shapes


def _condition_shapes(config: ModelConfig, layer: int, condition_size: int) -> Shapes:
    shapes: Shapes = {}
    if layer == 0 and config.condition_into != "state":
        shapes["layers.0.weight_condition"] = (GATES[config.cell] * config.hidden_size, condition_size)
    if config.condition_into != "input":
        rows = config.hidden_size * (2 if config.cell == "lstm" else 1)
        shapes[f"layers.{layer}.first.weight"] = (rows, condition_size)
        shapes[f"layers.{layer}.first.bias"] = (rows,)
    return shapes


def _labelling_shapes(config: ModelConfig, vocab_size: int, num_labels: int) -> Shapes:
    """Those of a classifier or tagger; see models/classifier.py."""
    shapes, width = _encoder_shapes(config, vocab_size)
    if config.task == "classify" and config.pooling == "attention":
        shapes["attention.weight"] = (width,)
    return {**shapes, "output.weight": (num_labels, width), "output.bias": (num_labels,)}


def _encoder_shapes(config: ModelConfig, vocab_size: int) -> tuple[Shapes, int]:
    """Those of models/encoder.py, and its width."""
    shapes: Shapes = {}
    if config.embedding_dim:
        shapes["embedding.weight"] = (vocab_size, config.embedding_dim)
    directions = ["layers", "reverse"] if config.bidirectional else ["layers"]
    size, rows, width = config.hidden_size, GATES[config.cell] * config.hidden_size, 0
    for layer in range(config.num_layers):
        inputs = width or config.embedding_dim or vocab_size
        for name in directions:
            shapes[f"{name}.{layer}.weight_ih"] = (rows, inputs)
            shapes[f"{name}.{layer}.weight_hh"] = (rows, size)
            shapes[f"{name}.{layer}.bias"] = (rows,)
        width = size * len(directions)
    return shapes, width


def _picture_shapes(config: ModelConfig) -> Shapes:
    """Those of nn/picture_encoder.py, which reads five numbers a pixel: the colours, x and y."""
    layers = {"stem": (config.picture_channels, 5, 3)}  # outputs, inputs, side of the kernel
    for block in range(config.picture_blocks):
        inputs, outputs = config.picture_channels << block, config.picture_channels << (block + 1)
        layers |= {
            f"blocks.{block}.one": (outputs, inputs, 3),
            f"blocks.{block}.two": (outputs, outputs, 3),
            f"blocks.{block}.shortcut": (outputs, inputs, 1),
        }
    shapes: Shapes = {}
    for name, (outputs, inputs, kernel) in layers.items():
        shapes[f"pictures.{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes |= {f"pictures.{name}.{part}": (outputs,) for part in ("scale", "shift", "mean", "variance")}
    return shapes


def _decoder_shapes(config: ModelConfig, vocab_size: int, memory_size: int) -> Shapes:
    """Those of models/attentive_decoder.py."""
    size, rows = config.hidden_size, GATES[config.cell] * config.hidden_size
    readout = config.embedding_dim if config.tied else size
    shapes: Shapes = {}
    if config.embedding_dim:
        shapes["embedding.weight"] = (vocab_size, config.embedding_dim)
    first = size * (2 if config.cell == "lstm" else 1)
    for layer in range(config.num_layers):
        shapes[f"layers.{layer}.weight_ih"] = (rows, size if layer else config.embedding_dim or vocab_size)
        shapes[f"layers.{layer}.weight_hh"] = (rows, size)
        shapes[f"layers.{layer}.bias"] = (rows,)
        shapes[f"layers.{layer}.first.weight"] = (first, memory_size)
        shapes[f"layers.{layer}.first.bias"] = (first,)
    if config.input_feeding:
        shapes["layers.0.weight_condition"] = (rows, readout)
    if config.attention != "none":
        shapes["attention.key"] = (size, memory_size)
    if config.attention == "additive":
        shapes |= {"attention.query": (size, size), "attention.vector": (size,)}
    looked = 0 if config.attention == "none" else memory_size
    shapes |= {"combine.weight": (readout, size + looked), "combine.bias": (readout,)}
    if not config.tied:
        shapes["output.weight"] = (vocab_size, readout)
    return {**shapes, "output.bias": (vocab_size,)}
