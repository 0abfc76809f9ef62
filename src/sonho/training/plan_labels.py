"""What a classifier or tagger gets where the person left it open; the experiments behind it are in docs/log.md."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sonho.config import Config
from sonho.data.corpus import Corpus
from sonho.errors import UsageError
from sonho.storage.model_file import ModelFile
from sonho.training.plan import Plan, fill

# Of the network, by what a token is: letters need more units to make words of, words a larger table.
LETTERS = {"model.hidden_size": 256, "model.embedding_dim": 64}
WORDS = {"model.hidden_size": 128, "model.embedding_dim": 128}
CHOSEN: dict[str, dict[str, Any]] = {
    "classify": {
        "model.bidirectional": True,
        "model.dropout": 0.5,
        "model.dropout_tokens": 0.1,
        "data.batch_size": 64,
        "training.learning_rate": 0.005,
    },
    "tag": {
        "model.bidirectional": True,
        "model.num_layers": 2,
        "model.dropout": 0.3,
        "data.batch_size": 32,
        "training.learning_rate": 0.01,
    },
}
# Of a model to start from these settings are taken, for its arrays to fit.
OF_THE_START = ("cell", "hidden_size", "num_layers", "embedding_dim", "nonlinearity")


def prepare_labels(config: Config, given: Set[str]) -> Config:
    """The data settings that a task implies. Raises UsageError where others were given."""
    data, task = config.data, config.model.task
    if "data.kind" in given and data.kind != "records":
        raise UsageError(f"--task {task} reads records, not data.kind={data.kind}; leave it out")
    implied: dict[str, Any] = {"data.kind": "records"}
    if task == "classify":
        implied["data.labelled"] = True
    else:
        if data.strip == "none":
            raise UsageError("--task tag needs to know what to restore: give --strip accents, case or both")
        # A letter and its accent must be one symbol, so that it has one tag.
        implied["data.normalize"] = "NFC"
    return fill(config, given, implied)


def fit_to_start(config: Config, given: Set[str], start: ModelFile) -> Config:
    """The network that `start` can begin: its sizes, read in one direction unless asked otherwise.

    Raises UsageError for a model without recurrent layers, or where a given setting differs.
    """
    if start.model.task == "translate":
        raise UsageError("the model of --init translates; a classifier starts from a language model or a classifier")
    if start.model.cell not in ("lstm", "gru", "rnn") or start.model.layer_norm:
        kind = "with layer norm" if start.model.layer_norm else start.model.cell
        raise UsageError(f"the model of --init is {kind}; a classifier starts from an lstm, gru or rnn without norms")
    for name in OF_THE_START:
        asked, fixed = getattr(config.model, name), getattr(start.model, name)
        if f"model.{name}" in given and asked != fixed:
            raise UsageError(
                f"model.{name} is {fixed!r} in the model of --init and cannot become {asked!r}; "
                "leave it out, or train without --init"
            )
    if "data.level" in given and config.data.level != start.tokenizer.level:
        raise UsageError(f"data.level is {start.tokenizer.level!r} in the model of --init; leave it out")
    values = {f"model.{name}": getattr(start.model, name) for name in OF_THE_START}
    values["data.level"] = start.tokenizer.level
    if start.model.task != "generate":
        values["model.bidirectional"] = start.model.bidirectional
    return fill(config, given, values)


def plan_labels(config: Config, given: Set[str], corpus: Corpus) -> Plan:
    """Fill in what is not among `given` ("section.key")."""
    task = config.model.task
    letters = corpus.tokenizer.level in ("char", "byte")
    made = fill(config, given, {**(LETTERS if letters else WORDS), **CHOSEN[task]})
    model = made.model
    both = "both directions" if model.bidirectional else "one direction"
    pooled = f", {model.pooling} pooling" if task == "classify" else ""
    items = f"{corpus.train.num_records:,} records" if task == "classify" else f"{corpus.train.num_tokens:,} tokens"
    line = (
        f"Plan for {items} with {len(corpus.label_names)} labels: {model.cell} {model.num_layers} x "
        f"{model.hidden_size}, {both}{pooled}, dropout {model.dropout:g}, batch {made.data.batch_size} records"
    )
    return Plan(made, (line,))
