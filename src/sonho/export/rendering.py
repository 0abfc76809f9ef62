"""From a file of tunes or sound to files to hear. Knows which of the two it is, and how files are named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonho.config import DataConfig
from sonho.data.files import display_name, expand, format_suffix
from sonho.data.sound import FIRST, RATE, SUFFIX, read_wav, text_to_sound
from sonho.data.sources import iter_text
from sonho.errors import DataError, StorageError
from sonho.export import synth
from sonho.export.abc import split_tunes
from sonho.export.playing import soundings
from sonho.export.tune import Tune
from sonho.export.wav import write_wav

BRAILLE = re.compile(f"[{chr(FIRST)}-{chr(FIRST + 255)}]+")
PAUSE_SECONDS = 0.5  # between sounds that are joined
MOST_NAME = 40  # characters of a title in a file's name


@dataclass(frozen=True)
class Piece:
    """Something that sounds, and what its file is called."""

    name: str
    samples: NDArray[np.floating]  # (L,), in [-1, 1]


@dataclass
class Content:
    """What was found: tunes as text, or sounds; `rate` in samples a second."""

    tunes: list[str] | None
    rate: int
    pieces: list[Piece] = field(default_factory=list)

    def add_tunes(self, tunes: Sequence[tuple[int, Tune]], *, needed: bool) -> None:
        """Play the tunes, where somebody wants to hear them."""
        if needed:
            self.pieces += [Piece(_name(number, tune), synth.synthesise(soundings(tune))) for number, tune in tunes]


def read_pieces(path: str) -> Content:
    """Tunes, or the sounds of a text or of WAV files. Raises DataError for what is neither."""
    files = expand([path])
    if all(format_suffix(file) == SUFFIX for file in files):
        return _wavs(files)
    text = "".join(iter_text(files, DataConfig()))
    if sounds := BRAILLE.findall(text):
        return Content(None, RATE, [Piece(f"{n:03d}", text_to_sound(sound)) for n, sound in enumerate(sounds, 1)])
    return Content(_tunes(text, path), synth.RATE)


def read_tunes(path: str) -> list[str]:
    """The tunes of a file, as text. Raises DataError where there are none."""
    return _tunes("".join(iter_text(expand([path]), DataConfig())), path)


def write_midis(tunes: Sequence[tuple[int, Tune]], folder: Path) -> list[Path]:
    """A MIDI file for each tune; returns where they are. Raises StorageError."""
    from sonho.export.midi import write_midi

    make_folder(folder)
    paths = [folder / f"{_name(number, tune)}.mid" for number, tune in tunes]
    for path, (_, tune) in zip(paths, tunes, strict=True):
        write_midi(tune, path)
    return paths


def write_wavs(pieces: list[Piece], rate: int, path: Path) -> list[Path]:
    """All in one file where `path` ends in .wav, else one each in a folder. Raises StorageError."""
    if path.suffix.lower() == SUFFIX:
        make_parent(path)
        write_wav(joined(pieces, rate), rate, path)
        return [path]
    make_folder(path)
    for piece in pieces:
        write_wav(piece.samples, rate, path / f"{piece.name}.wav")
    return [path / f"{piece.name}.wav" for piece in pieces]


def joined(pieces: list[Piece], rate: int) -> NDArray[np.floating]:
    """All samples, with half a second of silence between two pieces."""
    pause = np.zeros(int(PAUSE_SECONDS * rate), np.float32)
    parts = [part for piece in pieces for part in (pause, piece.samples)][1:]
    return np.concatenate(parts)


def make_folder(path: Path) -> None:
    """Raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror or error}") from None


def make_parent(path: Path) -> None:
    """Raises StorageError."""
    make_folder(path.parent)


def _tunes(text: str, path: str) -> list[str]:
    tunes = split_tunes(text)
    if not any(re.search(r"^[XTK]:", tune, re.MULTILINE) for tune in tunes):
        raise DataError(f"{path} holds neither tunes in ABC notation (X:, T:, K:) nor sound (Braille characters)")
    return tunes


def _wavs(files: list[Path]) -> Content:
    read = [read_wav(file) for file in files]
    rate = read[0][1]
    for file, (_, other) in zip(files, read, strict=True):
        if other != rate:
            raise DataError(f"{display_name(file)} has {other} samples a second, the one before {rate}; give one alone")
    return Content(None, rate, [Piece(file.stem, samples) for file, (samples, _) in zip(files, read, strict=True)])


def _name(number: int, tune: Tune) -> str:
    """A file's name from a tune's number and title: letters, digits and hyphens.

    >>> _name(7, Tune({"T": "O'Neill's / Jig"}, [], None))
    '007-o-neill-s-jig'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", tune.title.lower())[:MOST_NAME].strip("-")
    return f"{number:03d}-{slug}" if slug else f"{number:03d}"
