"""What stands in the padding of a batch of records changes nothing: not the loss, not a gradient, not a score."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sonho.config import DataConfig, ModelConfig
from sonho.data.batches import make_batches
from sonho.data.corpus import encode_text
from sonho.evaluation import protocol
from sonho.models.language_model import LanguageModel
from sonho.text import fit_tokenizer
from sonho.training import validation

NAMES = "\n".join(f"{a}{b * 3}" for a in ("ann", "bo", "christopher", "d") for b in ("a", "ie", "ette", "x"))


def setting(cell):
    config = DataConfig(kind="records", batch_size=16)
    tokenizer = fit_tokenizer(NAMES.split("\n"), config)
    part = encode_text(NAMES, tokenizer, config)
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(cell=cell, hidden_size=9, num_layers=2), tokenizer.vocab_size)
    return config, tokenizer, part, model


def with_rubbish(inputs, targets, vocab_size):
    """The same inputs, with random ids wherever nothing is predicted from here on."""
    padding = np.flip(np.maximum.accumulate(np.flip(targets >= 0, 1), 1), 1) == 0
    rubbish = np.random.default_rng(1).integers(0, vocab_size, inputs.shape)
    assert padding.any()
    return np.where(padding, rubbish, inputs)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "conv"])
def test_padding_changes_neither_loss_nor_gradients(cell):
    config, tokenizer, part, model = setting(cell)
    batch = make_batches(part, tokenizer, config, seed=0).batch(0, 0)
    results = []
    for inputs in (batch.inputs, with_rubbish(batch.inputs, batch.targets, tokenizer.vocab_size)):
        model.zero_grad()
        logits, _ = model(torch.from_numpy(inputs), model.initial_state(len(inputs)))
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten(), ignore_index=-100)
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for clean, dirty in zip(*results, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=0, atol=1e-7)


@pytest.mark.parametrize("cell", ["lstm", "conv"])
def test_padding_changes_no_score(cell, monkeypatch):
    _, tokenizer, part, model = setting(cell)
    arguments = (model, part, tokenizer, "records", 0, 1)
    clean = validation.validation_report(*arguments)

    def dirty_blocks(*given, **options):
        for block in protocol.scoring_blocks(*given, **options):
            yield dataclasses.replace(block, inputs=with_rubbish(block.inputs, block.targets, tokenizer.vocab_size))

    monkeypatch.setattr(validation, "scoring_blocks", dirty_blocks)
    assert validation.validation_report(*arguments).loss == pytest.approx(clean.loss, abs=1e-9)
