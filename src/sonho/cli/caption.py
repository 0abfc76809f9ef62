"""sonho caption"""

from __future__ import annotations

import json
import sys
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sonho.errors import DataError, InputNotFoundError, UsageError

if TYPE_CHECKING:
    from sonho.decoding.captioner import Caption, Captioner

PICTURES_AT_ONCE = 64
ADVICE = "; --skip-bad goes on without it"


@click.command("caption")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "--beam",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="captions that are followed side by side; 1 = greedy",
)
@click.option("--n-best", type=click.IntRange(min=1), default=1, show_default=True, help="captions of each picture")
@click.option(
    "--length-penalty", type=float, default=1.0, show_default=True, help="of a beam: above 1 prefers longer captions"
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="above 0: draw captions, --n-best of them, in place of the likeliest",
)
@click.option("--top-k", type=click.IntRange(min=1), help="draw from the k likeliest words")
@click.option("--top-p", type=float, help="draw from the likeliest words that hold this share")
@click.option("--seed", type=click.IntRange(min=0), help="of what is drawn; the same seed gives the same captions")
@click.option("--max-tokens", type=click.IntRange(min=1), help="longest caption; default: the model's")
@click.option(
    "--attention-map", metavar="FILE", help="of one picture: what was looked at for each word, as .svg or .png"
)
@click.option("--skip-bad", is_flag=True, help="go on where a picture cannot be read")
@click.option("--json", "as_json", is_flag=True, help="a JSON object for each picture")
def command(
    model: str,
    pictures: tuple[str, ...],
    attention_map: str | None,
    skip_bad: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write what MODEL, trained with --task caption, says of each PICTURE: PNG or JPEG files, folders or .tars of them.

    With more than one picture or caption a line is: picture, TAB, caption. PyTorch is not needed.

    \b
    sonho caption runs/scenes photo.png --beam 5
    sonho caption runs/scenes pictures/ --json > captions.jsonl
    sonho caption runs/scenes photo.png --temperature 0.8 --n-best 3 --seed 1
    sonho caption runs/scenes photo.png --attention-map looked-at.svg
    """
    from sonho.data.pictures import is_tar, pictures_in
    from sonho.decoding.captioner import Captioner
    from sonho.storage.model_file import load_model_file

    captioner = Captioner(load_model_file(model))
    paths = [Path(picture) for picture in pictures]
    alone = len(paths) == 1 and not paths[0].is_dir() and not is_tar(paths[0])
    if attention_map and not alone:
        raise UsageError("--attention-map is of one picture; name one file")
    options = {name: value for name, value in options.items() if value is not None}
    found, seen, read = chain.from_iterable(map(pictures_in, paths)), 0, 0
    while several := list(islice(found, PICTURES_AT_ONCE)):
        pixels = _read(captioner, several, "" if alone else ADVICE, skip_bad=skip_bad)
        captioned = captioner.caption([each for _, each in pixels], first=seen, **options)
        seen, read = seen + len(several), read + len(pixels)
        for (name, _), captions in zip(pixels, captioned, strict=True):
            _show(name, captions, as_json=as_json, alone=alone and options["n_best"] == 1)
            if attention_map:
                _draw(attention_map, paths[0], captions[0])
    if not read:
        raise DataError("no picture could be read" if seen == 1 else f"none of {seen:,} pictures could be read")


def _read(
    captioner: Captioner, pictures: list[tuple[str, Path | bytes]], advice: str, *, skip_bad: bool
) -> list[tuple[str, Any]]:
    """The names and pixels of the pictures that can be read; the others stop, or are told where `skip_bad`."""
    pixels = []
    for name, picture in pictures:
        try:
            pixels.append((name, captioner.pixels(picture)))
        except (DataError, InputNotFoundError) as error:
            told = str(error) if isinstance(picture, Path) else f"{name}: {error}"
            if not skip_bad:
                raise type(error)(f"{told}{advice}") from None
            print(f"sonho: left out: {told}", file=sys.stderr)
    return pixels


def _show(name: str, captions: list[Caption], *, as_json: bool, alone: bool) -> None:
    if as_json:
        shown = [
            {"text": one.text, "score": one.score, "log_probability": one.log_probability, "finished": one.finished}
            for one in captions
        ]
        click.echo(json.dumps({"picture": name, "captions": shown}, ensure_ascii=False))
        return
    for one in captions:
        click.echo(one.text if alone else f"{name}\t{one.text}")


def _draw(path: str, picture: Path, caption: Caption) -> None:
    from sonho.data.pictures import read_picture
    from sonho.export.attention_map import write_attention_map

    if caption.attention is None:
        raise UsageError(
            "this model was trained with model.attention=none and looks at no place; leave out --attention-map"
        )
    write_attention_map(Path(path), read_picture(picture), caption.tokens, caption.attention)
