"""Tunes, sound, conversations and molecules from the command line: train, generate, render."""

import io
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from .conftest import TINY

ROOT = Path(__file__).parents[2]
TUNE = "X:{n}\nT:Test\nM:2/4\nL:1/8\nK:C\nCDEF|GAB:|\n\n"


@pytest.fixture(scope="session")
def tunes_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tunes") / "tunes.abc"
    path.write_text("".join(TUNE.format(n=n) for n in range(60)) + "X:99\nT:Broken\nK:C\nCDE;\n")
    return path


def test_tunes_are_learned_as_records_and_rendered(sonho, tunes_file, tmp_path):
    run = tmp_path / "run"
    assert sonho("train", tunes_file, "-o", run, "--kind", "records", "--steps", "30", "--quiet", *TINY)[0] == 0
    code, out, _ = sonho("generate", run, "-n", "3", "-p", TUNE.format(n=1).strip(), "-m", "2", "--seed", "1")
    assert code == 0
    assert out.count("\n\nX:1\n") == 2  # a blank line between tunes
    code, out, _ = sonho("inspect", run, "--json")
    assert json.loads(out)["record"]["data"]["item"] == "paragraph"


def test_render_writes_midi_wav_and_a_report(sonho, tunes_file, tmp_path):
    pytest.importorskip("mido", reason="mido is not installed")
    few = tmp_path / "few.abc"
    few.write_text(TUNE.format(n=1) + TUNE.format(n=2).replace("B:|", "Bc|GAc:|") + "X:3\nT:Broken\nK:C\nCDE;\n")
    code, out, err = sonho(
        "render", few, "--midi", tmp_path / "midi", "--wav", tmp_path / "wav", "--report", "--against", tunes_file
    )
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "midi").iterdir()) == ["001-test.mid", "002-test.mid"]
    assert sorted(path.name for path in (tmp_path / "wav").iterdir()) == ["001-test.wav", "002-test.wav"]
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == [f"{few}:", "3", "tunes"]
    assert lines[1][-2:] == ["66.7", "%"]
    assert lines[4][-2:] == ["98.4", "%"]
    assert "tune 3, line 4: ';' at column 4" in out
    assert err[0].startswith("wrote ")


def test_render_names_what_it_leaves_out_and_what_it_cannot_use(sonho, tunes_file, tmp_path, monkeypatch):
    code, _, err = sonho("render", tunes_file, "--wav", tmp_path / "all.wav")
    assert code == 0
    assert err[0] == "sonho: tune 61 left out, line 4: ';' at column 4 is no sign of ABC"
    code, _, err = sonho("render", tunes_file)
    assert (code, len(err)) == (2, 1)
    assert "nothing to make: give --midi" in err[0]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"X:1\nT:t\nK:C\n;")))
    code, _, err = sonho("render", "-", "--wav", tmp_path / "b.wav")
    assert (code, len(err)) == (65, 1)
    assert "none of the 1 tunes in - can be read: line 4" in err[0]


def test_sound_goes_in_and_comes_out_as_wav(sonho, tmp_path):
    made = subprocess.run(
        [sys.executable, ROOT / "examples" / "make_sounds.py", "tones", tmp_path / "tones", "--count", "3"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert made.stdout.startswith("3 files")
    run, wav, png = tmp_path / "run", tmp_path / "out.wav", tmp_path / "out.png"
    code = sonho("train", tmp_path / "tones", "-o", run, "--steps", "5", "--quiet", *TINY, "model.cell=gru")[0]
    assert code == 0
    _, out, _ = sonho("generate", run, "-m", "900", "--seed", "1")
    (tmp_path / "out.txt").write_text(out)
    arguments = ["--spectrogram", png] if _has("PIL") else []
    code, _, _ = sonho("render", tmp_path / "out.txt", "--wav", wav, *arguments)
    assert code == 0
    with wave.open(str(wav)) as file:
        assert file.getframerate() == 8000
        assert np.frombuffer(file.readframes(9000), "<i2").any()
    assert png.exists() == bool(arguments)
    code, _, err = sonho("render", tmp_path / "out.txt", "--report")
    assert code == 2
    assert "holds sound, not tunes" in err[0]


def _has(module):
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def test_a_conversation_is_learned_and_continued(sonho, tmp_path, monkeypatch):
    table, run = tmp_path / "d.csv", tmp_path / "run"
    table.write_text("ask,answer\n" + "hello,hi there\nbye,see you\n" * 80)
    train = ["train", table, "--columns", "ask,answer", "--speakers", "A,B", "-o", run, "--steps", "150", "--quiet"]
    assert sonho(*train, *TINY)[0] == 0

    def talk(*arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n/reset\nbye\n"))
        return sonho("chat", run, "-t", "0", *arguments)

    code, out, err = talk("--seed", "3")
    assert (code, err) == (0, [])
    assert len(out.splitlines()) == 2
    assert set(out) <= set("abcdefghijklmnopqrstuvwxyzAB: \n")
    assert talk()[2][0].startswith("seed ")
    code, _, err = talk("--speakers", "A")
    assert (code, len(err)) == (2, 1)


def test_molecules_are_counted(sonho, tmp_path):
    (tmp_path / "new.txt").write_text("CCO\nCCO\nCCN\n")
    (tmp_path / "old.csv").write_text("SMILES\nCCO\n")
    code, out, _ = sonho("molecules", tmp_path / "new.txt", "--train-text", tmp_path / "old.csv", "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["total"], report["uniqueness"], report["novelty"]) == (3, 0.6667, 0.5)
    code, out, _ = sonho("molecules", tmp_path / "new.txt")
    assert "different    66.7 %" in out
    (tmp_path / "empty.txt").write_text("\n")
    assert sonho("molecules", tmp_path / "empty.txt")[0] == 65


def test_the_example_of_digits_says_what_to_install(tmp_path):
    made = subprocess.run(
        [sys.executable, ROOT / "examples" / "make_sounds.py", "digits", tmp_path / "digits"],
        check=False, capture_output=True, text=True, env={"PATH": ""},
    )  # fmt: skip
    assert made.returncode == 2
    assert "apt-get install espeak-ng" in made.stderr
    assert not (tmp_path / "digits").exists()
