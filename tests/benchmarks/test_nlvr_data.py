"""Scenes are cut by scene, and colours exchanged in picture and sentence alike."""

import io

import numpy as np
from PIL import Image

from nlvr_data import COLORS, colored, side_of


def test_the_sentence_says_the_colours_that_the_picture_has():
    picture = Image.new("RGB", (6, 2), (211, 211, 211))
    for x, value in zip((0, 2, 4), COLORS.values(), strict=True):
        picture.putpixel((x, 1), value)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    made = [
        one for order in range(6) for one in colored(f"dev-1-0-{order}.png", buffer.getvalue(), "Black, yellow, BLUE")
    ]
    assert len({name for name, _, _ in made}) == 12
    texts = [text for _, _, text in made]
    assert len(set(texts)) == 6
    assert all(texts.count(text) == 2 for text in texts)
    for _, png, text in made:
        pixels = np.array(Image.open(io.BytesIO(png)))
        for x, word in zip((0, 2, 4), text.split(", "), strict=True):
            assert tuple(pixels[1, x]) == COLORS[word]
        assert tuple(pixels[0, 0]) == (211, 211, 211)


def test_a_tenth_of_the_scenes_each_is_held_out():
    sides = [side_of(f"dev-{number}-0") for number in range(2000)]
    assert 140 < sides.count("test") < 260
    assert 140 < sides.count("validation") < 260
