"""What the trainer's last look at the held-out part told is not worked out a second time when the run is measured."""

from types import SimpleNamespace

import pytest

from sonho.config import build_config
from sonho.data.corpus import build_corpus
from sonho.training import language
from sonho.training.language import LanguageTask
from sonho.training.run import train
from sonho.training.validation import validation_report

TEXT = "It was the best of times, it was the worst of times. " * 60
SETTINGS = {"model": {"hidden_size": 8}, "training": {"steps": 8, "validate_every": 4, "sample_every": 100}}


@pytest.fixture
def looks(monkeypatch):
    """Each look: how many tokens it was limited to."""
    seen = []

    def report(*arguments, limit, **options):
        seen.append(limit)
        return validation_report(*arguments, limit=limit, **options)

    monkeypatch.setattr(language, "validation_report", report)
    return seen


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def task(text, tmp_path):
    config = build_config(SETTINGS)
    return LanguageTask(config, build_corpus([text], config.data, seed=0, folder=tmp_path / "data"), lambda said: None)


def test_a_run_scores_its_last_weights_once(text, tmp_path, looks):
    result = train([text], tmp_path / "run", SETTINGS)
    assert len(looks) == 2  # at steps 4 and 8
    assert result.validation.num_tokens == pytest.approx(len(TEXT) / 10, abs=2)


def test_a_part_that_was_looked_at_here_and_there_is_scored_as_a_whole(text, tmp_path, looks, monkeypatch):
    monkeypatch.setattr(language, "VALIDATION_TOKENS", 100)
    train([text], tmp_path / "run", SETTINGS)
    assert looks == [100, 100, language.MOST_TOKENS]


def test_what_was_remembered_is_of_the_best_weights_alone(task, looks):
    part = task.corpus.validation
    first = task.validate().loss
    before = [parameter.detach().clone() for parameter in task.model.parameters()]
    for parameter in task.model.parameters():
        parameter.data.mul_(9.0)
    worse = task.validate().loss
    assert worse > first
    assert task.report(part)[0].loss == worse  # not the best: worked out again
    assert len(looks) == 3
    for parameter, values in zip(task.model.parameters(), before, strict=True):
        parameter.data.copy_(values)
    assert task.report(part)[0].loss == first
    assert len(looks) == 3
    task.model.output.bias.data[1] += 1e-6
    task.report(part)
    assert len(looks) == 4


def test_another_part_is_not_taken_for_it(task, looks):
    task.validate()
    report, _ = task.report(task.corpus.train)
    assert report.num_tokens > task.corpus.validation.num_tokens
    assert len(looks) == 2


@pytest.mark.parametrize(("few_words", "wanted"), [(4096, 240), (4.5, 60)])
def test_of_many_words_fewer_gradients_and_tokens_are_measured(text, tmp_path, looks, monkeypatch, few_words, wanted):
    config = build_config({"model": {"hidden_size": 8}, "training": {"minutes": 1.0}})
    corpus = build_corpus([text], config.data, seed=0, folder=tmp_path / "data")
    assert corpus.tokenizer.vocab_size == 18
    monkeypatch.setattr(language, "FEW_WORDS", few_words)
    monkeypatch.setattr(language, "TRIAL_LOGITS", 18 * 50)
    seen = []
    monkeypatch.setattr(language, "measure_rms", lambda *model_and_part, gradients: seen.append(gradients))
    task = LanguageTask(config, corpus, lambda said: None)
    task.finish(SimpleNamespace(record={}))
    assert seen == [wanted]
    task.closing_seconds()
    assert looks == [50, 50]
