"""How many of many tunes are right: those that parse, and those whose bars add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from sonho.export.abc import AbcError, parse_tune
from sonho.export.bars import bar_problems
from sonho.export.tune import Tune


@dataclass
class TuneReport:
    """Counts, and what was wrong with whom; `tunes` are those that parse."""

    total: int = 0
    parsed: int = 0
    bars_add_up: int = 0
    tunes: list[tuple[int, Tune]] = field(default_factory=list)  # with their number, counted from 1
    problems: list[tuple[int, str]] = field(default_factory=list)

    def kinds(self) -> Counter[str]:
        """How often what was wrong, without lines and values."""
        return Counter(problem.split(": ", 1)[-1].split(" of ")[0] for _, problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; without the tunes."""
        found = {name: value for name, value in asdict(self).items() if name not in ("tunes", "problems")}
        return {**found, "parsed_share": self.share(self.parsed), "bars_add_up_share": self.share(self.bars_add_up)}

    def share(self, count: int) -> float:
        """Of all tunes, 0..1."""
        return round(count / self.total, 4) if self.total else 0.0


def report_on(texts: Iterable[str]) -> TuneReport:
    """Parse every tune and look at its bars."""
    report = TuneReport()
    for number, text in enumerate(texts, start=1):
        report.total += 1
        try:
            tune = parse_tune(text)
        except AbcError as error:
            report.problems.append((number, str(error)))
            continue
        report.parsed += 1
        report.tunes.append((number, tune))
        if problems := bar_problems(tune):
            report.problems.append((number, problems[0]))
        else:
            report.bars_add_up += 1
    return report
