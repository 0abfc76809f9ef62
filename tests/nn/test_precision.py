"""Products of bfloat16 against exact ones: numbers that it can hold must come out the same, others nearly."""

import pytest
import torch
import torch.nn.functional as F

from sonho.config import build_config
from sonho.errors import UsageError
from sonho.models.direct import DirectGradients
from sonho.models.language_model import LanguageModel
from sonho.native import library
from sonho.nn import losses
from sonho.nn.cells import LSTMState
from sonho.nn.precision import precision_in_force, products_in, resolve_precision
from sonho.nn.recurrent import Recurrent, run_native
from tests.instruction_sets import isa_at_start
from tests.nn.test_losses import draw
from tests.nn.test_native import CELLS, SHAPES, draw_case, draw_inputs, make, run_exactly, run_with_gradients

needs_bfloat16 = pytest.mark.skipif(not library.has_bfloat16(), reason="this machine has no products of bfloat16")
# Each of two numbers is rounded by at most 1 in 256; over a sum and a few steps the errors of a result are about:
ROUNDING = 0.012


def near(mine, true):
    """Over all numbers of two tensors; a single one may be next to nothing."""
    return (mine.double() - true).norm().item() < ROUNDING * true.norm().item() + 0.001


@needs_bfloat16
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["vectors", "one_hot", "embedding"])
@pytest.mark.parametrize("ragged", [False, True])
def test_whole_numbers_are_exact(shape, kind, ragged):
    batch_size, steps, inputs_size, size = shape
    torch.manual_seed(3)
    layer = Recurrent("rnn", inputs_size, size, nonlinearity="relu")
    with torch.no_grad():  # few ones, so that the numbers stay below 256 for all the steps
        for weight in (layer.weight_ih, layer.weight_hh):
            weight.copy_((torch.rand_like(weight) < 1.0 / weight.shape[1]) * torch.randint(-1, 2, weight.shape))
        layer.bias.copy_(torch.randint(-1, 2, layer.bias.shape))
    inputs, embedding = draw_inputs(kind, shape)
    if kind == "vectors":
        inputs = inputs.round()
    if embedding is not None:
        embedding = embedding.round()
    lengths = torch.randint(0, steps + 1, (batch_size,)) if ragged else None
    weights = [torch.randint(-1, 2, (batch_size, steps, size)), torch.randint(-1, 2, (batch_size, size))]
    state, results = [torch.randint(0, 3, (batch_size, size)).float()], {}
    for precision in library.PRECISIONS:
        with products_in(precision):
            results[precision] = run_with_gradients(run_native, layer, inputs, state, lengths, embedding, weights)
    assert size == 1 or max(tensor.abs().max() for tensor in results["float32"] if tensor.numel()) > 0
    for mine, true in zip(results["bfloat16"], results["float32"], strict=True):
        assert torch.equal(mine, true)


@needs_bfloat16
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS[:3])  # a unit of relu may switch, which is no small error
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["vectors", "one_hot", "embedding"])
@pytest.mark.parametrize("ragged", [False, True])
def test_outputs_and_gradients_are_nearly_those_of_the_readable_cells(cell, nonlinearity, shape, kind, ragged):
    case = draw_case(cell, nonlinearity, shape, kind, ragged)
    with products_in("bfloat16"):
        mine = run_with_gradients(run_native, *case)
    for number, (each, true) in enumerate(zip(mine, run_exactly(*case), strict=True)):
        assert near(each, true), number


@needs_bfloat16
@pytest.mark.parametrize(
    "shape", [(1, 2, 3), (5, 7, 3), (13, 33, 84), (300, 16, 33), (40, 5, 1100), (131, 64, 64)], ids=str
)
def test_the_loss_is_nearly_that_of_pytorch(shape):
    tensors, targets = draw(*shape)
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    with products_in("bfloat16"):
        loss = losses.cross_entropy(*leaves, targets)
    mine = [loss, *torch.autograd.grad(loss, leaves)]
    leaves = [tensor.double().requires_grad_() for tensor in tensors]
    loss = F.cross_entropy(F.linear(*leaves), targets)
    for each, true in zip(mine, [loss, *torch.autograd.grad(loss, leaves)], strict=True):
        assert near(each, true)


