"""One training from the text to the model file: data, plan, baseline, network, loop, result.

The run folder holds model.safetensors (to use), checkpoint.safetensors (to go on), metrics.jsonl,
samples.jsonl and, for large texts, the tokens in data/.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sonho.config import OF_LABELS, Config, SamplingConfig, build_config, to_dict
from sonho.data.corpus import Corpus, build_corpus
from sonho.errors import UsageError
from sonho.native.library import threads_wanted
from sonho.storage.durable import folder_lock, make_folder
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, load_model_file
from sonho.text import Tokenizer, tokenizer_from_json
from sonho.training.budget import Budget, make_budget
from sonho.training.callbacks import Callback
from sonho.training.checkpoint import CHECKPOINT_NAME, load_checkpoint
from sonho.training.conditioning import records_for_conditions
from sonho.training.count import count_ngrams
from sonho.training.grow import grown_model
from sonho.training.held_out import choose_validation
from sonho.training.language import Say
from sonho.training.level import choose_level
from sonho.training.long_text import choose_sample
from sonho.training.plan import Plan, can_average, fill, intervals, plan, step_tokens
from sonho.training.plan_captions import plan_captions, prepare_captions
from sonho.training.plan_labels import OF_THE_START, fit_to_start, plan_labels, prepare_labels
from sonho.training.plan_pairs import plan_pairs, prepare_pairs
from sonho.training.prior import check_prior
from sonho.training.session import Result, Session, make_task
from sonho.training.speed import measure_speed
from sonho.training.trainer import Trainer

Settings = Mapping[str, Mapping[str, Any]]
# Of the time that is left when the plan is made, for the plan; how long the rest takes is measured afterwards.
SHARE_OF_LEARNING = 0.9
# Settings of the model that say nothing about the network's shape.
BESIDE_THE_NETWORK = ("prior", "prior_order")
# Measuring this machine takes so much of the budget, and no more than so many seconds.
SHARE_OF_PROBING, MOST_PROBING_SECONDS = 0.05, 2.0
# Settings that may change when a run goes on; any other would make it another run.
RESUMABLE = {
    "training": {
        "minutes",
        "epochs",
        "steps",
        "patience",
        "threads",
        "checkpoint_every",
        "checkpoint_seconds",
    },
    "sampling": set(to_dict(SamplingConfig())),
}


def train(
    paths: Sequence[str],
    output: str | Path,
    settings: Settings | None = None,
    *,
    resume: bool = False,
    init: str = "",
    callbacks: Sequence[Callback] = (),
    say: Say = lambda text: None,
    began: float | None = None,
) -> Result:
    """Train on `paths` into the run folder `output`.

    `settings` are sections of settings, as in a recipe. `resume` goes on where the folder's checkpoint
    stands (`paths` may be left out); `init` starts from a model file's weights, its vocabulary grown
    by the symbols that are new. `began` is the time.perf_counter() from which a budget of minutes counts;
    without it, this call. Raises SonhoError's children.
    """
    began = time.perf_counter() if began is None else began
    folder = Path(output)
    begun = (folder / CHECKPOINT_NAME).exists()
    if not paths and not resume:
        raise UsageError("nothing to train on: give a text file, a folder or - for standard input")
    if not paths and not begun:
        raise UsageError(f"{folder} holds no {CHECKPOINT_NAME} to resume; give the text to start a run there")
    if resume and begun and init:
        raise UsageError("--init starts a new run and --resume goes on with an old one; leave out one of them")
    make_folder(folder)
    with folder_lock(folder):
        if resume and begun:
            return _resumed(folder, paths, settings or {}, say, began).go(callbacks)
        if resume:
            say(f"{folder} holds no {CHECKPOINT_NAME} yet: starting from the beginning")
        if begun or (folder / MODEL_FILE_NAME).exists():
            raise UsageError(f"{folder} already holds a run; go on with --resume or choose another --output")
        return _fresh(folder, paths, settings or {}, init, say, callbacks, began)


def _fresh(
    folder: Path,
    paths: Sequence[str],
    settings: Settings,
    init: str,
    say: Say,
    callbacks: Sequence[Callback],
    began: float,
) -> Result:
    given = given_settings(settings)
    config = records_for_conditions(build_config(settings), given)
    check_prior(config)
    check_networks(config, init)
    set_threads(config)
    labels = config.model.task in OF_LABELS
    config = prepared(config, given, paths)
    start: ModelFile | None = None
    tokenizer: Tokenizer | None = None
    source_tokenizer: Tokenizer | None = None
    if init:
        start = load_model_file(init)
        if start.condition is not None:
            raise UsageError("--init cannot start from a conditioned model; train on its records and the new ones")
        if labels:
            config = fit_to_start(config, given, start)
            given |= {f"model.{key}" for key in (*OF_THE_START, "bidirectional")}
            start = grown_model(start, paths, config.data)
        else:
            _check_fit(start, config, given)
            config.data.level = start.tokenizer.level  # how bytes are read depends on it
            if start.model.task == "generate":
                start = grown_model(start, paths, config.data)
            if start.model.task == "caption":
                config = fill(config, given, {"data.picture_size": start.record["data"]["picture_size"]})
            beside = {key: getattr(config.model, key) for key in BESIDE_THE_NETWORK}
            config.model = replace(start.model, **beside)
            given |= {f"model.{key}" for key in to_dict(config.model)}
        tokenizer, source_tokenizer = start.tokenizer, start.source_tokenizer
    for line in _choose_data(config, given, paths, may_cut=not init):
        say(line)
    corpus = build_corpus(
        paths,
        config.data,
        seed=config.training.seed,
        folder=folder / "data",
        tokenizer=tokenizer,
        source_tokenizer=source_tokenizer,
    )
    for line in corpus.notes:
        say(line)
    return train_corpus(corpus, folder, config, given, paths, say=say, callbacks=callbacks, began=began, start=start)


def train_corpus(
    corpus: Corpus,
    folder: Path,
    config: Config,
    given: Set[str],
    paths: Sequence[str],
    *,
    say: Say,
    callbacks: Sequence[Callback],
    began: float,
    start: ModelFile | None = None,
    alone: bool = False,
) -> Result:
    """As `train` into a folder that is free, from a corpus that was read; `given` are the settings not to be chosen.

    `alone`: one network, though there be time for several.
    """
    if config.model.cell == "ngram" and config.model.condition == "none":
        seconds, validation, test = count_ngrams(folder, config, corpus)
        return Result(folder, True, seconds, validation=validation, test=test)
    made = planned(config, given, corpus, time.perf_counter() - began, alone=alone or start is not None)
    for line in made.lines:
        say(line)
    session = Session(
        folder, paths, made.config, corpus, made.lines[0], say, began, made.most_seconds, made.networks, start=start
    )
    return session.go(callbacks)


def planned(config: Config, given: Set[str], corpus: Corpus, spent: float, *, alone: bool = False) -> Plan:
    """What to train and why; measures this machine where the budget is minutes, of which `spent` seconds are gone.

    `alone`: one network.
    """
    if config.model.task == "caption":
        return plan_captions(config, given, corpus)
    if config.model.task in OF_LABELS:
        return plan_labels(config, given, corpus)
    if config.model.task == "translate":
        by_clock = make_budget(config.training, 1).seconds
        left = max(by_clock - spent, 0.0) * SHARE_OF_LEARNING
        return plan_pairs(config, given, corpus, lambda sized: _one_step(sized, corpus), left)
    vocab_size, symbols = corpus.tokenizer.vocab_size, len(corpus.train.tokens)
    length = symbols / corpus.train.num_records if corpus.kind == "records" else 0.0
    facts: dict[str, Any] = {"symbols": symbols, "vocab_size": vocab_size, "record_length": length}
    budget = make_budget(config.training, 1)
    speed, seconds, began = None, 0.0, time.perf_counter()
    if budget.seconds and corpus.kind != "windows":
        probed = plan(config, given, **facts).config
        tokens = step_tokens(probed, facts["record_length"])
        probing = min(SHARE_OF_PROBING * budget.seconds, MOST_PROBING_SECONDS)
        speed = measure_speed(probed, vocab_size, tokens, lambda sized: _one_step(sized, corpus), seconds=probing)
        seconds = max(budget.seconds - spent - (time.perf_counter() - began), 0.0) * SHARE_OF_LEARNING
    # A held-out part that is a text of its own is none to learn from.
    holds_out = corpus.validation is not None and not config.data.validation_files
    return plan(
        config,
        given,
        **facts,
        seconds=seconds,
        speed=speed,
        may_average=not alone,
        may_learn_all=holds_out and config.training.learn_end,
    )


def explain(paths: Sequence[str], settings: Settings | None = None) -> tuple[str, ...]:
    """What `train` would choose for these texts here, and why, without training."""
    given = given_settings(settings or {})
    config = records_for_conditions(build_config(settings or {}), given)
    if config.model.cell == "ngram":
        raise UsageError("an n-gram is counted, not trained; there is nothing to choose")
    set_threads(config)
    config = prepared(config, given, paths)
    with tempfile.TemporaryDirectory() as folder:
        chosen = _choose_data(config, given, paths, may_cut=True)
        corpus = build_corpus(paths, config.data, seed=config.training.seed, folder=Path(folder, "data"))
        made = planned(config, given, corpus, 0.0)
    return (*chosen, *corpus.notes, *made.lines)


def _choose_data(config: Config, given: Set[str], paths: Sequence[str], *, may_cut: bool) -> list[str]:
    """What a run by the clock reads of the text, holds out and, where it `may_cut` words, calls a token; sentences."""
    chosen = [choose_sample(config, given, paths)]
    choose_validation(config, given, paths)
    if may_cut:
        chosen.append(choose_level(config, given, paths))
    return [line for line in chosen if line]


def prepared(config: Config, given: Set[str], paths: Sequence[str]) -> Config:
    """The settings with what the task says of the data."""
    if config.model.task in OF_LABELS:
        return prepare_labels(config, given)
    if config.model.task == "caption":
        return prepare_captions(config, given, paths)
    return prepare_pairs(config, given, paths) if config.model.task == "translate" else config


def _one_step(config: Config, corpus: Corpus) -> Callable[[], None]:
    """Training steps on the text that are thrown away."""
    budget = Budget(1e9, 0)
    trainer = Trainer(
        make_task(config, corpus, say=lambda text: None),
        config.training,
        budget,
        intervals(config, budget),
        validates=False,
        draw=lambda: iter(()),
        keep=lambda: None,
        save=lambda: None,
    )
    return trainer.learn_one


def check_networks(config: Config, init: str) -> None:
    """Raise UsageError where several networks are asked for that have no mean."""
    networks, model = config.training.networks, config.model
    if networks < 2:
        return
    if init:
        raise UsageError(
            f"training.networks={networks} begin anew, and --init starts from a model; leave out one of them"
        )
    if model.task != "generate" or not can_average(model):
        raise UsageError(
            f"training.networks={networks}: only recurrent language models without layer norm or condition have a mean;"
            " leave it out"
        )


def _check_fit(start: ModelFile, config: Config, given: Set[str]) -> None:
    """Raise UsageError where a given setting is not that of the model to start from, whose shapes and symbols stay."""
    if start.model.task != config.model.task:
        raise UsageError(
            f"the model of --init has model.task={start.model.task}; "
            f"one of model.task={config.model.task} starts from another"
        )
    stored = to_dict(start.model).items()
    fixed = {f"model.{key}": value for key, value in stored if key not in BESIDE_THE_NETWORK}
    fixed["data.level"] = start.tokenizer.level
    asked = {f"model.{key}": value for key, value in to_dict(config.model).items()}
    asked["data.level"] = config.data.level
    for name in sorted(given & fixed.keys()):
        if asked[name] != fixed[name]:
            raise UsageError(
                f"{name} is {fixed[name]!r} in the model of --init and cannot become {asked[name]!r}; "
                "leave it out, or train without --init"
            )


def _resumed(folder: Path, paths: Sequence[str], settings: Settings, say: Say, began: float) -> Session:
    build_config(settings)  # unknown names and values out of bounds are told as in a new run
    header, arrays = load_checkpoint(folder)
    stored: dict[str, dict[str, Any]] = {name: dict(values) for name, values in header["config"].items()}
    for section, values in settings.items():
        for key, value in values.items():
            if key not in RESUMABLE.get(section, ()) and stored[section].get(key) != value:
                raise UsageError(
                    f"{section}.{key} was {stored[section].get(key)!r} and cannot become {value!r} on --resume;"
                    f" start a new run with another --output"
                )
            if key in ("minutes", "epochs", "steps"):
                stored["training"].update(minutes=0.0, epochs=0.0, steps=0)
                runs = max(stored["training"].get("networks", 1), 1) + header.get("networks", 0)
                header["seconds"] = (values.get("minutes") or 0.0) * 60.0 / runs  # of learning, all calls together
            stored[section][key] = value
    config = build_config(stored)
    set_threads(config)
    if not config.training.threads:
        # Sums are taken in another order by another number of threads, and bits would differ.
        torch.set_num_threads(header["threads"])
    paths = list(paths) or header["paths"]
    corpus = build_corpus(
        paths,
        config.data,
        seed=config.training.seed,
        folder=folder / "data",
        tokenizer=tokenizer_from_json(header["tokenizer"]),
        source_tokenizer=tokenizer_from_json(source) if (source := header.get("source_tokenizer")) else None,
    )
    if corpus.digest != header["digest"]:
        raise UsageError(
            f"the text in {', '.join(paths)} is not the one that this run was trained on; "
            f"give the old text, or start a new run with another --output and --init {folder}"
        )
    return Session(folder, paths, config, corpus, header["plan"], say, began, checkpoint=(header, arrays))


def set_threads(config: Config) -> None:
    """Let torch use as many threads as were asked for."""
    threads = config.training.threads or threads_wanted()
    if threads:
        with contextlib.suppress(RuntimeError):
            torch.set_num_threads(threads)


def given_settings(settings: Settings) -> set[str]:
    """The names, "section.key", of what was said."""
    return {f"{section}.{key}" for section, values in settings.items() for key in values}


def default_output(paths: Sequence[str]) -> Path:
    """A run folder that is free, named after the first input: runs/NAME, runs/NAME-2, ..."""
    first = Path(paths[0]).name if paths and paths[0] != "-" else "stdin"
    name = first.split(".")[0].strip("*?[]") or "run"
    folder, number = Path("runs") / name, 1
    while folder.exists() and any(folder.iterdir()):
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder
