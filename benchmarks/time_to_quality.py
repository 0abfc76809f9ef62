"""The best model in the minutes that there are: sonho beside its peers, on three texts and four budgets.

    python benchmarks/time_to_quality.py CORPORA [--texts ...] [--budgets 10 60 180 600] [--seeds 3] [--entrants ...]

CORPORA is a folder with the texts (see board/texts.py). A budget is seconds of wall clock from the cold start of a
process, loading its libraries included; what is learned by then is scored on the last tenth of the text, which nobody
has seen until then, by two protocols (board/scoring.py). A quiet machine is needed: one entrant runs at a time and has
all cores. Peers with a choice of settings get the one that does best on the validation part, in trials of their own.

Every cell is written to results/time_to_quality.json when it is done, and a cell that is there is not run again unless
other settings are picked now: stop it when you like and call it again. With --anew only those cells count as there that
are from this machine and, of sonho's, from the code as it is now; the settings that were picked stay. docs/board.md
and its picture are made from the file at the end, or by --page alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from board.entrants import ENTRANTS, OWN, Entrant
from board.page import write_page
from board.peer import Peer
from board.results import Cell, Results
from board.texts import SOURCES, Texts, write_texts
from board.where import name_of
from common import commit, differs, gigaflops, machine
from workers import peers_python

BUDGETS = (10.0, 60.0, 180.0, 600.0)
SAMPLE_BUDGET, SAMPLE_LENGTH = 60.0, 300
NAMES = {entrant.name: entrant for entrant in ENTRANTS}


class Board:
    """Runs what is not there yet."""

    def __init__(self, results: Results, corpora: Path, folder: Path, *, anew: bool = False) -> None:
        self.results, self.corpora, self.folder, self.anew = results, corpora, folder, anew

    def fill(self, text: str, entrant: Entrant, budget: float, seed: int) -> None:
        """Run one cell, and the trials that it needs before; what fails is told and left open."""
        if not entrant.clocked:
            budget, seed = 0.0, 0
        key = {"text": text, "entrant": entrant.name, "budget": budget, "seed": seed}
        old = self.results.cell(**key)
        try:
            settings = self.picked(text, entrant, budget)
            if old is not None and (not entrant.choices or old["settings"] == settings) and self.counts(old, entrant):
                return
            trial = self.results.trial(**key, settings=settings) or {}  # one of the whole budget has its scores
            done = "stream" in trial and self.counts(trial, entrant)
            self.results.add(trial if done else self.run(entrant, settings, key))
        except RuntimeError as error:
            print(f"{text}, {entrant.name}, {budget:g} s: {error}", flush=True)

    def counts(self, cell: Cell, entrant: Entrant) -> bool:
        """Whether a cell that is there stands beside what is run now."""
        own = entrant.module == OWN
        return not self.anew or (name_of(cell) == name_of({"machine": machine()}) and not (own and changed(cell)))

    def picked(self, text: str, entrant: Entrant, budget: float) -> dict[str, Any]:
        """The entrant's settings with each choice made by the validation part."""
        settings = dict(entrant.settings)
        for choice in entrant.choices:
            if not choice.least <= budget < choice.below:
                continue
            key = {"text": text, "entrant": entrant.name, "budget": min(budget, choice.most), "seed": 0}
            losses: dict[float, float] = {}
            for value in choice.values:
                loss = self.tried(entrant, {**settings, choice.setting: value}, key, whole=budget <= choice.most)
                losses[value] = loss
                if choice.until_worse and loss > min(losses.values()):
                    break
            settings[choice.setting] = min(losses, key=lambda value: losses[value])
        return settings

    def tried(self, entrant: Entrant, settings: dict[str, Any], key: Cell, *, whole: bool) -> float:
        """The loss on the validation part after a trial, one that was or one that is run now.

        A trial of the whole budget is scored: where its settings are picked, it is the cell.
        """
        trial = self.results.trial(**key, settings=settings)
        if trial is None:
            cell = self.results.cell(**key)
            known = cell is not None and cell["settings"] == settings
            trial = cell if cell is not None and known else self.run(entrant, settings, key, scored=whole)
            self.results.add_trial(trial)
        return float(trial["validation"])

    def run(self, entrant: Entrant, settings: dict[str, Any], key: Cell, *, scored: bool = True) -> Cell:
        """Let an entrant learn, then score it where `scored`. Raises RuntimeError where its process fails."""
        texts = self.texts(key["text"], key["seed"])
        where = {**machine(), "gigaflops": round(gigaflops(), 1)}
        python = peers_python() if entrant.keras else sys.executable
        if python is None:
            raise RuntimeError("the environment of the peers is not there; `make bench` makes it")
        job: dict[str, Any] = {part: str(getattr(texts, part)) for part in ("fit", "train", "validation")}
        job |= {
            "kind": texts.kind,
            "share": texts.share,
            "seconds": key["budget"],
            "seed": key["seed"],
            "settings": settings,
        }
        with Peer(entrant.module, python) as peer:
            told = peer.ask("train", **job, began=peer.began)
            validation = min((loss for _, loss in told["curve"]), default=None)
            cell = {**key, "settings": settings, **told, "validation": validation}
            if scored:
                began = time.perf_counter()
                cell |= peer.ask("score", test=str(texts.test), kind=texts.kind)
                cell |= {"score_seconds": round(time.perf_counter() - began, 1), "left_out": texts.left_out}
                if key["budget"] in (0.0, SAMPLE_BUDGET) and key["seed"] == 0:
                    cell |= peer.ask("write", prompt=texts.prompt, length=SAMPLE_LENGTH, seed=0)
        cell |= {"commit": commit(), "date": datetime.now(UTC).date().isoformat(), "machine": where}
        print(_told(cell), flush=True)
        return cell

    def texts(self, name: str, seed: int) -> Texts:
        return write_texts(name, self.corpora, self.folder, seed)


def changed(cell: Cell) -> bool:
    """Whether sonho's code has changed since a cell."""
    return cell["commit"].endswith("+") or differs(cell["commit"], "src")


def _told(cell: Cell) -> str:
    shown = {name: cell.get(name) for name in ("stream", "cold", "adaptive", "validation")}
    figures = "  ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
    settings = "" if "stream" in cell else f"  trial {json.dumps(cell['settings'])}"
    where = f"{cell['text']}, {cell['entrant']}, {cell['budget']:g} s, seed {cell['seed']}"
    return f"{where}: {figures} nats/char after {cell['seconds']:.1f} s{settings}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="?", help="the folder with the texts")
    parser.add_argument("--texts", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS), help="seconds")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--entrants", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--anew", action="store_true", help="run again what is of another machine or older code")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    arguments = parser.parse_args()
    if not arguments.page:
        if arguments.corpora is None:
            parser.error("name the folder with the texts")
        with tempfile.TemporaryDirectory() as folder:
            board = Board(Results(), arguments.corpora, Path(folder), anew=arguments.anew)
            # Entrants innermost: what the machine does over the hours meets them all.
            for budget in arguments.budgets:
                for seed in range(arguments.seeds):
                    for text in arguments.texts:
                        for name in arguments.entrants:
                            board.fill(text, NAMES[name], budget, seed)
    write_page(Results())


if __name__ == "__main__":
    main()
