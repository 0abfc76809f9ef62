"""`make demo`: a text file becomes a measured model in about a minute, and the model writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUN = HERE.parent / "runs" / "demo"
SONHO = [sys.executable, "-m", "sonho"]


def show(*arguments: str) -> None:
    """Print a command as one would type it, and run it."""
    shown = " ".join(f'"{a}"' if " " in a or not a else a for a in arguments)
    print(f"\n$ sonho {shown}", flush=True)
    subprocess.run([*SONHO, *arguments], check=True, cwd=HERE.parent)


def main() -> None:
    shutil.rmtree(RUN, ignore_errors=True)
    run = str(RUN.relative_to(HERE.parent))
    show("train", "examples/data/tinyshakespeare.txt", "--minutes", "1.2", "--validation", "0.1", "--output", run)
    show("generate", run, "--prompt", "ROMEO:\n", "--temperature", "0.7", "--max-tokens", "400", "--seed", "1")


if __name__ == "__main__":
    main()
