"""A small synthesiser: plucked strings, added up from sines. Numbers in, samples out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sonho.export.playing import Sounding

RATE = 22_050  # samples a second
HARMONICS = 8
ATTACK_SECONDS = 0.006  # from nothing to loud: a jump would be heard as a click
RELEASE_SECONDS = 0.06  # after the note, in which it fades to nothing
PEAK = 0.9

Samples = NDArray[np.float32]


def synthesise(notes: Sequence[Sounding]) -> Samples:
    """The notes mixed, shape (L,), at 22,050 samples a second, the loudest sample at 0.9."""
    end = max((note.start + note.seconds for note in notes), default=0.0)
    mixed = np.zeros(round((end + RELEASE_SECONDS) * RATE) + 2, np.float32)
    for note in notes:
        begin = round(note.start * RATE)
        for pitch in note.pitches:
            sound = pluck(pitch, note.seconds)
            mixed[begin : begin + len(sound)] += sound[: len(mixed) - begin]
    peak = float(np.abs(mixed).max(initial=0.0))
    return mixed * np.float32(PEAK / peak) if peak else mixed


def pluck(pitch: int, seconds: float) -> Samples:
    """One string: harmonic k has the strength 1/k and dies away faster the higher it is.

    Harmonics above half the rate are left out: they would sound as other tones.
    """
    time = np.arange(round((seconds + RELEASE_SECONDS) * RATE)) / RATE
    frequency = 440.0 * 2.0 ** ((pitch - 69) / 12)
    sound = np.zeros(len(time))
    for k in range(1, HARMONICS + 1):
        if k * frequency < RATE / 2:
            sound += np.exp(-(1.5 + 0.8 * k) * time) / k * np.sin(2 * np.pi * k * frequency * time)
    return (sound * _envelope(time, seconds)).astype(np.float32)


def _envelope(time: NDArray[np.floating], seconds: float) -> NDArray[np.floating]:
    """Loudness 0..1: up, held, and down to 0 at the very end. Half cosines have no corners."""
    up = np.clip(time / ATTACK_SECONDS, 0.0, 1.0)
    down = np.clip((seconds + RELEASE_SECONDS - time) / RELEASE_SECONDS, 0.0, 1.0)
    envelope: NDArray[np.floating] = (0.5 - 0.5 * np.cos(np.pi * up)) * (0.5 - 0.5 * np.cos(np.pi * down))
    return envelope
