import pytest
import torch

from sonho.nn.causal_conv import CausalConv, dilation_of

N, T = 2, 6


def make(input_size=3, hidden_size=5, kernel_size=3, dilation=2):
    torch.manual_seed(2)
    return CausalConv(input_size, hidden_size, kernel_size, dilation)


def test_each_output_is_the_gated_sum_over_the_taps():
    layer = make()
    inputs = torch.randn(N, T, 3)
    outputs, _ = layer(inputs, layer.initial_state(N))
    t = 5
    gates = layer.bias.clone()
    for tap in range(3):
        gates = gates + inputs[1, t - (2 - tap) * 2] @ layer.weight[:, tap].T
    expected = torch.tanh(gates[:5]) * torch.sigmoid(gates[5:])
    torch.testing.assert_close(outputs[1, t], expected)


def test_no_output_sees_the_future():
    layer = make()
    inputs = torch.randn(N, T, 3)
    changed = inputs.clone()
    changed[:, 4:] += 1.0
    state = layer.initial_state(N)
    assert torch.equal(layer(inputs, state)[0][:, :4], layer(changed, state)[0][:, :4])


@pytest.mark.parametrize("sizes", [(3, 5), (5, 5)])
def test_step_by_step_equals_the_whole_window(sizes):
    layer = make(*sizes)
    inputs = torch.randn(N, T, sizes[0])
    whole, end = layer(inputs, layer.initial_state(N))
    state, outputs = layer.initial_state(N), []
    for t in range(T):
        output, state = layer(inputs[:, t : t + 1], state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole)
    assert torch.equal(state, end)


def test_a_short_row_keeps_the_memory_of_its_end():
    layer = make()
    inputs = torch.randn(N, T, 3)
    _, after = layer(inputs, layer.initial_state(N), torch.tensor([2, T]))
    _, alone = layer(inputs[:1, :2], layer.initial_state(1))
    torch.testing.assert_close(after[:1], alone)


def test_ids_stand_for_one_hot_vectors():
    layer = make()
    ids = torch.randint(0, 3, (N, T))
    vectors = torch.nn.functional.one_hot(ids, 3).float()
    state = layer.initial_state(N)
    assert torch.equal(layer(ids, state)[0], layer(vectors, state)[0])


def test_dilation_starts_again_after_five_layers():
    assert [dilation_of(i, 3) for i in range(7)] == [1, 3, 9, 27, 81, 1, 3]
