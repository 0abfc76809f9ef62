"""Sentences about scenes of drawn shapes are judged as a person would, and left alone where their form is not known."""

import pytest

from nlvr_truth import is_true, read_scenes, shares

BLUE, BLACK, YELLOW = "#0099ff", "Black", "Yellow"


def item(color, kind="square", x=40, y=40, size=20):
    return {"color": color, "type": kind, "x_loc": x, "y_loc": y, "size": size}


def tower(*colors):
    """From the base to the top."""
    return [item(color, y=80 - 21 * place) for place, color in enumerate(colors)]


TOWERS = [tower(BLUE, BLACK, BLACK), tower(YELLOW), tower(BLUE, YELLOW)]
ITEMS = [
    [item(YELLOW, "circle", x=0), item(BLUE, "triangle")],
    [item(YELLOW, "circle", x=80, y=80), item(YELLOW, "square", size=30), item(BLACK, "circle", size=10)],
    [item(BLACK, "triangle", y=80), item(BLUE, "square", y=0)],
]


@pytest.mark.parametrize(
    ("sentence", "scene", "truth"),
    [
        ("There is a tower with three blocks.", TOWERS, True),
        ("there is a tower with four blocks", TOWERS, False),
        ("There are exactly two towers with a blue block at the base", TOWERS, True),
        ("There is exactly one tower which has a blue block at the base", TOWERS, False),
        ("there is 1 tower with a yellow block at the top", TOWERS, False),  # there are two
        ("there are 2 towers with a yellow block at the top.", TOWERS, True),
        ("there is a black block over a blue block", TOWERS, True),
        ("there is a blue block above a black block", TOWERS, False),
        ("there is a black block as the top of a tower", TOWERS, True),
        ("There is no black block as the base of a tower", TOWERS, True),
        ("there is a yellow tower", TOWERS, True),
        ("there is a black tower", TOWERS, False),
        ("there is a tower with 2 black blocks stacked together", TOWERS, True),
        ("there is at least one tower with exactly two blocks with a yellow block at the top", TOWERS, True),
        ("the tower with three blocks has a yellow block at the top", TOWERS, False),
        ("each tower has at least one blue block", TOWERS, False),
        ("there are 2 black blocks", TOWERS, True),
        ("there is a yellow triangle", ITEMS, False),
        ("There are exactly two yellow circles touching the edge", ITEMS, True),
        ("there is a black circle touching the wall", ITEMS, False),
        ("there is a black circle not touching any edge", ITEMS, True),
        ("there is a yellow circle closely touching a corner of a box", ITEMS, True),
        ("there is a black triangle touching the base", ITEMS, True),
        ("there is a blue square touching the bottom of a box", ITEMS, False),
        ("there is a box with 3 items", ITEMS, True),
        ("there is a box with a blue triangle and a yellow circle", ITEMS, True),
        ("there is a box with a blue triangle and a yellow square", ITEMS, False),
        ("There are 2 boxes with only 2 items", ITEMS, True),
        ("there is a small black circle", ITEMS, True),
        ("there is a box with 3 items of all 3 different colors", ITEMS, False),
        ("there are at least 4 yellow items", ITEMS, False),
        ("There is a tower with two blocks", ITEMS, False),
    ],
)
def test_simple_sentences_are_judged(sentence, scene, truth):
    assert is_true(sentence, scene) is truth


@pytest.mark.parametrize(
    "sentence",
    [
        "the two towers are alike",
        "there is a red block",
        "there is a box with",
        "",
        "there is a block between two others",
    ],
)
def test_other_sentences_are_not_judged(sentence):
    assert is_true(sentence, TOWERS) is None


def test_what_people_wrote_is_judged_as_true_and_of_other_scenes_mostly_as_false(corpora):
    pairs = list(read_scenes(corpora / "nlvr").values())
    whole, judged, true = shares(pairs)
    assert (whole, judged > 0.65 * whole) == (1103, True)
    assert true > 0.98 * judged
    turned = [scene for _, scene in pairs[100:] + pairs[:100]]
    _, judged, true = shares(zip((sentence for sentence, _ in pairs), turned, strict=True))
    assert true < 0.4 * judged
