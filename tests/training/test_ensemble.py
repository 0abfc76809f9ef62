"""Networks that learn from all of the text once the first is measured, and whose mean is one network."""

import dataclasses

import numpy as np
import pytest
import torch

from sonho.api import evaluate, evaluation_table, generate
from sonho.config import ModelConfig
from sonho.data.parts import MemoryStore, Part, joined
from sonho.models.language_model import LanguageModel, load_arrays, to_arrays
from sonho.storage.model_file import load_model_file
from sonho.training import session
from sonho.training.checkpoint import load_checkpoint
from sonho.training.ensemble import Watch, learn_all, merged
from sonho.training.run import train

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


def test_each_network_has_a_seed_of_its_own(run, monkeypatch):
    seeds = []

    def listen(kept, config, corpus, networks, seconds, watch):
        made = learn_all(kept, config, corpus, networks, seconds, watch)
        blocks = [made.arrays["output.weight"][:, at : at + 12] for at in (0, 12, 24)]
        seeds.extend(block.tobytes() for block in blocks)
        assert isinstance(watch, Watch)
        return made

    monkeypatch.setattr(session, "learn_all", listen)
    run()
    assert len(set(seeds)) == 3
