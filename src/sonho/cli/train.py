"""sonho train"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import click

from sonho.cli.options import (
    GroupedCommand,
    flag_settings,
    merge_settings,
    read_recipe,
    setting_flags,
    side_by_side,
    split_arguments,
)
from sonho.errors import UsageError


class TrainCommand(GroupedCommand):
    """Options in the order in which one comes to them: the run, the text, and what only some tasks know."""

    headings: ClassVar[dict[str, str]] = {
        "--data": "The run",
        "--level": "The text, for every task",
        "--label-column": "Labels (texts made from them; or, by --task: classify one a record, tag one a letter)",
        "--source": "Pairs, by --task translate",
    }


@click.command("train", cls=TrainCommand)
@click.argument("arguments", nargs=-1, metavar="[PATH]... [section.key=value]...")
@click.option("--data", "data_files", multiple=True, metavar="FILE", help="a text to train on; the same as PATH")
@click.option("--recipe", metavar="NAME", help="start from a known experiment, or a TOML file of your own")
@click.option("-o", "--output", metavar="RUN", help="run folder to make; default: runs/NAME of the first PATH")
@setting_flags("--minutes", "--epochs", "--steps", "--seed")
@click.option("--resume", is_flag=True, help="go on where the checkpoint in RUN stands, bit for bit")
@click.option("--init", metavar="MODEL", help="start from a trained model; its vocabulary grows as needed")
@click.option("--explain", is_flag=True, help="say what would be chosen for this text here, and why; train nothing")
@click.option("--json", "as_json", is_flag=True, help="write the metrics as JSON lines, nothing else")
@click.option("--quiet", is_flag=True, help="write nothing but the result")
@click.option("--list-recipes", is_flag=True, help="list the known experiments and stop")
@setting_flags("--level", "--kind", "--columns", "--field", "--errors", "--max-vocab", "--min-count", "--max-length")
@setting_flags("--speakers", "--validation", "--validation-files", "--test", "--prior", "--threads")
@setting_flags("--group-column", "--pictures", "--picture-column", "--picture-size", "--skip-bad")
@setting_flags("--label-column", "--condition", "--vectors", "--task", "--pooling", "--class-weights", "--strip")
@click.option("--source", multiple=True, metavar="FILE", help="a text to translate from, line by line; with --target")
@click.option("--target", multiple=True, metavar="FILE", help="its translation, as many lines")
@setting_flags("--source-column", "--target-column", "--max-words", "--shared-vocab", "--attention", "--input-feeding")
def command(
    arguments: tuple[str, ...],
    data_files: tuple[str, ...],
    recipe: str | None,
    output: str | None,
    resume: bool,
    init: str | None,
    explain: bool,
    as_json: bool,
    quiet: bool,
    list_recipes: bool,
    source: tuple[str, ...],
    target: tuple[str, ...],
    **flags: Any,
) -> int:
    """Train a model on a text file, many files, a folder, a table of short texts, or - (standard input).

    With nothing else said it trains for five minutes. Any setting can be given as section.key=value:
    the sections are model, data, training and sampling (see docs/reference).

    \b
    sonho train my.txt --minutes 3
    sonho train names.txt --kind records -o runs/names
    sonho train titles.csv --columns title --kind records model.cell=gru model.hidden_size=128
    sonho train --task classify topics.csv --label-column topic
    sonho train --task tag --strip accents portuguese.txt
    sonho train --task translate --source letters.de --target letters.en
    sonho train titles.csv --columns title --condition label --label-column topic
    sonho train --task caption captions.tsv --pictures photos/
    sonho train --recipe nietzsche --data nietzsche.txt
    sonho train --resume -o runs/my
    """
    if list_recipes:
        return _list_recipes()
    paths, overrides = split_arguments([*arguments, *data_files])
    paths += side_by_side(source, target)
    layers = [read_recipe(recipe)] if recipe else []
    layers += [flag_settings(flags), overrides]
    settings = merge_settings(layers)
    if resume and not output:
        raise UsageError("--resume needs the run folder to go on with; give it with -o")
    if not paths and not resume:
        raise UsageError("nothing to train on: give a text file, a folder or - for standard input")

    if explain:
        from sonho.training.run import explain as explained

        if not paths:
            raise UsageError("--explain needs the text to train on")
        for line in explained(paths, settings):
            click.echo(line)
        return 0
    from sonho.cli.display import make_display
    from sonho.cli.main import BEGAN
    from sonho.cli.report import print_result
    from sonho.training.run import default_output, train

    folder = Path(output) if output else default_output(paths)
    display = make_display(as_json=as_json, quiet=quiet)
    result = train(
        paths, folder, settings, resume=resume, init=init or "", callbacks=[display], say=display.say, began=BEGAN
    )
    if not as_json:
        print_result(result)
    return 0 if result.finished else 130


def _list_recipes() -> int:
    from importlib import resources

    from sonho.cli.options import recipe_names

    for name in recipe_names():
        text = (resources.files("sonho") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
        click.echo(f"{name:22} {text.splitlines()[0].lstrip('# ')}")
    return 0
