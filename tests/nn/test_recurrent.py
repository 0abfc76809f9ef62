import pytest
import torch

from sonho.errors import UsageError
from sonho.native.library import engine_name
from sonho.nn.cells import LSTMState, lstm_cell
from sonho.nn.dropout import weight_mask
from sonho.nn.recurrent import Recurrent, run_library, run_reference

N, T, D, H = 3, 4, 5, 7
CELLS = [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")]


def make(cell, nonlinearity="tanh"):
    torch.manual_seed(1)
    layer = Recurrent(cell, D, H, nonlinearity=nonlinearity)
    state = LSTMState(torch.randn(N, H), torch.randn(N, H)) if cell == "lstm" else torch.randn(N, H)
    return layer, state


def tensors(outputs, state):
    return [outputs, *state] if isinstance(state, LSTMState) else [outputs, state]


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]])
def test_the_library_engine_gives_the_numbers_of_the_readable_cells(cell, nonlinearity, one_hot, lengths):
    layer, state = make(cell, nonlinearity)
    inputs = torch.randint(0, D, (N, T)) if one_hot else torch.randn(N, T, D)
    lengths = None if lengths is None else torch.tensor(lengths)
    gradients = []
    results = []
    for run in (run_library, run_reference):
        layer.zero_grad()
        outputs, after = run(layer, inputs, state, layer.weight_hh, lengths)
        sum(t.square().sum() for t in tensors(outputs, after)).backward()
        results.append(tensors(outputs, after))
        gradients.append([p.grad.clone() for p in layer.parameters()])
    for fast, readable in zip(results[0] + gradients[0], results[1] + gradients[1], strict=True):
        torch.testing.assert_close(fast, readable, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_two_windows_with_a_carried_state_equal_one_long_window(cell):
    layer, state = make(cell)
    inputs = torch.randn(N, T, D)
    whole, end = layer(inputs, state)
    first, middle = layer(inputs[:, :1], state)
    rest, end_of_two = layer(inputs[:, 1:], middle)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)
    for a, b in zip(tensors(rest, end_of_two)[1:], tensors(whole, end)[1:], strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_what_stands_in_the_padding_changes_neither_output_nor_state(cell):
    layer, state = make(cell)
    lengths = torch.tensor([2, 4, 1])
    inputs = torch.randn(N, T, D)
    other = inputs.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = 1e6
    for a, b in zip(tensors(*layer(inputs, state, lengths)), tensors(*layer(other, state, lengths)), strict=True):
        assert torch.equal(a, b)


def test_lstm_cell_agrees_with_torch_step_by_step():
    layer, state = make("lstm")
    twin = torch.nn.LSTMCell(D, H)
    with torch.no_grad():
        twin.weight_ih.copy_(layer.weight_ih)
        twin.weight_hh.copy_(layer.weight_hh)
        twin.bias_ih.copy_(layer.bias)
        twin.bias_hh.zero_()
    x = torch.randn(N, D)
    h, c = twin(x, (state.h, state.c))
    mine = lstm_cell(x @ layer.weight_ih.T + layer.bias, state, layer.weight_hh)
    torch.testing.assert_close(mine.h, h)
    torch.testing.assert_close(mine.c, c)


def test_the_forget_gate_starts_open_and_recurrent_gates_orthogonal():
    layer, _ = make("lstm")
    assert layer.bias[H : 2 * H].tolist() == [1.0] * H
    assert layer.bias.sum() == H
    for gate in layer.weight_hh.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(H), atol=1e-5, rtol=0)


def test_an_empty_window_keeps_the_state():
    layer, state = make("gru")
    for run in (run_library, run_reference):
        outputs, after = run(layer, torch.zeros(N, 0, D), state, layer.weight_hh, None)
        assert outputs.shape == (N, 0, H)
        assert torch.equal(after, state)


def test_weight_drop_draws_one_mask_for_the_window_and_none_when_evaluating():
    torch.manual_seed(0)
    layer = Recurrent("rnn", D, H, weight_drop=0.5)
    inputs, state = torch.randn(N, T, D), layer.initial_state(N)
    assert not torch.equal(layer(inputs, state)[0], layer(inputs, state)[0])
    layer.eval()
    assert torch.equal(layer(inputs, state)[0], layer(inputs, state)[0])


@pytest.mark.parametrize(("shape", "share"), [((400, 300), 0.3), ((201, 301), 0.06), ((90, 1001), 0.999)])
def test_weight_drop_leaves_out_its_share_and_keeps_the_mean(shape, share):
    torch.manual_seed(0)
    kept, scale = weight_mask(torch.ones(shape), share)
    assert kept.shape == shape
    num_entries = kept.numel()
    error = (share * (1 - share) / num_entries) ** 0.5
    assert 1 - kept.float().mean().item() == pytest.approx(share, abs=4 * error + 1 / 256)
    assert 1 / scale == pytest.approx(1 - share, abs=1 / 256)
    assert kept.float().mean().item() * scale == pytest.approx(1, abs=4 * error * scale)
    neighbours = (kept[:, 1:] & kept[:, :-1]).float().mean().item()
    assert neighbours == pytest.approx((1 / scale) ** 2, abs=8 * error)


def test_the_engine_is_chosen_in_one_place(monkeypatch):
    monkeypatch.setenv("SONHO_ENGINE", "reference")
    assert engine_name() == "reference"
    monkeypatch.setenv("SONHO_ENGINE", "turbo")
    with pytest.raises(UsageError, match="SONHO_ENGINE='turbo' is unknown"):
        engine_name()
