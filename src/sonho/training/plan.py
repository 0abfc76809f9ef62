"""Chooses what the person left open: size, dropout, batch and window from the text, and how often to look.

Every choice can be overridden; a setting that was given is never changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Set
from typing import Any

from sonho.config import Config
from sonho.training.budget import Budget
from sonho.training.trainer import Intervals

# Training symbols up to which a row holds -> the size of things. Chosen on validation parts.
TABLE = (
    (10_000, {"hidden_size": 64, "batch_size": 8, "bptt": 32, "dropout": 0.3}),
    (60_000, {"hidden_size": 128, "batch_size": 16, "bptt": 64, "dropout": 0.3}),
    (400_000, {"hidden_size": 256, "batch_size": 32, "bptt": 64, "dropout": 0.3}),
    (None, {"hidden_size": 256, "batch_size": 64, "bptt": 64, "dropout": 0.15}),
)
# Up to here one-hot input learns as well as an embedding, and is smaller.
LARGE_VOCABULARY = 256
VALIDATIONS_A_RUN = 8


def plan(config: Config, given: Set[str], *, symbols: int, vocab_size: int) -> tuple[Config, str]:
    """Fill in what is not among `given` ("section.key") for a training part of `symbols` tokens.

    Returns the full configuration and a sentence that says what was chosen.
    """
    row = next(values for limit, values in TABLE if limit is None or symbols <= limit)
    chosen: dict[str, Any] = {
        "model.hidden_size": row["hidden_size"],
        "model.dropout": row["dropout"],
        "data.batch_size": row["batch_size"],
        "data.bptt": row["bptt"],
    }
    if config.model.cell == "conv":
        chosen["model.num_layers"] = 5
    if vocab_size > LARGE_VOCABULARY:
        # Tied to the output layer, a large vocabulary is stored once.
        size = config.model.hidden_size if "model.hidden_size" in given else row["hidden_size"]
        chosen["model.embedding_dim"] = size
        if "model.embedding_dim" not in given or config.model.embedding_dim == size:
            chosen["model.tied"] = True
    made = {name: value for name, value in chosen.items() if name not in given}
    sections = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    for name, section in sections.items():
        mine = {key.split(".")[1]: value for key, value in made.items() if key.startswith(f"{name}.")}
        sections[name] = dataclasses.replace(section, **mine)
    filled = Config(**sections)
    model, data = filled.model, filled.data
    text = (
        f"{model.cell} {model.num_layers} x {model.hidden_size}, dropout {model.dropout:g}, "
        f"batch {data.batch_size} x {data.window if data.kind == 'windows' else data.bptt}"
        if data.kind != "records"
        else f"{model.cell} {model.num_layers} x {model.hidden_size}, dropout {model.dropout:g}, "
        f"batch {data.batch_size} records"
    )
    return filled, f"Plan for {symbols:,} training tokens: {text}"


def intervals(config: Config, budget: Budget) -> Intervals:
    """When to validate, to draw samples and to write checkpoints."""
    training = config.training
    validate_steps = training.validate_every
    if not validate_steps and budget.steps:
        validate_steps = max(1, -(-budget.steps // VALIDATIONS_A_RUN))
    return Intervals(
        validate_steps=validate_steps,
        validate_seconds=budget.seconds / VALIDATIONS_A_RUN,
        sample_steps=training.sample_every,
        checkpoint_steps=training.checkpoint_every,
        checkpoint_seconds=training.checkpoint_seconds if not training.checkpoint_every else float("inf"),
    )
