"""A result says how it was made without a folder of the machine in it."""

import json
from pathlib import Path

import pytest

import common

BENCHMARKS = Path(common.__file__).parent


@pytest.mark.parametrize(
    ("program", "told"),
    [(BENCHMARKS / "light.py", "benchmarks/light.py"), (Path("/somewhere/else/mine.py"), "mine.py")],
)
def test_the_command_is_as_from_the_top_folder_wherever_it_was_called(program, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", [str(program), str(tmp_path / "corpora"), "--beam", "3"])
    record = json.loads(common.save("tried", {}, common.machine()).read_text())
    assert record["command"] == f"python {told} corpora --beam 3"
