"""Scenes are cut by scene, and colours exchanged in picture and sentence alike."""

import io

import numpy as np
from PIL import Image

from nlvr_data import BOXES, COLORS, FOLDS, GROUND, colored, side_of

PLACES = (10, 160, 310)  # columns, one in each box


def scene() -> bytes:
    """A dot of each colour in a box of its own, beside each a pixel half its colour and half the ground."""
    pixels = np.full((2, 400, 3), GROUND, np.uint8)
    for place, value in zip(PLACES, COLORS.values(), strict=True):
        pixels[1, place] = value
        pixels[1, place + 1] = (np.array(value) + GROUND + 1) // 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def read(png: bytes) -> np.ndarray:
    """Its boxes, each turned so that the dot stands where it was."""
    pixels = np.array(Image.open(io.BytesIO(png))).astype(int)
    for box, place in zip(BOXES, PLACES, strict=True):
        if (pixels[1, place] == GROUND).all():
            pixels[:, box] = pixels[:, box][:, ::-1]
    return pixels


def test_the_sentence_says_the_colours_that_the_picture_has():
    made = list(colored("dev-1-0-0.png", scene(), "Black, yellow, BLUE"))
    assert len({name for name, _, _ in made}) == 6
    assert len({text for _, _, text in made}) == 6
    for _, png, text in made:
        pixels = read(png)
        for place, word in zip(PLACES, text.split(", "), strict=True):
            assert tuple(pixels[1, place]) == COLORS[word]
            rim = (np.array(COLORS[word]) + GROUND) / 2
            np.testing.assert_allclose(pixels[1, place + 1], rim, atol=2)
        assert tuple(pixels[0, 0]) == (GROUND,) * 3


def test_boxes_are_mirrored_each_by_itself():
    ways = set()
    for order in range(6):
        for _, png, _ in colored(f"dev-1-0-{order}.png", scene(), ""):
            pixels = np.array(Image.open(io.BytesIO(png)))
            ways.add(tuple(bool((pixels[1, place] == GROUND).all()) for place in PLACES))
    assert len(ways) == 8


def test_every_scene_is_tested_in_one_fold():
    scenes = [f"dev-{number}-0" for number in range(2000)]
    for scene in scenes:
        sides = [side_of(scene, fold) for fold in range(FOLDS)]
        assert sides.count("test") == 1
    for fold in range(FOLDS):
        sides = [side_of(scene, fold) for scene in scenes]
        assert 320 < sides.count("test") < 480
        assert 140 < sides.count("validation") < 260
