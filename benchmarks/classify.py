"""How well classifiers do on held-out records, beside naive Bayes on the very same split.

    python benchmarks/classify.py CORPORA [topics] [topics-init] [surnames] [accents] [--language FOLDER]

CORPORA is a folder with ag_news/, surnames/ and books/. `topics-init` first trains a language model on the texts of the
topics (its time counts) and starts from it; --language keeps it there, and finds that of an earlier call. scikit-learn
(benchmarks/requirements.txt) gives the naive Bayes of letter trigrams; results go to results/classify-*.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sonho
from common import installed, machine, save
from sonho.cli.options import read_recipe
from sonho.config import DataConfig, build_config
from sonho.data.corpus import Corpus, Part, build_corpus
from sonho.evaluation.labels import LabelReport, standard_error
from sonho.training.run import train

LANGUAGE_MODEL: dict[str, dict[str, Any]] = {
    "model": {"cell": "gru", "hidden_size": 256, "embedding_dim": 256, "tied": True, "dropout": 0.2},
    "data": {"kind": "records", "batch_size": 32, "validation": 0.02, "test": "0.0333"},
}
START_MINUTES = 22.0  # of learning the language
LANGUAGE_TRAINING: dict[str, Any] = {"minutes": START_MINUTES, "softmax_samples": 1000}
# Of learning the labels: more passes learn the texts by heart.
STARTED: dict[str, Any] = {"learning_rate": 0.003, "epochs": 3}


def topics_file(corpora: Path, folder: Path) -> Path:
    """Both AG News files as rows of label and text, title and description joined as in the second."""
    path = folder / "topics.csv"
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        for name in ("train_titles.csv.gz", "train_joined.csv.gz"):
            with gzip.open(corpora / "ag_news" / name, "rt", encoding="utf-8", newline="") as source:
                writer.writerows([label, " . ".join(cells)] for label, *cells in csv.reader(source))
    return path


def run(name: str, paths: list[str], folder: Path) -> tuple[Any, float]:
    """Train a recipe; the result and the seconds that all of it took."""
    began = time.perf_counter()
    result = train(paths, folder / name, read_recipe(name), say=print, began=began)
    return result, time.perf_counter() - began


def row(what: str, report: LabelReport, seconds: float) -> dict[str, Any]:
    share = report.accuracy if report.word_accuracy is None else report.word_accuracy
    count = report.count if report.words is None else report.words[0]
    return {
        "model": what,
        "right %": round(100 * share, 2),
        "standard error %": round(100 * standard_error(share, count), 2),
        "macro F1": round(report.macro_f1, 4),
        "calibration error %": round(100 * report.calibration_error, 2),
        "held-out items": count,
        "seconds": round(seconds, 1),
    }


def topics(corpora: Path, folder: Path) -> list[dict[str, Any]]:
    path = str(topics_file(corpora, folder))
    result, seconds = run("ag-news-topics", [path], folder)
    return [row("ag-news-topics", result.test, seconds), *bayes("ag-news-topics", [path], "word", (1, 2))]


def topics_init(corpora: Path, folder: Path, language: Path | None = None) -> list[dict[str, Any]]:
    """The same records are held out from both: their split depends on text and seed alone."""
    path = str(topics_file(corpora, folder))
    recipe = read_recipe("ag-news-topics")
    language = language or folder / "language"
    if not (language / "model.safetensors").exists():
        data = {**recipe["data"], **LANGUAGE_MODEL["data"]}
        train([path], language, {**LANGUAGE_MODEL, "data": data, "training": LANGUAGE_TRAINING}, say=print)
    began = time.perf_counter()
    own = {k: v for k, v in recipe["model"].items() if k not in ("cell", "hidden_size", "embedding_dim")}
    own["pooling"] = "attention"
    started = {**recipe, "model": own, "training": STARTED}
    result = train([path], folder / "started", started, init=str(language), say=print)
    assert isinstance(result.test, LabelReport)
    seconds = 60.0 * START_MINUTES + time.perf_counter() - began
    return [row("ag-news-topics --init language model", result.test, seconds)]


def surnames(corpora: Path, folder: Path) -> list[dict[str, Any]]:
    paths = [str(corpora / "surnames")]
    result, seconds = run("surnames", paths, folder)
    return [row("surnames", result.test, seconds), *bayes("surnames", paths, "char", (3, 3))]


def accents(corpora: Path, folder: Path) -> list[dict[str, Any]]:
    paths = [str(corpora / "books" / name) for name in ("os_lusiadas.txt", "quincas_borba.txt")]
    result, seconds = run("accents", paths, folder)
    beaten = [{"model": name, "right %": round(100 * share, 2)} for name, share in result.baselines.items()]
    return [row("accents", result.test, seconds), *beaten]


def bayes(name: str, paths: list[str], analyzer: str, ngrams: tuple[int, int]) -> list[dict[str, Any]]:
    """Multinomial naive Bayes of scikit-learn, its smoothing chosen on the validation part of the same split."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics import f1_score
    from sklearn.naive_bayes import MultinomialNB

    recipe = read_recipe(name)
    # Letters whatever the network reads, so that no word is lost; the split is the same.
    whole = {"kind": "records", "labelled": True, "level": "char", "max_vocab": 0, "min_count": 1, "max_length": 0}
    data: DataConfig = build_config({"data": {**recipe["data"], **whole}}).data
    corpus = build_corpus(paths, data, seed=0)
    validation, test = corpus.validation, corpus.test
    assert validation is not None
    assert test is not None
    assert test.labels is not None
    began = time.perf_counter()
    texts, vectorizer = texts_of(corpus.train, corpus), CountVectorizer(analyzer=analyzer, ngram_range=ngrams)
    features = vectorizer.fit_transform(texts)
    fits = [MultinomialNB(alpha=alpha).fit(features, corpus.train.labels) for alpha in (0.01, 0.1, 0.5, 1.0)]
    held_out = vectorizer.transform(texts_of(validation, corpus))
    best = max(fits, key=lambda fit: fit.score(held_out, validation.labels))
    predicted = best.predict(vectorizer.transform(texts_of(test, corpus)))
    share = float((predicted == test.labels).mean())
    return [
        {
            "model": f"naive Bayes, {analyzer} {ngrams[0]} to {ngrams[1]}-grams, alpha {best.alpha:g}",
            "right %": round(100 * share, 2),
            "standard error %": round(100 * standard_error(share, test.num_records), 2),
            "macro F1": round(float(f1_score(test.labels, predicted, average="macro")), 4),
            "held-out items": test.num_records,
            "seconds": round(time.perf_counter() - began, 1),
        }
    ]


def texts_of(part: Part, corpus: Corpus) -> list[str]:
    """The records of a part, their ends marked by a space on both sides, so that trigrams see them."""
    assert part.offsets is not None
    pairs = itertools.pairwise(part.offsets.tolist())
    return [f" {corpus.tokenizer.decode(part.tokens.read(start, stop))} " for start, stop in pairs]


TASKS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "topics": topics,
    "topics-init": topics_init,
    "surnames": surnames,
    "accents": accents,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--language", type=Path, metavar="FOLDER", help="the run of the language model of topics-init")
    arguments = parser.parse_args()
    for name in arguments.tasks or TASKS:
        began = machine()
        options = {"language": arguments.language} if name == "topics-init" else {}
        with tempfile.TemporaryDirectory() as folder:
            rows = TASKS[name](arguments.corpora, Path(folder), **options)
        versions = {"sonho": sonho.__version__, **installed("torch", "scikit-learn")}
        print(save(f"classify-{name}", {"held-out records, never read while learning": rows}, began, versions))


if __name__ == "__main__":
    main()
