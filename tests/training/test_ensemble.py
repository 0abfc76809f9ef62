"""Several networks whose mean is the model: learned together, or from all of the text once the first is measured."""

import dataclasses

import numpy as np
import pytest
import torch

from sonho.api import adapt, evaluate, evaluation_table, generate
from sonho.config import DataConfig, ModelConfig
from sonho.data.corpus import encode_for_evaluation
from sonho.data.parts import MemoryStore, Part, joined
from sonho.errors import UsageError
from sonho.models.language_model import LanguageModel, load_arrays, to_arrays
from sonho.models.networks import Networks, model_of
from sonho.storage.model_file import NO_GRADIENT, load_model_file
from sonho.training import session
from sonho.training.adapt import AdaptiveStepper, read
from sonho.training.checkpoint import load_checkpoint
from sonho.training.ensemble import merged
from sonho.training.gradient_rms import measure_rms
from sonho.training.run import train
from sonho.training.trainer import DivergedError

TEXT = "".join(f"the cat number {i * 7919 % 97} sat on the mat of {i * 31 % 13}\n" for i in range(300))
# What only the held-out end says.
END = "".join(f"Ophelia met Yorick in {i * 17 % 61}\n" for i in range(120))
SETTINGS = {
    "model": {"hidden_size": 12},
    "data": {"batch_size": 4, "bptt": 16, "validation": 0.25},
    "training": {"steps": 120, "threads": 1, "learn_end": False},
    "sampling": {"max_tokens": 5},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train by steps, but with networks to come as a run by the clock with time to spare has them."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT + END)
    made = session.Session.__init__

    def with_networks(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.networks = 3

    monkeypatch.setattr(session.Session, "__init__", with_networks)

    def run(name="run", paths=(str(path),), settings=SETTINGS, **more):
        told = []
        result = train(list(paths), tmp_path / name, settings, say=told.append, **more)
        return result, tmp_path / name, told

    return run


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "lstm"},
        {"cell": "gru", "num_layers": 2},
        {"cell": "rnn", "embedding_dim": 5},
        {"cell": "gru", "embedding_dim": 6, "tied": True},
        {"cell": "lstm", "embedding_dim": 4, "num_layers": 3},
    ],
)
def test_the_logits_are_the_mean_of_the_networks(settings):
    config = ModelConfig(hidden_size=6, **settings)
    torch.manual_seed(0)
    networks = [LanguageModel(config, 9) for _ in range(3)]
    with torch.no_grad():
        for network in networks:
            for parameter in network.parameters():
                parameter.normal_(std=0.5)
    sized, arrays = merged(config, [to_arrays(network) for network in networks])
    whole = LanguageModel(sized, 9)
    load_arrays(whole, arrays)
    assert {name: tuple(p.shape) for name, p in whole.named_parameters()} == {k: v.shape for k, v in arrays.items()}
    ids = torch.randint(1, 9, (4, 20))
    with torch.no_grad():
        each = [network.eval()(ids, network.initial_state(4))[0] for network in networks]
        mean = whole.eval()(ids, whole.initial_state(4))[0]
    torch.testing.assert_close(mean, torch.stack(each).mean(0), atol=1e-5, rtol=1e-4)


def test_all_of_the_text_is_learned_after_the_first_network_was_measured(run, tmp_path):
    result, folder, told = run()
    tail = tmp_path / "tail.txt"
    tail.write_text(END[-1500:])
    assert any("Learning from all of the text" in line for line in told)
    first, kept = load_model_file(folder / session.BEFORE_END_NAME), load_model_file(folder)
    before, after = (evaluate(folder / name, str(tail)).loss for name in (session.BEFORE_END_NAME, "model.safetensors"))
    assert after < before - 0.5
    assert (first.model.hidden_size, kept.model.hidden_size) == (12, 36)
    assert kept.record["networks"] == 3
    assert "networks" not in first.record
    assert kept.record["validation_loss"] == first.record["validation_loss"] == result.validation.loss
    assert {name: codes.shape for name, codes in kept.gradient_rms.items()} == {
        name: array.shape for name, array in kept.arrays.items()
    }
    assert len(generate(folder, "the", max_tokens=20, seed=1).text) > 0
    assert evaluation_table(folder, [str(tail)], {}, with_baselines=False, adapt=True).adapted.loss < 4


