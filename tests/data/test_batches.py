import itertools

import numpy as np
import pytest

from sonho.config import DataConfig
from sonho.data.batches import RecordBatches, StreamBatches, WindowBatches, make_batches
from sonho.data.stream import fit_sizes
from sonho.errors import UsageError
from sonho.text import fit_tokenizer

EOS = 9999


def epoch_of(batches, epoch=0):
    return [batches.batch(epoch, index) for index in range(batches.steps_in(epoch))]


def equal(one, other):
    same_lengths = one.lengths is None or np.array_equal(one.lengths, other.lengths)
    return same_lengths and np.array_equal(one.inputs, other.inputs) and np.array_equal(one.targets, other.targets)


@pytest.fixture(params=["stream", "windows", "records"])
def make(request, stream_part, records_part):
    """Make the same batches again and again, of each kind."""
    if request.param == "stream":
        return lambda seed: StreamBatches(stream_part(1000), 4, 7, seed)
    if request.param == "windows":
        return lambda seed: WindowBatches(stream_part(500), 8, 11, 3, "last", seed)
    return lambda seed: RecordBatches(records_part([2 + n % 13 for n in range(400)], EOS), 5, seed, EOS, 0)


def test_a_batch_depends_on_epoch_and_index_alone(make):
    batches, again = make(seed=5), make(seed=5)
    for epoch, index in [(3, 4), (0, 1), (3, 0), (0, 1)]:
        assert equal(batches.batch(epoch, index), again.batch(epoch, index))
        again.batch(epoch + 1, 2)


def test_epochs_and_seeds_differ(make):
    assert not equal(make(seed=5).batch(0, 1), make(seed=5).batch(1, 1))
    assert not equal(make(seed=5).batch(0, 1), make(seed=6).batch(0, 1))


def test_an_epoch_predicts_the_tokens_that_are_promised(make):
    batches = make(seed=1)
    for batch in epoch_of(batches, epoch=2):
        assert batch.num_tokens == (batch.targets != -100).sum()
        assert batch.inputs.dtype == batch.targets.dtype == np.int64
    assert sum(batch.num_tokens for batch in epoch_of(batches)) == batches.tokens_per_epoch


def test_a_place_outside_the_epoch_is_an_index_error(make):
    batches = make(seed=1)
    for index in (-1, batches.steps_in(0)):
        with pytest.raises(IndexError, match=f"batch {index} of epoch 0, which has {batches.steps_in(0)}"):
            batches.batch(0, index)


def test_windows_of_a_stream_continue_where_the_last_one_ended(stream_part):
    batches = StreamBatches(stream_part(1000), 3, 7, seed=0)
    found = epoch_of(batches)
    assert [batch.fresh for batch in found] == [True] + [False] * (len(found) - 1)
    assert batches.carries_state
    rows = np.concatenate([batch.inputs for batch in found], axis=1)  # (3, steps * 7)
    np.testing.assert_array_equal(np.diff(rows, axis=1), 1)
    for batch in found:
        np.testing.assert_array_equal(batch.targets, batch.inputs + 1)


def test_columns_of_a_stream_lie_side_by_side_and_shift_with_the_epoch(stream_part):
    batches = StreamBatches(stream_part(1000), 3, 7, seed=0)
    starts = [batches.batch(epoch, 0).inputs[:, 0] for epoch in range(30)]
    assert all(np.array_equal(np.diff(start), [331, 331]) for start in starts)
    assert {int(start[0]) for start in starts} == set(range(7))


def test_a_stream_leaves_out_less_than_a_window_a_column_and_a_shift(stream_part):
    for length in range(40, 300, 7):
        batches = StreamBatches(stream_part(length), 3, 5, seed=0)
        assert length - batches.tokens_per_epoch < 3 * 5 + 3 + 5
        assert max(batch.targets.max() for epoch in range(5) for batch in epoch_of(batches, epoch)) < length


def test_shakespeare_makes_245_batches_of_64_by_64(stream_part):
    assert StreamBatches(stream_part(1_003_854), 64, 64, seed=0).steps_in(0) == 245


def test_a_small_text_gets_smaller_batches_and_says_so(stream_part):
    batches = StreamBatches(stream_part(160), 64, 64, seed=0)
    assert (batches.batch_size, batches.bptt, batches.steps_in(0)) == (3, 40, 1)
    assert batches.notes == ["160 tokens are too few for batches of 64 texts x 64 steps: the batches are 3 x 40"]


def test_any_text_of_a_few_tokens_makes_a_batch(stream_part):
    for length in range(2, 200):
        assert len(epoch_of(StreamBatches(stream_part(length), 64, 64, seed=0))) >= 1
    assert fit_sizes(10**6, 64, 64) == (64, 64)


