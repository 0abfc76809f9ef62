"""sonho chat: answers on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sonho.cli.options import weights_flag
from sonho.config import Weights

if TYPE_CHECKING:
    from sonho.decoding.chat import Chat


@click.command("chat")
@click.argument("model")
@click.option("--speakers", help="the person and the model, with a comma between [default: the model's]")
@click.option("-t", "--temperature", type=float, help="0 = the likeliest, above 1 = wilder [default: the model's]")
@click.option("-m", "--max-tokens", type=int, help="longest answer [default: 200, or the model's]")
@click.option("--seed", type=int, help="the same conversation again; without it one is drawn and printed")
@click.option("--top-k", type=int, help="draw from the k likeliest")
@click.option("--top-p", type=float, help="draw from the likeliest that hold this share")
@click.option("--min-p", type=float, help="leave out those below this share of the likeliest")
@click.option("--repetition-penalty", type=float, help="above 1 discourages what is there already")
@click.option(
    "--unknown",
    type=click.Choice(["skip", "nearest", "error"]),
    default="skip",
    show_default=True,
    help="symbols of yours that the model does not know",
)
@weights_flag
def command(model: str, speakers: str | None, weights: Weights, **options: Any) -> None:
    """Talk with MODEL, which learned a conversation (data.speakers) and remembers what was said.

    A line is a turn; /reset begins anew, Ctrl-D ends. Piped input gets one line of answer for each line.

    \b
    sonho train dialogue.csv --columns question,answer --speakers A,B -o runs/dialogue
    sonho chat runs/dialogue --temperature 0.6
    """
    from sonho.decoding.model import load

    given = {name: value for name, value in options.items() if value is not None}
    names = [name.strip() for name in speakers.split(",")] if speakers else []
    chat = load(model, weights=weights).chat(speakers=names, **given)
    asks = sys.stdin.isatty()
    if asks:
        print(f"You are {chat.person}; /reset begins anew, Ctrl-D ends.", file=sys.stderr)
    if options["seed"] is None:
        print(f"seed {chat.seed}", file=sys.stderr)
    _converse(chat, asks)


def _converse(chat: Chat, asks: bool) -> None:
    """Line by line, until the end of the input."""
    while True:
        if asks:
            print(f"{chat.person}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            if asks:
                print(file=sys.stderr)
            return
        if line.strip() == "/reset":
            chat.reset()
        elif line.strip():
            _answer(chat, line, asks)


def _answer(chat: Chat, line: str, asks: bool) -> None:
    if asks:
        print(f"{chat.model}: ", end="", file=sys.stderr, flush=True)
    encoding = sys.stdout.encoding or "utf-8"
    for piece in chat.stream(line):
        sys.stdout.write(piece.text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()
