"""sonho tune"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sonho.cli.options import flag_settings, merge_settings, setting_flags, split_arguments
from sonho.errors import UsageError

if TYPE_CHECKING:
    from sonho.training.trials import Outcome

DEFAULT_MINUTES = 30.0


@click.command("tune")
@click.argument("arguments", nargs=-1, metavar="[PATH]... [section.key=value]... [section.key=a,b,c]...")
@click.option(
    "-o", "--output", metavar="FOLDER", help="folder of the search; default: runs/tune-NAME of the first PATH"
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_MINUTES,
    show_default=True,
    help="of the search, all calls for its folder together",
)
@click.option(
    "--trial-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="of each trial, as of sonho train; default: a fifteenth of --minutes, or --epochs or --steps",
)
@click.option("--trials", type=click.IntRange(min=1), help="stop after so many, all calls together")
@click.option(
    "--space",
    type=click.Choice(["default", "given"]),
    default="default",
    show_default=True,
    help="default: what is named, and the usual settings around the plan; given: only what is named",
)
@setting_flags("--epochs", "--steps", "--seed")
@setting_flags("--level", "--kind", "--columns", "--field", "--errors", "--max-vocab", "--min-count", "--max-length")
@setting_flags("--validation", "--test", "--threads")
@click.option("--quiet", is_flag=True, help="write nothing but the result")
def command(
    arguments: tuple[str, ...],
    output: str | None,
    minutes: float,
    trial_minutes: float | None,
    trials: int | None,
    space: str,
    quiet: bool,
    **flags: Any,
) -> None:
    """Search for better settings than the plan's, by the validation part, and write them as a recipe.

    What is searched is cell, size, layers, dropout, rate, averaging, batch and window, around what sonho train
    would choose. A setting given with one value is kept; with several (a,b,c) or a range (low..high) it is
    searched there. Trials that fall behind are stopped early. Kill it when you like: the same command goes on.

    \b
    sonho tune my.txt --minutes 60 --trial-minutes 3
    sonho tune my.txt model.cell=gru model.hidden_size=256,384,512 training.learning_rate=0.01..0.04
    sonho train --recipe runs/tune-my/recipe.toml my.txt
    """
    from sonho.training.space import is_searched, parse_space
    from sonho.training.tune import default_output, tune

    searched = [argument for argument in arguments if is_searched(argument)]
    paths, overrides = split_arguments([argument for argument in arguments if not is_searched(argument)])
    settings = merge_settings([flag_settings(flags), overrides])
    if not paths and not output:
        raise UsageError("nothing to tune for: give a text, or with -o the folder of a search to go on with")
    if "minutes" in settings.get("training", {}):
        raise UsageError("training.minutes is a trial's time here; give it as --trial-minutes")
    folder = Path(output) if output else default_output(paths)
    outcome = tune(
        paths,
        folder,
        settings,
        parse_space(searched),
        minutes=minutes,
        trial_minutes=trial_minutes or 0.0,
        trials=trials or 0,
        only_given=space == "given",
        say=_silent if quiet else _say,
    )
    _print_outcome(outcome)


def _print_outcome(outcome: Outcome) -> None:
    if outcome.recipe is None or outcome.loss is None:
        click.echo(f"No trial came to its end in {outcome.num_trials}; give it more --minutes")
        return
    plan = f"; the plan's choice: {outcome.planned_loss:.4f}" if outcome.planned_loss is not None else ""
    click.echo(f"Best of {outcome.num_trials} trials: {outcome.loss:.4f} nats/token{plan}")
    click.echo(f"Use it: sonho train --recipe {outcome.recipe} TEXT")


def _say(text: str) -> None:
    click.echo(text)


def _silent(text: str) -> None:
    pass
