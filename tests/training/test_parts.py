"""The small parts of training: rates, budgets, averages, optimisers."""

import math

import pytest
import torch

from sonho.config import ModelConfig, TrainingConfig
from sonho.errors import UsageError
from sonho.models.language_model import LanguageModel
from sonho.training.averaging import Averaged
from sonho.training.budget import make_budget
from sonho.training.optimizers import (
    load_optimizer_arrays,
    make_optimizers,
    optimizer_arrays,
    orthogonalize,
)
from sonho.training.schedules import multiplier


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [0.5, 1.0, 0.5, 0.0]), ("cosine", [0.5, 1.0, 0.5, 0.0]), ("constant", [0.5, 1.0, 1.0, 1.0])],
)
def test_rates_rise_in_the_warm_up_and_then_follow_the_schedule(schedule, expected):
    found = [multiplier(p, schedule=schedule, warmup=0.2) for p in (0.1, 0.2, 0.6, 1.0)]
    assert found == pytest.approx(expected)


def test_a_rate_without_warm_up_starts_at_its_peak():
    assert multiplier(0.0, schedule="linear", warmup=0.0) == 1.0


def test_budgets_count_steps_epochs_or_seconds():
    assert make_budget(TrainingConfig(steps=10), 4).progress(5, 999) == 0.5
    assert make_budget(TrainingConfig(epochs=2.5), 4).steps == 10
    assert make_budget(TrainingConfig(minutes=2), 4).progress(5, 60) == 0.5
    assert make_budget(TrainingConfig(), 4).seconds == 300
    assert make_budget(TrainingConfig(steps=10), 4).seconds_left(5, 20) == 20


def test_two_budgets_at_once_are_refused():
    with pytest.raises(UsageError, match="choose one of --minutes and --steps"):
        make_budget(TrainingConfig(minutes=1, steps=3), 4)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (24, 6)])
def test_orthogonalize_brings_singular_values_near_one(shape):
    torch.manual_seed(4)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_orthogonalize_keeps_zeros():
    assert not orthogonalize(torch.zeros(5, 5)).any()


def model_of(**settings):
    torch.manual_seed(5)
    return LanguageModel(ModelConfig(hidden_size=6, **settings), 8)


@pytest.mark.parametrize("name", ["muon", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("settings", [{}, {"embedding_dim": 4, "num_layers": 2}, {"cell": "conv", "num_layers": 2}])
def test_every_parameter_belongs_to_one_optimiser(name, settings):
    model = model_of(**settings)
    optimizers = make_optimizers(model, TrainingConfig(optimizer=name))
    owned = [id(p) for optimizer in optimizers for g in optimizer.param_groups for p in g["params"]]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())


def test_muon_has_the_recurrent_matrices_but_not_the_table_of_symbols():
    model = model_of(num_layers=2)
    muon = make_optimizers(model, TrainingConfig())[0]
    owned = {id(p) for g in muon.param_groups for p in g["params"]}
    named = {name for name, p in model.named_parameters() if id(p) in owned}
    assert named == {"layers.0.weight_hh", "layers.1.weight_ih", "layers.1.weight_hh"}


@pytest.mark.parametrize("name", ["muon", "adamw", "rmsprop", "sgd"])
def test_every_optimiser_learns_and_goes_on_exactly_after_a_reload(name):
    def steps(model, optimizers, count):
        tokens = torch.randint(1, 8, (3, 9), generator=torch.Generator().manual_seed(1))
        losses = []
        for _ in range(count):
            logits, _ = model(tokens[:, :-1], model.initial_state(3))
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            model.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.item())
        return losses

    config = TrainingConfig(optimizer=name, learning_rate=0.1 if name == "sgd" else 0.01)
    one = model_of()
    optimizers = make_optimizers(one, config)
    losses = steps(one, optimizers, 20)
    assert losses[-1] < losses[0] - 0.1

    two = model_of()
    two.load_state_dict(one.state_dict())
    fresh = make_optimizers(two, config)
    load_optimizer_arrays(fresh, {k: v.clone() for k, v in optimizer_arrays(optimizers).items()})
    assert steps(two, fresh, 5) == steps(one, optimizers, 5)


def test_the_average_follows_the_weights_and_gives_them_back():
    model = model_of()
    average = Averaged(model, 0.9)
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    average.update(1000)
    with average.in_place():
        for p, old in zip(model.parameters(), before, strict=True):
            torch.testing.assert_close(p.detach(), old + 0.1)
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), old + 1.0)


def test_without_averaging_the_average_is_the_weights():
    model = model_of()
    average = Averaged(model, 0.0)
    with torch.no_grad():
        model.output.bias.fill_(math.pi)
    average.update(1)
    assert all(torch.equal(v, p) for v, p in zip(average.values, model.parameters(), strict=True))
