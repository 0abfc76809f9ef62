import torch

from sonho.nn import buffers
from sonho.nn.buffers import SMALL, borrow


def test_a_buffer_is_used_again_when_nothing_refers_to_it():
    first = borrow(2, SMALL)
    address = first.data_ptr()
    part = first[1, 5:]
    del first
    second = borrow(2, SMALL)
    assert second.data_ptr() != address  # a view still needs it
    del part
    assert borrow(SMALL, 2).data_ptr() == address


def test_two_at_once_do_not_share():
    one, two = borrow(SMALL), borrow(SMALL)
    one.fill_(1.0), two.fill_(2.0)
    assert one.sum() == SMALL


def test_a_graph_keeps_what_it_saved():
    weight = torch.ones(SMALL, requires_grad=True)
    kept = borrow(SMALL).fill_(3.0)
    loss = (weight * kept).sum()
    del kept
    borrow(SMALL).fill_(5.0)
    loss.backward()
    assert weight.grad.eq(3.0).all()


def test_a_longer_window_drops_the_buffers_that_are_too_small():
    small = borrow(SMALL)
    del small
    large = borrow(4 * SMALL)
    del large
    assert [each.numel() for each in buffers._free] == [4 * SMALL]
    assert borrow(SMALL).shape == (SMALL,)  # the large one serves a short window


def test_small_ones_are_plain_tensors():
    buffers._free.clear()
    assert borrow(3, 0, 4).shape == (3, 0, 4)
    assert borrow(2, 3).dtype == torch.float32
    assert not buffers._free
