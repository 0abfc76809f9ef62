"""NLVR cut by scene into three tables, with more to learn from: colours exchanged in picture and sentence alike.

    python benchmarks/nlvr_data.py CORPORA/nlvr FOLDER [FOLD]

A tenth of the scenes is for validation and a fifth for test, as they are: others in each FOLD from 0 to 4, so that
every scene is tested in one of them. Of the rest every exchange of black, yellow and blue is learned from, in each of
the scene's six box orders: "there is a blue tower" beside the blue tower, "there is a black tower" beside the same
one in black. About half of the boxes are mirrored, each by itself.
FOLDER gets train.tsv, validation.tsv, test.tsv and pictures.tar.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"black": (0, 0, 0), "yellow": (255, 255, 0), "blue": (0, 153, 255)}
GROUND = 211  # the grey of the boxes
BOXES = (slice(0, 100), slice(150, 250), slice(300, 400))  # columns
FOLDS = 5
Row = tuple[str, str, str]  # picture, caption, scene


def cut(source: Path, folder: Path, fold: int = 0) -> None:
    """Write the tables and the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (source / "captions.tsv").open(encoding="utf-8", newline="") as file:
        captions = {row["image"]: (row["caption"], row["scene"]) for row in csv.DictReader(file, delimiter="\t")}
    tables: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    with tarfile.open(source / "images.tar") as images, tarfile.open(folder / "pictures.tar", "w") as pictures:
        for member in images:
            opened = images.extractfile(member)
            if opened is None or member.name not in captions:
                continue
            data, (caption, scene) = opened.read(), captions[member.name]
            side = side_of(scene, fold)
            made = colored(member.name, data, caption) if side == "train" else iter([(member.name, data, caption)])
            for name, png, text in made:
                info = tarfile.TarInfo(name)
                info.size = len(png)
                pictures.addfile(info, io.BytesIO(png))
                tables[side].append((name, text, scene))
    for side, rows in tables.items():
        with (folder / f"{side}.tsv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("image", "caption", "scene"), *rows])


def side_of(scene: str, fold: int) -> str:
    """By the scene alone, so that all its pictures go to one side; to the test part in one of the folds."""
    place = (int.from_bytes(hashlib.sha256(scene.encode()).digest()[:8], "big") - 2 * fold) % (2 * FOLDS)
    return {0: "test", 1: "test", 2: "validation"}.get(place, "train")


def colored(name: str, data: bytes, caption: str) -> Iterator[tuple[str, bytes, str]]:
    """A picture in every exchange of its colours, with the sentence in them."""
    stem = name.removesuffix(".png")
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    boxes = [unmixed(pixels[:, box]) for box in BOXES]
    for number, names in enumerate(permutations(COLORS)):
        made = f"{stem}-{number}.png"
        turns = hashlib.sha256(made.encode()).digest()[: len(BOXES)]
        painted = pixels.copy()
        for box, (color, share), turn in zip(BOXES, boxes, turns, strict=True):
            drawn = np.rint(GROUND + share[..., None] * (palette(names) - GROUND)[color])
            painted[:, box] = drawn[:, ::-1] if turn % 2 else drawn
        buffer = io.BytesIO()
        Image.fromarray(painted).save(buffer, "PNG", compress_level=1)
        yield made, buffer.getvalue(), recolored(caption, dict(zip(COLORS, names, strict=True)))


def unmixed(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of pixels (H, W, 3) which of COLORS it may be, and how much of it (both (H, W)).

    The rim of a shape is a mixture of its colour and the ground.
    """
    away = pixels.astype(np.float32) - GROUND
    own = palette(COLORS) - GROUND
    shares = np.clip(away @ own.T / (own**2).sum(axis=1), 0, 1)  # (H, W, 3)
    misses = ((away[:, :, None] - shares[..., None] * own) ** 2).sum(axis=-1)
    nearest = misses.argmin(axis=-1)
    return nearest, np.take_along_axis(shares, nearest[..., None], axis=-1)[..., 0]


def palette(names: Iterable[str]) -> np.ndarray:
    """The colours (C, 3) of these names."""
    return np.array([COLORS[name] for name in names], np.float32)


def recolored(caption: str, exchanged: dict[str, str]) -> str:
    """The sentence with every colour's name exchanged.

    >>> recolored("There is a Blue box over black ones", {"blue": "black", "black": "blue", "yellow": "yellow"})
    'There is a black box over blue ones'
    """
    return re.sub("|".join(COLORS), lambda found: exchanged[found[0].lower()], caption, flags=re.IGNORECASE)


if __name__ == "__main__":
    cut(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
