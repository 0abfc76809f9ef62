import numpy as np
import pytest

from sonho.decoding.conv import ConvLayer, ConvTokenLayer, dilation_of


def direct_convolution(weight, bias, dilation, inputs):
    """As the formula says it: one output at a time, one tap at a time; inputs (T, D)."""
    rows, kernel_size, size = weight.shape
    outputs = []
    for t in range(len(inputs)):
        gates = bias.astype(np.float64)
        for tap in range(kernel_size):
            ago = (kernel_size - 1 - tap) * dilation
            if t - ago >= 0:
                gates = gates + weight[:, tap] @ inputs[t - ago]
        a, b = np.split(gates, 2)
        y = np.tanh(a) / (1 + np.exp(-b))
        outputs.append(y + inputs[t] if size == rows // 2 else y)
    return np.array(outputs)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (2, 1), (3, 4), (4, 3)])
@pytest.mark.parametrize("size", [5, 7])
def test_steps_with_the_short_memory_are_the_direct_convolution(kernel_size, dilation, size):
    rng = np.random.default_rng(kernel_size)
    weight = rng.standard_normal((14, kernel_size, size)).astype(np.float32)
    bias, inputs = (
        rng.standard_normal(14).astype(np.float32),
        rng.standard_normal((17, size)).astype(np.float32),
    )
    layer = ConvLayer(weight, bias, dilation)
    state, outputs = layer.initial_state(1), []
    for vector in inputs:
        output, state = layer.step(vector[None], state)
        assert state[0].shape == (1, (kernel_size - 1) * dilation, size)
        outputs.append(output[0])
    np.testing.assert_allclose(outputs, direct_convolution(weight, bias, dilation, inputs), atol=1e-5)


@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("one_hot", [True, False])
def test_a_first_layer_looks_tokens_up_instead_of_multiplying(size, one_hot):
    rng = np.random.default_rng(size)
    weight = rng.standard_normal((14, 3, size)).astype(np.float32)
    bias = rng.standard_normal(14).astype(np.float32)
    vectors = np.eye(size, dtype=np.float32) if one_hot else rng.standard_normal((9, size)).astype(np.float32)
    tokens = rng.integers(0, len(vectors), 12)
    layer = ConvTokenLayer(weight, bias, 2, None if one_hot else vectors)
    outputs, _ = layer.forward(tokens[None], layer.initial_state(1))
    np.testing.assert_allclose(outputs[0], direct_convolution(weight, bias, 2, vectors[tokens]), atol=1e-5)


def test_before_the_start_are_zeros_and_not_the_token_0():
    weight = np.ones((2, 2, 3), np.float32)
    layer = ConvTokenLayer(weight, np.zeros(2, np.float32), 1, None)
    first, _ = layer.step(np.array([1]), layer.initial_state(1))
    _, state = layer.step(np.array([0]), layer.initial_state(1))
    after_token_0, _ = layer.step(np.array([1]), state)
    assert first[0, 0] == pytest.approx(np.tanh(1) / (1 + np.exp(-1)))
    assert after_token_0[0, 0] == pytest.approx(np.tanh(2) / (1 + np.exp(-2)))


def test_dilations_start_again_after_five_layers():
    assert [dilation_of(layer, 3) for layer in range(7)] == [1, 3, 9, 27, 81, 1, 3]
