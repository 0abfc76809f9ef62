"""Whatever a person does wrong ends with one line and a documented exit code."""

from pathlib import Path

import pytest

from .conftest import TINY


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["tran"], 2, "did you mean 'train'"),
        (["train"], 2, "nothing to train on"),
        (["train", "TEXT", "--minutes", "1", "--steps", "3"], 2, "choose one of --minutes and --steps"),
        (["train", "TEXT", "model.hiden_size=3"], 2, "did you mean 'model.hidden_size'"),
        (["train", "TEXT", "model.hidden_size=0"], 2, "greater than or equal to 1"),
        (["train", "TEXT", "model.hidden_size=big"], 2, "model.hidden_size = 'big'"),
        (["train", "TEXT", "--level", "letter"], 2, "data.level = 'letter'"),
        (["train", "TEXT", "--recipe", "nonsense"], 66, "no recipe 'nonsense'"),
        (["train", "TEXT", "--steps", "x"], 2, "training.steps"),
        (["train", "absent.txt"], 66, "absent.txt"),
        (["train", ""], 66, "an empty path"),
        (["train", "TEXT", "model.cell", "gru"], 2, "a setting is section.key=value"),
        (["prepare", "TEXT", "-o", "RUN"], 2, "is a run folder"),
        (["train", "--resume"], 2, "give it with -o"),
        (["train", "--resume", "-o", "RUN", "--init", "RUN"], 2, "--init starts a new run"),
        (["train", "TEXT", "--init", "RUN", "model.hidden_size=32"], 2, "model.hidden_size is 24 in the model"),
        (["train", "TEXT", "--init", "RUN", "--level", "byte"], 2, "data.level is 'char' in the model"),
        (["train", "TEXT", "--recipe", "flat.toml"], 2, "'model' must be a table of settings, got 3"),
        (["train", "TEXT", "--recipe", "folder.toml"], 66, "cannot read the recipe folder.toml"),
        (["train", "-", "-"], 2, "standard input can be read once"),
        (["generate", "absent"], 66, "no such model: absent"),
        (["generate", "RUN", "-t", "-1"], 2, "temperature must be"),
        (["generate", "RUN", "-t", "nan"], 2, "temperature must be"),
        (["generate", "RUN", "--top-k", "0"], 2, "top_k must be at least 1"),
        (["generate", "RUN", "-m", "0"], 2, "max_tokens must be at least 1"),
        (["generate", "RUN", "-n", "0"], 2, "--count must be at least 1"),
        (["generate", "RUN", "--seed", "-1"], 2, "seed must be at least 0"),
        (["generate", "RUN", "--bias", "e"], 2, "is not SYMBOL=NUMBER"),
        (["generate", "RUN", "--wrong"], 2, "No such option"),
        (["evaluate", "RUN", "absent.txt"], 66, "absent.txt"),
        (["score", "RUN", "TEXT", "--flagged"], 2, "--flagged needs a --threshold"),
        (["prepare", "-o", "x"], 2, "nothing to prepare"),
    ],
)
def test_wrong_usage_is_one_line(sonho, stream_run, text_file, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.toml").write_text("model = 3\n")
    (tmp_path / "folder.toml").mkdir()
    places = {"RUN": str(stream_run), "TEXT": str(text_file)}
    found, _, err = sonho(*[places.get(argument, argument) for argument in arguments])
    assert found == code
    assert len(err) == 1
    assert err[0].startswith("sonho: ")
    assert words in err[0]


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_model_is_refused_in_one_line(sonho, stream_run, tmp_path, damage):
    content = bytearray((stream_run / "model.safetensors").read_bytes())
    if damage == "cut":
        content = content[:-100]
    else:
        content[-50] ^= 4
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    code, out, err = sonho("generate", path)
    assert (code, out, len(err)) == (65, "", 1)
    assert "take another copy" in err[0]


def test_a_latin_1_file_is_named_with_its_place(sonho, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("first line\nna\xefve\n".encode("latin-1") * 30)
    code, _, err = sonho("train", path, "-o", tmp_path / "run")
    assert (code, len(err)) == (65, 1)
    assert "latin.txt" in err[0]
    assert "13" in err[0]  # byte offset
    assert "line 2" in err[0]
    assert "--errors" in err[0]
    assert sonho("train", path, "-o", tmp_path / "run", "--errors", "replace", "--steps", 2, "--quiet", *TINY)[0] == 0


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
def test_an_empty_file_is_refused(sonho, tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_text(content)
    code, _, err = sonho("train", path, "-o", tmp_path / "run")
    assert (code, len(err)) == (65, 1)
    assert "empty.txt" in err[0]


def test_a_file_of_two_hundred_characters_trains_and_says_what_it_gave_up(sonho, tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text(("A man, a plan, a canal: Panama! " * 7)[:200])
    code, out, err = sonho("train", path, "-o", tmp_path / "run", "--steps", 20, *TINY)
    assert (code, err) == (0, [])
    assert "too few" in out or "few" in out or "not of" in out
    assert sonho("generate", tmp_path / "run", "--seed", 1, "-m", 20)[0] == 0


def test_a_text_of_one_symbol_trains(sonho, tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("a" * 1000)
    code, out, err = sonho("train", path, "-o", tmp_path / "run", "--steps", 3, *TINY)
    assert (code, err) == (0, [])
    assert "single letters" in out


def test_a_short_text_without_a_window_to_validate_on_trains(sonho, tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text(("A man, a plan, a canal: Panama! " * 7)[:200])
    run, settings = tmp_path / "run", ["data.objective=last", "data.stride=7", "--test", 0.1]
    code, out, err = sonho("train", path, "-o", run, "--steps", 3, *settings, *TINY)
    assert (code, err) == (0, [])
    assert "validation: 40 tokens are too few for a window of 60; left out" in out
    assert sonho("train", "--resume", "-o", run, "--steps", 5, "--quiet")[0] == 0
    assert sonho("generate", run, "--seed", 1, "-m", 20)[0] == 0


def test_a_rate_that_is_far_too_high_is_noticed_and_the_model_kept(sonho, text_file, tmp_path):
    code, _, err = sonho(
        "train", text_file, "-o", tmp_path / "run", "--steps", 200, "--quiet", "training.learning_rate=1e30",
        "training.optimizer=sgd", "training.clip_norm=0", *TINY,
    )  # fmt: skip
    assert (code, len(err)) == (2, 1)
    assert "diverged" in err[0]
    assert "learning_rate" in err[0]


def test_a_number_of_threads_that_is_none_is_named(sonho, text_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SONHO_THREADS", "two")
    code, _, err = sonho("train", text_file, "-o", tmp_path / "run", "--steps", 2)
    assert (code, len(err)) == (2, 1)
    assert "SONHO_THREADS='two'" in err[0]


def test_two_trainers_cannot_share_a_run_folder(sonho, text_file, tmp_path):
    from sonho.storage.durable import folder_lock

    (tmp_path / "run").mkdir()
    with folder_lock(tmp_path / "run"):
        code, _, err = sonho("train", text_file, "-o", tmp_path / "run", "--steps", 2, *TINY)
    assert (code, len(err)) == (2, 1)
    assert "in use by another training" in err[0]


def test_a_fault_of_ours_is_one_line_too(sonho, stream_run, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("sonho.cli.generate.load", broken)
    code, _, err = sonho("generate", stream_run)
    assert (code, len(err)) == (70, 1)
    assert "please report it: RuntimeError: two lines" in err[0]


def command_line(*arguments, encoding="utf-8", **options):
    """The command in a process of its own, with the streams of a real one."""
    import os
    import subprocess
    import sys

    code = "import sys\nfrom sonho.cli.main import run\nrun()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": encoding}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, **options)


@pytest.mark.parametrize(
    "arguments", [["inspect", "RUN"], ["score", "RUN", "FILE"], ["generate", "RUN", "-p", "Жук", "--json"]]
)
def test_a_terminal_that_knows_only_ascii_is_written_to(stream_run, tmp_path, arguments):
    from subprocess import PIPE

    file = tmp_path / "beetle.txt"
    file.write_text("Жук 🦋\n", encoding="utf-8")
    places = {"RUN": stream_run, "FILE": file}
    process = command_line(*[places.get(a, a) for a in arguments], encoding="ascii", stdout=PIPE, stderr=PIPE)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out


def test_a_reader_that_goes_away_is_no_error(stream_run):
    from subprocess import PIPE

    for arguments in (["generate", stream_run, "-m", 1_000_000, "--seed", 1], ["inspect", stream_run]):
        process = command_line(*arguments, stdout=PIPE, stderr=PIPE)
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def last_words(stdout):
    """(exit code, output, errors) of a process that has said something, not yet written out, as it ends with 3."""
    import os
    import subprocess
    import sys

    held_back = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    code = "import sys\nfrom sonho.cli.main import _leave\nsys.stdout.write('last words')\n_leave(3)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=held_back, stdout=stdout, stderr=subprocess.PIPE, check=False)
    return found.returncode, found.stdout, found.stderr.decode().splitlines()


def test_a_process_that_ends_at_once_writes_out_what_it_has_said():
    from subprocess import PIPE

    assert last_words(PIPE) == (3, b"last words", [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_under_the_output_is_one_line():
    with open("/dev/full", "wb") as full:
        code, _, err = last_words(full)
    assert (code, len(err)) == (74, 1)
    assert "the disk refused" in err[0]


def test_a_process_that_ends_at_once_leaves_no_temporary_folder(tmp_path, text_file):
    from subprocess import PIPE

    run, temporary = tmp_path / "run", tmp_path / "temporary"
    temporary.mkdir()
    with open(text_file, "rb") as text, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        process = command_line("train", "-", "-o", run, "--steps", 2, *TINY, stdin=text, stdout=PIPE, stderr=PIPE)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert b"model in" in out + err
    assert list(temporary.iterdir()) == []


def test_a_closed_standard_output_is_no_fault(stream_run):
    import subprocess
    import sys

    code = "import os; os.close(1); os.execv(os.sys.executable, [os.sys.executable, '-c', %r, *os.sys.argv[1:]])"
    inner = "from sonho.cli.main import run\nrun()"
    command = [sys.executable, "-c", code % inner, "generate", str(stream_run), "-m", "3", "--seed", "1"]
    found = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
