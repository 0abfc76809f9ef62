"""The networks of classifiers and taggers, and their twins without torch."""

import numpy as np
import pytest
import torch

from sonho.config import DataConfig, ModelConfig
from sonho.data.corpus import encode_items
from sonho.decoding.labels import LabelRunner, record_batches
from sonho.errors import ModelFileError, UsageError
from sonho.models.classifier import make_labeller
from sonho.models.encoder import start_from
from sonho.models.language_model import LanguageModel, to_arrays
from sonho.nn.direction import turn
from sonho.storage.model_file import ModelFile, load_model_file, save_model_file
from sonho.storage.shapes import expected_shapes
from sonho.text import fit_tokenizer

TEXTS = ["abracadabra", "a", "", "bar cad", "carb", "dab"]
LABELS = ("x", "y", "z")


def make(**settings):
    config = ModelConfig(**{"task": "classify", "cell": "gru", "hidden_size": 7, "num_layers": 2, **settings})
    tokenizer = fit_tokenizer(TEXTS, DataConfig(kind="records"))
    torch.manual_seed(1)
    model = make_labeller(config, tokenizer.vocab_size, len(LABELS)).eval()
    if hasattr(model, "attention"):
        torch.nn.init.normal_(model.attention.weight)
    return model, ModelFile(config, tokenizer, "records", to_arrays(model), labels=LABELS)


def test_turning_a_row_round_ends_at_its_length():
    rows = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0]])
    lengths = torch.tensor([3, 4, 1])
    turned = turn(rows, lengths)
    assert turned.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [8, 0, 0, 0]]
    assert turn(turned, lengths).equal(rows)
    vectors = torch.randn(3, 4, 5)
    assert turn(turn(vectors, lengths), lengths).equal(vectors)
    assert turn(vectors, lengths)[0, 0].equal(vectors[0, 2])


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_stands_behind_a_record_changes_nothing(pooling, bidirectional):
    model, made = make(pooling=pooling, bidirectional=bidirectional, embedding_dim=5)
    tokens, lengths = torch.randint(1, made.tokenizer.vocab_size, (3, 6)), torch.tensor([6, 2, 4])
    alone = torch.cat([model(tokens[i : i + 1, :n], lengths[i : i + 1]) for i, n in enumerate([6, 2, 4])])
    torch.testing.assert_close(model(tokens, lengths), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("engine", ["native", "library"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "last", "bidirectional": True},
        {"pooling": "mean", "embedding_dim": 5},
        {"pooling": "max", "bidirectional": True, "embedding_dim": 5},
        {"pooling": "attention", "bidirectional": True},
        {"task": "tag", "bidirectional": True, "embedding_dim": 5},
    ],
)
def test_the_runner_without_torch_gives_the_probabilities_of_the_network(monkeypatch, engine, cell, settings):
    monkeypatch.setenv("SONHO_ENGINE", engine)
    model, made = make(cell=cell, **settings)
    part = encode_items(TEXTS, made.tokenizer)
    runner = LabelRunner(made)
    found = runner.records(part) if made.model.task == "classify" else runner.tokens(part)
    for rows, inputs, lengths in record_batches(part, made.tokenizer.eos_id):
        with torch.no_grad():
            wanted = model(torch.from_numpy(inputs), torch.from_numpy(lengths)).softmax(dim=-1).numpy()
        for row, length, own in zip(rows, lengths, wanted, strict=True):
            if made.model.task == "classify":
                np.testing.assert_allclose(found[row], own, atol=2e-6)
            else:
                start = part.offsets[row]
                np.testing.assert_allclose(found[start : start + length - 1], own[1:length], atol=2e-6)


@pytest.mark.parametrize("settings", [{"pooling": "attention"}, {"task": "tag"}, {"bidirectional": False}])
def test_the_shapes_of_a_model_file_are_those_of_the_network(tmp_path, settings):
    _, made = make(**{"bidirectional": True, "embedding_dim": 5, **settings})
    shapes = expected_shapes(made.model, made.tokenizer.vocab_size, len(LABELS))
    assert {name: array.shape for name, array in made.arrays.items()} == shapes
    save_model_file(tmp_path / "model.safetensors", made)
    assert load_model_file(tmp_path).labels == LABELS
    made.labels = LABELS[:2]
    save_model_file(tmp_path / "model.safetensors", made)
    with pytest.raises(ModelFileError, match=r"array output\.bias is float32 \(3,\), the settings say float32 \(2,\)"):
        load_model_file(tmp_path)


def test_a_classifier_that_starts_from_a_language_model_reads_as_it_does():
    config = ModelConfig(cell="lstm", hidden_size=6, num_layers=2, embedding_dim=4)
    language = LanguageModel(config, 11).eval()
    with torch.no_grad():  # every array its own
        for parameter in language.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    tokens, lengths = torch.randint(1, 11, (2, 5)), torch.tensor([5, 5])
    wanted, _ = language._hidden(tokens, language.initial_state(2), None)
    arrays = {name: array for name, array in to_arrays(language).items() if not name.startswith("output.")}
    for bidirectional in (False, True):
        settings = {"embedding_dim": 4, "cell": "lstm", "hidden_size": 6, "bidirectional": bidirectional}
        model = make_labeller(ModelConfig(task="classify", num_layers=2, **settings), 11, 3).eval()
        assert len(start_from(model, arrays)) == len(arrays)
        torch.testing.assert_close(model.encode(tokens, lengths)[:, :, :6], wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "conv"}, r"model\.task=classify needs a recurrent cell, lstm, gru or rnn, not conv"),
        ({"layer_norm": True}, r"model\.layer_norm is of language models"),
        ({"task": "generate"}, r"model\.task=generate has no labels"),
    ],
)
def test_what_cannot_be_built_is_told(settings, message):
    with pytest.raises(UsageError, match=message):
        make(**settings)
