import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonho.config import DataConfig
from sonho.data import characters, files
from sonho.data.characters import mend, read_characters, read_lines
from sonho.errors import DataError


def read(path, **settings):
    return "".join(read_characters(path, DataConfig(**settings)))


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 3)


def test_characters_cut_by_the_blocks_come_out_whole(write, tiny_blocks):
    text = "aé漢🙂\0\r\nz" * 7
    assert read(write("a.txt", text)) == text


def test_bytes_that_are_not_utf8_are_named_with_offset_and_line(write, tiny_blocks):
    path = write("latin.txt", "one\ntwo é\nthree ".encode() + "é".encode("latin-1") + b" four")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path} is not UTF-8: byte 0xE9 at offset 17 (line 3); pass --errors replace or --errors skip, "
        "convert the file to UTF-8, or use --level byte"
    )


def test_a_character_cut_off_by_the_end_of_the_file_is_an_error(write):
    with pytest.raises(DataError, match=r"byte 0xC3 at offset 3 \(line 1\)"):
        read(write("cut.txt", b"abc\xc3"))


@pytest.mark.parametrize(("errors", "expected"), [("replace", "caf\ufffd!"), ("skip", "caf!")])
def test_the_errors_policy_mends_bad_bytes(write, tiny_blocks, errors, expected):
    assert read(write("latin.txt", b"caf\xe9!"), errors=errors) == expected


@given(st.binary(max_size=60), st.integers(1, 7))
def test_byte_level_loses_no_byte(tmp_path_factory, data, size):
    path = tmp_path_factory.mktemp("bytes") / "any.bin"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_BYTES", size)
        assert read(path, level="byte").encode("utf-8", "surrogateescape") == data.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
def test_a_byte_order_mark_chooses_the_encoding_and_vanishes(write, encoding, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 5)
    mark = "\ufeff" if encoding.endswith("be") else ""
    assert read(write("a.txt", (mark + "añ🙂\r\n" * 5).encode(encoding))) == "añ🙂\r\n" * 5


def test_a_mark_inside_the_text_is_a_character(write):
    assert read(write("a.txt", "a\ufeffb")) == "a\ufeffb"


def test_utf16_that_ends_in_half_a_character_is_an_error(write):
    path = write("a.txt", "a\nb".encode("utf-16") + b"x")
    with pytest.raises(DataError, match=r"is not UTF-16: byte 0x78 at offset 8 \(line 2\)"):
        read(path)


def test_lines_end_at_lf_crlf_and_cr_and_nowhere_else(write, tiny_blocks):
    text = "a\nb\r\nc\rd\u2028d\x0bd\r\n\r\ne"
    lines = list(read_lines(write("a.txt", text), DataConfig()))
    assert lines == ["a\n", "b\r\n", "c\r", "d\u2028d\x0bd\r\n", "\r\n", "e"]


@given(st.text(alphabet="ab\r\n", max_size=30), st.integers(1, 5))
def test_lines_do_not_depend_on_the_blocks(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("lines") / "any.txt"
    path.write_bytes(text.encode())
    whole = list(read_lines(path, DataConfig()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_BYTES", size)
        assert list(read_lines(path, DataConfig())) == whole
    assert "".join(whole) == text


def test_a_line_too_long_for_an_item_is_refused(write, tiny_blocks, monkeypatch):
    monkeypatch.setattr(characters, "MAX_LINE_CHARS", 10)
    with pytest.raises(DataError, match=r"a line of more than .* read it as one text with data.kind=stream"):
        list(read_lines(write("a.txt", "short\n" + "x" * 14), DataConfig()))


def test_half_a_character_follows_the_errors_policy():
    assert mend("ok 🙂", DataConfig(), "here") == "ok 🙂"
    assert mend("a\ud83db", DataConfig(errors="replace"), "here") == "a\ufffdb"
    assert mend("a\ud83db", DataConfig(errors="skip"), "here") == "ab"
    with pytest.raises(DataError, match=r"here: U\+D83D is half a character"):
        mend("a\ud83db", DataConfig(), "here")