def test_every_window_comes_once_an_epoch(stream_part):
    batches = WindowBatches(stream_part(100), 4, 10, 3, "last", seed=0)
    found = epoch_of(batches, epoch=1)
    inputs = np.concatenate([batch.inputs for batch in found])
    assert sorted(inputs[:, 0].tolist()) == list(range(0, 90, 3))
    assert inputs[:, 0].tolist() != list(range(0, 90, 3))
    np.testing.assert_array_equal(np.diff(inputs, axis=1), 1)
    assert [len(batch.inputs) for batch in found] == [4] * 7 + [2]
    assert all(batch.fresh for batch in found)
    assert not batches.carries_state


def test_the_last_objective_predicts_only_what_follows_the_window(stream_part):
    batch = WindowBatches(stream_part(100), 4, 10, 3, "last", seed=0).batch(0, 0)
    assert (batch.targets[:, :-1] == -100).all()
    np.testing.assert_array_equal(batch.targets[:, -1], batch.inputs[:, -1] + 1)


def test_a_single_window_keeps_its_inputs(stream_part):
    batch = WindowBatches(stream_part(100), 8, window=40, stride=1000, objective="last", seed=0).batch(0, 0)
    assert batch.inputs.tolist() == [list(range(40))]
    assert batch.targets[0, -1] == 40


def test_windows_can_predict_every_position(stream_part):
    batch = WindowBatches(stream_part(100), 4, 10, 3, "all", seed=0).batch(0, 0)
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)


def test_a_text_shorter_than_the_window_gets_a_smaller_one(stream_part):
    batches = WindowBatches(stream_part(50), 128, 60, 3, "last", seed=0)
    assert batches.window == 25
    assert batches.notes == [
        "50 tokens are too few for windows of 60: they are 25",
        "9 windows make one batch of 9, not of 128",
    ]


def test_every_record_comes_once_an_epoch_whole(records_part):
    lengths = [1 + (n * 7) % 23 for n in range(300)]
    part = records_part(lengths, EOS)
    rows = []
    for batch in epoch_of(RecordBatches(part, 8, seed=0, eos_id=EOS, pad_id=0), epoch=1):
        for row, length in zip(batch.targets, batch.lengths, strict=True):
            assert (row[length:] == -100).all()
            rows.append(row[:length].tolist())
    tokens, offsets = part.tokens.read(0, part.num_tokens), part.offsets
    expected = [tokens[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert sorted(rows) == sorted(expected)


def test_a_record_reads_eos_then_its_tokens_and_predicts_them(records_part):
    batches = RecordBatches(records_part([3, 5], EOS), 2, seed=0, eos_id=EOS, pad_id=0)
    batch = batches.batch(0, 0)
    assert batch.fresh
    assert batch.lengths.tolist() == [3, 5]
    assert batch.inputs.tolist() == [[EOS, 1, 2, 0, 0], [EOS, 4, 5, 6, 7]]
    assert batch.targets.tolist() == [[1, 2, EOS, -100, -100], [4, 5, 6, 7, EOS]]


def test_records_of_like_length_share_batches_in_a_shuffled_order(records_part):
    rng = np.random.default_rng(0)
    batches = RecordBatches(records_part(rng.integers(2, 80, 6000).tolist(), EOS), 16, 0, EOS, 0)
    assert batches.padding_efficiency() > 0.95
    assert batches.notes == [
        f"{100 * batches.padding_efficiency():.1f} % of the positions in a batch are tokens, the rest padding"
    ]
    longest = [batch.inputs.shape[1] for batch in epoch_of(batches)]
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.15


def test_a_record_meets_other_company_in_every_epoch(records_part):
    batches = RecordBatches(records_part([3] * 2000, EOS), 5, 0, EOS, 0)
    first_blocks = [
        np.concatenate([batches.batch(epoch, index).targets[:, 0] for index in range(64)]) for epoch in (0, 1)
    ]
    shared = len(np.intersect1d(*first_blocks))
    assert 20 < shared < 90  # of 320, by chance 51


def test_fewer_records_than_a_batch_make_one_and_say_so(records_part):
    batches = RecordBatches(records_part([4, 5, 6], EOS), 64, 0, EOS, 0)
    assert batches.batch(0, 0).inputs.shape == (3, 6)
    assert batches.notes[0] == "3 records make one batch of 3, not of 64"


def test_the_settings_choose_the_batches(stream_part, records_part):
    tokenizer = fit_tokenizer(["ab"], DataConfig())
    records = records_part([3, 5], tokenizer.eos_id)
    kinds = {
        "stream": make_batches(stream_part(99), tokenizer, DataConfig(), 0),
        "windows": make_batches(stream_part(99), tokenizer, DataConfig(objective="last"), 0),
        "records": make_batches(records, tokenizer, DataConfig(kind="records"), 0),
    }
    assert [type(batches) for batches in kinds.values()] == [StreamBatches, WindowBatches, RecordBatches]
    assert kinds["records"].batch(0, 0).inputs[0, 0] == tokenizer.eos_id
    with pytest.raises(UsageError, match=r"data.kind=stream does not fit data that was read as records"):
        make_batches(records, tokenizer, DataConfig(), 0)
