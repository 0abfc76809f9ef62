"""Pictures beside texts: found in folders and tars, decoded alike, kept, split by group; bad ones are named."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from sonho.config import DataConfig
from sonho.data.corpus import build_corpus, encode_captions
from sonho.data.pictures import decode, picture_size, read_picture, read_pictures
from sonho.data.prepare import load_prepared
from sonho.errors import DataError, InputNotFoundError, UsageError

COLORS = {"red": (255, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 255)}


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Three pictures with two captions each, in groups a, a, b."""
    for name, color in COLORS.items():
        Image.new("RGB", (12, 8), color).save(tmp_path / f"{name}.png")
    rows = [f"{name}.png\tit is {name}\t{'b' if name == 'blue' else 'a'}" for name in COLORS for _ in range(2)]
    (tmp_path / "captions.tsv").write_text("image\tcaption\tgroup\n" + "\n".join(rows) + "\n")
    return tmp_path


def config(folder, **settings):
    return DataConfig(kind="records", **{"pictures": str(folder), "picture_size": "6x4", **settings})


def test_a_caption_keeps_the_number_of_its_picture(folder, tmp_path):
    corpus = build_corpus([folder / "captions.tsv"], config(folder, validation=0.0), seed=1, folder=tmp_path / "data")
    pictures, train = corpus.pictures, corpus.train
    assert pictures.take(train.labels).shape == (6, 4, 6, 3)
    for row, pixels in enumerate(pictures.take(train.labels)):
        text = corpus.tokenizer.decode(train.tokens.read(*train.offsets[row : row + 2]))
        np.testing.assert_array_equal(pixels[0, 0], COLORS[text.removeprefix("it is ")])
    assert "3 pictures, resized to 6 x 4 pixels" in corpus.notes
    again = load_prepared(tmp_path / "data", verify=True)
    np.testing.assert_array_equal(again.pictures.take(np.arange(3)), pictures.take(np.arange(3)))
    assert (again.pictures.names, again.pictures.digest) == (pictures.names, pictures.digest)


