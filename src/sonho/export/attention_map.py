"""What a captioner looked at for each word, over the picture: an SVG, or a PNG by Pillow. Knows pixels, not models.

Shapes: H and W pixels of the picture, L words, h and w places of the grid. A place that was not looked at is dark.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonho.errors import StorageError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS, GAP, LINE = 4, 12, 20  # panels in a row; pixels between them, and of a line of text
LEAST_WIDTH, MOST_WIDTH = 160, 320  # of a panel
DARKEST = 0.8
SUFFIXES = (".svg", ".png")


def write_attention_map(path: Path, pixels: NDArray[np.uint8], words: Sequence[str], attention: NDArray[Any]) -> None:
    """Write the picture (H, W, 3), and once more for each word with its attention (L, h, w).

    Raises UsageError for a suffix other than .svg and .png, or StorageError.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"an attention map is written as .svg or .png, not as {path.name!r}")
    veils = [DARKEST * (1.0 - look / max(float(look.max()), 1e-9)) for look in attention]
    try:
        if path.suffix.lower() == ".svg":
            path.write_text(_svg(pixels, words, veils), encoding="utf-8")
        else:
            _png(pixels, words, veils).save(path, format="PNG", optimize=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def _panels(shape: tuple[int, ...], count: int) -> tuple[tuple[int, int], list[tuple[int, int]], tuple[int, int]]:
    """The size (width, height) of a panel of a picture, the corners of `count` panels, and the size of the whole."""
    height, width = shape[:2]
    across = min(max(width, LEAST_WIDTH), MOST_WIDTH)
    panel = across, max(1, round(across * height / width))
    columns = min(COLUMNS, count)
    corners = [
        (GAP + (n % columns) * (panel[0] + GAP), GAP + (n // columns) * (panel[1] + LINE + GAP)) for n in range(count)
    ]
    right, bottom = max(x for x, _ in corners), corners[-1][1]
    return panel, corners, (right + panel[0] + GAP, bottom + panel[1] + LINE + GAP)


def _svg(pixels: NDArray[np.uint8], words: Sequence[str], veils: Sequence[NDArray[Any]]) -> str:
    (width, height), corners, whole = _panels(pixels.shape, 1 + len(words))
    buffer = io.BytesIO()
    _picture(pixels, (width, height)).save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]}" height="{whole[1]}" viewBox="0 0 {whole[0]}'
        f' {whole[1]}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(' '.join(word.strip() for word in words))}</title>",
        f'<rect width="{whole[0]}" height="{whole[1]}" fill="#ffffff"/>',
        f'<defs><image id="p" width="{width}" height="{height}" href="data:image/png;base64,{data}"/></defs>',
    ]
    for (x, y), word, veil in zip(corners, ["", *words], [None, *veils], strict=True):
        lines.append(f'<use href="#p" x="{x}" y="{y}"/>')
        if veil is not None:
            lines += _cells(veil, x, y, width, height)
        lines.append(f'<text x="{x}" y="{y + height + 15}" fill="#222">{escape(word.strip())}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _cells(veil: NDArray[Any], x: int, y: int, width: int, height: int) -> list[str]:
    rows, columns = veil.shape
    across, down = width / columns, height / rows
    return [
        f'<rect x="{x + column * across:.2f}" y="{y + row * down:.2f}" width="{across:.2f}" height="{down:.2f}"'
        f' fill-opacity="{veil[row, column]:.2f}"/>'
        for row in range(rows)
        for column in range(columns)
    ]


def _png(pixels: NDArray[np.uint8], words: Sequence[str], veils: Sequence[NDArray[Any]]) -> Image:
    from PIL import Image, ImageDraw

    panel, corners, whole = _panels(pixels.shape, 1 + len(words))
    canvas = Image.new("RGB", whole, "white")
    pen, plain = ImageDraw.Draw(canvas), _picture(pixels, panel)
    black = Image.new("RGB", panel)
    for (x, y), word, veil in zip(corners, ["", *words], [None, *veils], strict=True):
        shown = plain
        if veil is not None:
            mask = Image.fromarray((255 * veil).astype(np.uint8)).resize(panel, Image.Resampling.NEAREST)
            shown = Image.composite(black, plain, mask)
        canvas.paste(shown, (x, y))
        pen.text((x, y + panel[1] + 4), word.strip(), fill="#222222")
    return canvas


def _picture(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    from PIL import Image

    return Image.fromarray(pixels).resize(size)
