"""Several networks that are one model: each learns by itself, and the model predicts with the mean of their logits.

Errors that networks make by chance cancel out (an ensemble; Hansen and Salamon 1990). Two things of a run by the clock
make several: where one network more, of fewer units or with less time each, is worth more than the time given to one
(`training.networks`), all learn from the training part, and their mean is measured; and where a short text is learned
long before the minutes are over, further ones learn from the held-out part as well once the first is measured. The mean
is itself a recurrent network, whose units are all of theirs, with no weights between those of different networks; so it
is stored, decoded and scored like any other.

Shapes: K networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonho.config import Config, ModelConfig, to_dict
from sonho.data.corpus import Corpus
from sonho.data.parts import joined
from sonho.models.language_model import to_arrays
from sonho.models.networks import load_weights
from sonho.storage.blocks import join_networks
from sonho.storage.container import Arrays
from sonho.storage.durable import make_folder
from sonho.storage.model_file import ModelFile
from sonho.training.budget import Budget
from sonho.training.callbacks import Callback
from sonho.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, restore, save_checkpoint
from sonho.training.language import LanguageTask
from sonho.training.trainer import Intervals, Trainer


class Watch(Callback):
    """Passes what a further network does on to the run's own listeners, and a stop that was asked of the run to it."""

    def __init__(self, run: Trainer, callbacks: Sequence[Callback]) -> None:
        self.run, self.callbacks = run, callbacks
        self.name = ""  # of the network that learns

    def on_step(self, trainer: Trainer, loss: float) -> None:
        trainer.stop_requested = self.run.stop_requested
        for callback in self.callbacks:
            callback.on_step(trainer, loss)

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        for callback in self.callbacks:
            callback.on_log(trainer, {**metrics, "network": self.name})


@dataclasses.dataclass(frozen=True)
class Further:
    """What the networks after the first have in common: each has so much time, and looks at nothing but its loss."""

    folder: Path  # the run's; each has a folder of its own in it, with a checkpoint to go on from
    asked: Budget  # the first network's
    budget: Budget
    intervals: Intervals
    watch: Watch


def whole(corpus: Corpus) -> Corpus:
    """The corpus with its held-out part to be learned from as well."""
    assert corpus.validation is not None
    return dataclasses.replace(corpus, train=joined(corpus.train, corpus.validation), validation=None)


def learn_further(config: Config, corpus: Corpus, networks: int, further: Further) -> tuple[list[Arrays], float] | None:
    """The averaged weights of so many networks after the first, each with a seed of its own, and their seconds.

    None where one was stopped.
    """
    learned, seconds = [], 0.0
    for number in range(2, networks + 2):
        further.watch.name = f"{number} of {networks + 1}"
        training = dataclasses.replace(config.training, seed=(config.training.seed + number - 1) % 2**63)
        trainer = _learn(dataclasses.replace(config, training=training), corpus, number, further)
        if not trainer.finished:
            return None
        with trainer.average.in_place():
            learned.append(to_arrays(trainer.task.model))
        seconds += trainer.counters.seconds
    return learned, seconds


def _learn(config: Config, corpus: Corpus, number: int, further: Further) -> Trainer:
    """Let one network learn; it goes on where its own checkpoint stands."""
    folder = further.folder / f"network-{number}"
    make_folder(folder)
    mine = {"digest": corpus.digest, "model": to_dict(config.model), "seed": config.training.seed}
    budget, stored = further.budget, None
    if (folder / CHECKPOINT_NAME).exists():
        found, arrays = load_checkpoint(folder)
        if {name: found.get(name) for name in mine} == mine:
            stored = found, arrays
            if found["asked"] == dataclasses.asdict(further.asked):  # nobody gave the run more time since
                budget = Budget(**found["budget"])
    header = {**mine, "asked": dataclasses.asdict(further.asked), "budget": dataclasses.asdict(budget)}
    trainer = Trainer(
        LanguageTask(config, corpus, say=lambda text: None),
        config.training,
        budget,
        further.intervals,
        validates=False,
        draw=lambda: iter(()),
        keep=lambda: None,
        save=lambda: save_checkpoint(folder, trainer, header),
        callbacks=[further.watch],
    )
    if stored is not None:
        restore(trainer, *stored)
    trainer.run()
    return trainer


def mean_of(
    kept: ModelFile, config: Config, corpus: Corpus, networks: Sequence[Arrays]
) -> tuple[ModelFile, LanguageTask]:
    """`kept` with the mean of the networks in place of its own, and the task that has it."""
    model, arrays = merged(kept.model, networks)
    task = LanguageTask(dataclasses.replace(config, model=model), corpus, say=lambda text: None, networks=len(networks))
    load_weights(task.model, arrays)
    record = {**kept.record, "networks": len(networks)}
    return dataclasses.replace(kept, model=model, arrays=arrays, record=record), task


def merged(model: ModelConfig, networks: Sequence[Arrays]) -> tuple[ModelConfig, Arrays]:
    """The one network whose logits are the mean of those of K networks of the same configuration.

    >>> one = {"layers.0.weight_ih": np.ones((3, 5)), "layers.0.weight_hh": np.ones((3, 1)),
    ...        "layers.0.bias": np.ones(3), "output.weight": np.ones((5, 1)), "output.bias": np.ones(5)}
    >>> config, arrays = merged(ModelConfig(cell="gru", hidden_size=1), [one, one])
    >>> config.hidden_size, arrays["layers.0.weight_hh"][:2].tolist(), arrays["output.weight"][0].tolist()
    (2, [[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
    """
    count, arrays = len(networks), join_networks(networks, model)
    arrays["output.bias"] = np.stack([network["output.bias"] for network in networks]).mean(axis=0, dtype=np.float32)
    # The mean of the logits; a tied embedding is the input as well, where what is taken is given back.
    arrays["embedding.weight" if model.tied else "output.weight"] /= np.float32(count)
    if model.tied:
        arrays["layers.0.weight_ih"] *= np.float32(count)
    sized = dataclasses.replace(model, hidden_size=count * model.hidden_size, embedding_dim=count * model.embedding_dim)
    return sized, arrays
