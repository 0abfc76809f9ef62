import json

import pytest

from sonho.config import DataConfig
from sonho.data import files
from sonho.data.items import items_of
from sonho.data.sources import iter_records, iter_text
from sonho.errors import DataError


def records(path, **settings):
    return list(iter_records([path], DataConfig(**settings)))


def text(*paths, **settings):
    return "".join(iter_text(paths, DataConfig(**settings)))


def test_files_are_joined_with_a_newline_where_one_is_missing(write):
    parts = [write("a.txt", "one"), write("b.txt", ""), write("c.txt", "two\n"), write("d.txt", "three")]
    assert text(*parts) == "one\ntwo\nthree"


def test_text_keeps_nul_and_carriage_returns(write):
    assert text(write("a.txt", "a\0b\r\nc")) == "a\0b\r\nc"


def test_records_are_lines_without_endings_or_blank_ones(write, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 4)
    path = write("a.txt", "one\r\n\n  \ntwo words \rth\0ree")
    assert records(path) == ["one", "two words ", "th\0ree"]
    assert items_of(path.read_bytes().decode(), DataConfig()) == records(path)


TABLE = 'id,title,body\n1,"Says ""hi"", twice","two\nlines"\n\n2,\\$49 a \\ barrel,NUL \0 here\n3,,\n'


def test_a_csv_gives_the_named_columns_joined_in_the_order_asked(write):
    path = write("t.csv", TABLE)
    assert records(path, columns=["body", "title"], join=" | ") == [
        'two\nlines | Says "hi", twice',
        "NUL \0 here | \\$49 a \\ barrel",
    ]


def test_a_csv_as_one_text_has_a_row_a_line(write):
    assert text(write("t.csv", "title\none\ntwo\n")) == "one\ntwo\n"


def test_a_long_table_as_one_text_comes_in_pieces(write, monkeypatch):
    monkeypatch.setattr("sonho.data.sources.CHUNK_CHARS", 30)
    path = write("t.csv", "title\n" + "".join(f"row {n}\n" for n in range(50)))
    pieces = list(iter_text([path], DataConfig()))
    assert len(pieces) > 5
    assert "".join(pieces) == "".join(f"row {n}\n" for n in range(50))


def test_columns_given_as_numbers_mean_that_there_is_no_header(write):
    path = write("t.csv", '"3","Dollar Falls"\n"1","Judge"\n')
    assert records(path, columns=["2"]) == ["Dollar Falls", "Judge"]
    assert records(path, columns=["2", "1"], join="-") == ["Dollar Falls-3", "Judge-1"]
    with pytest.raises(DataError, match="no column 0; columns are counted from 1"):
        records(path, columns=["0"])


def test_without_a_name_the_usual_or_only_column_is_read(write):
    assert records(write("a.csv", "id,Title,body\n1,one,x\n")) == ["one"]
    assert records(write("b.csv", "molecule\nCCO\n")) == ["CCO"]


def test_without_a_name_several_unusual_columns_are_listed(write):
    with pytest.raises(DataError, match=r"name one with data.columns, or its number \(2\).*; it has: 'x', 'y'"):
        records(write("t.csv", "x,y\n1,2\n"))


def test_a_missing_column_names_the_nearest_and_all(write):
    with pytest.raises(DataError, match=r"t.csv has no column 'titel'; did you mean 'title'\?; it has: 'id', 'title'"):
        records(write("t.csv", TABLE), columns=["titel"])


def test_a_short_row_is_named(write):
    with pytest.raises(DataError, match=r"t.csv, line 4: the row has 1 column, but column 2 is wanted"):
        records(write("t.csv", 'id,title\n1,"a\nb"\n2\n'))


def test_a_quote_that_never_closes_is_named(write):
    with pytest.raises(DataError, match=r"t.csv: the quote opened at line 3 never closes"):
        records(write("t.csv", 'title\none\n"two\nthree\n'))


def test_a_huge_field_is_read(write):
    assert len(records(write("t.csv", "title\n" + "x" * 300_000 + "\n"))[0]) == 300_000


def test_a_csv_with_a_mark_and_crlf_reads_like_any(write):
    path = write("t.csv", b'\xef\xbb\xbftitle,id\r\none,1\r\n"a\r\nb",2\r\n')
    assert records(path, columns=["title"]) == ["one", "a\r\nb"]


def test_a_tsv_whose_quotes_are_letters_keeps_them(write):
    path = write("t.tsv", 'en\tfr\n"Go," he said.\tVa !\n"Stop\tArrête\n')
    assert records(path, columns=["en"]) == ['"Go," he said.', '"Stop']


def test_a_tsv_from_a_spreadsheet_is_unquoted(write):
    path = write("t.tsv", 'en\tfr\n"a ""b""\tc\nd"\tx\n')
    assert records(path, columns=["en"]) == ['a "b"\tc\nd']


def test_jsonl_gives_dotted_fields_and_skips_null(write):
    lines = [{"a": {"b": "one"}}, {"a.b": "two"}, {"a": {"b": None}}, {"a": {"b": 3}}]
    path = write("t.jsonl", "\n\n".join(map(json.dumps, lines)))
    assert records(path, field="a.b") == ["one", "two", "3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{bad", r"line 2: not JSON: .* at column 2"),
        ("[1]", r"line 2: an object with the field 'text' is wanted, got list"),
        ('{"txt": "a", "id": 1}', r"line 2 has no field 'text'; did you mean 'txt'\?; it has: 'txt', 'id'"),
        ('{"text": ["a"]}', r"line 2: 'text' holds a list, not text"),
        ('{"text": "\\ud83d"}', r"line 2: U\+D83D is half a character"),
        ("[" * 100_000, r"line 2: JSON that cannot be read"),
        ('{"text": ' + "9" * 5000 + "}", r"line 2: JSON that cannot be read"),
    ],
)
def test_a_bad_json_line_is_named(write, line, message):
    with pytest.raises(DataError, match=message):
        records(write("t.jsonl", f'{{"text": "fine"}}\n{line}\n'))


def test_parquet_gives_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"title": ["one", None, "two"], "n": [1, 2, 3]}), path)
    assert records(path) == ["one", "two"]
    assert records(path, columns=["n", "title"]) == ["1 one", "2 ", "3 two"]
    with pytest.raises(DataError, match="has no column 'titles'; did you mean 'title'"):
        records(path, columns=["titles"])


def test_a_damaged_parquet_is_refused_in_one_line(write):
    with pytest.raises(DataError, match="cannot be read as Parquet") as caught:
        records(write("t.parquet", b"PAR1 nonsense PAR1"))
    assert "\n" not in str(caught.value)


def test_pyarrow_that_is_not_installed_is_asked_for(write, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs the pyarrow package: pip install 'sonho\[parquet\]'"):
        records(write("t.parquet", b""))


def test_the_news_titles_of_the_corpora_are_read_whole(corpora):
    path = corpora / "ag_news" / "train_titles.csv.gz"
    titles = records(path, columns=["2"])
    assert len(titles) == 36_639
    assert len(set("".join(titles))) == 82
