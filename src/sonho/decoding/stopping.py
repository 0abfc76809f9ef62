"""Stop strings: text goes out as soon as it cannot be the beginning of one. Knows text, not tokens."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Looks for the stops in text that arrives in pieces, wherever the pieces are cut.

    The stop whose end comes first ends the text; of several that end together, the longest. Neither
    the stop nor any part of it is shown.

    >>> matcher = StopMatcher(["END"])
    >>> matcher.push("one E"), matcher.push("N two EN"), matcher.push("D three"), matcher.stopped
    ('one ', 'EN two ', '', True)
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Take the next piece and return what can be shown; after a stop, nothing more comes."""
        if self.stopped or not self._stops:
            return "" if self.stopped else text
        text = self._held + text
        ends = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        shown = len(text) - self._length_to_hold(text)
        self._held = text[shown:]
        return text[:shown]

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held

    def _length_to_hold(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a stop."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            ending = text[-length:]
            if any(stop.startswith(ending) for stop in self._stops):
                return length
        return 0
