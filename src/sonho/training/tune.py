"""`sonho tune`: what a search is about, and how it begins or goes on. How it tries settings is in trials.py.

Everything is in study.db of the output folder, trial by trial, so that a search goes on where it was killed. The test
part is neither learned from nor scored.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonho.config import Config, build_config
from sonho.data.corpus import build_corpus
from sonho.data.splits import read_shares
from sonho.errors import UsageError
from sonho.storage.durable import folder_lock, make_folder
from sonho.training.run import Settings, given_settings, planned, set_threads
from sonho.training.space import Space, default_space, from_stored, planned_point, to_stored
from sonho.training.trials import Outcome, Trials, open_study, with_limit

# With nothing said, a search has room for about so many trials.
TRIALS_A_SEARCH = 15


@dataclass(frozen=True)
class Search:
    """What a folder's search is about; it stays the same however often it goes on."""

    paths: list[str]
    settings: dict[str, dict[str, Any]]
    space: dict[str, Any]
    trial_minutes: float


def tune(
    paths: Sequence[str],
    output: str | Path,
    settings: Settings,
    space: Space,
    *,
    minutes: float,
    trial_minutes: float = 0.0,
    trials: int = 0,
    only_given: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Search for `minutes` in all, earlier calls for the same folder included, and write the best recipe.

    `space` replaces the usual bounds of what it names; `only_given` searches nothing else. A trial lasts
    `trial_minutes`, or as `settings` say in steps or epochs; `trials` above 0 are the most, all calls together. Without
    `paths` the search of the folder goes on. Raises UsageError where the folder holds another search, and
    KeyboardInterrupt after the recipe was written.
    """
    began, folder = time.perf_counter(), Path(output)
    make_folder(folder)
    with folder_lock(folder):
        study = open_study(folder)
        stored = study.user_attrs.get("search")
        if stored is None:
            each = trial_minutes or minutes / TRIALS_A_SEARCH
            search, reader, config = _begin(folder, paths, settings, space, only_given, each)
            point = planned_point(config, from_stored(search.space))
            # Where the plan's choice lies outside what may be searched, the first trial is partly a guess.
            study.enqueue_trial(point, user_attrs={"planned": len(point) == len(search.space)}, skip_if_exists=True)
            study.set_user_attr("search", dataclasses.asdict(search))
        else:
            search = Search(**stored)
            _check_same(folder, search, paths, settings, space, trial_minutes)
            reader = Reader(search.paths, search.settings, folder)
        runner = Trials(study, reader, from_stored(search.space), search.trial_minutes, folder, say)
        try:
            runner.run(minutes * 60.0, trials, began)
        finally:
            runner.write_recipe()
        return runner.outcome()


class Reader:
    """The text, read once for all trials; the test part is put away.

    Raises UsageError where there is nothing to judge by or nothing to learn.
    """

    def __init__(self, paths: list[str], settings: Settings, folder: Path) -> None:
        began = time.perf_counter()
        self.paths, self.settings = paths, settings
        config = build_config(settings)
        if config.model.cell == "ngram":
            raise UsageError("an n-gram is counted, not trained; there is nothing to tune")
        if config.model.task != "generate":
            raise UsageError(f"only models that generate are tuned; model.task is {config.model.task}")
        if config.model.condition != "none":
            raise UsageError(f"conditioned models are not tuned; model.condition is {config.model.condition}")
        if read_shares(config.data).test_files:
            config.data.test = ""
        set_threads(config)
        corpus = build_corpus(paths, config.data, seed=config.training.seed, folder=folder / "data")
        if corpus.validation is None:
            raise UsageError("nothing to judge by: data.validation must be above 0")
        self.corpus = dataclasses.replace(corpus, test=None)
        self.seconds = time.perf_counter() - began

    def planned(self, trial_minutes: float) -> Config:
        """The configuration that the plan's table gives for a trial's time."""
        settings = with_limit(self.settings, trial_minutes)
        return planned(build_config(settings), given_settings(settings), self.corpus, self.seconds).config


def default_output(paths: Sequence[str]) -> Path:
    """runs/tune-NAME, after the first input: the same command goes on with the same search."""
    first = Path(paths[0]).name if paths[0] != "-" else "stdin"
    return Path("runs") / f"tune-{first.split('.')[0].strip('*?[]') or 'run'}"


def _begin(
    folder: Path, paths: Sequence[str], settings: Settings, space: Space, only_given: bool, trial_minutes: float
) -> tuple[Search, Reader, Config]:
    """A new search, its text, and what the plan chooses for it."""
    if not paths:
        raise UsageError(f"{folder} holds no search to go on with; give the text")
    if only_given and not space:
        raise UsageError("nothing to search: name a setting and its values, as in model.hidden_size=128,256")
    if any(path == "-" for path in paths):
        raise UsageError("a search reads its text again when it goes on; give a file instead of standard input")
    said = {name: dict(values) for name, values in settings.items()}
    reader = Reader(_absolute(paths), said, folder)
    config = reader.planned(trial_minutes)
    bounds = {} if only_given else default_space(config, given_settings(said) | space.keys())
    return Search(reader.paths, said, to_stored({**bounds, **space}), trial_minutes), reader, config


def _check_same(
    folder: Path, search: Search, paths: Sequence[str], settings: Settings, space: Space, trial_minutes: float
) -> None:
    """Raise UsageError where something was said that the folder's search is not about."""
    told = from_stored(search.space)
    differing = [name for name, bounds in space.items() if told.get(name) != bounds]
    for section, values in settings.items():
        differing += [
            f"{section}.{key}" for key, value in values.items() if search.settings.get(section, {}).get(key) != value
        ]
    if paths and _absolute(paths) != search.paths:
        differing.insert(0, "the text")
    if trial_minutes and trial_minutes != search.trial_minutes:
        differing.append(f"--trial-minutes, which was {search.trial_minutes:g},")
    if differing:
        raise UsageError(f"{folder} holds a search in which {differing[0]} is another; choose another --output")


def _absolute(paths: Sequence[str]) -> list[str]:
    return [os.path.abspath(path) for path in paths]
