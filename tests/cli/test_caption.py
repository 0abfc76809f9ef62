"""Captioners on the command line: train, caption, evaluate, inspect, and clear refusals."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

import sonho as package
from sonho.cli.main import main
from sonho.decoding.captioner import Captioner
from sonho.errors import UsageError
from tests.drawn import draw_scenes

TINY = ["model.hidden_size=32", "model.embedding_dim=16", "model.picture_channels=8", "--picture-size", "24x12"]
LEARN = ["--steps", "200", "--threads", "1", "--quiet", "training.learning_rate=0.02", "model.dropout=0"]


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 300)


@pytest.fixture(scope="session")
def captioner(table, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "scenes"
    assert main(["train", "--task", "caption", str(table), "-o", str(run), *TINY, *LEARN]) == 0
    return run


@pytest.fixture
def said(table):
    """What the table says of each picture."""
    return dict(line.split("\t") for line in table.read_text().splitlines()[1:])


def test_one_picture_gives_its_caption_alone_and_many_their_names(sonho, captioner, table, said):
    folder = table.parent
    code, out, err = sonho("caption", captioner, folder / "3.png")
    assert (code, err) == (0, [])
    assert out.strip() == said["3.png"]
    code, out, err = sonho("caption", captioner, folder, "--beam", 3)
    assert (code, err) == (0, [])
    lines = [line.split("\t") for line in out.splitlines()]
    assert len(lines) == 300
    right = sum(said[name.rsplit("/", 1)[-1]] == text for name, text in lines)
    assert right > 285


def test_a_tar_of_pictures_is_captioned_as_the_folder_is(sonho, captioner, table, tmp_path):
    packed = tmp_path / "some.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for number in (4, 2, 3):
            tar.add(table.parent / f"{number}.png", f"deep/{number}.png")
        tar.add(table, "captions.tsv")
        bad = tarfile.TarInfo("bad.png")
        bad.size = 3
        tar.addfile(bad, io.BytesIO(b"???"))
    code, out, err = sonho("caption", captioner, packed, "--skip-bad")
    assert (code, err) == (0, ["sonho: left out: bad.png: neither a PNG nor a JPEG"])
    names, texts = zip(*(line.split("\t") for line in out.splitlines()), strict=True)
    assert names == ("deep/4.png", "deep/2.png", "deep/3.png")
    alone = sonho("caption", captioner, *(table.parent / f"{number}.png" for number in (4, 2, 3)))[1]
    assert list(texts) == [line.split("\t")[1] for line in alone.splitlines()]
    code, _, err = sonho("caption", captioner, packed)
    assert (code, err) == (65, ["sonho: bad.png: neither a PNG nor a JPEG; --skip-bad goes on without it"])
    (tmp_path / "cut.tar").write_bytes(gzip.decompress(packed.read_bytes())[:-12000])
    assert sonho("caption", captioner, tmp_path / "cut.tar", "--skip-bad")[0] == 65
    assert sonho("caption", captioner, tmp_path / "none.tar")[0] == 66
    with tarfile.open(tmp_path / "empty.tar", "w") as tar:
        tar.add(table, "captions.tsv")
    code, _, err = sonho("caption", captioner, tmp_path / "empty.tar")
    assert (code, err) == (66, [f"sonho: {tmp_path / 'empty.tar'} holds no .png or .jpg"])


def test_a_beam_gives_its_best_captions_in_order(sonho, captioner, table, said):
    picture = table.parent / "5.png"
    record = json.loads(sonho("caption", captioner, picture, "--beam", 4, "--n-best", 3, "--json")[1])
    assert record["picture"] == str(picture)
    assert record["captions"][0]["text"] == said["5.png"]
    scores = [one["score"] for one in record["captions"]]
    assert scores == sorted(scores, reverse=True)
    assert len({one["text"] for one in record["captions"]}) == 3
    assert all(one["log_probability"] <= 0 for one in record["captions"])


def test_drawn_captions_follow_their_seed(sonho, captioner, table):
    folder = table.parent
    draw = ["--temperature", 2.0, "--n-best", 8, "--top-k", 9]
    first = sonho("caption", captioner, folder / "1.png", folder / "2.png", *draw, "--seed", 7)[1]
    assert first == sonho("caption", captioner, folder / "1.png", folder / "2.png", *draw, "--seed", 7)[1]
    assert first != sonho("caption", captioner, folder / "1.png", folder / "2.png", *draw, "--seed", 8)[1]
    lines = first.splitlines()
    assert len(lines) == 16
    assert len(set(lines)) > 3
    code, _, err = sonho("caption", captioner, folder / "1.png", "--temperature", 1, "--beam", 2)
    assert (code, len(err)) == (2, 1)
    code, _, err = sonho("caption", captioner, folder / "1.png", "--top-k", 5)
    told = "sonho: top_k is for captions that are drawn; set a temperature above 0, or leave out top_k"
    assert (code, err) == (2, [told])


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_an_attention_map_shows_each_word(sonho, captioner, table, tmp_path, suffix):
    path = tmp_path / f"map.{suffix}"
    assert sonho("caption", captioner, table.parent / "3.png", "--attention-map", path)[0] == 0
    if suffix == "svg":
        text = path.read_text()
        assert text.count("<use") == 7
        assert text.count("fill-opacity") == 6 * 3 * 2
    else:
        assert Image.open(path).size[0] > 4 * 160
    code, _, err = sonho("caption", captioner, table.parent / "3.png", "--attention-map", tmp_path / "map.gif")
    assert (code, err[0].split("not as ")[1]) == (2, "'map.gif'")
    code, _, err = sonho("caption", captioner, table.parent, "--attention-map", path)
    assert (code, err) == (2, ["sonho: --attention-map is of one picture; name one file"])


def test_a_picture_that_cannot_be_read_is_named(sonho, captioner, table, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    good = table.parent / "3.png"
    code, out, err = sonho("caption", captioner, tmp_path / "bad.png", good)
    assert (code, out, len(err)) == (65, "", 1)
    assert "bad.png" in err[0]
    assert "--skip-bad goes on without it" in err[0]
    code, out, err = sonho("caption", captioner, tmp_path / "bad.png", good, tmp_path / "none.png", "--skip-bad")
    assert (code, len(out.splitlines()), len(err)) == (0, 1, 2)
    assert sonho("caption", captioner, tmp_path / "none.png", "--skip-bad")[0] == 65
    assert sonho("caption", captioner, tmp_path / "none.png")[0] == 66


def test_evaluate_and_inspect_tell_of_bleu(sonho, captioner, table, tmp_path):
    report = json.loads(sonho("evaluate", captioner, table, "--json")[1])
    assert report["bleu"] > 95
    assert report["pictures"] == 300
    assert report["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    elsewhere = tmp_path / "more.tsv"
    elsewhere.write_text(table.read_text() + "3.png\tcompletely different words here now\n")
    code, out, err = sonho("evaluate", captioner, elsewhere, "--pictures", table.parent, "--beam", 2)
    assert (code, err) == (0, [])
    assert "300 pictures" in out
    assert "nrefs:var" in out
    code, _, err = sonho("evaluate", captioner, elsewhere)
    assert (code, len(err)) == (65, 1)
    out = sonho("inspect", captioner)[1]
    assert "lstm captioner, records" in out
    assert "nats/token, BLEU " in out
    assert "pictures.stem.weight" in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["generate"], "this is a captioner, which writes nothing by itself; use caption"),
        (["predict", "-t", "a"], "this is a captioner, which predicts no labels; use caption"),
        (["score"], "this is a captioner"),
        (["serve"], "this is a captioner"),
        (["chat"], "this is a captioner"),
    ],
)
def test_other_commands_refuse_a_captioner_in_one_line(sonho, captioner, table, command, message):
    beside = [table] if command == ["score"] else []
    code, _, err = sonho(command[0], captioner, *command[1:], *beside)
    assert (code, len(err)) == (2, 1)
    assert message in err[0]


def test_a_model_of_another_task_captions_nothing(sonho, names_run, table):
    code, _, err = sonho("caption", names_run, table.parent / "1.png")
    assert (code, err) == (2, ["sonho: this model was trained with --task generate, not to caption pictures"])


def test_captions_from_python(captioner, table, said):
    loaded = package.load(captioner)
    assert isinstance(loaded, Captioner)
    path = table.parent / "3.png"
    [[best]] = loaded.caption([path])
    assert (best.text, best.finished) == (said["3.png"], True)
    assert best.attention.shape == (6, 2, 3)
    np.testing.assert_allclose(best.attention.sum(axis=(1, 2)), 1.0, rtol=1e-5)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert package.caption(captioner, [pixels, path]) == [best.text, best.text]
    [[drawn]] = loaded.caption([path], temperature=1e-3, seed=1)
    assert drawn.text == best.text
    assert drawn.log_probability == pytest.approx(best.log_probability, abs=1e-4)
    with pytest.raises(UsageError, match="pictures must be a list"):
        loaded.caption("3.png")
    with pytest.raises(UsageError, match=r"pixels must be \(H, W, 3\) uint8, got \(4, 4\)"):
        loaded.caption([np.zeros((4, 4), np.uint8)])
    with pytest.raises(UsageError, match="captioner"):
        loaded.generate("a")


def test_captioning_needs_no_torch(captioner, table):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from sonho.cli.main import main\n"
        f"sys.exit(main(['caption', {str(captioner)!r}, {str(table.parent / '3.png')!r}, '--beam', '2']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a ")
