"""The native step of Muon against its readable twin, taken in float64."""

import pytest
import torch

from sonho.native import library
from sonho.nn.precision import products_in
from sonho.training.optimizers import Muon, muon_step

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


def draw(shape, gates):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(gates * shape[0], *shape[1:]))
    parameter.grad = torch.randn_like(parameter)
    return parameter


def take_steps(parameter, gates, count=3):
    optimizer = Muon([{"params": [parameter], "gates": gates}], 0.1, 0.9, 0.3)
    for step in range(count):
        parameter.grad = parameter.grad.roll(step, 0)
        optimizer.step()
    return parameter.detach(), optimizer.state[parameter]["momentum_buffer"]


SHAPES = [
    ((1, 1), 1),
    ((7, 5), 3),
    ((5, 7), 3),
    ((33, 33), 4),
    ((12, 64), 1),
    ((64, 12), 2),
    ((6, 5, 3), 2),
    ((70, 65), 2),
    ((170, 161), 3),
    ((161, 170), 1),
]


@pytest.mark.parametrize(("shape", "gates"), SHAPES, ids=str)
def test_native_steps_are_those_of_the_readable_twin(isa, shape, gates):
    fast = take_steps(draw(shape, gates), gates)
    twin = torch.nn.Parameter(draw(shape, gates).detach().double())
    twin.grad, buffer = draw(shape, gates).grad.double(), torch.zeros_like(twin)
    group = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "gates": gates}
    with torch.no_grad():
        for step in range(3):
            twin.grad = twin.grad.roll(step, 0)
            muon_step(group, twin, buffer)
    torch.testing.assert_close(fast[0].double(), twin.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast[1].double(), buffer, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not library.has_bfloat16(), reason="this machine has no products of bfloat16")
@pytest.mark.parametrize(("shape", "gates"), SHAPES[1:], ids=str)
def test_steps_of_bfloat16_are_nearly_those_of_float32(shape, gates):
    start, exact = draw(shape, gates).detach(), take_steps(draw(shape, gates), gates)[0]
    with products_in("bfloat16"):
        steps = take_steps(draw(shape, gates), gates)[0]
    assert (steps - exact).norm() < 0.05 * (exact - start).norm()
    assert not torch.equal(steps, exact)


# Large gates that are left over are shared by the threads: of four the last on three threads, all of them on eight.
@pytest.mark.parametrize("shape", [(40, 33), (170, 161), (161, 170)], ids=str)
def test_the_step_does_not_depend_on_the_threads(isa, monkeypatch, shape):
    runs = []
    for threads in (1, 3, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        runs.append(take_steps(draw(shape, 4), 4))
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_a_gradient_of_zeros_moves_nothing_but_by_decay(isa):
    parameter = draw((6, 5), 2)
    parameter.grad.zero_()
    before = parameter.detach().clone()
    after, _ = take_steps(parameter, 2, count=1)
    torch.testing.assert_close(after, before * (1 - 0.1 * 0.3))


def test_a_nan_in_the_gradient_reaches_the_weights(isa):
    parameter = draw((6, 5), 2)
    parameter.grad[3, 2] = torch.nan
    after, _ = take_steps(parameter, 2, count=1)
    assert after[:6].isnan().all()
    assert not after[6:].isnan().any()


def test_the_readable_twin_is_used_without_the_native_engine(monkeypatch):
    fast, _ = take_steps(draw((7, 5), 3), 3)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    monkeypatch.setattr(library, "muon", None)
    plain, _ = take_steps(draw((7, 5), 3), 3)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
