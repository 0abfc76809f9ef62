"""AdamW, averages and norms by the kernels, against PyTorch in float64."""

import pytest
import torch

from sonho.native import library
from sonho.training.adamw import AdamW
from sonho.training.elementwise import Clipping, Following

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")

SIZES = [(1,), (7, 5), (33, 17), (40, 1000)]  # the last one is more than a thread takes at once


def draw(seed=0):
    torch.manual_seed(seed)
    return [torch.randn(size) for size in SIZES]


def clip_norm(gradients, limit):
    module = torch.nn.Module()
    for number, gradient in enumerate(gradients):
        module.register_parameter(str(number), torch.nn.Parameter(torch.empty_like(gradient)))
        getattr(module, str(number)).grad = gradient
    return Clipping(module).clip(limit)


def approach(values, towards, share):
    Following(values, towards).approach(share)


def test_adamw_takes_the_steps_of_torch(isa):
    own = [torch.nn.Parameter(value) for value in draw()]
    theirs = [torch.nn.Parameter(value.double()) for value in draw()]
    mine = AdamW([{"params": own[:2], "weight_decay": 0.1}, {"params": own[2:], "lr": 0.3}], lr=0.01, betas=(0.9, 0.99))
    groups = [{"params": theirs[:2], "weight_decay": 0.1}, {"params": theirs[2:], "lr": 0.3}]
    reference = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(4):
        for a, b, gradient in zip(own, theirs, draw(step + 1), strict=True):
            a.grad, b.grad = gradient, gradient.double()
        mine.step()
        reference.step()
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a.detach().double(), b.detach(), rtol=1e-5, atol=1e-6)
    assert [state["step"].item() for state in mine.state_dict()["state"].values()] == [4.0] * len(own)


def test_an_average_moves_its_share_of_the_way(isa):
    values, towards = draw(), draw(1)
    expected = [torch.lerp(a.double(), b.double(), 0.3) for a, b in zip(values, towards, strict=True)]
    approach(values, towards, 0.3)
    for value, true in zip(values, expected, strict=True):
        torch.testing.assert_close(value.double(), true, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [0.0, 1.0, 1e6])
def test_gradients_are_scaled_down_to_the_limit(isa, limit):
    gradients = draw()
    norm = torch.cat([gradient.flatten() for gradient in gradients]).double().norm().item()
    expected = [gradient * (limit / norm if 0 < limit < norm else 1.0) for gradient in gradients]
    assert clip_norm(gradients, limit) == pytest.approx(norm, rel=1e-6)
    torch.testing.assert_close(gradients, expected)


def test_the_threads_change_no_bit(isa, monkeypatch):
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        parameters = [torch.nn.Parameter(value) for value in draw()]
        for parameter, gradient in zip(parameters, draw(1), strict=True):
            parameter.grad = gradient
        norm = clip_norm([parameter.grad for parameter in parameters], 1.0)
        AdamW([{"params": parameters}], lr=0.01, betas=(0.9, 0.99)).step()
        values = draw(2)
        approach(values, parameters, 0.1)
        results.append((norm, parameters, values))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1:], results[1][1:], strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_seen_in_the_norm(isa, bad):
    gradients = draw()
    gradients[2][3, 4] = bad
    assert not torch.isfinite(torch.tensor(clip_norm(gradients, 1.0)))


def test_other_engines_give_the_same(monkeypatch):
    fast, plain = draw(), draw()
    norm = clip_norm(fast, 1.0)
    approach(fast, draw(1), 0.3)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    for name in ("scale", "approach", "sum_of_squares"):
        monkeypatch.setattr(library, name, None)
    assert clip_norm(plain, 1.0) == pytest.approx(norm, rel=1e-6)
    approach(plain, draw(1), 0.3)
    torch.testing.assert_close(fast, plain)


def test_a_gradient_in_another_place_is_found(isa):
    parameter = torch.nn.Parameter(torch.zeros(3))
    module = torch.nn.ParameterList([parameter])
    clipping, optimizer = Clipping(module), AdamW([{"params": [parameter]}], lr=0.1, betas=(0.9, 0.99))
    for size in (1.0, 2.0):
        parameter.grad = torch.full((3,), size)
        assert clipping.clip(0.0) == pytest.approx(size * 3**0.5)
        optimizer.step()
    assert optimizer.state[parameter]["exp_avg"].tolist() == pytest.approx([0.9 * 0.1 + 0.1 * 2.0] * 3)
