"""How much to do at a time so that it takes about as long as wanted."""

from __future__ import annotations

SMOOTHING = 0.3


class Pace:
    """Learns the seconds that a unit of work takes.

    >>> pace = Pace(target_seconds=0.1, first=8, most=1000)
    >>> pace.amount()
    8
    >>> pace.note(8, 0.008)
    >>> pace.amount(), pace.amount()
    (16, 16)
    """

    def __init__(self, *, target_seconds: float, first: int, most: int) -> None:
        self._target, self._most, self._last = target_seconds, most, first
        self._seconds: float | None = None  # of a unit

    def amount(self, rows: int = 1) -> int:
        """Units for each of `rows`; at most twice as many as were done last, so that a wrong guess costs little."""
        if self._seconds is None:
            return self._last
        wanted = int(self._target / (self._seconds * rows))
        return max(1, min(wanted, 2 * self._last, self._most))

    def note(self, amount: int, seconds: float, rows: int = 1) -> None:
        """`amount` units for each of `rows` took `seconds`."""
        measured = max(seconds, 1e-7) / (amount * rows)
        self._seconds = measured if self._seconds is None else self._seconds + SMOOTHING * (measured - self._seconds)
        self._last = max(amount, 1)
