"""Lines over seconds as SVG, readable on light and on dark, by colour, shape and name. Knows points, not cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 860, 330  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 52, 232, 34, 42
LABEL_GAP = 14
# Okabe and Ito's colours, which all eyes tell apart; on dark the two that would sink are lighter.
COLOURS = ["#d55e00", "#b87a00", "#0072b2", "#2a93d1", "#009e73", "#b0528b", "#8c6d46", "#777777", "#1f2328", "#6a51a3"]
ON_DARK = ["#ff8a3d", "#e69f00", "#4aa3e0", "#8fd0ff", "#2fcf9f", "#e59ac6", "#d9b88f", "#a9a9a9", "#e6edf3", "#b9a7e6"]
SHAPES = ["circle", "square", "up", "down", "diamond", "bow", "square", "circle", "diamond", "up"]
# What stands further above the best is out of the picture: it would press all others together.
TALLEST = 1.3


@dataclass
class Line:
    """Points (seconds, loss), and a curve drawn thin; a `flat` line is a level from its first second on."""

    name: str
    points: list[Point]
    curve: list[Point] = field(default_factory=list)
    flat: bool = False
    strong: bool = False


@dataclass
class Panel:
    """One picture of several lines, below its title."""

    title: str
    lines: list[Line]


def svg(panels: list[Panel], y_title: str) -> str:
    """All panels, one below the other. A line has the same colour in each."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    body = [_panel(panel, index * HEIGHT, names, y_title) for index, panel in enumerate(panels)]
    height = HEIGHT * len(panels)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
    label = escape(f"{y_title} over seconds: {', '.join(names)}")
    ground = f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>'
    return "\n".join([f'{head} aria-label="{label}">', _style(), ground, *body, "</svg>", ""])


def _style() -> str:
    def colours(values: list[str]) -> str:
        return "".join(f".c{i}{{stroke:{c};fill:{c}}}" for i, c in enumerate(values))

    common = (
        "text{font:12px system-ui,sans-serif;stroke:none}.title{font-weight:600;font-size:14px}"
        ".line{fill:none;stroke-width:1.8}.strong{stroke-width:3.2}.curve{fill:none;stroke-width:1;opacity:.45}"
        ".flat{fill:none;stroke-width:1.4;stroke-dasharray:6 4}.grid{stroke-width:1}"
    )
    light = ".ground{fill:#fff}text{fill:#1f2328}.grid{stroke:#d8dee4}"
    dark = ".ground{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}"
    return (
        f"<style>{common}{light}{colours(COLOURS)}@media(prefers-color-scheme:dark){{{dark}{colours(ON_DARK)}}}</style>"
    )


class _Scale:
    """Seconds (logarithmic) and losses to places in a panel."""

    def __init__(self, lines: list[Line], top: float) -> None:
        self.top = top
        times = [x for line in lines for x, _ in line.points if not line.flat] or [1.0, 10.0]
        losses = [y for line in lines for _, y in line.points]
        self.first, self.last = min(times) * 0.75, max(times) * 1.1
        self.low = math.floor((min(losses) - 0.03) * 20) / 20
        self.high = min(max(losses) + 0.05, self.low + TALLEST)

    def x(self, seconds: float) -> float:
        share = math.log(seconds / self.first) / math.log(self.last / self.first)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, loss: float) -> float:
        share = (self.high - loss) / (self.high - self.low)
        return self.top + TOP + share * (HEIGHT - TOP - BOTTOM)


def _panel(panel: Panel, top: float, names: list[str], y_title: str) -> str:
    scale = _Scale(panel.lines, top)
    inside = f'x="{LEFT}" y="{top + TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
    clip = f"clip{round(top)}"
    parts = [f'<clipPath id="{clip}"><rect {inside}/></clipPath>']
    parts += [f'<text class="title" x="{LEFT}" y="{top + 20}">{escape(panel.title)}</text>']
    parts += [f'<text x="{WIDTH - RIGHT}" y="{top + 20}" text-anchor="end">{escape(y_title)}</text>']
    parts += [*_grid(scale, top), f'<g clip-path="url(#{clip})">']
    places = []
    for line in panel.lines:
        style = names.index(line.name) % len(COLOURS)
        parts += _drawn(line, scale, style)
        seconds, loss = line.points[-1]
        places.append((min(max(scale.y(loss), top + TOP), top + HEIGHT - BOTTOM), line, style, seconds))
    parts.append("</g>")
    return "\n".join(parts + _labels(places, scale))


def _grid(scale: _Scale, top: float) -> list[str]:
    parts, bottom = [], top + HEIGHT - BOTTOM
    step = 0.1 if scale.high - scale.low < 0.7 else 0.2
    value = math.ceil(scale.low / step) * step
    while value <= scale.high:
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
        value += step
    for seconds in (1, 2, 5, 10, 20, 60, 180, 600, 1800):
        if scale.first <= seconds <= scale.last:
            x = scale.x(seconds)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top + TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{seconds} s</text>')
    return parts


def _drawn(line: Line, scale: _Scale, style: int) -> list[str]:
    if line.flat:
        seconds, loss = line.points[0]
        begin, y = max(scale.x(max(seconds, scale.first)), LEFT), scale.y(loss)
        return [f'<path class="c{style} flat" d="M{begin:.1f} {y:.1f}H{WIDTH - RIGHT}"/>']
    places = [(scale.x(seconds), scale.y(loss)) for seconds, loss in line.points]
    curve = [(scale.x(seconds), scale.y(loss)) for seconds, loss in line.curve if seconds >= scale.first]
    parts = [f'<path class="c{style} curve" style="fill:none" d="{_path(curve)}"/>'] if curve else []
    strong = " strong" if line.strong else ""
    parts.append(f'<path class="c{style} line{strong}" style="fill:none" d="{_path(places)}"/>')
    return parts + [_marker(SHAPES[style], style, *place) for place in places]


def _labels(places: list[tuple[float, Line, int, float]], scale: _Scale) -> list[str]:
    """A name at the end of each line, moved down where it would lie on another."""
    parts, last = [], -math.inf
    ordered = sorted(places, key=lambda place: place[0])
    room = scale.top + HEIGHT - 8
    for left, (y, line, style, seconds) in zip(range(len(ordered) - 1, -1, -1), ordered, strict=True):
        at = min(max(y, last + LABEL_GAP), room - left * LABEL_GAP)
        end = WIDTH - RIGHT if line.flat else min(scale.x(seconds) + 6, WIDTH - RIGHT)
        begin = WIDTH - RIGHT + 14
        parts.append(f'<path class="c{style} curve" d="M{end:.1f} {y:.1f}L{begin - 2} {at:.1f}"/>')
        parts.append(_marker(SHAPES[style], style, begin + 6, at))
        parts.append(f'<text x="{begin + 16}" y="{at + 4:.1f}">{escape(line.name)} {line.points[-1][1]:.3f}</text>')
        last = at
    return parts


def _path(places: list[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _marker(shape: str, style: int, x: float, y: float) -> str:
    if shape == "circle":
        return f'<circle class="c{style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    shapes: dict[str, list[Point]] = {
        "square": [(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)],
        "up": [(0.0, -5), (4.5, 4), (-4.5, 4)],
        "down": [(0, 5), (4.5, -4), (-4.5, -4)],
        "diamond": [(0.0, -5), (5, 0), (0, 5), (-5, 0)],
        "bow": [(-5, -4), (5, 4), (5, -4), (-5, 4)],
    }
    return f'<path class="c{style}" d="{_path([(x + dx, y + dy) for dx, dy in shapes[shape]])}Z"/>'
