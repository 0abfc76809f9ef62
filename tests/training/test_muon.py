"""The native step of Muon against its readable twin, taken in float64."""

import pytest
import torch

from sonho.native import library
from sonho.nn.precision import products_in
from sonho.training.optimizers import Muon, muon_step

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


def draw(shape):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(*shape))
    parameter.grad = torch.randn_like(parameter)
    return parameter


def take_steps(parameter, count=3):
    optimizer = Muon([{"params": [parameter]}], 0.1, 0.9, 0.3)
    for step in range(count):
        parameter.grad = parameter.grad.roll(step, 0)
        optimizer.step()
    return parameter.detach(), optimizer.state[parameter]["momentum_buffer"]


# Tall as the gates of a layer, square, wide, of one number, of more than two axes; on and beside the edge of a tile.
SHAPES = [
    (1, 1),
    (21, 5),
    (5, 7),
    (33, 33),
    (132, 33),
    (12, 64),
    (64, 12),
    (12, 5, 3),
    (140, 65),
    (510, 161),
    (161, 170),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_native_steps_are_those_of_the_readable_twin(isa, shape):
    fast = take_steps(draw(shape))
    twin = torch.nn.Parameter(draw(shape).detach().double())
    twin.grad, buffer = draw(shape).grad.double(), torch.zeros_like(twin)
    group = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}
    with torch.no_grad():
        for step in range(3):
            twin.grad = twin.grad.roll(step, 0)
            muon_step(group, twin, buffer)
    torch.testing.assert_close(fast[0].double(), twin.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast[1].double(), buffer, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not library.has_bfloat16(), reason="this machine has no products of bfloat16")
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_steps_of_bfloat16_are_nearly_those_of_float32(shape):
    start, exact = draw(shape).detach(), take_steps(draw(shape))[0]
    with products_in("bfloat16"):
        steps = take_steps(draw(shape))[0]
    assert (steps - exact).norm() < 0.05 * (exact - start).norm()
    assert not torch.equal(steps, exact)


@pytest.mark.parametrize("shape", [(7, 5), (160, 33), (680, 161), (161, 680)], ids=str)
def test_the_step_does_not_depend_on_the_threads(isa, monkeypatch, shape):
    runs = []
    for threads in (1, 3, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        runs.append(take_steps(draw(shape)))
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_a_gradient_of_zeros_moves_nothing_but_by_decay(isa):
    parameter = draw((12, 5))
    parameter.grad.zero_()
    before = parameter.detach().clone()
    after, _ = take_steps(parameter, count=1)
    torch.testing.assert_close(after, before * (1 - 0.1 * 0.3))


def test_a_nan_in_the_gradient_reaches_the_weights(isa):
    parameter = draw((12, 5))
    parameter.grad[3, 2] = torch.nan
    after, _ = take_steps(parameter, count=1)
    assert after.isnan().all()


def test_the_readable_twin_is_used_without_the_native_engine(monkeypatch):
    fast, _ = take_steps(draw((21, 5)))
    monkeypatch.setenv("SONHO_ENGINE", "library")
    monkeypatch.setattr(library, "muon", None)
    plain, _ = take_steps(draw((21, 5)))
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
