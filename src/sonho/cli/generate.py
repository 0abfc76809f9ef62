"""sonho generate: text on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from sonho.cli.options import prior_flag, weights_flag
from sonho.config import Weights
from sonho.decoding.model import Model, load
from sonho.errors import UsageError


@click.command("generate")
@click.argument("model")
@click.option("-p", "--prompt", "prompts", multiple=True, help="what the text starts with; may be given again")
@click.option(
    "-t",
    "--temperature",
    "temperatures",
    multiple=True,
    type=float,
    help="0 = the likeliest, 1 = as learned, above = wilder; more than one: a gallery [default: the model's, or 0.8]",
)
@click.option("--temperature-end", type=float, help="move the temperature in a line to this one")
@click.option("-m", "--max-tokens", type=int, help="longest text [default: 200, or the model's]")
@click.option("-n", "--count", type=int, default=1, show_default=True, help="texts for each prompt")
@click.option("--seed", type=int, help="repeat a text; without it one is drawn and printed")
@click.option("--top-k", type=int, help="draw from the k likeliest")
@click.option("--top-p", type=float, help="draw from the likeliest that hold this share")
@click.option("--min-p", type=float, help="leave out those below this share of the likeliest")
@click.option("--typical-p", type=float, help="draw from the most typical that hold this share")
@click.option("--repetition-penalty", type=float, help="above 1 discourages what is there already")
@click.option("--frequency-penalty", type=float, help="subtracted for each time it is there")
@click.option("--presence-penalty", type=float, help="subtracted once if it is there")
@click.option("--no-repeat-ngram", type=int, help="no run of this many tokens comes twice")
@click.option("--bias", multiple=True, metavar="SYMBOL=NUMBER", help="added to a symbol's logit")
@click.option("--ban", multiple=True, metavar="SYMBOL", help="a symbol that is never drawn")
@click.option("--allow", multiple=True, metavar="SYMBOL", help="draw only from these")
@click.option("--uniform", is_flag=True, help="pure chance: every symbol equally likely")
@click.option("--stop", multiple=True, help="end before this string; \\n is a line break")
@click.option(
    "--unknown",
    type=click.Choice(["skip", "nearest", "error"]),
    default="skip",
    show_default=True,
    help="prompt symbols that the model does not know",
)
@click.option("--allow-unknown", is_flag=True, help="let <unk> be drawn")
@click.option("--no-echo", is_flag=True, help="leave the prompt out of the output")
@click.option("--label", "labels", multiple=True, metavar="LABEL[=WEIGHT]", help="of a model trained with --condition")
@click.option("--vector", metavar="FILE.npy[:ROW]|0.1,0.2", help="of a model trained with --condition vector")
@click.option("--strength", type=float, help="of the label or vector: 1 as learned, 2 twice as far from the mean")
@click.option("--adapt", multiple=True, metavar="FILE", help="take on the style of a text first (needs PyTorch)")
@weights_flag
@prior_flag
@click.option("-i", "--interactive", is_flag=True, help="ask for prompts until the input ends")
@click.option("--json", "as_json", is_flag=True, help="one JSON line a text")
def command(
    model: str,
    prompts: tuple[str, ...],
    temperatures: tuple[float, ...],
    temperature_end: float | None,
    count: int,
    seed: int | None,
    bias: tuple[str, ...],
    ban: tuple[str, ...],
    allow: tuple[str, ...],
    stop: tuple[str, ...],
    no_echo: bool,
    interactive: bool,
    labels: tuple[str, ...],
    vector: str | None,
    adapt: tuple[str, ...],
    weights: Weights,
    no_prior: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write text with MODEL, a model file or a run folder.

    \b
    sonho generate runs/my --prompt "Once upon" --temperature 0.7 --seed 1
    sonho generate runs/names -n 20
    sonho generate runs/my -p "Today " -t 0.3 -t 0.8 -t 1.3 --max-tokens 300
    sonho generate runs/titles --label Sports=0.7 --label World=0.3 -n 5
    """
    if count < 1:
        raise UsageError(f"--count must be at least 1, got {count}")
    loaded = _adapted(model, adapt, weights, no_prior) if adapt else load(model, weights=weights, prior=not no_prior)
    options = {name: value for name, value in options.items() if value is not None}
    options.update(
        logit_bias=_biases(bias),
        banned=list(ban),
        allowed=list(allow) or None,
        stop=[text.replace("\\n", "\n") for text in stop],
        echo=not no_echo,
        label=_label(labels, loaded) if labels else None,
        vector=None if vector is None else _vector(vector),
    )
    schedule = _schedules(temperatures, temperature_end, options.get("max_tokens", 200))
    if interactive:
        _converse(loaded, schedule[0], seed, options)
        return
    many = len(prompts) > 1 or len(schedule) > 1 or count > 1
    for temperature in schedule:
        for prompt in prompts or ("",):
            for number in range(count):
                own_seed = (seed + number) % 2**63 if seed is not None and number else seed
                drawn = {**options, "temperature": temperature, "seed": own_seed}
                _write(loaded, prompt, drawn, as_json, many)


