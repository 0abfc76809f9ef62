"""How fast does sonho write on one core, against the usual ways to generate from an LSTM or GRU?

    python benchmarks/decode_speed.py [--batches 1 64]

Random weights, 84 symbols, an embedding of 64, temperature 0.8 with every draw made; each side is a process of its
own, pinned to the same core, and they take turns; the ratio is the median over the rounds. sonho writes whole texts
of 1000 characters (above batch 8: of 200) through `sonho.load` and `generate`, prompt included; the peers go on and on:

    torch layer   the usual loop: one step of nn.LSTM or nn.GRU a character, the state carried, torch.multinomial
    torch cell    the same with nn.LSTMCell or nn.GRUCell
    onnxruntime   one step a call, the states passed in and out, NumPy draws
    keras on ...  the course notebooks: the whole text so far, of 100 characters at most, through `predict` for each
                  (batch 1, lstm 1 x 128); on TensorFlow, as they have it, and on JAX

The last three need .venv-bench (`make bench` makes it). A second table has the stream: the time to its first
character, and the 99th percentile of the time between its pieces.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import Row, installed, machine, save
from random_model import VOCAB_SIZE, random_model
from sonho.storage.model_file import save_model_file
from workers import KERAS, Turn, Worker, peers_python, rate, ratio, take_turns

MODELS = (("lstm", 128, 1), ("lstm", 256, 1), ("gru", 256, 1), ("lstm", 512, 2))
BATCHES = (1, 8, 64, 256)
EMBEDDING_DIM = 64
# Tokens of a text. Starting one costs something for each row; SHORT is what a user gets who does not say.
LONG, SHORT = 1000, 200
NOTEBOOK = ("lstm", 128, 1)
# side: how it works, its weights
STYLES = {"sonho int8": ("text", "int8"), "torch layer": ("layer", ""), "torch cell": ("cell", "")}
# BLAS and OpenMP each have their own way to be told.
ONE_THREAD = dict.fromkeys(("SONHO_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# One thread leaves no others behind that spin.
PAUSE_SECONDS = 0.02


def measure(model: tuple[str, int, int], path: Path, batch_size: int, sides: dict[str, Worker], seconds: float) -> Row:
    """Every side that can do this model and batch, in turns."""
    cell, size, layers = model
    shared = {
        "work": "generate",
        "path": str(path),
        "cell": cell,
        "hidden_size": size,
        "layers": layers,
        "embedding_dim": EMBEDDING_DIM,
        "vocab_size": VOCAB_SIZE,
        "batch_size": batch_size,
        "max_tokens": LONG if batch_size <= 8 else SHORT,
        "temperature": 0.8,
        "threads": 1,
    }
    taking = {}
    for name, worker in sides.items():
        if name in KERAS and (batch_size != 1 or model != NOTEBOOK):
            continue
        style, weights = STYLES.get(name, ("text", ""))
        reason = worker.case(**shared, style=style, weights=weights)
        if reason:
            print(f"{name} is left out: {reason}", flush=True)
        else:
            taking[name] = worker
    return row(model, batch_size, take_turns(taking, seconds, pause=PAUSE_SECONDS))


def row(model: tuple[str, int, int], batch_size: int, turns: dict[str, list[Turn]]) -> Row:
    values: Row = {"model": label(model), "batch": batch_size}
    values |= {f"{name}, characters/s": round(rate(turns[name])) for name in turns}
    for name in turns:
        if name == "sonho int8":
            values["int8 / float"] = round(ratio(turns[name], turns["sonho"])[0], 2)
        elif name != "sonho":
            values[f"sonho / {name}"] = round(ratio(turns["sonho"], turns[name])[0], 2)
    return values


def stream(model: tuple[str, int, int], path: Path, worker: Worker, seconds: float) -> Row:
    worker.case(path=str(path), style="stream", weights="", batch_size=1, temperature=0.8, max_tokens=LONG)
    turns = take_turns({"sonho": worker}, seconds, pause=PAUSE_SECONDS)["sonho"]
    middle = sorted(turns, key=lambda turn: turn.extra["gap_p99_ms"])[len(turns) // 2]
    return {
        "model": label(model),
        "characters/s": round(rate(turns)),
        "to the first character, ms": round(middle.extra["first_ms"], 3),
        "between pieces, 99th percentile, ms": round(middle.extra["gap_p99_ms"], 3),
        "characters a piece": round(middle.count / middle.units / middle.extra["pieces"], 1),
    }


def label(model: tuple[str, int, int]) -> str:
    cell, size, layers = model
    return f"{cell} {layers} x {size}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring for each model and batch")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--models", type=int, default=len(MODELS), help="measure only the first of them")
    arguments = parser.parse_args()
    began, python, versions = machine(), peers_python(), installed("torch", "numpy")
    speeds, streams = [], []
    with ExitStack() as stack:

        def start(module: str, **options: Any) -> Worker:
            return stack.enter_context(Worker(module, cores=1, **ONE_THREAD, **options))

        own = start("own_decode")
        sides = {"sonho": own, "sonho int8": start("own_decode")}
        sides |= {name: start("peers.torch_layers") for name in ("torch layer", "torch cell")}
        if python:
            sides["onnxruntime"] = start("peers.onnx_lstm", python=python)
            for name, chosen in KERAS.items():
                sides[name] = start("peers.keras_lstm", python=python, **chosen)
            versions |= installed("onnxruntime", "keras", "jax", "tensorflow-cpu", python=python)
        else:
            print("ONNX Runtime and Keras are left out: there is no .venv-bench; `make bench` makes it")
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.safetensors"
        for model in MODELS[: arguments.models]:
            cell, size, layers = model
            save_model_file(
                path, random_model(cell=cell, hidden_size=size, num_layers=layers, embedding_dim=EMBEDDING_DIM)
            )
            for batch_size in arguments.batches:
                speeds.append(measure(model, path, batch_size, sides, arguments.seconds))
                print(", ".join(f"{name} {value}" for name, value in speeds[-1].items()), flush=True)
            streams.append(stream(model, path, own, arguments.seconds / len(sides)))
            print(", ".join(f"{name} {value}" for name, value in streams[-1].items()), flush=True)
    tables = {"Generating on one core": speeds, "The stream, on one core": streams}
    print(save("decode_speed", tables, began, versions))


if __name__ == "__main__":
    main()