@needs_bfloat16
def test_a_row_does_not_depend_on_its_batch_or_on_the_threads(monkeypatch):
    layer, state = make("lstm", "tanh", (29, 5, 6, 37))
    inputs, lengths = torch.randint(0, 6, (29, 5)), torch.randint(0, 6, (29,))

    def rows(chosen, threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        given = LSTMState(*(tensor[chosen] for tensor in state))
        with products_in("bfloat16"):
            return run_native(layer, inputs[chosen], given, layer.weight_hh, lengths[chosen])[0]

    whole = rows(torch.arange(29), 2)
    for chosen in ([0], [3, 1, 28], list(range(28, -1, -1))):
        assert torch.equal(rows(torch.tensor(chosen), 1), whole[chosen])


@needs_bfloat16
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_without_autograd_are_those_with_it(cell):
    torch.manual_seed(0)
    config = build_config({"model": {"cell": cell, "hidden_size": 37, "num_layers": 2, "embedding_dim": 9}}).model
    model = LanguageModel(config, 21, ())
    tokens, targets = torch.randint(0, 21, (2, 6, 11))
    state = model.initial_state(6)
    with products_in("bfloat16"):
        mean, _ = DirectGradients(model)(tokens, targets, state)
        direct = [parameter.grad.clone() for parameter in model.parameters()]
        loss, _ = model.loss(tokens, targets, state)
        model.zero_grad()
    loss.backward()  # outside: what was forward in bfloat16 is backward too
    assert mean == pytest.approx(loss.item(), rel=1e-6)
    for mine, parameter in zip(direct, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-6)


@needs_bfloat16
def test_a_nan_stays_one():
    layer, state = make("gru", "tanh", (2, 3, 4, 5))
    with torch.no_grad():
        layer.weight_hh[3, 1] = torch.nan
    with products_in("bfloat16"):
        assert run_native(layer, torch.randn(2, 3, 4), state[0], layer.weight_hh, None)[0].isnan().any()


def test_products_are_of_float32_unless_somebody_asks():
    assert precision_in_force() == library.PRECISIONS["float32"]
    with products_in("bfloat16"):
        assert precision_in_force() == library.PRECISIONS["bfloat16"]
        with products_in("float32"):
            assert precision_in_force() == library.PRECISIONS["float32"]
    assert precision_in_force() == library.PRECISIONS["float32"]


@pytest.mark.parametrize("engine", ["library", "reference"])
def test_without_the_kernels_there_is_only_float32(monkeypatch, engine):
    monkeypatch.setenv("SONHO_ENGINE", engine)
    assert resolve_precision("auto") == resolve_precision("float32") == "float32"
    with pytest.raises(UsageError, match=r"training.precision=bfloat16 needs .* set it to auto or float32"):
        resolve_precision("bfloat16")


@pytest.mark.skipif(not library.available(), reason="the kernels were not built")
def test_an_instruction_set_without_them_refuses(monkeypatch):
    library.select_isa("baseline")
    try:
        assert not library.has_bfloat16()
        assert library.tile_rate(1, 0.001, "bfloat16") == 0.0
        assert resolve_precision("auto") == "float32"
        layer, state = make("gru", "tanh", (2, 3, 4, 5))
        with products_in("bfloat16"), pytest.raises(UsageError, match="no products of bfloat16"):
            run_native(layer, torch.randn(2, 3, 4), state[0], layer.weight_hh, None)
        tensors, targets = draw(3, 4, 5)
        with products_in("bfloat16"), pytest.raises(UsageError, match="no products of bfloat16"):
            losses._CrossEntropy.apply(*tensors, targets)
    finally:
        library.select_isa(isa_at_start())


@needs_bfloat16
def test_auto_takes_it_where_it_is():
    assert resolve_precision("auto") == resolve_precision("bfloat16") == "bfloat16"
    assert resolve_precision("float32") == "float32"