def _adapted(model: str, texts: tuple[str, ...], weights: Weights, no_prior: bool) -> Model:
    from sonho.api import adapted_model

    adapted, report = adapted_model(model, texts)
    told = f"read {', '.join(texts)}: {report.num_chars:,} characters at {report.bits_per_char:.4f} bits each"
    print(told, file=sys.stderr)
    return Model(adapted, weights=weights, prior=not no_prior)


def _write(model: Model, prompt: str, options: dict[str, Any], as_json: bool, many: bool) -> None:
    temperature = options["temperature"]
    if as_json:
        made = model.generate(prompt, **options)
        record = {"prompt": prompt, "text": made.text, "finish_reason": made.finish_reason, "seed": made.seed}
        if isinstance(temperature, float):
            record["temperature"] = temperature
        print(json.dumps(record, ensure_ascii=False), flush=True)
        return
    if many and model.model_file.data_kind != "records":
        shown = f", temperature {temperature:g}" if isinstance(temperature, float) else ""
        print(f"--- prompt {prompt!r}{shown}", file=sys.stderr, flush=True)
    seed = 0
    for piece in model.stream(prompt, **options):
        sys.stdout.write(_encodable(piece.text))
        sys.stdout.flush()
        if piece.finish_reason is not None:
            assert piece.seed is not None
            seed = piece.seed
    sys.stdout.write(_ending(model) if many else "\n")
    sys.stdout.flush()
    if options["seed"] is None and not many:
        print(f"seed {seed}", file=sys.stderr)


def _ending(model: Model) -> str:
    """What sets one of many texts apart: paragraphs need a blank line between them, as in a file of tunes."""
    return "\n\n" if (model.model_file.record.get("data") or {}).get("item") == "paragraph" else "\n"


def _converse(model: Model, temperature: Any, seed: int | None, options: dict[str, Any]) -> None:
    """Prompt by prompt, until the end of the input."""
    print("Type a prompt and press Enter; Ctrl-D ends.", file=sys.stderr)
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            return
        _write(model, line.rstrip("\n"), {**options, "temperature": temperature, "seed": seed}, False, False)


def _schedules(temperatures: tuple[float, ...], end: float | None, max_tokens: int) -> list[Any]:
    """The temperatures, as numbers or as lines that move to `end`; None is the model's own."""
    if end is None:
        return list(temperatures) or [None]
    from sonho.decoding.settings import ramp

    return [ramp(start, end, max_tokens) for start in temperatures or (0.8,)]


def _biases(items: tuple[str, ...]) -> dict[str, float]:
    biases = {}
    for item in items:
        symbol, _, number = item.rpartition("=")
        try:
            biases[symbol.replace("\\n", "\n")] = float(number)
        except ValueError:
            raise UsageError(f"--bias {item!r} is not SYMBOL=NUMBER, such as --bias e=-2") from None
    return biases


def _label(items: tuple[str, ...], model: Model) -> dict[str, float]:
    """Weights by name, 1 where none is given. A label that is really called so wins."""
    condition = model.model_file.condition
    weights = {}
    for item in items:
        name, equals, weight = item.rpartition("=")
        if not equals or (condition is not None and item in condition.labels):
            name, weight = item, "1"
        try:
            weights[name] = float(weight)
        except ValueError:
            raise UsageError(f"--label {item!r} is not LABEL or LABEL=WEIGHT, such as Sports=0.7") from None
    return weights


def _vector(text: str) -> Any:
    """Numbers with commas between, or a row of a .npy file, counted from 0."""
    from sonho.data.vectors import read_vectors

    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        path, _, row = text.rpartition(":")
        if not (path and row.isdecimal()):
            path, row = text, "0"
    rows = read_vectors(path)
    if int(row) >= len(rows):
        raise UsageError(f"--vector: {path} has {len(rows):,} rows, counted from 0; there is no row {row}")
    return rows[int(row)]


def _encodable(text: str) -> str:
    """The text with what the terminal's encoding cannot show replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
