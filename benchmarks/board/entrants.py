"""Who is on the board: a line each. A further entrant of sonho's own is a line with its arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

OWN = "peers.board_sonho"
RATES = (0.004, 0.008, 0.016, 0.032, 0.064)
# Longer runs want lower rates, and dropout where the text is read several times.
LONG, LONG_RATES, DROPOUTS = 120.0, (0.032, 0.016, 0.008, 0.004, 0.002), (0.0, 0.2, 0.4)


@dataclass(frozen=True)
class Choice:
    """A setting that is picked on the validation part, for budgets from `least` seconds on and below `below`.

    The trials take the budget itself, but at most `most` seconds each. They are not part of an entrant's time. All
    values are tried, or, `until_worse`, each as long as it is better than the one before.
    """

    setting: str
    values: tuple[float, ...]
    least: float = 0.0
    below: float = math.inf
    most: float = 60.0
    until_worse: bool = False


@dataclass(frozen=True)
class Entrant:
    """One line of the board: a peer's module, its settings, and what is picked for it."""

    name: str
    title: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    clocked: bool = True  # False: takes the time that it takes, once for all budgets and seeds
    keras: bool = False  # runs in the environment of the peers


def sonho(name: str, title: str, *arguments: str, **settings: Any) -> Entrant:
    return Entrant(name, title, OWN, {"arguments": list(arguments), **settings})


def recurrent(cell: str) -> Entrant:
    choices = (
        Choice("rate", RATES, below=LONG),
        Choice("rate", LONG_RATES, least=LONG, most=180.0, until_worse=True),
        Choice("dropout", DROPOUTS, least=LONG, most=600.0, until_worse=True),
    )
    settings = {"cell": cell, "hidden_size": 256, "dropout": 0.0}
    title = f"nn.{cell.upper()} 256, AdamW"
    return Entrant(f"torch-{cell}", title, "peers.board_recurrent", settings, choices)


def transformer(name: str, layers: int, width: int, **settings: Any) -> Entrant:
    settings = {"layers": layers, "width": width, "rate": 1e-3, **settings}
    return Entrant(name, f"transformer {layers} x {width}", "peers.board_transformer", settings)


def kneser_ney(order: int) -> Entrant:
    arguments = ["model.cell=ngram", f"model.order={order}"]
    settings = {"arguments": arguments, "clock": False}
    return Entrant(f"kneser-ney-{order}", f"Kneser-Ney {order}", OWN, settings, clocked=False)


ENTRANTS = (
    # The same model is scored once more as it learns on: a row of its own, never mixed with the frozen ones.
    sonho("sonho", "sonho", adapt=True),
    sonho("sonho-prior", "sonho with n-gram prior", "--prior", "ngram", adapt=True),
    sonho("sonho-gru", "sonho, GRU", "model.cell=gru"),
    recurrent("lstm"),
    recurrent("gru"),
    transformer("transformer-small", 4, 128, heads=4, context=64, batch_size=12, dropout=0.0),
    transformer("transformer-large", 6, 384, heads=6, context=256, batch_size=64, dropout=0.2),
    Entrant("keras-textbook", "textbook Keras LSTM 128", "peers.board_keras", keras=True),
    *(kneser_ney(order) for order in (4, 5, 6, 7, 8)),
    Entrant("xz", "xz", "peers.board_xz", clocked=False),
)


def title(name: str) -> str:
    """What an entrant is called on the page; one that is no longer in the list, by its name."""
    return next((entrant.title for entrant in ENTRANTS if entrant.name == name), name)
