"""Run folders, also while a training writes to them."""

import json
import math

import numpy as np
import pytest

from sonho.errors import InputNotFoundError, ModelFileError
from sonho.storage.container import peek_container, write_container
from sonho.storage.model_file import save_model_file
from sonho.storage.run_folders import facts, find_runs, read_lines
from tests.serving.conftest import FILES, make_file


@pytest.fixture
def runs(tmp_path):
    """One that is finished, one that has just begun, and a folder that is none."""
    done, young, none = (tmp_path / name for name in ("done", "young", "none"))
    for folder in (done, young, none):
        folder.mkdir()
    lines = [{"step": step, "train_loss": 1.0, "seconds": step / 10} for step in (10, 20, 30)]
    (done / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (done / "samples.jsonl").write_text('{"step": 30, "text": "\\u00e9"}\n')
    header = {"baselines": {"xz": 2.5}, "plan": "one lstm"}
    arrays = FILES["letters"].arrays
    write_container(done / "checkpoint.safetensors", "checkpoint", header, {f"model.{k}": v for k, v in arrays.items()})
    finished = make_file()
    finished.record["validation_bits_per_char"] = 2.0
    save_model_file(done / "model.safetensors", finished)
    (young / "metrics.jsonl").write_text('{"step": 1, "train_loss": NaN}\n{"step": 2, "tr')
    return tmp_path


def test_runs_are_listed_with_how_far_they_are(start, runs):
    live = start("letters", runs=(str(runs), str(runs / "done")))
    assert live.http.get("/v1/runs").json()["runs"] == [
        {"id": "done", "name": "done", "finished": True, "step": 30, "seconds": 3.0},
        {"id": "young", "name": "young", "finished": False, "step": 1, "seconds": 0.0},
        {"id": "done-2", "name": "done", "finished": True, "step": 30, "seconds": 3.0},
    ]


def test_metrics_come_from_a_line_on(start, runs):
    live = start("letters", runs=(str(runs),))
    found = live.http.get("/v1/runs/done/metrics", params={"after": 1}).json()
    assert [line["step"] for line in found["lines"]] == [20, 30]
    parameters = sum(array.size for array in FILES["letters"].arrays.values())
    rest = {"next": 3, "baselines": {"xz": 2.5}, "plan": "one lstm", "parameters": parameters}
    assert {name: found[name] for name in rest} == rest
    assert live.http.get("/v1/runs/done/samples").json() == {"lines": [{"step": 30, "text": "é"}], "next": 1}


def test_a_line_that_is_being_written_waits_for_its_end(start, runs):
    live = start("letters", runs=(str(runs),))
    young = live.http.get("/v1/runs/young/metrics").json()
    assert young["lines"] == [{"step": 1, "train_loss": None}]
    assert (young["next"], young["baselines"], young["plan"]) == (1, {}, "")
    with open(runs / "young" / "metrics.jsonl", "a") as file:
        file.write('ain_loss": 2}\n')
    following = live.http.get("/v1/runs/young/metrics", params={"after": 1}).json()
    assert following["lines"] == [{"step": 2, "train_loss": 2}]
    assert live.http.get("/v1/runs/young/samples").json() == {"lines": [], "next": 0}


def test_a_long_file_comes_in_parts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {n}}}\n' for n in range(5100)))
    lines, following = read_lines(path, 0)
    assert (len(lines), following) == (5000, 5000)
    assert read_lines(path, following) == ([{"step": n} for n in range(5000, 5100)], 5100)
    assert read_lines(path, 9999) == ([], 9999)


@pytest.mark.parametrize("id", ["nobody", "..", "%2e%2e", "none"])
def test_only_known_runs_are_read(start, runs, id):
    live = start("letters", runs=(str(runs),))
    assert live.http.get(f"/v1/runs/{id}/metrics").status_code == 404


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such run folder"):
        find_runs([str(tmp_path / "nothing")])


def test_a_header_can_be_read_alone_and_a_damaged_one_cannot(runs, tmp_path):
    path = runs / "done" / "checkpoint.safetensors"
    assert peek_container(path, "checkpoint")[0]["plan"] == "one lstm"
    with pytest.raises(ModelFileError, match="not a sonho model"):
        peek_container(path, "model")
    (tmp_path / "x").write_bytes(b"123")
    with pytest.raises(ModelFileError):
        peek_container(tmp_path / "x", "model")
    with pytest.raises(InputNotFoundError):
        peek_container(tmp_path / "y", "model")


def test_tokens_that_are_no_characters_are_counted_from_the_two_figures(tmp_path):
    record = {"validation_loss": 2.0, "validation_bits_per_char": 1.0, "baselines": {"xz": 3.0}}
    write_container(tmp_path / "model.safetensors", "model", {"record": record}, {"a": np.zeros(1, np.float32)})
    found = facts(tmp_path)
    assert found["tokens_per_char"] == pytest.approx(math.log(2) / 2)
    assert found["baselines"] == {"xz": 3.0}
    assert facts(tmp_path / "nothing") == {"baselines": {}, "plan": "", "parameters": 0, "tokens_per_char": 1.0}
