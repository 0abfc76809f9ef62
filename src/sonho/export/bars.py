"""Whether the bars of a tune add up to its metre. Knows lengths, not notation.

The rules. Repeat signs, double bars, the beginnings of endings and the tune's ends cut a tune into parts.

1. A bar within a part is as long as the metre says.
2. The first bar of a part may be shorter: a pickup. A part of one short bar is a pickup where it leads into another
   part without a repeat sign, and where it is no ending.
3. The last bar of a part is full too, or completes a pickup: with the first bar of its own part, of the next part,
   of the part where its repeat began, or of the tune, it makes one whole bar.
4. No bar is longer than the metre. A tune without a metre has bars that add up to nothing.
"""

from __future__ import annotations

from sonho.export.tune import Bar, Part, Tune


def bar_problems(tune: Tune) -> list[str]:
    """A sentence for each bar that is too long or too short; none where all add up."""
    parts = tune.parts()
    return [
        _problem(bar)
        for number, part in enumerate(parts)
        for bar in part.bars
        if not (_is_full(bar) or _is_pickup(parts, number, bar) or _completes_a_pickup(parts, number, bar))
    ]


def _is_full(bar: Bar) -> bool:
    return bar.length == bar.metre


def _is_pickup(parts: list[Part], number: int, bar: Bar) -> bool:
    part, has_next = parts[number], number + 1 < len(parts)
    if bar.metre is None or bar.length > bar.metre:
        return False
    if bar is part.bars[-1] and not bar.closing and has_next:
        return True  # it goes on in an ending, where it is counted as a whole
    leads_on = len(part.bars) > 1 or (has_next and not part.ends_repeat and not part.endings)
    return bar is part.bars[0] and leads_on


def _completes_a_pickup(parts: list[Part], number: int, bar: Bar) -> bool:
    part = parts[number]
    if bar is not part.bars[-1] or bar.metre is None:
        return False
    around = [parts[0], part, parts[_where_repeated(parts, number)], *parts[number + 1 : number + 2]]
    firsts = [other.bars[0] for other in around if other.bars[0] is not bar]
    return any(bar.length + first.length == bar.metre for first in firsts)


def _where_repeated(parts: list[Part], number: int) -> int:
    """The part that a repeat sign at the end of this one leads back to."""
    for earlier in range(number, 0, -1):
        begins_anew = parts[earlier - 1].ends_repeat and not parts[earlier].endings
        if parts[earlier].begins_repeat or begins_anew:
            return earlier
    return 0


def _problem(bar: Bar) -> str:
    if bar.metre is None:
        return f"line {bar.line}: there is no metre to add up to"
    return f"line {bar.line}: a bar of {bar.length} where the metre is {bar.metre}"
