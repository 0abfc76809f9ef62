"""Is a sentence true of an NLVR scene? For the simple forms that people used most; the others are not judged.

    python benchmarks/nlvr_truth.py CORPORA/nlvr      how many of the true sentences are judged, and how many as true

A scene is three boxes of objects with a place, a size, a colour and a shape (Suhr et al. 2017). The forms are
"there is Q OBJECT [PLACE]", "there is Q tower with ...", "there is Q box with ..." and "the tower with ... has ...",
where Q is "a", "two", "at least 3", "exactly one", "no" and the like. "A" is at least one, a bare number is exact.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Item = dict[str, Any]  # x_loc, y_loc (from the top), size, color, type; a box is 100 x 100
Box = list[Item]
Scene = list[Box]
Count = Callable[[int], bool]
OfBox = Callable[[Box], bool]
OfItem = Callable[[Item, Box], bool]

BOX = 100
COLORS = {"black": "black", "yellow": "yellow", "blue": "#0099ff"}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# Spelling, synonyms and plurals to one word each, in this order.
CANONICAL = (
    (r"^t least", "at least"),
    (r"^ll ", "all "),
    (r"\b(?:at|t)least\b", "at least"),
    (r"\btocuhing\b", "touching"),
    (r"\bsqueres?\b", "square"),
    (r"\btraingles?\b", "triangle"),
    (r"\bcirlces?\b", "circle"),
    (r"\bbl(?:ock|cck|acks)s?\b(?= at| on| as| over| above| of| and| stack|$)", "block"),
    (r"\bablue\b", "a blue"),
    (r"\bcolou?r(?:s|ed)?\b", "color"),
    (r"\bgr[ea]y (?:square|box)(?:e?s)?\b", "box"),
    (r"\b(?:objects?|items?|shapes?)\b", "item"),
    (r"\b(block|square|circle|triangle|tower)s\b", r"\1"),
    (r"\bboxes\b", "box"),
    (r"\b(?:which|that|where|,)? ?(?:has|have|contains?|having|containing|with)\b", " with"),
    (r"\b(?:wall|edge|side)s?\b", "edge"),
    (r"\b(?:exactly|only|just|a single|single)\b", "exactly"),
    (r"\b(?:the|any|closely) ", ""),
    (r"\bedge of (?:a )?box\b", "edge"),
    (r"\bcorner of (?:a )?box\b", "corner"),
    (r"\bbottom of (?:a )?(?:box|tower)\b", "bottom"),
    (r"\b(top|base) of (?:a )?tower\b", r"\1"),
    (r"\bbox (corner|bottom|edge)\b", r"\1"),
    (r"\b(?:at|on|as) (top|base|bottom)\b", r"at \1"),
    (r"\bat top of\b", "over"),
    (r"\b(?:over|above|on)\b(?= )", "over"),
    (r"\b(?:under|bellow)\b", "below"),
    (r"\bstacked\b(?: together)?", "together"),
)
QUANTITY = r"(?:an?|no|\d|(?:exactly|at least|at most|more than|less than) (?:\d|an?))"
OBJECT = r"(?:(?:small |medium |big |large )?(?:(?:black|blue|yellow) )?(?:item|block|square|circle|triangle))"
PLACE = r"(?:not )?touching (?:an? |the )?(?:edge|corner|bottom|base|top)"


def is_true(sentence: str, scene: Scene) -> bool | None:
    """Whether the sentence holds; None where its form is not known."""
    said = canonical(sentence)
    if found := re.fullmatch(
        rf"there (?:is|are) (?:({QUANTITY}) )?(?:(black|blue|yellow) )?(tower|box)(?: with (.+))?", said
    ):
        parts = [f"exactly {found[2]} block"] if found[2] else []
        parts += [found[4]] if found[4] else []
        return _of_boxes(found[1] or "a", " and ".join(parts), scene, towers=found[3] == "tower")
    if found := re.fullmatch(rf"({QUANTITY}|each|all(?: 3)?)(?: of)? (tower|box) with (.+)", said):
        quantity = "all" if found[1].startswith(("each", "all")) else found[1]
        return _of_boxes(quantity, found[3], scene, towers=found[2] == "tower")
    if found := re.fullmatch(r"(?:the )?tower with (\d|a) block with (.+)", said):
        return _of_boxes("a", f"{found[1]} block and {found[2]}", scene, towers=True)
    if found := re.fullmatch(rf"there (?:is|are) (?:({QUANTITY}) )?({OBJECT})(?: (.+))?", said):
        return _of_items(found[1] or "a", found[2], found[3] or "", scene)
    return None


def canonical(sentence: str) -> str:
    """One spelling for what is said in many ways.

    >>> canonical("There are exactly two towers which has a blue block on the top.")
    'there are exactly 2 tower with a blue block at top'
    """
    said = " ".join(re.sub(r"[.,]", " ", sentence.lower()).split())
    for number, word in enumerate(NUMBERS):
        said = re.sub(rf"\b{word}\b", str(number), said)
    for pattern, word in CANONICAL:
        said = " ".join(re.sub(pattern, word, said).split())
    return said


def _of_boxes(quantity: str, said: str | None, scene: Scene, *, towers: bool) -> bool | None:
    """Boxes (or boxes that hold a tower) of which something is said."""
    boxes = [box for box in scene if box] if towers else scene
    if towers and not all(is_tower(box) for box in boxes):
        boxes = []
    holds: OfBox | None = (lambda box: True) if not said else (_tower(said) if towers else _box(said))
    if holds is None:
        return None
    number = sum(map(holds, boxes))
    if quantity == "all":
        return bool(boxes) and number == len(boxes)
    return count(quantity)(number)


def _tower(said: str) -> OfBox | None:
    """What is said of a tower: parts joined by "and"."""
    color = r"(black|blue|yellow)"
    if found := re.fullmatch(rf"(.+?) (?:and|with) ({QUANTITY} .+)", said):
        first, second = _tower(found[1]), _tower(found[2])
        if first is None or second is None:
            return None
        return lambda box: first(box) and second(box)
    if found := re.fullmatch(rf"({QUANTITY}) ({OBJECT})", said):
        holds, wanted = count(found[1]), matcher(found[2])
        return lambda box: holds(sum(wanted(item) for item in box))
    if found := re.fullmatch(rf"(?:an?|1) {color} (?:block |square )?(?:at )?(top|base|bottom)", said):
        place, named = -1 if found[2] == "top" else 0, found[1]
        return lambda box: stack(box)[place] == named
    if found := re.fullmatch(rf"(?:1 |an? )?{color} block (over|below) an? {color} block", said):
        pair = (found[3], found[1]) if found[2] == "over" else (found[1], found[3])
        return lambda box: pair in pairwise(stack(box))
    if found := re.fullmatch(rf"(\d) {color} block together", said):
        run = (found[2],) * int(found[1])
        return lambda box: run in runs(stack(box), len(run))
    return _colors(said)


def _colors(said: str) -> OfBox | None:
    """What is said of the colours in a box or tower."""
    if found := re.fullmatch(r"(?:(?:item|block) of )?exactly (\w+)(?: and (\w+))?(?: item| block| color)", said):
        only = {COLORS.get(name) for name in found.groups() if name}
        return None if None in only else lambda box: {item["color"].lower() for item in box} == only
    if found := re.fullmatch(rf"(?:({QUANTITY}) )?(?:item|block) of (?:all )?(\d) (?:different )?color", said):
        holds, colors = count(found[1] or "a"), int(found[2])
        return lambda box: holds(len(box)) and len({item["color"].lower() for item in box}) == colors
    return None


def _box(said: str) -> OfBox | None:
    """What is said of a box: objects, their places, their colours."""
    if found := re.fullmatch(rf"(.+?) and ({QUANTITY} .+)", said):
        first, second = _box(found[1]), _box(found[2])
        if first is None or second is None:
            return None
        return lambda box: first(box) and second(box)
    if found := re.fullmatch(rf"({QUANTITY}) ({OBJECT})(?: ({PLACE}))?", said):
        holds, wanted, placed = count(found[1]), matcher(found[2]), place_of(found[3] or "")
        return lambda box: holds(sum(wanted(item) and placed(item) for item in box))
    return _colors(said)


def _of_items(quantity: str, named: str, said: str, scene: Scene) -> bool | None:
    """Objects anywhere, at a place, or within a tower."""
    wanted, holds = matcher(named), count(quantity)
    if said in ("at top", "at base", "at bottom"):
        place = -1 if said == "at top" else 0
        towers = [box for box in scene if box and is_tower(box)]
        return holds(sum(wanted(ordered(box)[place]) for box in towers))
    if found := re.fullmatch(rf"(over|below) an? ({OBJECT})", said):
        other, towers = matcher(found[2]), [ordered(box) for box in scene if box and is_tower(box)]
        pairs = [pair for tower in towers for pair in pairwise(tower)]
        if found[1] == "over":
            pairs = [(upper, lower) for lower, upper in pairs]
        return holds(sum(wanted(one) and other(two) for one, two in pairs))
    if said and not re.fullmatch(PLACE, said):
        return None
    placed = place_of(said)
    return holds(sum(wanted(item) and placed(item) for box in scene for item in box))


def count(quantity: str) -> Count:
    """A test of a number: "a" is at least one, a bare number is exact.

    >>> [count("a")(3), count("2")(3), count("no")(0)]
    [True, False, True]
    """
    *how, last = quantity.split()
    if last == "no":
        return lambda number: number == 0
    wanted = 1 if last in ("a", "an") else int(last)
    word = " ".join(how) or ("at least" if last in ("a", "an") else "exactly")
    tests: dict[str, Count] = {
        "exactly": lambda number: number == wanted,
        "at least": lambda number: number >= wanted,
        "at most": lambda number: number <= wanted,
        "more than": lambda number: number > wanted,
        "less than": lambda number: number < wanted,
    }
    return tests[word]


def matcher(named: str) -> Callable[[Item], bool]:
    """A test of an object against a noun with its adjectives."""
    *adjectives, noun = named.split()
    sizes = {"small": 10, "medium": 20, "big": 30, "large": 30}

    def matches(item: Item) -> bool:
        right = noun in ("item", "block") or item["type"] == noun
        for word in adjectives:
            right = right and (item["size"] == sizes[word] if word in sizes else item["color"].lower() == COLORS[word])
        return right

    return matches


def place_of(said: str) -> Callable[[Item], bool]:
    """A test of an object against the place that is said of it; of nothing said, true."""
    if not said:
        return lambda item: True
    negated, place = said.startswith("not "), said.split()[-1]

    def placed(item: Item) -> bool:
        across = item["x_loc"] <= 0 or item["x_loc"] + item["size"] >= BOX
        low, high = item["y_loc"] + item["size"] >= BOX, item["y_loc"] <= 0
        touches = {"edge": across or low or high, "corner": across and (low or high), "top": high}.get(place, low)
        return bool(touches) != negated

    return placed


def is_tower(box: Box) -> bool:
    """Whether the objects of a box are blocks on top of each other."""
    return bool(box) and all(item["type"] == "square" and item["x_loc"] == box[0]["x_loc"] for item in box)


def ordered(box: Box) -> Box:
    """From the base to the top."""
    return sorted(box, key=lambda item: -item["y_loc"])


def stack(box: Box) -> list[str]:
    """The colours of a tower from its base to its top."""
    names = {code: name for name, code in COLORS.items()}
    return [names[item["color"].lower()] for item in ordered(box)]


def runs(colors: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(colors[at : at + length]) for at in range(len(colors) - length + 1))


def read_scenes(folder: Path) -> dict[str, tuple[str, Scene]]:
    """The sentence and the boxes of each scene, by its id."""
    lines = (folder / "scenes.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: (row["sentence"], row["structured_rep"]) for row in map(json.loads, lines)}


def shares(pairs: Iterable[tuple[str, Scene]]) -> tuple[int, int, int]:
    """How many sentences there are, how many of them are judged, and how many of those are true."""
    judged = [is_true(sentence, scene) for sentence, scene in pairs]
    return len(judged), sum(one is not None for one in judged), sum(one is True for one in judged)


def main() -> None:
    pairs = list(read_scenes(Path(sys.argv[1])).values())
    whole, judged, true = shares(pairs)
    print(f"{judged:,} of {whole:,} true sentences are judged ({100 * judged / whole:.1f} %)")
    print(f"{true:,} of them as true ({100 * true / judged:.2f} %)")
    for sentence, scene in pairs:
        if is_true(sentence, scene) is False:
            print(f"  judged false: {sentence}")


if __name__ == "__main__":
    main()
