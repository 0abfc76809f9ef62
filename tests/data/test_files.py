import gzip
import io
import lzma
import os
import threading

import pytest
import zstandard

from sonho.config import DataConfig
from sonho.data import files
from sonho.data.files import display_name, expand, read_blocks
from sonho.data.sources import iter_text
from sonho.errors import DataError, InputNotFoundError, UsageError

TEXT = "".join(f"line {n} é\n" for n in range(5000)).encode()


def pack_zst(data):
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": pack_zst}


def content(path):
    return b"".join(read_blocks(path, 1000))


def test_a_folder_gives_its_text_files_recursively_in_order(write, tmp_path):
    for name in ("b.txt", "a/z.md", "a/b/c.abc", ".hidden/x.txt", ".secret.txt", "LICENSE"):
        write(name, "words")
    write("picture.png", b"\x89PNG\0\0")
    write("wide.txt", "wide".encode("utf-16"))
    found = [str(path.relative_to(tmp_path)) for path in expand([tmp_path])]
    assert found == ["a/b/c.abc", "a/z.md", "b.txt", "wide.txt"]


def test_a_compressed_file_in_a_folder_is_judged_by_its_content(write, tmp_path):
    write("a.txt.gz", gzip.compress(b"words"))
    write("b.tar.gz", gzip.compress(b"ustar\0\0"))
    assert [path.name for path in expand([tmp_path])] == ["a.txt.gz"]


def test_a_pattern_gives_its_matches_in_order(write, tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        write(name, "words")
    assert [path.name for path in expand([f"{tmp_path}/*.txt"])] == ["a.txt", "b.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(write):
    path = write("a[1].txt", "words")
    assert expand([path]) == [path]


def test_a_pattern_without_a_match_is_not_found(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no file matches the pattern '.*\*.txt'"):
        expand([f"{tmp_path}/*.txt"])


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no such file or folder: .*gone.txt"):
        expand([tmp_path / "gone.txt"])


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no text files"):
        expand([tmp_path])


def test_no_input_at_all_is_wrong_usage():
    with pytest.raises(UsageError, match="no input given"):
        expand([])


def test_an_unreadable_folder_is_named(write, tmp_path, monkeypatch):
    write("in/a.txt", "words")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot read the folder .*: Permission denied"):
        expand([tmp_path])


def test_an_unreadable_file_is_named(write, monkeypatch):
    path = write("a.txt", "words")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataError, match=r"cannot read .*a.txt: Permission denied"):
        content(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_file_reads_as_its_content(write, suffix):
    assert content(write("a.txt" + suffix, PACKERS[suffix](TEXT))) == TEXT


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_files_joined_end_to_end_read_as_one(write, suffix):
    packed = PACKERS[suffix](TEXT) + PACKERS[suffix](b"more")
    assert content(write("a.txt" + suffix, packed)) == TEXT + b"more"


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_truncated_archive_says_so(write, suffix):
    path = write("a.txt" + suffix, PACKERS[suffix](TEXT)[:-9])
    with pytest.raises(DataError, match=r"a\.txt.* is truncated"):
        content(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_damaged_archive_says_so(write, suffix):
    packed = bytearray(PACKERS[suffix](TEXT))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(DataError, match=r"a\.txt.* is (damaged|truncated)"):
        content(write("a.txt" + suffix, bytes(packed)))


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_text_with_the_suffix_of_an_archive_is_damaged(write, suffix):
    with pytest.raises(DataError, match="is damaged"):
        content(write("a" + suffix, b"plain words " * 99))


def test_zstandard_that_is_not_installed_is_asked_for(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(DataError, match=r"needs the zstandard package: pip install 'sonho\[zst\]'"):
        content(write("a.txt.zst", b""))


def test_a_pipe_is_read_once_and_serves_every_pass(tmp_path):
    fifo = tmp_path / "pipe.txt"
    os.mkfifo(fifo)
    threading.Thread(target=lambda: fifo.write_text("from a pipe"), daemon=True).start()
    first = "".join(iter_text([fifo], DataConfig()))
    assert ["".join(iter_text([fifo], DataConfig())), first] == ["from a pipe"] * 2
    assert display_name(expand([fifo])[0]) == str(fifo)


def test_standard_input_is_read_once_and_serves_every_pass(monkeypatch):
    monkeypatch.setattr(files.sys, "stdin", io.TextIOWrapper(io.BytesIO(b"typed \xff")))
    copy = expand(["-"])
    assert content(copy[0]) == content(expand(["-"])[0]) == b"typed \xff"
    with pytest.raises(DataError, match="standard input is not UTF-8: byte 0xFF at offset 6"):
        list(iter_text(["-"], DataConfig()))
