"""The checkpoint: everything that a run needs to go on as if it had never stopped.

Arrays: `model.*` and `average.*` weights, `optimizer.*`, `state.*` carried memory, `rng` of torch.
Header: the counters, the settings, the tokenizer, where the data was and its digest, and how long
the record files were. Batches are functions of (epoch, index), so the order of the data needs no more.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sonho.errors import ModelFileError
from sonho.models.language_model import flatten, unflatten
from sonho.storage.container import Arrays, read_container, write_container
from sonho.training.optimizers import load_optimizer_arrays, optimizer_arrays

if TYPE_CHECKING:
    from sonho.training.trainer import Trainer

CHECKPOINT_NAME = "checkpoint.safetensors"


def save_checkpoint(folder: Path, trainer: Trainer, header: dict[str, Any]) -> None:
    """Write `checkpoint.safetensors` durably. Raises StorageError."""
    tensors: dict[str, torch.Tensor] = {f"model.{name}": p for name, p in trainer.model.named_parameters()}
    names = [name for name, _ in trainer.model.named_parameters()]
    tensors |= {f"average.{n}": v for n, v in zip(names, trainer.average.values, strict=True)}
    tensors |= {f"optimizer.{name}": value for name, value in optimizer_arrays(trainer.optimizers).items()}
    tensors |= {f"state.{i}": tensor for i, tensor in enumerate(flatten(trainer.state))}
    tensors["rng"] = torch.get_rng_state()
    counters = asdict(trainer.counters)
    # JSON has no infinity: a run without a validation yet has no best one.
    counters = {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in counters.items()}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_container(folder / CHECKPOINT_NAME, "checkpoint", {**header, "counters": counters}, arrays)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The header and arrays of a run folder's checkpoint. Raises InputNotFoundError or ModelFileError."""
    return read_container(folder / CHECKPOINT_NAME, "checkpoint")


def restore(trainer: Trainer, header: dict[str, Any], arrays: Arrays) -> None:
    """Put a checkpoint's content into a trainer that was built from the same settings.

    Raises ModelFileError where they do not fit.
    """
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        with torch.no_grad():
            pairs = zip(trainer.model.named_parameters(), trainer.average.values, strict=True)
            for (name, parameter), value in pairs:
                parameter.copy_(tensors[f"model.{name}"])
                value.copy_(tensors[f"average.{name}"])
        prefix = "optimizer."
        memory = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        load_optimizer_arrays(trainer.optimizers, memory)
        like = trainer.state
        trainer.state = unflatten([tensors[f"state.{i}"] for i in range(len(flatten(like)))], like)
        for name, value in header["counters"].items():
            setattr(trainer.counters, name, math.inf if value is None else value)
        torch.set_rng_state(tensors["rng"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ModelFileError(f"the checkpoint does not fit this run: {error}") from None
