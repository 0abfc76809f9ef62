"""A confusion matrix as a picture (SVG), which any browser shows. Knows counts and names."""

from __future__ import annotations

from html import escape

from sonho.evaluation.labels import LabelReport

CELL, MARGIN, LETTER = 44, 24, 7.2  # pixels: a cell, the space around, a letter of a name
MOST_NUMBERED = 30  # labels up to which each cell shows its count


def confusion_svg(report: LabelReport) -> str:
    """Rows are true labels, columns predicted ones; the darker, the larger the share of its row."""
    size, cell = len(report.labels), CELL if len(report.labels) <= MOST_NUMBERED else 16
    left = MARGIN + LETTER * max(map(len, report.labels))
    side = size * cell
    width, height = left + side + MARGIN, left + side + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="12">',
        f"<title>Confusion of {report.count:,} items, {100 * report.accuracy:.2f} % right; rows true, columns"
        " predicted</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for i, label in enumerate(report.labels):
        middle = left + (i + 0.5) * cell
        name = escape(label)
        lines.append(f'<text x="{left - 6:.0f}" y="{middle + 4:.0f}" text-anchor="end" fill="#222">{name}</text>')
        turned = f'transform="rotate(-90 {middle + 4:.0f} {left - 6:.0f})"'
        lines.append(f'<text x="{middle + 4:.0f}" y="{left - 6:.0f}" {turned} fill="#222">{name}</text>')
    for i, row in enumerate(report.confusion.tolist()):
        lines += _row(report, i, row, left, cell)
    return "\n".join([*lines, "</svg>", ""])


def _row(report: LabelReport, i: int, counts: list[int], left: float, cell: int) -> list[str]:
    total, lines = max(sum(counts), 1), []
    for j, count in enumerate(counts):
        x, y, share = left + j * cell, left + i * cell, count / total
        hue = "#0b6e4f" if i == j else "#b3261e"
        told = f"{report.labels[i]} taken for {report.labels[j]}: {count:,} ({100 * share:.1f} %)"
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{cell - 1}" height="{cell - 1}" fill="{hue}"'
            f' fill-opacity="{0.04 + 0.9 * share:.3f}"><title>{escape(told)}</title></rect>'
        )
        if count and cell == CELL:
            ink = "#fff" if share > 0.5 else "#222"
            place = f'x="{x + cell / 2:.0f}" y="{y + cell / 2 + 4:.0f}"'
            lines.append(f'<text {place} text-anchor="middle" fill="{ink}">{count}</text>')
    return lines
