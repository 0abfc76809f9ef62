"""Drawn pictures with what one sees on them, for the tests of captioning."""

import random

from PIL import Image, ImageDraw

COLORS = {"red": (220, 0, 0), "green": (0, 170, 0), "blue": (0, 0, 230)}
SHAPES = ("circle", "square")
SIZE = (24, 12)


def draw_scenes(folder, count, seed=0):
    """`count` pictures with a shape on one side, and the path of the table that says of each what is where."""
    rng = random.Random(seed)
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        color, shape, side = rng.choice(list(COLORS)), rng.choice(SHAPES), rng.choice(["left", "right"])
        picture = Image.new("RGB", SIZE, (235, 235, 235))
        x, y = rng.randint(0, 2) + (13 if side == "right" else 0), rng.randint(0, 3)
        pen = ImageDraw.Draw(picture)
        draw = pen.ellipse if shape == "circle" else pen.rectangle
        draw([x, y, x + 7, y + 7], fill=COLORS[color])
        picture.save(folder / f"{number}.png")
        rows.append(f"{number}.png\ta {color} {shape} on the {side}\n")
    table = folder / "captions.tsv"
    table.write_text("image\tcaption\n" + "".join(rows))
    return table
