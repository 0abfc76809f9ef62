"""Pictures beside texts: read from a folder or a tar, resized, kept as bytes. Knows pixels, not text.

Shapes: P pictures, N of them, H height and W width in pixels.
"""

from __future__ import annotations

import importlib.util
import io
import posixpath
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from sonho.config import DataConfig
from sonho.data.encode import ArrayWriter
from sonho.data.parts import TokenStore
from sonho.data.sources import Block
from sonho.errors import DataError, InputNotFoundError, UsageError

CHANNELS = 3  # red, green, blue
FORMATS = ("PNG", "JPEG")
SUFFIXES = (".png", ".jpg", ".jpeg")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz")
MOST_PIXELS = 4096  # of a side
MOST_SHOWN = 5
ADVICE = "mend it, or leave out such pictures with --skip-bad"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size, by number."""

    names: tuple[str, ...]  # as the table calls them
    size: tuple[int, int]  # W, H
    store: TokenStore  # (P * H * W * 3) uint8
    bad: tuple[str, ...] = field(default=())  # a sentence about each that was left out

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        return self.store.digest

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The pixels (N, H, W, 3) uint8 of the pictures of these numbers (N,)."""
        width, height = self.size
        length = width * height * CHANNELS
        return self.store.gather(numbers * length, length).reshape(len(numbers), height, width, CHANNELS)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """The number of each name, (R,) int64."""
        return np.fromiter(map(self._numbers.__getitem__, names), np.int64, len(names))

    def rows_with(self, block: Block) -> Block:
        """The rows whose picture could be read."""
        if not self.bad:
            return block
        kept = [name in self._numbers for name in block.names]
        return Block(*(list(compress(items, kept)) for items in block))

    def notes(self) -> list[str]:
        """How many there are, and which were left out."""
        width, height = self.size
        lines = [f"{len(self):,} pictures, resized to {width} x {height} pixels"]
        if self.bad:
            more = f"; and {len(self.bad) - MOST_SHOWN:,} more" if len(self.bad) > MOST_SHOWN else ""
            shown = "; ".join(self.bad[:MOST_SHOWN])
            lines.append(f"{len(self.bad):,} pictures were left out with their rows: {shown}{more}")
        return lines

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}


def read_pictures(names: Sequence[str], config: DataConfig, folder: Path | None) -> Pictures:
    """Read the pictures of these names from `config.pictures`, into memory or as shards into `folder`.

    Raises InputNotFoundError where that is neither a folder nor a tar, and DataError for a picture that is absent or
    cannot be read, unless `config.skip_bad`.
    """
    size, source = picture_size(config.picture_size), Path(config.pictures)
    found = _of_tar(names, source) if source.is_file() else _of_folder(names, source)
    writer = ArrayWriter(np.dtype(np.uint8), folder, "pictures")
    good, bad = [], []
    try:
        for name, data in found:
            try:
                pixels = decode(data, size)
            except DataError as error:
                if not config.skip_bad:
                    raise DataError(f"{name}: {error}; {ADVICE}") from None
                bad.append(f"{name}: {error}")
                continue
            writer.append(pixels.reshape(-1))
            good.append(name)
        if not good:
            raise DataError(f"none of {len(bad):,} pictures in {source} can be read; the first is {bad[0]}")
        return Pictures(tuple(good), size, writer.finish(), tuple(bad))
    finally:
        writer.abandon()


def folder_beside(paths: Sequence[str]) -> str:
    """Where the pictures of a table are, where nothing else is said: beside it."""
    first = Path(paths[0]) if paths else Path()
    return str(first if first.is_dir() else first.parent)


def picture_size(text: str) -> tuple[int, int]:
    """Width and height. Raises UsageError.

    >>> picture_size("100x25")
    (100, 25)
    """
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) == 2 and all(side.strip().isdecimal() for side in sides):
        width, height = (int(side) for side in sides)
        if 1 <= width <= MOST_PIXELS and 1 <= height <= MOST_PIXELS:
            return width, height
    raise UsageError(f"data.picture_size = {text!r}: give width x height of at most {MOST_PIXELS} pixels, as 100x25")