def test_a_prepared_picture_that_was_altered_is_noticed(folder, tmp_path):
    build_corpus([folder / "captions.tsv"], config(folder), seed=1, folder=tmp_path / "data")
    path = tmp_path / "data" / "pictures-00000.bin"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"pictures-00000.bin has been altered"):
        load_prepared(tmp_path / "data", verify=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_rows_of_a_picture_or_of_a_group_stay_on_one_side(folder, tmp_path, seed):
    for column, largest in (("", 2), ("group", 4)):
        settings = config(folder, validation=0.4, group_column=column)
        corpus = build_corpus([folder / "captions.tsv"], settings, seed=seed, folder=tmp_path / f"data{column}")
        sides = [set(part.labels.tolist()) for part in (corpus.train, corpus.validation)]
        assert sides[0].isdisjoint(sides[1])
        assert corpus.validation.num_records in (2, largest)
        if column:
            red, green = corpus.pictures.numbers(["red.png", "green.png"]).tolist()
            assert any({red, green} <= side for side in sides)
            assert any("2 groups, each on one side of the split" in note for note in corpus.notes)


def test_groups_keep_plain_records_together(tmp_path):
    rows = [f"{word} {n},{n % 7}" for n in range(70) for word in ("one", "two")]
    (tmp_path / "rows.csv").write_text("text,book\n" + "\n".join(rows) + "\n")
    settings = DataConfig(kind="records", columns=["text"], group_column="book", validation=0.3)
    corpus = build_corpus([tmp_path / "rows.csv"], settings, seed=3)
    books = []
    for part in (corpus.train, corpus.validation):
        texts = corpus.tokenizer.decode(part.tokens.read(0, part.num_tokens)).replace("one", "two").split("two ")
        books.append({int(text) % 7 for text in texts if text.strip()})
    assert books[0].isdisjoint(books[1])
    assert len(books[1]) == 2


def test_a_tar_gives_the_pictures_of_a_folder(folder, tmp_path):
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        for name in ["blue", "red", "green"]:
            tar.add(folder / f"{name}.png", arcname=f"./{name}.png")
    names = [f"{name}.png" for name in COLORS]
    beside = read_pictures(names, config(folder), None)
    inside = read_pictures(names, config(tmp_path / "all.tar.gz"), None)
    assert inside.names == ("blue.png", "red.png", "green.png")  # read once, in its own order
    np.testing.assert_array_equal(inside.take(inside.numbers(names)), beside.take(beside.numbers(names)))


def test_a_bad_picture_is_named_and_left_out_where_that_is_asked_for(folder, tmp_path):
    (folder / "green.png").write_bytes((folder / "green.png").read_bytes()[:-24])
    (folder / "blue.png").unlink()
    table = folder / "captions.tsv"
    with pytest.raises(DataError, match=r"green.png: damaged picture .*; mend it, or leave out .* --skip-bad"):
        build_corpus([table], config(folder), seed=1, folder=tmp_path / "data")
    corpus = build_corpus([table], config(folder, skip_bad=True, validation=0.0), seed=1, folder=tmp_path / "data")
    assert corpus.pictures.names == ("red.png",)
    assert corpus.train.num_records == 2
    [note] = [note for note in corpus.notes if "left out" in note]
    assert note.startswith("2 pictures were left out with their rows: green.png: damaged picture (")
    assert "blue.png: No such file or directory" in note
    part, pictures = encode_captions([table], corpus.tokenizer, config(folder, skip_bad=True))
    assert (part.num_records, pictures.names) == (2, ("red.png",))
    (folder / "red.png").write_text("no picture")
    with pytest.raises(
        DataError, match=r"none of 3 pictures in .* can be read; the first is red.png: neither a PNG nor"
    ):
        encode_captions([table], corpus.tokenizer, config(folder, skip_bad=True))


def test_what_is_not_in_a_tar_is_told_with_what_is(folder, tmp_path):
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(folder / "red.png", arcname="pictures/red.png")
    with pytest.raises(DataError, match=r"red.png: not in all.tar, which holds 'pictures/red.png'"):
        read_pictures(["red.png"], config(tmp_path / "all.tar"), None)
    (tmp_path / "all.tar").write_bytes((tmp_path / "all.tar").read_bytes()[:700])
    with pytest.raises(DataError, match=r"all.tar is not a whole .tar"):
        read_pictures(["red.png"], config(tmp_path / "all.tar"), None)
    with pytest.raises(InputNotFoundError, match=r"no such folder or .tar of pictures"):
        read_pictures(["red.png"], config(tmp_path / "absent"), None)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "name\tcaption\nred.png\tred\n",
            "needs a column of pictures; name it with data.picture_column; it has: 'name'",
        ),
        ("image\tcaption\n \tred\n", "the row of 'red' has no picture"),
    ],
)
def test_a_table_that_does_not_fit_is_told_in_one_line(folder, table, message):
    (folder / "captions.tsv").write_text(table)
    with pytest.raises(DataError, match=message):
        build_corpus([folder / "captions.tsv"], config(folder), seed=1, folder=folder / "data")


def test_plain_texts_have_no_pictures(folder):
    (folder / "a.txt").write_text("a line\n" * 9)
    with pytest.raises(DataError, match="is no table, which pictures need"):
        build_corpus([folder / "a.txt"], config(folder), seed=1, folder=folder / "data")


def test_transparent_turned_grey_and_deep_pictures_are_what_one_sees():
    clear = decode(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), (2, 2))
    assert (clear == 255).all()
    wide = Image.new("L", (4, 2))
    wide.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    turned = decode(encoded(wide, exif=exif), None)
    assert turned.shape == (4, 2, 3)
    assert turned[0, 1].tolist() == [255, 255, 255]
    deep = Image.fromarray(np.full((3, 3), 0x8000, np.uint16))
    assert (decode(encoded(deep), (3, 3)) == 0x80).all()
    photo = decode(encoded(Image.new("RGB", (400, 300), (10, 200, 30)), "JPEG"), (8, 6))
    assert photo.shape == (6, 8, 3)
    assert np.abs(photo.astype(int) - (10, 200, 30)).max() <= 3


@pytest.mark.parametrize("text", ["10", "0x5", "axb", "5000x5", "1x2x3"])
def test_a_size_is_width_and_height(text):
    assert picture_size("12X7") == (12, 7)
    with pytest.raises(UsageError, match="give width x height"):
        picture_size(text)


def test_a_file_that_is_not_there_or_no_picture_is_told(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no such picture: .*a.png"):
        read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"a.png: neither a PNG nor a JPEG"):
        read_picture(tmp_path / "a.png")
