"""What a captioner gets where the person left it open; the experiments behind it are in docs/log.md."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence, Set
from typing import Any

from sonho.config import Config, ModelConfig
from sonho.data.corpus import Corpus
from sonho.data.pictures import folder_beside, picture_size
from sonho.data.prepare import is_prepared
from sonho.decoding.picture_encoder import grid_shape
from sonho.errors import UsageError
from sonho.training.plan import Plan, fill

CHOSEN: dict[str, Any] = {
    "model.cell": "lstm",
    "model.hidden_size": 256,
    "model.embedding_dim": 128,
    "model.attention": "multiplicative",
    "model.dropout": 0.3,
    "data.batch_size": 32,
    "training.learning_rate": 0.005,
}
# A grid of about so many places, at most, and vectors of so many numbers.
MOST_PLACES, WIDTH = 128, 128
LEAST_BLOCKS, MOST_BLOCKS, LEAST_CHANNELS = 2, 5, 8
LONGEST = 2.0  # a caption may have so many times the tokens of the longest that was learned from
MOST_TOKENS = 200


def prepare_captions(config: Config, given: Set[str], paths: Sequence[str]) -> Config:
    """The data settings that captioning implies. Raises UsageError where others were given."""
    data = config.data
    if "data.kind" in given and data.kind != "records":
        raise UsageError(f"--task caption reads records, not data.kind={data.kind}; leave it out")
    implied: dict[str, Any] = {"data.kind": "records", "data.level": "word"}
    if not (len(paths) == 1 and is_prepared(paths[0])):
        implied["data.pictures"] = folder_beside(paths)
    picture_size(data.picture_size)
    made = fill(config, given, implied)
    # A run may be gone on with from another folder.
    made.data.pictures = made.data.pictures and os.path.abspath(made.data.pictures)
    return made


def blocks_for(size: tuple[int, int]) -> int:
    """How many blocks make a grid of few enough places of pictures of `size` (W, H).

    >>> [blocks_for(size) for size in ((100, 25), (64, 64), (224, 224))]
    [2, 2, 4]
    """
    for blocks in range(LEAST_BLOCKS, MOST_BLOCKS):
        if math.prod(grid_shape(ModelConfig(picture_blocks=blocks), size)) <= MOST_PLACES:
            return blocks
    return MOST_BLOCKS


def plan_captions(config: Config, given: Set[str], corpus: Corpus) -> Plan:
    """Fill in what is not among `given` ("section.key")."""
    assert corpus.train.offsets is not None
    longest = int((corpus.train.offsets[1:] - corpus.train.offsets[:-1]).max())
    size = picture_size(config.data.picture_size)
    chosen = {**CHOSEN, "model.picture_blocks": blocks_for(size)}
    chosen["sampling.max_tokens"] = min(int(LONGEST * longest), MOST_TOKENS)
    made = fill(config, given, chosen)
    channels = max(WIDTH >> made.model.picture_blocks, LEAST_CHANNELS)
    made = fill(made, given, {"model.picture_channels": channels})
    model, data = made.model, made.data
    height, width = grid_shape(model, size)
    look = "" if model.attention == "none" else f", {model.attention} attention"
    line = (
        f"Plan for {corpus.train.num_records:,} captions: {model.cell} {model.num_layers} x {model.hidden_size}{look} "
        f"on a grid of {width} x {height} places, dropout {model.dropout:g}, batch {data.batch_size} records"
    )
    return Plan(made, (line,))
