"""Makes examples/data/genesis-en-pt.tsv: Genesis in English (King James) and Portuguese, a verse a line.

    python examples/make_genesis.py genesis.zip

The archive is the Genesis corpus that NLTK distributes. Its Portuguese has a verse on each line; its English is
wrapped. A verse of the King James begins with a capital on a line of its own, so the English lines are cut at capitals
into as many verses as there are, where their lengths follow the Portuguese best (the idea of Gale and Church 1993).
"""

from __future__ import annotations

import sys
import zipfile
from bisect import bisect
from itertools import accumulate
from pathlib import Path

WRAPPED = 62  # characters of an English line at most
MOST_LINES = 9  # of a verse
BAND = 60  # verses by which the lengths may mislead
OUTPUT = Path(__file__).parent / "data" / "genesis-en-pt.tsv"


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as archive:
        english = archive.read("genesis/english-kjv.txt").decode("ascii").splitlines()
        portuguese = archive.read("genesis/portuguese.txt").decode("utf-8").splitlines()
    verses = aligned([line.strip() for line in english if line.strip()], portuguese)
    # Words that translators added stand in braces.
    rows = [f"{verse}\t{' '.join(own.replace('{', '').replace('}', '').split())}\n" for verse, own in verses]
    OUTPUT.write_text("".join(rows), encoding="utf-8")
    print(f"{OUTPUT.name}: {len(rows):,} verses")


def aligned(lines: list[str], verses: list[str]) -> list[tuple[str, str]]:
    """The lines joined into one text a verse: the cheapest path, cell (i, j) being i lines in j verses."""
    ratio = sum(map(len, lines)) / sum(map(len, verses))
    ends_at = list(accumulate(len(verse) * ratio for verse in verses))
    read = [0, *accumulate(map(len, lines))]

    def near(line: int) -> int:
        """The verse that ends after about so many lines."""
        return bisect(ends_at, read[line])

    infinite = float("inf")
    costs = [[0.0] + [infinite] * len(verses)]
    taken: list[list[int]] = [[0] * (len(verses) + 1)]
    for i in range(1, len(lines) + 1):
        ends = i == len(lines) or lines[i][0].isupper()
        row, steps = [infinite] * (len(verses) + 1), [0] * (len(verses) + 1)
        if ends:
            low, high = max(1, near(i) - BAND), min(i, len(verses), near(i) + BAND)
            for count in range(1, min(MOST_LINES, i) + 1):
                if any(is_new_verse(lines[k - 1], lines[k]) for k in range(i - count + 1, i)):
                    break
                length = sum(len(line) + 1 for line in lines[i - count : i])
                before = costs[i - count]
                for j in range(low, high + 1):
                    if before[j - 1] < infinite:
                        wanted = ratio * len(verses[j - 1])
                        cost = before[j - 1] + (length - wanted) ** 2 / wanted
                        if cost < row[j]:
                            row[j], steps[j] = cost, count
        costs.append(row)
        taken.append(steps)
    made, i = [], len(lines)
    for j in range(len(verses), 0, -1):
        count = taken[i][j]
        made.append((" ".join(lines[i - count : i]), verses[j - 1]))
        i -= count
    return made[::-1]


def is_new_verse(before: str, line: str) -> bool:
    """Whether the first word of a line would have fitted on the one before, so that something new begins with it."""
    return line[0].isupper() and len(before) + 1 + len(line.split()[0]) <= WRAPPED


if __name__ == "__main__":
    main()
