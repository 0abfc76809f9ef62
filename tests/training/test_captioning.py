"""Captions from the pictures to BLEU on tiny drawn scenes: learned, kept, gone on with bit for bit."""

import json

import numpy as np
import pytest
import torch

from sonho.cli.main import main
from sonho.errors import UsageError
from sonho.storage.container import read_container
from sonho.storage.model_file import load_model_file
from sonho.training.captioning import moved
from sonho.training.run import explain, train
from tests.drawn import draw_scenes
from tests.training.stopping import StopAt


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 300)


def settings(**sections):
    made = {
        "model": {"task": "caption", "hidden_size": 32, "embedding_dim": 16, "picture_channels": 8, "dropout": 0.0},
        "data": {"batch_size": 16, "picture_size": "24x12"},
        "training": {"threads": 1, "learning_rate": 0.02, "steps": 200},
    }
    for name, values in sections.items():
        made[name].update(values)
    return made


@pytest.mark.parametrize("attention", ["none", "multiplicative", "additive"])
def test_a_captioner_says_what_is_where(scenes, tmp_path, attention):
    result = train([str(scenes)], tmp_path / "run", settings(model={"attention": attention}))
    assert result.validation.agreement.bleu > 95
    assert result.validation.loss < 0.05
    assert max(result.baselines.values()) < 80
    assert result.validation.agreement.bleu > 15 + max(result.baselines.values())
    kept = load_model_file(tmp_path / "run")
    assert kept.record["validation_bleu"] == result.validation.agreement.bleu
    assert kept.record["data"]["pictures"] == ""  # a path of this machine
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert ".png: a " in samples[-1]["text"]


def test_the_best_bleu_is_kept_and_patience_ends_a_run(scenes, tmp_path):
    steps = 2000  # far more than all captions take to be right, after which there is no better
    wanted = settings(training={"steps": steps, "validate_every": 20, "patience": 2})
    result = train([str(scenes)], tmp_path / "run", wanted)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["validation_bleu"] for line in lines if "validation_bleu" in line]
    assert result.validation.agreement.bleu == pytest.approx(max(seen))
    assert lines[-1]["step"] < steps
    assert max(seen[-2:]) <= max(seen[:-2])


def test_a_run_that_was_stopped_goes_on_bit_for_bit(scenes, tmp_path, monkeypatch):
    wanted = settings(
        model={"dropout": 0.2},
        data={"picture_shift": 0.1},
        training={"steps": 24, "checkpoint_every": 7, "validate_every": 8},
    )
    train([str(scenes)], tmp_path / "whole", wanted)
    monkeypatch.chdir(scenes.parent)
    train([scenes.name], tmp_path / "broken", wanted, callbacks=[StopAt(10)])
    monkeypatch.chdir(tmp_path)
    train([], tmp_path / "broken", resume=True)
    for name, kind in (("model", "model"), ("checkpoint", "checkpoint")):
        whole, broken = (read_container(tmp_path / run / f"{name}.safetensors", kind)[1] for run in ("whole", "broken"))
        assert whole.keys() == broken.keys()
        for key, array in whole.items():
            np.testing.assert_array_equal(array, broken[key], err_msg=key)
    assert any(key.endswith(".variance") for key in whole)


def test_other_pictures_are_noticed_when_a_run_goes_on(tmp_path):
    table = draw_scenes(tmp_path / "scenes", 40)
    train([str(table)], tmp_path / "run", settings(training={"steps": 10}), callbacks=[StopAt(4)])
    (table.parent / "0.png").write_bytes((table.parent / "1.png").read_bytes())
    (tmp_path / "run" / "data" / "manifest.json").unlink()  # as where the prepared data was cleared away
    with pytest.raises(UsageError, match="the pictures, vectors or labels are not those that this run was trained on"):
        train([], tmp_path / "run", resume=True)


def test_moved_pictures_keep_their_middle_and_repeat_their_edge():
    pixels = torch.arange(2 * 10 * 20 * 3, dtype=torch.int32).remainder(251).to(torch.uint8).reshape(2, 10, 20, 3)
    torch.manual_seed(3)
    made = [moved(pixels, 0.1) for _ in range(30)]
    assert made[0].shape == pixels.shape
    assert made[0].dtype == torch.uint8
    columns = {tuple(picture[0, :, 0, 0].tolist()) for picture in made}
    assert len(columns) > 5
    for picture in made:
        matches = [
            (picture[0, 1:9, 2:18] == pixels[0, 1 + down : 9 + down, 2 + right : 18 + right]).all()
            for down in (-1, 0, 1)
            for right in (-2, -1, 0, 1, 2)
        ]
        assert sum(matches) == 1
    assert moved(pixels, 0.0) is pixels


def test_the_plan_says_what_is_chosen_and_refuses_what_cannot_be(scenes, tmp_path):
    lines = explain([str(scenes)], {"model": {"task": "caption"}, "data": {"picture_size": "24x12"}})
    assert any("attention on a grid of 3 x 2 places" in line for line in lines)
    for wrong, message in (
        ({"data": {"kind": "stream"}}, "--task caption reads records, not data.kind=stream"),
        ({"data": {"picture_size": "24"}}, "give width x height"),
        ({"model": {"cell": "conv"}}, "needs a recurrent cell"),
        ({"data": {"label_column": "caption"}}, "data.pictures has one for each record"),
    ):
        with pytest.raises(UsageError, match=message):
            train([str(scenes)], tmp_path / "run", settings(**wrong))


def test_a_captioner_starts_from_another(scenes, tmp_path):
    first = train([str(scenes)], tmp_path / "first", settings())
    again = settings(training={"steps": 1, "learning_rate": 1e-5})
    del again["data"]["picture_size"]  # that of the start
    second = train([str(scenes)], tmp_path / "second", again, init=str(tmp_path / "first"))
    assert second.validation.agreement.bleu == pytest.approx(first.validation.agreement.bleu, abs=2.0)
    with pytest.raises(UsageError, match=r"model.task=caption; one of model.task=generate starts from another"):
        train([str(scenes)], tmp_path / "no", {"data": {"kind": "records"}}, init=str(tmp_path / "first"))


def test_prepared_pictures_can_be_learned_from_by_themselves(tmp_path, capsys):
    table = draw_scenes(tmp_path / "scenes", 60)
    folder = tmp_path / "prepared"
    pictures = [f"data.pictures={table.parent}", "data.picture_size=24x12", "--kind", "records", "--level", "word"]
    assert main(["prepare", str(table), "-o", str(folder), *pictures]) == 0
    assert "60 pictures, resized to 24 x 12 pixels" in capsys.readouterr().out
    assert main(["prepare", "-o", str(folder), "--verify"]) == 0
    result = train([str(folder)], tmp_path / "run", settings(training={"steps": 20}))
    assert len(result.validation.captions) == 6
    texts = draw_scenes(tmp_path / "more", 30)
    assert main(["prepare", str(texts), "-o", str(tmp_path / "texts"), "--kind", "records"]) == 0
    with pytest.raises(UsageError, match="--task caption needs a picture beside each text"):
        train([str(tmp_path / "texts")], tmp_path / "no", settings())
