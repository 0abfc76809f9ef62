"""Sound as text: 8,000 samples a second, 8 bits each by the mu-law, one character a sample. Knows samples, not tokens.

A code 0..255 is the character U+2800 + code of the Braille block, which has exactly 256 patterns, prints as one
column and is never white space. Everything that works on characters therefore works on sound unchanged, and
bits per character are bits per sample.

The codes are those of the mu-law with mu = 255 in the order of the amplitude (0 = -1, 255 = +1), as WaveNet uses
them; G.711 stores the same curve with other bits.
"""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonho.data.files import display_name, read_blocks
from sonho.errors import DataError

SUFFIX = ".wav"
RATE = 8000  # samples a second
MU = 255.0
SILENCE = 128  # the code of 0
FIRST = 0x2800  # the Braille pattern without dots
MOST_SECONDS = 3600
# Zeros of the windowed sinc on each side: 16 keep 3.6 kHz whole and what would fold down 60 dB below.
ZEROS = 16
PASS = 0.94  # of the lower of the two half rates

Samples = NDArray[np.float32]


def read_sound(path: Path) -> str:
    """The text of a WAV file: all channels mixed, brought to 8 kHz.

    Raises DataError for what is no PCM WAV of 8, 16, 24 or 32 bits, or holds nothing.
    """
    samples, rate = read_wav(path)
    return sound_to_text(resample(samples, rate, RATE))


def read_wav(path: Path) -> tuple[Samples, int]:
    """Mono samples in [-1, 1], shape (L,), and the rate in samples a second. Raises DataError as `read_sound`."""
    where = display_name(path)
    data = b"".join(read_blocks(path))
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, ValueError) as error:
        reason = str(error) or "it ends too early"
        raise DataError(f"{where} is no WAV file that can be read ({reason}); convert it to 16-bit PCM") from None
    if width not in (1, 2, 3, 4) or not channels or not 1000 <= rate <= 400_000:
        raise DataError(f"{where}: {8 * width} bits at {rate} a second is no usual WAV; convert it to 16-bit PCM")
    samples = _as_floats(frames[: len(frames) // (width * channels) * width * channels], width)
    if not len(samples):
        raise DataError(f"{where} holds no samples; leave it out")
    if len(samples) > MOST_SECONDS * rate * channels:
        raise DataError(f"{where} lasts longer than an hour; cut it into pieces")
    return samples.reshape(-1, channels).mean(axis=1, dtype=np.float32), rate


def sound_to_text(samples: NDArray[np.floating]) -> str:
    """Samples in [-1, 1] as one character each.

    >>> [hex(ord(c)) for c in sound_to_text(np.array([-1.0, 0.0, 1.0]))]
    ['0x2800', '0x2880', '0x28ff']
    """
    clipped = np.clip(samples, -1.0, 1.0).astype(np.float64)
    curved = np.sign(clipped) * np.log1p(MU * np.abs(clipped)) / np.log1p(MU)
    codes = np.clip(SILENCE + np.rint(curved * 127.5), 0, 255)
    return str((codes + FIRST).astype("<u4").tobytes(), "utf-32-le")


def text_to_sound(text: str) -> Samples:
    """The samples (L,) that the Braille characters of a text stand for; others are left out.

    >>> text_to_sound("x" + chr(0x2800 + 128)).round(3).tolist()
    [0.0]
    """
    points = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4").astype(np.int64)
    codes = points[(points >= FIRST) & (points < FIRST + 256)] - FIRST
    return _decoded()[codes]


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """The same sound at another rate, by a windowed sinc in polyphase form, shape (ceil(L * new_rate / rate),).

    The method: J. O. Smith, "Digital Audio Resampling", with a Kaiser window (beta 8). Each of the
    `new_rate / gcd` phases is one row of taps, so a sample costs one short product.
    """
    if rate == new_rate:
        return samples
    divisor = int(np.gcd(rate, new_rate))
    up, down = new_rate // divisor, rate // divisor
    cutoff = PASS * min(1.0, new_rate / rate)
    reach = int(np.ceil(ZEROS / cutoff))
    padded = np.pad(samples, reach)
    made = np.empty(-(-len(samples) * up // down), np.float32)
    offsets = np.arange(-reach, reach)
    for phase in range(min(up, len(made))):
        places = np.arange(phase, len(made), up) * down  # in steps of 1 / up of an old sample
        whole, part = places // up, (phase * down % up) / up
        distance = offsets + 1 - part  # of each tap from the wanted moment
        taps = cutoff * np.sinc(cutoff * distance) * _kaiser(distance / reach)
        taps = (taps / taps.sum()).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
        made[phase::up] = windows[whole + 1] @ taps
    return made


def _kaiser(distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """A Kaiser window at distances -1..1 from its middle."""
    inside = np.sqrt(np.clip(1.0 - distance**2, 0.0, None))
    window: NDArray[np.floating] = np.i0(8.0 * inside) / np.i0(8.0)
    return window


def _decoded() -> Samples:
    """The sample of each code, (256,)."""
    curved = np.clip((np.arange(256) - SILENCE) / 127.5, -1.0, 1.0)
    samples: Samples = (np.sign(curved) * np.expm1(np.abs(curved) * np.log1p(MU)) / MU).astype(np.float32)
    return samples


def _as_floats(frames: bytes, width: int) -> Samples:
    if width == 1:  # the only width without a sign
        return (np.frombuffer(frames, np.uint8).astype(np.float32) - 128.0) / 128.0
    if width == 3:
        packed = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(packed), 4), np.uint8)
        wide[:, 1:] = packed
        return wide.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    kind = {2: "<i2", 4: "<i4"}[width]
    return np.frombuffer(frames, kind).astype(np.float32) / 2.0 ** (8 * width - 1)