def read_picture(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels (H, W, 3) uint8 of a file, as `decode` makes them. Raises InputNotFoundError or DataError."""
    try:
        return decode(path.read_bytes(), size)
    except (FileNotFoundError, IsADirectoryError):
        raise InputNotFoundError(f"no such picture: {path}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def decode(data: bytes | OSError, size: tuple[int, int] | None) -> np.ndarray:
    """A PNG or JPEG as (H, W, 3) uint8, turned as its EXIF says, on white where it is transparent, stretched to `size`.

    `size` is W, H; None leaves it as large as it is. Raises DataError, with the reason alone.
    """
    if isinstance(data, OSError):
        raise DataError(data.strerror or str(data))
    check_pillow()
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if size is not None:
                opened.draft("RGB", (2 * size[0], 2 * size[1]))  # a large JPEG need not be unpacked whole
            picture: Any = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):  # 16 bits of grey
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return _resized(picture.convert("RGB"), size or picture.size)
    except UnidentifiedImageError:
        raise DataError("neither a PNG nor a JPEG") from None
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"damaged picture ({' '.join(str(error).split())[:80]})") from None


def check_pillow() -> None:
    """Raise UsageError where the package is missing that reads pictures."""
    if importlib.util.find_spec("PIL") is None:
        raise UsageError("pictures need the package pillow; pip install 'sonho[caption]'")


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels (H, W, 3) uint8 stretched to `size` (W, H)."""
    from PIL import Image

    return pixels if pixels.shape[1::-1] == size else _resized(Image.fromarray(pixels), size)


def _resized(picture: Any, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0), np.uint8)


def pictures_in(path: Path) -> Iterator[tuple[str, Path | bytes]]:
    """Each picture behind a path by its name: the file itself, the PNG and JPEG files of a folder, sorted, or of a tar.

    Those of a tar are there as bytes, in its order. Raises InputNotFoundError for a folder or tar that has none,
    DataError for a tar that is not whole.
    """
    if not path.is_dir() and not is_tar(path):
        yield str(path), path
        return
    count = 0
    for name, picture in _files_below(path) if path.is_dir() else _members(path, _is_picture):
        count += 1
        yield name, picture
    if not count:
        raise InputNotFoundError(f"{path} holds no .png or .jpg")


def is_tar(path: Path) -> bool:
    """By its name: .tar, or a packed one.

    >>> [is_tar(Path(name)) for name in ("a.tar", "a.tar.gz", "a.TGZ", "a.tar.png", "a.gz")]
    [True, True, True, False, False]
    """
    return path.name.lower().endswith(TARS)


def _is_picture(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in SUFFIXES


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((str(file), file) for file in sorted(folder.rglob("*")) if _is_picture(file.name))


def _of_folder(names: Sequence[str], folder: Path) -> Iterator[tuple[str, bytes | OSError]]:
    if not folder.is_dir():
        raise InputNotFoundError(f"no such folder or .tar of pictures: {folder}")
    for name in names:
        try:
            yield name, (folder / name).read_bytes()
        except OSError as error:
            yield name, error


def _of_tar(names: Sequence[str], path: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """The members that are wanted, in the order of the tar, which is read once; then those that are not there."""
    wanted = {posixpath.normpath(name): name for name in names}
    others: list[str] = []

    def wants(member: str) -> bool:
        found = posixpath.normpath(member) in wanted
        if not (found or others):
            others.append(member)
        return found

    for member, data in _members(path, wants):
        yield wanted.pop(posixpath.normpath(member)), data
    example = f", which holds {others[0]!r}" if others else ""
    for name in wanted.values():
        yield name, FileNotFoundError(2, f"not in {path.name}{example}")


def _members(path: Path, wants: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a tar, in its order. Raises InputNotFoundError, or DataError where it is not whole."""
    import tarfile  # here, because generating starts without it

    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and wants(member.name) else None
                if file is not None:
                    yield member.name, file.read()
    except FileNotFoundError:
        raise InputNotFoundError(f"no such file: {path}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole .tar ({error}); give a folder or a .tar of pictures") from None
