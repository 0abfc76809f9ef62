"""Translation from the pairs to the text: it learns, keeps the best, goes on bit for bit, and says what is wrong."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import sonho
from sonho.config import build_config
from sonho.data.corpus import encode_items
from sonho.data.prepare import prepare
from sonho.decoding.beam import BeamSettings
from sonho.decoding.encoder_decoder import TranslationRunner
from sonho.errors import UsageError
from sonho.models.encoder_decoder import EncoderDecoder
from sonho.models.language_model import load_arrays
from sonho.storage.container import read_container
from sonho.storage.model_file import load_model_file
from sonho.training.run import train
from tests.training.stopping import StopAt


def strings(count, seed=1, letters="abcdefgh"):
    rng, found = random.Random(seed), set()
    while len(found) < count:
        found.add("".join(rng.choice(letters) for _ in range(rng.randint(3, 8))))
    return sorted(found, key=lambda text: (rng.random(), text))


def write(path, pairs):
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    return str(path)


def settings(**sections):
    made = {
        "model": {"task": "translate", "hidden_size": 48, "embedding_dim": 24, "dropout": 0.0, "dropout_input": 0.0},
        "data": {"level": "char", "batch_size": 32},
        "training": {"threads": 1, "steps": 700, "learning_rate": 0.02, "label_smoothing": 0.0, "validate_every": 350},
    }
    for name, values in sections.items():
        made[name].update(values)
    return made


@pytest.mark.parametrize(
    ("turned", "model"),
    [(False, {}), (True, {"attention": "additive"}), (True, {"input_feeding": True, "cell": "lstm"})],
)
def test_copying_and_turning_round_are_learned(tmp_path, turned, model):
    pairs = [(text, text[::-1] if turned else text) for text in strings(1700)]
    run = tmp_path / "run"
    # A processor that rounds otherwise is as another seed: of 24 runs with other seeds the worst reached 0.995.
    train([write(tmp_path / "a.tsv", pairs[:1500])], run, settings(model=model, training={"steps": 2000}))
    found = sonho.load(run).translate([source for source, _ in pairs[1500:]], beam=1)
    right = np.mean([one.text == target for one, (_, target) in zip(found, pairs[1500:], strict=True)])
    assert right >= 0.99


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    pairs = [(f"das {a} {b}", f"the {a.lower()} {b[:2]}") for a in strings(20, 3, "xyz") for b in strings(8, 4, "pq")]
    path = write(folder / "tiny.tsv", pairs)
    wanted = settings(training={"steps": 40, "validate_every": 10, "checkpoint_every": 7}, data={"level": "word"})
    wanted["model"] |= {"dropout": 0.2, "dropout_input": 0.2, "dropout_tokens": 0.1, "tied": True}
    wanted["training"] |= {"label_smoothing": 0.1, "scheduled_sampling": 0.2}
    train([path], folder / "whole", wanted)
    return folder, path, wanted


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tiny):
    folder, path, wanted = tiny
    train([path], folder / "broken", wanted, callbacks=[StopAt(11)])
    train([], folder / "broken", resume=True)
    for name, kind in (("model", "model"), ("checkpoint", "checkpoint")):
        whole, broken = (read_container(folder / run / f"{name}.safetensors", kind)[1] for run in ("whole", "broken"))
        assert whole.keys() == broken.keys()
        for key, array in whole.items():
            np.testing.assert_array_equal(array, broken[key], err_msg=key)
    lines = [(folder / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "broken")]
    bleus = [[json.loads(line).get("validation_bleu") for line in run] for run in lines]
    assert bleus[0] == bleus[1]
    assert sum(bleu is not None for bleu in bleus[0]) == 4


def test_the_translator_writes_what_torch_would(tiny):
    folder, _, _ = tiny
    kept = load_model_file(folder / "whole")
    model = EncoderDecoder(kept.model, kept.source_tokenizer.vocab_size, kept.tokenizer.vocab_size).eval()
    load_arrays(model, kept.arrays)
    texts = ["das xy pq", "das z", "das xyz ppqq qp"]
    part = encode_items(texts, kept.source_tokenizer)
    found = TranslationRunner(kept).translate(part, BeamSettings(beam=1))
    for text, [one] in zip(texts, found, strict=True):
        source = torch.tensor([[*kept.source_tokenizer.encode(text).tolist(), kept.source_tokenizer.eos_id]])
        read = [kept.tokenizer.eos_id]
        with torch.no_grad():
            for _ in range(len(one.ids) + one.finished):
                logits, weights = model(source, torch.tensor([source.shape[1]]), torch.tensor([read]))
                read.append(int(logits[0, -1].argmax()))
        assert read[1 : len(one.ids) + 1] == one.ids.tolist()
        np.testing.assert_allclose(one.attention, weights[0, : len(one.ids)].numpy(), atol=1e-5)


def test_the_best_bleu_is_kept_and_patience_ends_the_run(tiny, tmp_path):
    _, path, wanted = tiny
    short = {**wanted, "training": {**wanted["training"], "steps": 400, "patience": 2, "learning_rate": 1e-30}}
    result = train([path], tmp_path / "run", short)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] < 400
    assert result.validation.agreement is not None
    assert "source as it is" in result.baselines


def test_prepared_pairs_are_trained_on_and_the_clock_chooses_a_size(tiny, tmp_path):
    _, path, _ = tiny
    data = {"level": "char", "kind": "records", "pairs": True}
    prepare([path], build_config({"data": data}).data, seed=0, folder=tmp_path / "shards")
    said = []
    wanted = {"model": {"task": "translate", "embedding_dim": 0}, "data": {"level": "char"}}
    wanted["training"] = {"threads": 1, "minutes": 0.05}
    result = train([str(tmp_path / "shards")], tmp_path / "run", wanted, say=said.append)
    assert result.finished
    assert any("Plan for 144 pairs: gru 1 x 128, read in both directions, multiplicative attention" in s for s in said)
    assert any("seconds of learning here are about" in line for line in said)
    assert not load_model_file(tmp_path / "run").model.tied


def test_a_model_of_pairs_is_the_start_of_another(tiny, tmp_path):
    folder, path, _ = tiny
    wanted = {"model": {"task": "translate"}, "training": {"threads": 1, "steps": 1, "learning_rate": 1e-9}}
    train([path], tmp_path / "run", wanted, init=str(folder / "whole"))
    old, new = (load_model_file(run).arrays["decoder.combine.weight"] for run in (folder / "whole", tmp_path / "run"))
    np.testing.assert_allclose(old, new, atol=1e-6)
    with pytest.raises(UsageError, match=r"model\.cell is 'gru' in the model of --init and cannot become 'lstm'"):
        train([path], tmp_path / "no", {"model": {"task": "translate", "cell": "lstm"}}, init=str(folder / "whole"))
    with pytest.raises(UsageError, match=r"the model of --init has model\.task=translate"):
        train([path], tmp_path / "no", {"data": {"kind": "records"}}, init=str(folder / "whole"))
    with pytest.raises(UsageError, match="the model of --init translates"):
        train(
            [path], tmp_path / "no", {"model": {"task": "tag"}, "data": {"strip": "case"}}, init=str(folder / "whole")
        )


def test_the_loss_of_the_report_is_that_of_torch(tiny):
    folder, path, _ = tiny
    kept = load_model_file(folder / "whole")
    model = EncoderDecoder(kept.model, kept.source_tokenizer.vocab_size, kept.tokenizer.vocab_size).eval()
    load_arrays(model, kept.arrays)
    report = sonho.evaluate(folder / "whole", path)
    nats = tokens = 0
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        source, target = line.split("\t")
        ids = [*kept.tokenizer.encode(target).tolist(), kept.tokenizer.eos_id]
        read = [*kept.source_tokenizer.encode(source).tolist(), kept.source_tokenizer.eos_id]
        inputs = torch.tensor([[kept.tokenizer.eos_id, *ids[:-1]]])
        with torch.no_grad():
            loss = model.loss(torch.tensor([read]), torch.tensor([len(read)]), inputs, torch.tensor([ids]))
        nats, tokens = nats + float(loss) * len(ids), tokens + len(ids)
    assert report.tokens == tokens
    assert report.loss == pytest.approx(nats / tokens, rel=1e-4)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"data": {"kind": "stream"}}, "reads pairs, not data.kind=stream"),
        ({"model": {"prior": "ngram"}}, "model.prior=ngram is for"),
        ({"model": {"cell": "conv"}}, "needs a recurrent cell"),
        ({"model": {"layer_norm": True}}, "model.layer_norm is of language models"),
        ({"model": {"condition": "label"}}, "leave it out for task translate"),
    ],
)
def test_what_a_translation_cannot_have_is_told_in_one_line(tiny, tmp_path, wanted, message):
    with pytest.raises(UsageError, match=message):
        train([tiny[1]], tmp_path / "run", settings(**wanted))
