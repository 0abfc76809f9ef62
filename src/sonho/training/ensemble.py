"""Networks that learn from all of a text, and are one model: what a run by the clock does with minutes to spare.

A text that is short for its minutes is learned before they are over, and longer would only teach it by heart. So when
the first network is measured, others of its kind learn in as many seconds each, from the training part and the held-out
part together, and the model predicts with the mean of their logits: errors that networks have by chance cancel out
(an ensemble; Hansen and Salamon 1990). That mean is itself a recurrent network, whose units are all of theirs, with no
weights between those of different networks; so it is stored, decoded and scored like any other.

Shapes: K networks, V vocabulary, D embedding, H hidden, G gates.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sonho.config import Config, ModelConfig
from sonho.data.corpus import Corpus
from sonho.data.parts import joined
from sonho.models.language_model import load_arrays, to_arrays
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import GATES
from sonho.training.budget import Budget
from sonho.training.callbacks import Callback
from sonho.training.language import LanguageTask
from sonho.training.trainer import Intervals, Trainer

NEVER = Intervals(0, math.inf, sample_steps=2**62, checkpoint_steps=0, checkpoint_seconds=math.inf)


class Watch(Callback):
    """Passes the steps of a network on to the run's own listeners, and a stop that was asked of the run to it."""

    def __init__(self, run: Trainer, callbacks: Sequence[Callback]) -> None:
        self.run, self.callbacks = run, callbacks

    def on_step(self, trainer: Trainer, loss: float) -> None:
        trainer.stop_requested = self.run.stop_requested
        for callback in self.callbacks:
            callback.on_step(trainer, loss)


def learn_all(
    kept: ModelFile, config: Config, corpus: Corpus, networks: int, seconds: float, watch: Callback
) -> ModelFile | None:
    """`kept` with the mean of so many networks in place of its own; None where `watch` stopped one of them.

    Each learns for so many seconds, from the training and the validation part of `corpus`, with a seed of its own.
    """
    assert corpus.validation is not None
    corpus = dataclasses.replace(corpus, train=joined(corpus.train, corpus.validation), validation=None)
    learned: list[Arrays] = []
    for number in range(networks):
        training = dataclasses.replace(config.training, seed=(config.training.seed + 1 + number) % 2**63)
        arrays = _learn(dataclasses.replace(config, training=training), corpus, seconds, watch)
        if arrays is None:
            return None
        learned.append(arrays)
    model, arrays = merged(kept.model, learned)
    task = LanguageTask(dataclasses.replace(config, model=model), corpus, say=lambda text: None)
    load_arrays(task.model, arrays)
    made = dataclasses.replace(kept, model=model, arrays=arrays, record=dict(kept.record))
    task.finish(made)
    return made


def _learn(config: Config, corpus: Corpus, seconds: float, watch: Callback) -> Arrays | None:
    """The averaged weights of one network; None where it was stopped."""
    task = LanguageTask(config, corpus, say=lambda text: None)
    trainer = Trainer(
        task,
        config.training,
        Budget(seconds, 0),
        NEVER,
        validates=False,
        draw=lambda: iter(()),
        keep=lambda: None,
        save=lambda: None,
        callbacks=[watch],
    )
    trainer.run()
    if not trainer.finished:
        return None
    with trainer.average.in_place():
        return to_arrays(task.model)


def merged(model: ModelConfig, networks: Sequence[Arrays]) -> tuple[ModelConfig, Arrays]:
    """The one network whose logits are the mean of those of K networks of the same configuration.

    >>> one = {"layers.0.weight_ih": np.ones((3, 5)), "layers.0.weight_hh": np.ones((3, 1)),
    ...        "layers.0.bias": np.ones(3), "output.weight": np.ones((5, 1)), "output.bias": np.ones(5)}
    >>> config, arrays = merged(ModelConfig(cell="gru", hidden_size=1), [one, one])
    >>> config.hidden_size, arrays["layers.0.weight_hh"][:2].tolist(), arrays["output.weight"][0].tolist()
    (2, [[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5])
    """
    count, gates = len(networks), GATES[model.cell]
    arrays: Arrays = {}
    for name in networks[0]:
        each = [network[name] for network in networks]
        if name == "output.bias":
            arrays[name] = np.stack(each).mean(axis=0, dtype=np.float32)
        elif name in ("output.weight", "embedding.weight"):
            arrays[name] = np.concatenate(each, axis=1)  # (V, K * H) or (V, K * D)
        elif name == "layers.0.weight_ih" and not model.embedding_dim:
            arrays[name] = _by_gate(each, gates)  # one-hot inputs are the same to all
        elif name.endswith("bias"):
            arrays[name] = _by_gate(each, gates)
        else:
            arrays[name] = _blocks(each, gates)
    # The mean of the logits; a tied embedding is the input as well, where what is taken is given back.
    arrays["embedding.weight" if model.tied else "output.weight"] /= np.float32(count)
    if model.tied:
        arrays["layers.0.weight_ih"] *= np.float32(count)
    sized = dataclasses.replace(model, hidden_size=count * model.hidden_size, embedding_dim=count * model.embedding_dim)
    return sized, arrays


def _by_gate(each: Sequence[np.ndarray], gates: int) -> np.ndarray:
    """(G*H, ...) of each network as (G*K*H, ...): in every gate, one network's units after another's."""
    rows = [array.reshape(gates, -1, *array.shape[1:]) for array in each]
    return np.concatenate(rows, axis=1).reshape(-1, *each[0].shape[1:])


def _blocks(each: Sequence[np.ndarray], gates: int) -> np.ndarray:
    """(G*H, X) of each network as (G*K*H, K*X), with zeros between different networks."""
    width = each[0].shape[1]
    wide = [
        np.pad(array, ((0, 0), (width * place, width * (len(each) - 1 - place)))) for place, array in enumerate(each)
    ]
    return _by_gate(wide, gates)