def test_a_test_part_is_scored_with_the_mean(run):
    settings = {**SETTINGS, "data": {**SETTINGS["data"], "test": "0.1"}}
    result, folder, _ = run(settings=settings)
    kept = load_model_file(folder)
    assert kept.model.hidden_size == 36
    assert kept.record["test_loss"] == result.test.loss
    assert result.test.loss != pytest.approx(result.validation.loss)


class StopIn:
    """Asks the run for a stop, as Ctrl-C does, in the second of the networks that learn from all of the text."""

    def __init__(self):
        self.run = self.last = None
        self.networks = 0

    def on_start(self, trainer):
        self.run = trainer

    def on_step(self, trainer, loss):
        if trainer is not self.run and trainer is not self.last:
            self.networks, self.last = self.networks + 1, trainer
        if self.networks == 2:
            self.run.stop_requested = True

    def __getattr__(self, name):
        return lambda *_: None


def test_a_stop_between_keeps_the_first_network_and_a_resume_makes_the_others(run):
    stop = StopIn()
    result, folder, _ = run(callbacks=[stop])
    assert not result.finished
    assert stop.networks == 2
    kept = load_model_file(folder)
    assert kept.model.hidden_size == 12
    assert kept.record["validation_loss"] == result.validation.loss
    resumed, _, _ = run(paths=(), settings=None, resume=True)
    assert resumed.finished
    assert load_model_file(folder).model.hidden_size == 36
    assert resumed.validation.loss == result.validation.loss


def test_a_longer_run_goes_on_from_the_first_network(run):
    _, folder, _ = run()
    result, _, _ = run(paths=(), settings={"training": {"steps": 200}}, resume=True)
    assert result.finished
    header, arrays = load_checkpoint(folder)
    assert header["counters"]["step"] == 200
    assert arrays["model.output.weight"].shape[1] == 12
    assert load_model_file(folder).model.hidden_size == 36


def test_records_are_joined_with_their_bounds():
    parts = [
        Part(MemoryStore(np.array(ids, np.uint16)), np.array(offsets), 5, 6)
        for ids, offsets in (([1, 2, 9, 3, 9], [0, 3, 5]), ([4, 9], [0, 2]))
    ]
    whole = joined(*parts)
    assert whole.tokens.read(0, 9).tolist() == [1, 2, 9, 3, 9, 4, 9]
    assert whole.offsets.tolist() == [0, 3, 5, 7]
    assert (whole.num_chars, whole.num_bytes, whole.num_records) == (10, 12, 3)
    streams = [dataclasses.replace(part, offsets=None) for part in parts]
    assert joined(*streams).offsets is None


def blocks(arrays):
    """The output layer's part of each network of 12 units."""
    weight = arrays["output.weight"]
    return [weight[:, at : at + 12] for at in range(0, weight.shape[1], 12)]


def test_each_network_has_a_seed_of_its_own(run):
    _, folder, _ = run()
    assert len({block.tobytes() for block in blocks(load_model_file(folder).arrays)}) == 3


