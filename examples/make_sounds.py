"""Makes small WAV files to learn sound from: tones, chirps, and digits spoken by espeak-ng where it is installed.

    python examples/make_sounds.py tones FOLDER
    python examples/make_sounds.py digits FOLDER

Tones are files at 22,050 samples a second, each of one pitch, rising or falling, fading at both ends; `digits` are the
words zero to nine in several voices, pitches and speeds. What stands before the first dot of a file's name is
its label: rising.003.wav, seven.en-us-f2-50-150.wav. The same command makes the same files.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 22_050
SECONDS = 0.4
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOICES = ("en-us", "en-us+f2", "en-gb", "en-gb+m3")
PITCHES = ("35", "50", "65")
SPEEDS = ("150", "185")  # words a minute


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("tones", "digits"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60, help="how many tones")
    arguments = parser.parse_args()
    if arguments.kind == "digits" and not shutil.which("espeak-ng"):
        print("espeak-ng is not installed; on Debian and Ubuntu: apt-get install espeak-ng", file=sys.stderr)
        return 2
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.kind == "digits":
        make_digits(arguments.folder)
    else:
        make_tones(arguments.folder, arguments.count)
    print(f"{len(list(arguments.folder.glob('*.wav')))} files in {arguments.folder}")
    return 0


def make_tones(folder: Path, count: int) -> None:
    """Tones between 220 and 880 Hz; a third of them each steady, rising and falling by an octave at most."""
    rng = np.random.default_rng(0)
    time = np.arange(int(SECONDS * RATE)) / RATE
    fade = np.clip(np.minimum(time, SECONDS - time) / 0.02, 0.0, 1.0)
    for number in range(count):
        kind = ("steady", "rising", "falling")[number % 3]
        low = 220 * 2 ** rng.uniform(0, 1)
        slide = {"steady": 0.0, "rising": 1.0, "falling": -1.0}[kind] * rng.uniform(0.5, 1.0)  # octaves
        start = low * 2 if slide < 0 else low
        frequency = start * 2 ** (slide * time / SECONDS)
        phase = 2 * np.pi * np.cumsum(frequency) / RATE
        sound = sum(np.sin(k * phase) / k for k in (1, 2, 3)) * fade
        write(folder / f"{kind}.{number:03d}.wav", 0.5 * sound)


def make_digits(folder: Path) -> None:
    for voice, pitch, speed, word in itertools.product(VOICES, PITCHES, SPEEDS, WORDS):
        path = folder / f"{word}.{voice.replace('+', '-')}-{pitch}-{speed}.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-p", pitch, "-s", speed, "-w", str(path), word], check=True)


def write(path: Path, samples: NDArray[np.floating]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    sys.exit(main())
