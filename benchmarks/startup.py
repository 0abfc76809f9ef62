"""How long from the shell to the first character, and how large is an install that only generates?

    python benchmarks/startup.py [--no-install]

The base install is what `pip install .` puts into an empty environment: no torch, no extras. The starts are timed
there, or with --no-install in the environment at hand. Each start is a new process of the installed `sonho`, timed
from before the fork to the first byte of text; bytecode and page cache are warm. Imports are timed inside a new
interpreter, whose own start is not in them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

from common import Row, installed, machine, save
from random_model import random_model
from sonho.storage.model_file import save_model_file

ROOT = Path(__file__).parent.parent
IMPORT = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
# As for any user: bytecode is kept, and a source tree on the path is not preferred to what is installed.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def first_character(python: Path, model: Path) -> float:
    command = [str(python.parent / "sonho"), "generate", str(model), "-m", "1", "--seed", "1"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        taken = time.perf_counter() - began
    if process.returncode or not first:
        raise SystemExit(f"sonho generate ended with {process.returncode}")
    return taken


def import_seconds(python: Path, module: str) -> float:
    command = [str(python), "-c", IMPORT.format(module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout)


def bare_start(python: Path) -> float:
    began = time.perf_counter()
    subprocess.run([str(python), "-c", "pass"], check=True, env=ENVIRONMENT)
    return time.perf_counter() - began


def row(what: str, measure: Callable[[], float], runs: int) -> Row:
    measure()  # fills the caches
    times = sorted(measure() for _ in range(runs))
    quartiles = [round(1e3 * times[len(times) // 4], 1), round(1e3 * times[-1 - len(times) // 4], 1)]
    return {"what": what, "median, ms": round(1e3 * statistics.median(times), 1), "quartiles, ms": quartiles}


def starts(python: Path, runs: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        save_model_file(model, random_model(cell="lstm", hidden_size=256))
        first = row("shell to the first character of `sonho generate`", lambda: first_character(python, model), runs)
    return [
        first,
        row("an empty `python -c pass`, for comparison", lambda: bare_start(python), runs),
        row("`import sonho`", lambda: import_seconds(python, "sonho"), runs),
        row("`import sonho.decoding`", lambda: import_seconds(python, "sonho.decoding"), runs),
    ]


def base_install(folder: Path) -> Path:
    """An environment with the base install and nothing else, not even pip; returns its Python."""
    venv.create(folder, with_pip=False)
    python = next(folder.glob("[bS][ic]*/python*"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
    return python


def sizes(folder: Path) -> list[Row]:
    """Megabytes of each package, with the bytecode that pip makes."""
    packages = next(folder.glob("[lL]ib/**/site-packages"))
    found: dict[str, float] = {}
    for file in packages.rglob("*"):
        if file.is_file():
            # numpy, numpy.libs and numpy-2.dist-info are one package.
            name = file.relative_to(packages).parts[0].split(".")[0].split("-")[0]
            found[name] = found.get(name, 0.0) + file.stat().st_size / 1e6
    rows: list[Row] = [
        {"package": name, "MB": round(found[name], 1)} for name in sorted(found, key=lambda n: -found[n])
    ]
    return [{"package": "all together", "MB": round(sum(found.values()), 1)}, *(line for line in rows if line["MB"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--no-install", action="store_true", help="time the environment at hand instead")
    arguments = parser.parse_args()
    began = machine()
    if arguments.no_install:
        tables = {"Starting, in the environment for working on sonho": starts(Path(sys.executable), arguments.runs)}
    else:
        with tempfile.TemporaryDirectory() as folder:
            python = base_install(Path(folder))
            tables = {"Starting, in the base install": starts(python, arguments.runs)}
            tables["Size of the base install"] = sizes(Path(folder))
    for table in tables.values():
        for line in table:
            print(", ".join(f"{column} {value}" for column, value in line.items()))
    print(save("startup", tables, began, installed("numpy")))


if __name__ == "__main__":
    main()
