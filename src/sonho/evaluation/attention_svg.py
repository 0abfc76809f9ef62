"""Where a translation looked, as a picture (SVG), which any browser shows. Knows tokens and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

CELL, MARGIN, LETTER = 26, 20, 7.6  # pixels: a cell, the space around, a letter of a token


def attention_svg(source: Sequence[str], target: Sequence[str], attention: NDArray[Any]) -> str:
    """A row for each target token, a column for each source token; the darker, the more it counted (T, S)."""
    names = [[token.strip() or "␣" for token in side] for side in (source, target)]
    left, top = (MARGIN + LETTER * max([1, *map(len, side)]) for side in (names[1], names[0]))
    width, height = left + len(source) * CELL + MARGIN, top + len(target) * CELL + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="12">',
        "<title>Attention: rows are what was written, columns what was read</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for j, name in enumerate(names[0]):
        x = left + (j + 0.5) * CELL + 4
        turned = f'transform="rotate(-90 {x:.0f} {top - 6:.0f})"'
        lines.append(f'<text x="{x:.0f}" y="{top - 6:.0f}" {turned} fill="#222">{escape(name)}</text>')
    for i, name in enumerate(names[1]):
        y = top + (i + 0.5) * CELL
        lines.append(f'<text x="{left - 6:.0f}" y="{y + 4:.0f}" text-anchor="end" fill="#222">{escape(name)}</text>')
        for j, share in enumerate(np.asarray(attention)[i, : len(source)].tolist()):
            told = f"{name} looked at {names[0][j]}: {100 * share:.1f} %"
            lines.append(
                f'<rect x="{left + j * CELL:.0f}" y="{y - CELL / 2:.0f}" width="{CELL - 1}" height="{CELL - 1}"'
                f' fill="#0b6e4f" fill-opacity="{0.03 + 0.97 * share:.3f}"><title>{escape(told)}</title></rect>'
            )
    return "\n".join([*lines, "</svg>", ""])
