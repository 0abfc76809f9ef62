"""A picture of a sound: its waveform above, its spectrogram below. Samples in, PNG out, by Pillow."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonho.errors import StorageError

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, WAVE_HEIGHT, SPECTRUM_HEIGHT = 960, 120, 256
LEFT, GAP, BOTTOM = 44, 10, 22  # margins for the axes
WINDOW_SECONDS = 0.032  # long enough for the harmonics of a voice, short enough for its syllables
RANGE_DB = 70.0
HIGHEST_HZ = 5000.0  # music and telephone speech have little above
# From silence to the loudest: dark, blue, red, yellow, almost white.
COLOURS = np.array([(8, 8, 24), (50, 30, 120), (170, 40, 110), (245, 150, 50), (255, 250, 210)], float)
COLOURS_KEPT = 48
INK, PAPER = (40, 40, 60), (255, 255, 255)


def write_picture(samples: NDArray[np.floating], rate: int, path: Path) -> None:
    """Write a PNG of samples (L,) at `rate` a second. Raises StorageError."""
    picture = draw(samples, rate)
    try:
        # Few colours: a quarter of the bytes, and nobody sees the difference.
        picture.quantize(COLOURS_KEPT).save(path, format="PNG", optimize=True)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def draw(samples: NDArray[np.floating], rate: int) -> Image:
    """The picture; time runs to the right, frequency up."""
    from PIL import Image, ImageDraw

    size = (LEFT + WIDTH, WAVE_HEIGHT + GAP + SPECTRUM_HEIGHT + BOTTOM)
    picture = Image.new("RGB", size, PAPER)
    highest = min(rate / 2, HIGHEST_HZ)
    picture.paste(Image.fromarray(_wave(samples)), (LEFT, 0))
    picture.paste(Image.fromarray(_coloured(spectrogram(samples, rate, highest))), (LEFT, WAVE_HEIGHT + GAP))
    _write_axes(ImageDraw.Draw(picture), len(samples) / rate, highest)
    return picture


def spectrogram(samples: NDArray[np.floating], rate: int, highest: float) -> NDArray[np.floating]:
    """Loudness 0..1 over 70 dB, shape (256, 960): rows from `highest` Hz down to 0, columns in time."""
    window = max(int(WINDOW_SECONDS * rate), 16)
    padded = np.pad(samples.astype(np.float32), window // 2)
    starts = np.linspace(0, max(len(padded) - window - 1, 0), WIDTH).astype(int)
    padded = np.pad(padded, (0, window))  # a sound shorter than the window
    pieces = padded[starts[:, None] + np.arange(window)] * np.hanning(window)  # (960, window)
    bins = 2 ** int(np.ceil(np.log2(4 * window)))
    power = np.abs(np.fft.rfft(pieces, bins, axis=1))  # (960, bins / 2 + 1)
    rows = np.linspace(highest, 0.0, SPECTRUM_HEIGHT) / (rate / 2) * (power.shape[1] - 1)
    level = 20 * np.log10(power[:, np.rint(rows).astype(int)].T + 1e-9)  # (256, 960)
    loudness: NDArray[np.floating] = np.clip((level - level.max()) / RANGE_DB + 1.0, 0.0, 1.0)
    return loudness


def _wave(samples: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The waveform as (120, 960, 3) colours: from the lowest to the highest sample of each column."""
    edges = np.linspace(0, len(samples), WIDTH + 1).astype(int)
    pixels = np.full((WAVE_HEIGHT, WIDTH, 3), 255, np.uint8)
    middle = (WAVE_HEIGHT - 1) / 2
    for column, (start, stop) in enumerate(itertools.pairwise(edges)):
        piece = samples[start : max(stop, start + 1)]
        if len(piece):
            top, bottom = middle - middle * float(piece.max()), middle - middle * float(piece.min())
            pixels[max(int(top), 0) : int(bottom) + 1, column] = (60, 90, 170)
    return pixels


def _coloured(loudness: NDArray[np.floating]) -> NDArray[np.uint8]:
    stops = np.linspace(0.0, 1.0, len(COLOURS))
    channels = [np.interp(loudness, stops, COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _write_axes(pen: Any, seconds: float, highest: float) -> None:
    top = WAVE_HEIGHT + GAP
    for kilohertz in range(int(highest / 1000) + 1):
        y = top + (SPECTRUM_HEIGHT - 1) * (1 - kilohertz * 1000 / highest)
        pen.line([(LEFT - 4, y), (LEFT, y)], fill=INK)
        pen.text((4, y - 6 if kilohertz else y - 10), f"{kilohertz} kHz", fill=INK)
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if seconds / s <= 12), 600)
    for number in range(int(seconds / step + 1e-9) + 1):
        x = LEFT + (WIDTH - 1) * number * step / seconds if seconds else LEFT
        pen.line([(x, top + SPECTRUM_HEIGHT), (x, top + SPECTRUM_HEIGHT + 4)], fill=INK)
        pen.text((min(x, LEFT + WIDTH - 34), top + SPECTRUM_HEIGHT + 6), f"{number * step:g} s", fill=INK)
