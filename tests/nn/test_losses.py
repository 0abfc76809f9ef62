"""The native output layer with its loss against PyTorch's, taken in float64."""

import pytest
import torch
import torch.nn.functional as F

from sonho.errors import UsageError
from sonho.native import library
from sonho.nn import losses

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


def draw(rows, size, vocab_size):
    torch.manual_seed(0)
    tensors = torch.randn(rows, size), torch.randn(vocab_size, size), torch.randn(vocab_size)
    targets = torch.randint(0, vocab_size, (rows,))
    return tensors, targets


def gradients(loss, tensors):
    return [loss, *torch.autograd.grad(loss, tensors)]


def run_both(tensors, targets, factor=1.0):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    fast = gradients(losses.cross_entropy(*leaves, targets) * factor, leaves)
    leaves = [tensor.double().requires_grad_() for tensor in tensors]
    return fast, gradients(F.cross_entropy(F.linear(*leaves), targets) * factor, leaves)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (13, 33, 84), (300, 16, 33), (40, 5, 1100)], ids=str)
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_loss_and_gradients_are_those_of_pytorch(isa, shape, factor):
    for fast, exact in zip(*run_both(*draw(*shape), factor), strict=True):
        torch.testing.assert_close(fast.double(), exact, rtol=2e-5, atol=2e-6)


def test_rows_without_a_target_and_masked_ids_count_for_nothing(isa):
    tensors, targets = draw(50, 9, 20)
    targets[::3] = -100
    targets[targets == 4] = 5
    tensors[2][4] = -torch.inf
    fast, exact = run_both(tensors, targets)
    for mine, true in zip(fast, exact, strict=True):
        torch.testing.assert_close(mine.double(), true, rtol=2e-5, atol=2e-6)
    assert not fast[1][::3].any()
    assert not fast[2][4].any()
    assert fast[3][4] == 0


def test_the_loss_does_not_depend_on_the_threads(isa, monkeypatch):
    tensors, targets = draw(301, 20, 70)
    runs = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        runs.append(gradients(losses.cross_entropy(*leaves, targets), leaves))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_no_targets_at_all_give_a_nan_as_in_pytorch(isa):
    tensors, targets = draw(3, 4, 5)
    for chosen in (slice(0, 0), slice(None)):
        loss = losses._CrossEntropy.apply(tensors[0][chosen], *tensors[1:], torch.full_like(targets[chosen], -100))
        assert loss.isnan()


def test_a_nan_in_the_weights_makes_the_loss_nan(isa):
    tensors, targets = draw(3, 4, 5)
    tensors[1][2, 1] = torch.nan
    assert losses._CrossEntropy.apply(*tensors, targets).isnan()


def test_a_large_vocabulary_is_taken_in_pieces(isa):
    tensors, targets = draw(700, 3, 20_000)
    for fast, exact in zip(*run_both(tensors, targets), strict=True):
        torch.testing.assert_close(fast.double(), exact, rtol=5e-5, atol=2e-6)


def test_a_target_outside_the_vocabulary_is_refused():
    tensors, targets = draw(3, 4, 5)
    for wrong in (5, -1):
        targets[1] = wrong
        with pytest.raises(UsageError, match="an id is not in the vocabulary"):
            losses._CrossEntropy.apply(*tensors, targets)


def test_without_gradients_or_the_native_engine_pytorch_does_it(monkeypatch):
    tensors, targets = draw(6, 4, 5)
    monkeypatch.setattr(library, "cross_entropy", None)
    expected = F.cross_entropy(F.linear(*tensors), targets)
    assert torch.equal(losses.cross_entropy(*tensors, targets), expected)
    monkeypatch.setenv("SONHO_ENGINE", "library")
    loss = losses.cross_entropy(*(tensor.requires_grad_() for tensor in tensors), targets)
    assert torch.equal(loss.detach(), expected)


def test_a_retained_graph_gives_the_same_gradients_again():
    tensors, targets = draw(6, 4, 5)
    leaves = [tensor.requires_grad_() for tensor in tensors]
    loss = losses.cross_entropy(*leaves, targets)
    runs = [torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
