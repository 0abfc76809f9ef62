"""Tunes as MIDI files, by mido."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonho.errors import StorageError
from sonho.export.playing import Sounding, soundings
from sonho.export.tune import Tune

TICKS_A_SECOND = 960  # at the file's 120 quarters a minute and 480 ticks a quarter
NYLON_GUITAR = 24  # like the plucked strings of synth.py
VELOCITY = 80
# A key goes up a little before the next goes down, so that repeated notes are heard as two.
GAP_SECONDS = 0.02


def write_midi(tune: Tune, path: Path) -> None:
    """Write a tune, repeats played out. Raises StorageError."""
    import mido

    track: Any = mido.MidiTrack()
    track.append(mido.MetaMessage("track_name", name=tune.title.encode("ascii", "replace").decode()))
    track.append(mido.Message("program_change", program=NYLON_GUITAR))
    now = 0
    for tick, kind, pitch in _events(soundings(tune)):
        track.append(mido.Message(kind, note=pitch, velocity=VELOCITY, time=tick - now))
        now = tick
    try:
        mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def _events(notes: list[Sounding]) -> list[tuple[int, str, int]]:
    """Keys up and down as (tick, message, pitch), in time; a key goes up before another goes down."""
    events = []
    for note in notes:
        end = note.start + max(note.seconds - GAP_SECONDS, note.seconds / 2)
        for pitch in set(note.pitches):
            events.append((round(note.start * TICKS_A_SECOND), "note_on", pitch))
            events.append((round(end * TICKS_A_SECOND), "note_off", pitch))
    return sorted(events, key=lambda event: (event[0], event[1] == "note_on", event[2]))
