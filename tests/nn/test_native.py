"""The native engine against the readable cells, taken in float64."""

import math

import pytest
import torch

from sonho.errors import UsageError
from sonho.native import library
from sonho.nn import native_ops
from sonho.nn.cells import LSTMState
from sonho.nn.recurrent import Recurrent, run_library, run_native, run_reference

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")

CELLS = [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")]
# N, T, D, H: around the tiles of every instruction set, and the smallest of everything.
SHAPES = [(3, 4, 5, 7), (1, 1, 1, 1), (13, 3, 2, 33), (30, 2, 3, 17), (2, 0, 3, 5), (1, 5, 6, 64), (26, 3, 4, 40)]


def make(cell, nonlinearity, shape, seed=0):
    batch_size, _, inputs, size = shape
    torch.manual_seed(seed)
    layer = Recurrent(cell, inputs, size, nonlinearity=nonlinearity)
    torch.nn.init.normal_(layer.bias, std=0.1)
    state = [torch.randn(batch_size, size) for _ in range(2 if cell == "lstm" else 1)]
    return layer, state


def draw_inputs(kind, shape):
    """Vectors, ids of one-hot vectors, or ids with an embedding."""
    batch_size, steps, inputs, _ = shape
    if kind == "vectors":
        return torch.randn(batch_size, steps, inputs), None
    if kind == "one_hot":
        return torch.randint(0, inputs, (batch_size, steps)), None
    return torch.randint(0, 6, (batch_size, steps)), torch.randn(6, inputs)


def run_with_gradients(run, layer, inputs, state, lengths, embedding, weights):
    """Outputs, last state, and the gradient of every number that went in, for a loss that uses all."""
    state = [tensor.clone().requires_grad_() for tensor in state]
    leaves = [*layer.parameters(), *state]
    for number, tensor in enumerate((inputs, embedding)):
        if tensor is not None and tensor.is_floating_point():
            tensor = tensor.clone().requires_grad_()
            leaves.append(tensor)
            inputs, embedding = (tensor, embedding) if number == 0 else (inputs, tensor)
    given = LSTMState(*state) if len(state) == 2 else state[0]
    outputs, after = run(layer, inputs, given, layer.weight_hh, lengths, embedding)
    results = [outputs, *(after if isinstance(after, LSTMState) else [after])]
    loss = sum((result * weight).sum() for result, weight in zip(results, weights, strict=True))
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [*results, *gradients]


def draw_case(cell, nonlinearity, shape, kind, ragged):
    """What `run_with_gradients` takes after the function to run."""
    layer, state = make(cell, nonlinearity, shape)
    inputs, embedding = draw_inputs(kind, shape)
    batch_size, steps, _, size = shape
    lengths = torch.randint(0, steps + 1, (batch_size,)) if ragged else None
    weights = [torch.randn(batch_size, steps, size)] + [torch.randn(batch_size, size) for _ in state]
    return layer, inputs, state, lengths, embedding, weights


def run_exactly(layer, inputs, state, lengths, embedding, weights):
    """The readable cells in float64, which the layer is left in."""

    def double(tensor):
        return tensor.double() if tensor is not None and tensor.is_floating_point() else tensor

    return run_with_gradients(
        run_reference, layer.double(), double(inputs), map(double, state), lengths, double(embedding),
        [weight.double() for weight in weights],
    )  # fmt: skip


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["vectors", "one_hot", "embedding"])
@pytest.mark.parametrize("ragged", [False, True])
def test_outputs_and_gradients_are_those_of_the_readable_cells(isa, cell, nonlinearity, shape, kind, ragged):
    case = draw_case(cell, nonlinearity, shape, kind, ragged)
    fast, exact = run_with_gradients(run_native, *case), run_exactly(*case)
    for mine, true in zip(fast, exact, strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
def test_a_row_does_not_depend_on_its_batch_or_on_the_threads(isa, cell, nonlinearity):
    shape = (29, 5, 6, 37)
    layer, state = make(cell, nonlinearity, shape)
    inputs = torch.randint(0, 6, shape[:2])
    lengths = torch.randint(0, 6, (29,))

    def rows(chosen, threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            part = [tensor[chosen] for tensor in state]
            given = LSTMState(*part) if cell == "lstm" else part[0]
            return run_native(layer, inputs[chosen], given, layer.weight_hh, lengths[chosen])[0]
        finally:
            torch.set_num_threads(before)

    whole = rows(torch.arange(29), 2)
    for chosen in ([0], [3, 1, 28], list(range(28, -1, -1))):
        assert torch.equal(rows(torch.tensor(chosen), 1), whole[chosen])


def test_the_same_window_gives_the_same_bits():
    shape = (13, 7, 5, 33)
    layer, state = make("lstm", "tanh", shape)
    inputs = torch.randint(0, 5, shape[:2])
    weights = [torch.randn(13, 7, 33), torch.randn(13, 33), torch.randn(13, 33)]
    runs = [run_with_gradients(run_native, layer, inputs, state, None, None, weights) for _ in range(3)]
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
@pytest.mark.parametrize("kind", ["vectors", "one_hot", "embedding"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("run", [run_native, run_library], ids=["native", "library"])
def test_a_condition_is_added_at_every_step_and_has_gradients(isa, cell, nonlinearity, kind, ragged, run):
    batch_size, steps, inputs_size, size = shape = (13, 4, 5, 33)
    torch.manual_seed(1)
    layer = Recurrent(cell, inputs_size, size, nonlinearity=nonlinearity, condition_size=3)
    torch.nn.init.normal_(layer.weight_condition)
    inputs, embedding = draw_inputs(kind, shape)
    lengths = torch.randint(0, steps + 1, (batch_size,)) if ragged else None
    weights = torch.randn(batch_size, steps, size)

    def results(run, double):
        convert = (lambda t: t.double() if t is not None and t.is_floating_point() else t) if double else lambda t: t
        layer.double() if double else layer.float()
        condition = convert(torch.arange(39.0).reshape(13, 3) / 39).requires_grad_()
        state = layer.initial_state(batch_size)
        outputs, _ = run(layer, convert(inputs), state, layer.weight_hh, lengths, convert(embedding), condition)
        used = [layer.weight_condition, layer.weight_ih, layer.weight_hh, layer.bias, condition]
        return [outputs, *torch.autograd.grad((outputs * convert(weights)).sum(), used)]

    for mine, true in zip(results(run, False), results(run_reference, True), strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=5e-5, atol=5e-5)


def test_a_nan_in_the_weights_reaches_the_outputs():
    layer, state = make("lstm", "tanh", (2, 3, 4, 5))
    with torch.no_grad():
        layer.weight_hh[3, 1] = torch.nan
    outputs, _ = run_native(layer, torch.randn(2, 3, 4), LSTMState(*state), layer.weight_hh, None)
    assert outputs.isnan().any()


def test_a_masked_weight_gets_its_gradient_through_the_fast_path():
    layer, state = make("gru", "tanh", (3, 4, 5, 7))
    mask = (torch.rand(21, 7) < 0.5).float()
    gradients = []
    for run in (run_native, run_reference):
        outputs, _ = run(layer, torch.ones(3, 4, 5), state[0], layer.weight_hh * mask, None)
        gradients.append(torch.autograd.grad(outputs.square().sum(), layer.weight_hh)[0])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    assert (gradients[0] * (1 - mask)).abs().sum() == 0


def test_ids_and_lengths_out_of_range_are_refused():
    layer, state = make("rnn", "tanh", (2, 3, 4, 5))
    for ids in ([[0, 1, 4], [0, 0, 0]], [[0, -1, 3], [0, 0, 0]]):
        with pytest.raises(UsageError, match="an id is not in the vocabulary"):
            run_native(layer, torch.tensor(ids), state[0], layer.weight_hh, None)
    with pytest.raises(UsageError, match="a length is below 0 or above"):
        run_native(layer, torch.zeros(2, 3, dtype=torch.long), state[0], layer.weight_hh, torch.tensor([1, 4]))


def test_float64_goes_to_the_library():
    layer, state = make("gru", "tanh", (2, 3, 4, 5))
    outputs, _ = run_native(layer.double(), torch.randn(2, 3, 4).double(), state[0].double(), layer.weight_hh, None)
    assert outputs.dtype == torch.float64


def test_a_retained_graph_gives_the_same_gradients_again():
    layer, state = make("lstm", "tanh", (3, 4, 5, 7))
    outputs, _ = run_native(layer, torch.randn(3, 4, 5), LSTMState(*state), layer.weight_hh, None)
    leaves = list(layer.parameters())
    runs = [torch.autograd.grad(outputs.sum(), leaves, retain_graph=True) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_outputs_changed_in_place_are_noticed():
    layer, state = make("gru", "tanh", (3, 4, 5, 7))
    outputs, _ = run_native(layer, torch.randn(3, 4, 5), state[0], layer.weight_hh, None)
    outputs.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@pytest.mark.parametrize(("cell", "shape"), [("lstm", (3, 4, 7)), ("gru", (2, 1, 33)), ("rnn_relu", (1, 5, 32))])
def test_what_backward_needs_has_the_size_that_the_kernels_write(cell, shape):
    assert math.prod(native_ops.saved_shape(cell, *shape)) == library.saved_size(cell, *shape)
