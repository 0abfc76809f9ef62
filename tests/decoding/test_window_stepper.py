import numpy as np
import pytest

from sonho.decoding import build_stepper, feed

pytestmark = pytest.mark.usefixtures("each_engine")


@pytest.fixture(params=["lstm", "conv"])
def files(request, make_file):
    options = {"cell": request.param, "num_layers": 2, "data_kind": "windows"}
    return make_file(window=4, **options), make_file(window=0, **options)


def test_each_step_runs_the_last_window_from_the_zero_state(files):
    stepper, network = map(build_stepper, files)
    tokens = np.random.default_rng(0).integers(1, 13, 11)
    state = stepper.initial_state(1)
    for t in range(11):
        logits, state = stepper.step(tokens[t : t + 1], state)
        expected, _ = feed(network, tokens[max(0, t - 3) : t + 1], network.initial_state(1))
        np.testing.assert_array_equal(logits, expected)


def test_forward_gives_the_logits_of_the_steps(files):
    stepper = build_stepper(files[0])
    tokens = np.random.default_rng(1).integers(1, 13, (3, 300))
    start = stepper.advance(tokens[:, :2], stepper.initial_state(3))
    whole, end = stepper.forward(tokens[:, 2:], start)
    state = start
    for t in range(2, 20):
        logits, state = stepper.step(tokens[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t - 2], atol=1e-5)
    np.testing.assert_array_equal(end[0], tokens[:, -4:])


def test_rows_that_have_seen_less_than_a_window_run_beside_full_ones(files):
    stepper = build_stepper(files[0])
    short = feed(stepper, np.array([1, 2]), stepper.initial_state(1))
    full = feed(stepper, np.array([3, 4, 5, 6, 7]), stepper.initial_state(1))
    state = (np.concatenate([short[1][0], full[1][0]]),)
    together, _ = stepper.step(np.array([8, 9]), state)
    np.testing.assert_array_equal(together[0], stepper.step(np.array([8]), short[1])[0][0])
    np.testing.assert_array_equal(together[1], stepper.step(np.array([9]), full[1])[0][0])
