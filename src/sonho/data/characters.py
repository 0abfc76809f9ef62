"""Bytes to characters and lines, a block at a time, with errors that say where. Knows encodings, not formats."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from sonho.config import DataConfig
from sonho.data.files import display_name, read_blocks
from sonho.errors import DataError

MAX_LINE_CHARS = 64 << 20  # a longer line or field is a mistake: an unclosed quote, or one text read as records

_POLICIES = {"strict": "strict", "replace": "replace", "skip": "ignore"}
_Decode = Callable[[bytes, str, bool], tuple[str, int]]

# UTF-32 before UTF-16: the mark of the one begins like that of the other.
_MARKS: list[tuple[bytes, str, _Decode]] = [
    (codecs.BOM_UTF8, "UTF-8", codecs.utf_8_decode),
    (codecs.BOM_UTF32_LE, "UTF-32", codecs.utf_32_le_decode),
    (codecs.BOM_UTF32_BE, "UTF-32", codecs.utf_32_be_decode),
    (codecs.BOM_UTF16_LE, "UTF-16", codecs.utf_16_le_decode),
    (codecs.BOM_UTF16_BE, "UTF-16", codecs.utf_16_be_decode),
]


def read_characters(path: Path, config: DataConfig) -> Iterator[str]:
    """The text of a file in pieces of at most 4 MB of bytes, never split inside a character.

    A byte order mark chooses UTF-8, UTF-16 or UTF-32 and is left out; without one the text is UTF-8.
    With level=byte a text is its bytes: nothing is refused, a byte that is not UTF-8 becomes one
    of U+DC80..U+DCFF, which the byte tokenizer turns back, and only the mark of UTF-8 is left out.

    Raises DataError with the offset and the line of the first byte that is not text.
    """
    policy = _policy(config)
    blocks = read_blocks(path)
    pending = next(blocks, b"")
    encoding, decode, pending, offset = _encoding(pending, policy)
    lines = 1
    while True:
        block = next(blocks, None)
        try:
            text, used = decode(pending, policy, block is None)
        except UnicodeDecodeError as error:
            before = decode(pending[: error.start], "ignore", True)[0]
            raise _not_text(path, encoding, error, offset + error.start, lines + before.count("\n")) from None
        lines += text.count("\n")
        offset += used
        if text:
            yield text
        if block is None:
            return
        pending = pending[used:] + block


def read_lines(path: Path, config: DataConfig) -> Iterator[str]:
    """Lines with their endings; LF, CRLF and CR end a line, the rarer separators of Unicode do not.

    Raises DataError for a line of more than 64 M characters, which cannot be an item or a row.
    """
    return chain.from_iterable(read_line_blocks(path, config))


def read_line_blocks(path: Path, config: DataConfig) -> Iterator[list[str]]:
    """The same lines in lists, a block of the file each: loops over a list are quicker than over a generator."""
    carry: list[str] = []
    carried = 0
    for text in read_characters(path, config):
        # A piece without an ending is kept aside: joining at once would copy a long line again and again.
        if "\n" not in text and "\r" not in text and not (carry and carry[-1].endswith("\r")):
            carry.append(text)
            carried += len(text)
        else:
            lines = list(io.StringIO("".join(carry) + text, newline=""))
            # The last line may go on in the next piece; after "\r", a "\n" may follow.
            last = "" if lines[-1].endswith("\n") else lines.pop()
            yield lines
            carry, carried = [last], len(last)
        if carried > MAX_LINE_CHARS:
            raise DataError(
                f"{display_name(path)} has a line of more than {MAX_LINE_CHARS >> 20} M characters, too long "
                "for an item; read it as one text with data.kind=stream"
            )
    yield list(io.StringIO("".join(carry), newline=""))


def mend(text: str, config: DataConfig, where: str) -> str:
    """Apply the errors policy to lone surrogates, which an escape such as "\\ud83d" of JSON can smuggle in."""
    try:
        text.encode("utf-8", "surrogateescape" if config.level == "byte" else "strict")
    except UnicodeEncodeError as error:
        if config.errors == "strict":
            code = f"U+{ord(text[error.start]):04X}"
            raise DataError(f"{where}: {code} is half a character; pass --errors replace or --errors skip") from None
        return text.encode("utf-16", "surrogatepass").decode("utf-16", _POLICIES[config.errors])
    return text


def blank(texts: Iterable[str]) -> bool:
    return all(not text or text.isspace() for text in texts)


def _policy(config: DataConfig) -> str:
    if config.errors == "strict" and config.level == "byte":
        return "surrogateescape"
    return _POLICIES[config.errors]


def _encoding(head: bytes, policy: str) -> tuple[str, _Decode, bytes, int]:
    """The name, the decoder, the text after the mark and the mark's length."""
    known = _MARKS[:1] if policy == "surrogateescape" else _MARKS
    for mark, name, decode in known:
        if head.startswith(mark):
            return name, decode, head[len(mark) :], len(mark)
    return "UTF-8", codecs.utf_8_decode, head, 0


def _not_text(path: Path, encoding: str, error: UnicodeDecodeError, offset: int, line: int) -> DataError:
    value = f"byte 0x{error.object[error.start]:02X}"
    return DataError(
        f"{display_name(path)} is not {encoding}: {value} at offset {offset} (line {line}); pass --errors replace "
        "or --errors skip, convert the file to UTF-8, or use --level byte"
    )
