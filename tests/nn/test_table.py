"""What each symbol adds to the gates of a first layer, natively, against PyTorch in float64."""

import pytest
import torch
import torch.nn.functional as F

from sonho.errors import UsageError
from sonho.native import library
from sonho.nn import native_ops

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")

SHAPES = [(1, 1, 1), (5, 3, 7), (84, 64, 512), (83, 33, 65), (300, 17, 31)]


def draw(symbols, numbers, columns):
    torch.manual_seed(0)
    return (
        torch.randn(symbols, numbers),
        torch.randn(columns, numbers),
        torch.randn(columns),
        torch.randn(symbols, columns),
    )


def run(embedding, weight, bias, d_table, *, one_hot=False, threads=2, precision="float32", adds=False):
    """The table, then the gradients of the embedding, the weights and the bias; `adds`: to ones."""
    table, d_embedding = torch.empty_like(d_table), torch.ones_like(embedding)
    d_weight, d_bias = torch.empty_like(weight), torch.empty_like(bias)
    call = library.Table(
        threads=threads,
        precision=library.PRECISIONS[precision],
        adds=adds,
        V=len(embedding),
        E=weight.shape[1],
        C=len(bias),
        embedding=None if one_hot else embedding.data_ptr(),
        weight=weight.data_ptr(),
        bias=bias.data_ptr(),
        table=table.data_ptr(),
        d_table=d_table.data_ptr(),
        d_embedding=None if one_hot else d_embedding.data_ptr(),
        d_weight=d_weight.data_ptr(),
        d_bias=d_bias.data_ptr(),
    )
    library.table_forward(call)
    library.table_backward(call)
    return table, d_embedding, d_weight, d_bias


def exact(embedding, weight, bias, d_table):
    leaves = [tensor.double().requires_grad_() for tensor in (embedding, weight, bias)]
    table = F.linear(*leaves)
    return table.detach(), *torch.autograd.grad(table, leaves, d_table.double())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_table_and_its_gradients_are_those_of_pytorch(isa, shape):
    given = draw(*shape)
    for mine, true in zip(run(*given), exact(*given), strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_an_embedding_the_weights_are_transposed(isa, shape):
    embedding, weight, bias, d_table = draw(shape[0], shape[0], shape[2])
    table, _, d_weight, d_bias = run(embedding, weight, bias, d_table, one_hot=True)
    assert torch.equal(table, weight.T + bias)
    assert torch.equal(d_weight, d_table.T)
    torch.testing.assert_close(d_bias, d_table.sum(0))


def test_the_embeddings_gradient_may_be_added_to_what_is_there(isa):
    given = draw(13, 9, 36)
    _, alone, *_ = run(*given)
    _, added, *_ = run(*given, adds=True)
    torch.testing.assert_close(added, alone + 1)


@pytest.mark.parametrize("one_hot", [False, True])
def test_nothing_depends_on_the_threads(isa, one_hot):
    given = draw(70, 70, 130)
    runs = [run(*given, one_hot=one_hot, threads=threads) for threads in (1, 3)]
    assert all(map(torch.equal, *runs))


@pytest.mark.skipif(not library.has_bfloat16(), reason="this processor has no products of bfloat16")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_rounds_what_is_multiplied_and_nothing_else(shape):
    embedding, weight, bias, d_table = draw(*shape)
    rounded = [tensor.bfloat16().float() for tensor in (embedding, weight)]
    mine, true = run(embedding, weight, bias, d_table, precision="bfloat16"), exact(*rounded, bias, d_table.bfloat16())
    for one, other in zip(mine[:3], true[:3], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(mine[3], d_table.sum(0), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("one_hot", [False, True])
def test_autograd_finds_the_gradients(one_hot):
    embedding, weight, bias, d_table = draw(7, 7, 12)
    leaves = [tensor.requires_grad_() for tensor in (embedding, weight.T.contiguous().T, bias)]
    table = native_ops.make_table(None if one_hot else leaves[0], *leaves[1:])
    mine = [table, *torch.autograd.grad(table, leaves[one_hot:], d_table)]
    true = list(exact(torch.eye(7) if one_hot else embedding, weight, bias, d_table))
    for one, other in zip(mine, true[:1] + true[1 + one_hot :], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-5, atol=2e-5)


def test_sizes_that_do_not_fit_are_refused():
    embedding, weight, bias, d_table = draw(5, 3, 7)
    with pytest.raises(UsageError, match="a size or the number of threads"):
        run(embedding, weight, bias, d_table, one_hot=True)
    with pytest.raises(UsageError, match="a size or the number of threads"):
        run(embedding, weight, bias, d_table, threads=0)
