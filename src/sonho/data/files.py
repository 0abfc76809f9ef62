"""Files as streams of bytes: finding them, keeping pipes, undoing compression. Knows bytes, not text."""

from __future__ import annotations

import atexit
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sonho.errors import DataError, InputNotFoundError, StorageError, UsageError

BLOCK_BYTES = 4 << 20  # a block of text is up to four times larger once decoded, and its ids as large again
COMPRESSED = (".gz", ".xz", ".zst")
JSON_LINES = (".jsonl", ".ndjson")

_spooled: dict[object, Path] = {}  # a pipe can be read once; its copy serves every later pass
_names: dict[Path, str] = {}  # what the person called the pipe or the file behind a copy


def expand(paths: Sequence[str | Path]) -> list[Path]:
    """The files behind `paths`: files, folders (recursively, sorted), globs, and "-" for standard input.

    Pipes are copied to a temporary file, since training reads its input more than once.
    Raises InputNotFoundError for a path or pattern without a match.
    """
    if not paths:
        raise UsageError("no input given; name a file, a folder, a pattern such as 'texts/*.txt', or - for a pipe")
    if [str(path) for path in paths].count("-") > 1:
        raise UsageError("standard input can be read once, but - is given twice; name it once")
    return [file for path in paths for file in _expand_one(str(path))]


def display_name(path: Path) -> str:
    """How messages call a file: copies by what the person wrote, not by the copy's name."""
    return _names.get(path, str(path))


def name_copy(copy: Path, name: str) -> None:
    """Let messages call a copy by another name."""
    _names[copy] = name


def format_suffix(path: Path) -> str:
    """The suffix that tells the format, without the compression.

    >>> format_suffix(Path("titles.CSV.gz"))
    '.csv'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_blocks(path: Path, block_bytes: int = 0) -> Iterator[bytes]:
    """The uncompressed content in blocks of about `block_bytes` (0 = 4 MB).

    Raises DataError for a truncated or corrupt archive, or a file that may not be read.
    """
    size = block_bytes or BLOCK_BYTES
    name, suffix = display_name(path), path.suffix.lower()
    try:
        if suffix == ".zst":
            yield from _zst_blocks(path, size)
            return
        with _open(path, suffix) as file:
            while block := file.read(size):
                yield block
    except FileNotFoundError:
        raise InputNotFoundError(f"no such file: {name}") from None
    except EOFError:
        raise DataError(f"{name} is truncated: its {suffix} data ends too early; download or copy it again") from None
    except OSError as error:
        if suffix in COMPRESSED and error.errno is None:
            raise DataError(f"{name} is damaged: its {suffix} data cannot be unpacked ({error})") from None
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None
    except Exception as error:
        # zlib.error, LZMAError and ZstdError share no parent but Exception.
        if suffix not in COMPRESSED or isinstance(error, DataError):
            raise
        raise DataError(f"{name} is damaged: its {suffix} data cannot be unpacked ({error})") from None


def input_bytes(files: Sequence[Path]) -> int:
    """Size of the inputs as text; a compressed file is taken to hold four times its size."""
    return sum(file.stat().st_size * (4 if file.suffix.lower() in COMPRESSED else 1) for file in files)


def scratch_folder() -> Path:
    """A new temporary folder that is removed when the process ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="sonho-"))
    except OSError as error:
        raise StorageError(f"cannot make a temporary folder: {error.strerror or error}; set TMPDIR") from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _expand_one(path: str) -> list[Path]:
    if path == "-":
        return [_spool(sys.stdin, "-")]
    if not path:
        raise InputNotFoundError("an empty path names no file; is a variable of the shell unset?")
    found = Path(path).expanduser()
    try:
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return _expand_glob(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return _expand_folder(found)
    return [found] if stat.S_ISREG(mode) else [_spool(found, path)]


def _expand_glob(path: str) -> list[Path]:
    if not glob.has_magic(path):
        raise InputNotFoundError(f"no such file or folder: {path}")
    matches = sorted(glob.glob(os.path.expanduser(path), recursive=True))
    # A folder that `**` finds is not expanded: the pattern names its files already.
    files = [Path(match) for match in matches if os.path.isfile(match)]
    files = files or [file for match in matches for file in _expand_folder(Path(match))]
    if not files:
        raise InputNotFoundError(f"no file matches the pattern {path!r}")
    return files


def _expand_folder(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read the folder {error.filename}: {error.strerror}")

    files: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(root, name) for name in names if not name.startswith(".")]
    texts = sorted(file for file in files if _looks_like_text(file))
    # Sounds beside texts are left out like pictures; a folder of sounds is meant as one.
    sounds = sorted(file for file in files if format_suffix(file) == ".wav")
    if not texts and not sounds:
        raise DataError(f"the folder {folder} holds no text files; name the files themselves")
    return texts or sounds


def _looks_like_text(path: Path) -> bool:
    """Whether a file found in a folder is meant to be read: LICENSE, pictures and archives are not."""
    suffix = format_suffix(path)
    if not suffix or suffix == ".parquet":
        return bool(suffix)
    try:
        head = next(read_blocks(path, 4096), b"")
    except DataError:
        return True  # named by its own error when it is read, rather than left out in silence
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return b"\0" not in head


def _spool(source: Any, name: str) -> Path:
    """Copy a pipe to a temporary file that lives as long as the process."""
    if source in _spooled:
        return _spooled[source]
    folder = scratch_folder()
    copy = folder / ("pipe" + "".join(Path(name).suffixes))
    try:
        with copy.open("wb") as target, nullcontext(source.buffer) if name == "-" else source.open("rb") as pipe:
            shutil.copyfileobj(pipe, target, BLOCK_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"cannot copy {name} to {folder}: {reason}; set TMPDIR to a larger disk") from None
    _spooled[source] = copy
    name_copy(copy, "standard input" if name == "-" else name)
    return copy


def _open(path: Path, suffix: str) -> Any:
    if suffix == ".gz":
        import gzip

        return gzip.open(path, "rb")
    if suffix == ".xz":
        import lzma

        return lzma.open(path, "rb")
    return path.open("rb", buffering=0)


def _zst_blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise DataError(f"{display_name(path)} needs the zstandard package: pip install 'sonho[zst]'") from None
    # The stream reader of the library ends in silence when the file is cut short, so frames are
    # unpacked here; small pieces, because one input byte may become 30,000.
    with path.open("rb") as file:
        frame, pieces, size = None, [], 0
        data = b""
        while data or (data := file.read(1024)):
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            pieces.append(frame.decompress(data))
            size += len(pieces[-1])
            data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
            if size >= block_bytes:
                yield b"".join(pieces)
                pieces, size = [], 0
        yield b"".join(pieces)
        if frame is not None:
            raise EOFError