@pytest.fixture
def together(tmp_path):
    """Train three networks whose mean is the model."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT)

    def train_together(name="run", networks=3, paths=(str(path),), **more):
        told = []
        training = {**SETTINGS["training"], "networks": networks, **more.pop("training", {})}
        settings = more.pop("settings", {**SETTINGS, "training": training})
        result = train(list(paths), tmp_path / name, settings, say=told.append, **more)
        return result, tmp_path / name, told

    return train_together


def test_networks_that_learn_together_are_measured_as_their_mean(together, tmp_path):
    result, folder, told = together()
    kept, first = load_model_file(folder), load_model_file(folder / session.FIRST_NAME)
    assert (first.model.hidden_size, kept.model.hidden_size, kept.record["networks"]) == (12, 36, 3)
    assert any("The first of 3 networks has learned at" in line for line in told)
    np.testing.assert_allclose(3 * blocks(kept.arrays)[0], first.arrays["output.weight"], rtol=1e-6)
    assert len({block.tobytes() for block in blocks(kept.arrays)}) == 3
    alone, alone_folder, _ = together("alone", networks=1)
    assert not (alone_folder / "network-1").exists()
    assert result.validation.loss < alone.validation.loss
    assert kept.record["validation_loss"] == result.validation.loss
    held_out = tmp_path / "held-out.txt"
    held_out.write_text(TEXT[-result.validation.num_chars - 1 :])
    assert evaluate(folder, str(held_out)).loss == pytest.approx(result.validation.loss, abs=0.02)


def test_only_what_stands_within_a_network_is_adapted(together, tmp_path):
    _, folder, _ = together(training={"learn_end": True})
    text = tmp_path / "other.txt"
    text.write_text(END)
    adapt(folder, str(text), tmp_path / "adapted.safetensors")
    before, after = load_model_file(folder), load_model_file(tmp_path / "adapted.safetensors")
    between = before.arrays["layers.0.weight_hh"] == 0
    assert between.mean() == pytest.approx(2 / 3)
    np.testing.assert_array_equal(after.arrays["layers.0.weight_hh"] == 0, between)
    assert (after.arrays["layers.0.weight_hh"] != before.arrays["layers.0.weight_hh"]).mean() > 0.3


@pytest.mark.parametrize("model", [{}, {"cell": "gru", "embedding_dim": 12, "tied": True}], ids=str)
def test_the_mean_of_equal_networks_adapts_like_one_of_them(together, tmp_path, model):
    settings = {**SETTINGS, "model": {**SETTINGS["model"], **model}}
    _, folder, _ = together(settings=settings)
    one = load_model_file(folder)
    sized, arrays = merged(one.model, [one.arrays] * 3)
    mean = dataclasses.replace(one, model=sized, arrays=arrays, record={"networks": 3})
    text = tmp_path / "other.txt"
    text.write_text(END)
    part = encode_for_evaluation([str(text)], one.tokenizer, DataConfig())
    lost = []
    for file in (one, mean):
        module = model_of(file)
        codes = measure_rms(module, part, gradients=16)
        file.gradient_rms = module.join(codes, NO_GRADIENT) if isinstance(module, Networks) else codes
        lost.append(read(AdaptiveStepper(file), file.tokenizer, part).loss)
    assert lost[1] == pytest.approx(lost[0], rel=2e-3)
    assert lost[0] < 0.97 * evaluate(folder, str(text)).loss


@pytest.mark.parametrize("several", ["run", "together"])
def test_where_another_network_diverges_the_first_is_the_model(several, request, monkeypatch):
    def diverge(*_):
        raise DivergedError("too far")

    monkeypatch.setattr(session, "learn_further", diverge)
    result, folder, told = request.getfixturevalue(several)()
    kept = load_model_file(folder)
    assert result.finished
    assert (kept.model.hidden_size, kept.record.get("networks")) == (12, None)
    assert kept.record["validation_loss"] == result.validation.loss
    assert "The first network is kept as it is: too far" in told


def test_a_longer_run_goes_on_with_each_network(together):
    _, folder, _ = together()
    result, _, _ = together(paths=(), settings={"training": {"steps": 200}}, resume=True)
    assert result.finished
    for name in (".", "network-2", "network-3"):
        assert load_checkpoint(folder / name)[0]["counters"]["step"] == 200
    assert load_model_file(folder).model.hidden_size == 36


def test_what_another_run_left_of_a_network_is_not_gone_on_with(together):
    _, folder, _ = together("one")
    _, other, _ = together("other", training={"steps": 60, "seed": 5})
    (other / "network-2" / "checkpoint.safetensors").replace(folder / "network-2" / "checkpoint.safetensors")
    together("one", paths=(), settings={"training": {"steps": 200}}, resume=True)
    assert load_checkpoint(folder / "network-2")[0]["seed"] == 1


@pytest.mark.parametrize("change", [{"cell": "conv"}, {"layer_norm": True}, {"task": "tag"}])
def test_networks_without_a_mean_are_refused(together, change):
    settings = {**SETTINGS, "model": {**SETTINGS["model"], **change}, "training": {"steps": 9, "networks": 2}}
    with pytest.raises(UsageError, match=r"training\.networks=2: only recurrent language models"):
        together(settings=settings)


def test_several_networks_do_not_start_from_one(together):
    _, folder, _ = together("one", networks=1)
    with pytest.raises(UsageError, match=r"training\.networks=3 begin anew, and --init starts from a model"):
        together(init=str(folder))
