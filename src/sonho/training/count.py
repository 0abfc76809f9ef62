"""`model.cell=ngram`: the Markov chain of the textbooks. Counts instead of learning, in one pass."""

from __future__ import annotations

import time
from pathlib import Path

import sonho
from sonho.config import Config, to_dict
from sonho.data.corpus import Corpus
from sonho.evaluation.evaluate import evaluate_ngram
from sonho.evaluation.kneser_ney import fit_part
from sonho.evaluation.metrics import Report
from sonho.evaluation.protocol import MOST_TOKENS
from sonho.storage.model_file import MODEL_FILE_NAME, ModelFile, save_model_file
from sonho.text import masked_ids


def count_ngrams(folder: Path, config: Config, corpus: Corpus) -> tuple[float, Report | None, Report | None]:
    """Fit an n-gram on the training part and store it; returns seconds, validation and test report."""
    began = time.perf_counter()
    tokenizer, kind = corpus.tokenizer, corpus.kind
    kind = "stream" if kind == "windows" else kind  # an n-gram looks at a window of its own
    masked = masked_ids(tokenizer, kind)
    order = config.model.order
    model = fit_part(corpus.train, [order], tokenizer.vocab_size, masked=masked)[order]
    reports = [
        None if part is None else evaluate_ngram(model, part, tokenizer, kind, limit=MOST_TOKENS)
        for part in (corpus.validation, corpus.test)
    ]
    record = {
        "sonho": sonho.__version__,
        "data": {**to_dict(config.data), "test": ""},
        "training": to_dict(config.training),
        "data_sha256": corpus.digest,
        "train_tokens": len(corpus.train.tokens),
    }
    for name, report in zip(("validation", "test"), reports, strict=True):
        if report is not None:
            record |= {f"{name}_loss": report.loss, f"{name}_bits_per_char": report.bits_per_char}
    stored = ModelFile(config.model, tokenizer, kind, model.to_arrays(), sampling=config.sampling, record=record)
    save_model_file(folder / MODEL_FILE_NAME, stored)
    return time.perf_counter() - began, reports[0], reports[1]
