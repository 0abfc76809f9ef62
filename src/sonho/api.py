"""The doors of the package, for use from Python. `import sonho` leads here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sonho.config import Weights, build_config
from sonho.decoding.captioner import Caption, Captioner
from sonho.decoding.generate import Generation, Piece
from sonho.decoding.model import Model
from sonho.decoding.model import load as load_generator
from sonho.decoding.predictor import Predictor
from sonho.decoding.settings import Options
from sonho.decoding.translator import Translation, Translator
from sonho.errors import DataError, UsageError
from sonho.storage.model_file import ModelFile, load_model_file, save_model_file

if TYPE_CHECKING:
    from sonho.evaluation.evaluate_captions import CaptionReport
    from sonho.evaluation.labels import LabelReport
    from sonho.evaluation.metrics import Report
    from sonho.evaluation.score import TokenScore
    from sonho.evaluation.translation import TranslationReport
    from sonho.training.session import Result

Settings = Mapping[str, Mapping[str, Any]]
BASELINE_ORDERS = (4, 5, 6, 7)
# The part of a training text on which the n-grams beside an evaluation are counted.
BASELINE_TOKENS = 30_000_000


@dataclass(frozen=True)
class Evaluation:
    """A model's reports on a text, and the bits per character of the baselines on the same text."""

    report: Report  # of the network alone, its weights frozen
    adapted: Report | None  # as it learned from the text, each token after it was scored
    baselines: dict[str, float]
    shuffled: Report | None = None  # of a conditioned model that is told the label or vector of another record
    with_prior: Report | None = None  # with the n-gram prior, where the model has one; and that while it learned
    adapted_with_prior: Report | None = None


def load(
    path: str | PathLike[str], *, weights: Weights = "float32", prior: bool = True
) -> Model | Predictor | Translator | Captioner:
    """A model ready to use: of a language model `.generate` and `.stream`; of other tasks `.predict` (a classifier or
    tagger), `.translate` or `.caption`.

    `weights="int8"` rounds those of a language model to 8 bits: faster from some 200 units on. `prior=False` lets
    the network of one with an n-gram prior write alone.
    Raises InputNotFoundError, ModelFileError (damaged, altered or foreign) or StorageError.
    """
    model_file = load_model_file(path)
    if model_file.model.task == "generate":
        return Model(model_file, weights=weights, prior=prior)
    if weights != "float32":
        raise UsageError(f"weights={weights!r} is for language models; any other model runs in float32")
    if model_file.model.task == "caption":
        return Captioner(model_file)
    return Translator(model_file) if model_file.model.task == "translate" else Predictor(model_file)


def predictor(path: str | PathLike[str]) -> Predictor:
    """A classifier or tagger ready to use. Raises UsageError for a language model, and as `load` does."""
    return Predictor(load_model_file(path))


def predict(model: str | PathLike[str], texts: Sequence[str]) -> list[Any]:
    """What a classifier (`Prediction`) or tagger (`Restoration`) makes of each text. To use it again, `load` it."""
    return predictor(model).predict(texts)


def translator(path: str | PathLike[str]) -> Translator:
    """A translation model ready to use. Raises UsageError for any other, and as `load` does."""
    return Translator(load_model_file(path))


def translate(model: str | PathLike[str], texts: Sequence[str], **search: Any) -> list[Translation]:
    """The translations of each text; `search` is beam, n_best, length_penalty, ... To use it again, `load` it."""
    return translator(model).translate(texts, **search)


def caption(model: str | PathLike[str], pictures: Sequence[Any], **options: Any) -> list[str]:
    """What a captioner says of each picture: a path, or pixels (H, W, 3) uint8. To use it again, `load` it.

    `options` are those of `Captioner.caption`: beam, temperature, seed, ...
    """
    return [best.text for [best, *_] in Captioner(load_model_file(model)).caption(pictures, **options)]


def generate(model: str | PathLike[str], prompt: str = "", **options: Unpack[Options]) -> Generation:
    """A text that begins with `prompt`, from a model file or run folder.

    `options` are those of `Model.generate`: temperature, max_tokens, seed, top_k, stop, ...
    To generate more than once, `load` the model and keep it.
    """
    return load_generator(model).generate(prompt, **options)


def stream_generate(model: str | PathLike[str], prompt: str = "", **options: Unpack[Options]) -> Iterator[Piece]:
    """As `generate`, piece by piece; the last piece says why the text ended."""
    return load_generator(model).stream(prompt, **options)


def train(
    paths: str | Sequence[str],
    output: str | PathLike[str],
    *,
    resume: bool = False,
    init: str = "",
    **settings: Any,
) -> Result:
    """Train on text files into the run folder `output`; needs sonho[train].

    Settings are sections or, for the limits, plain numbers:

        sonho.train("my.txt", "runs/my", minutes=3, model={"cell": "gru"}, data={"bptt": 128})
    """
    from sonho.training.run import train as run

    sections = {name: dict(values) for name, values in settings.items() if isinstance(values, Mapping)}
    for name, value in settings.items():
        if not isinstance(value, Mapping):
            sections.setdefault("training", {})[name] = value
    return run([paths] if isinstance(paths, str) else list(paths), Path(output), sections, resume=resume, init=init)


def evaluate(
    model: str | PathLike[str],
    texts: str | Sequence[str],
    *,
    limit: int = 1_000_000,
    weights: Weights = "float32",
    **data: Any,
) -> Report | LabelReport | TranslationReport | CaptionReport:
    """Bits per character and more of a model on held-out files; else the report of its task.

    Of a text longer than `limit` tokens about so many are scored, spread evenly; 0 is all. `data` are
    settings such as columns; `weights` are those of `load`.
    """
    names = [texts] if isinstance(texts, str) else list(texts)
    model_file = load_model_file(model)
    if model_file.model.task == "translate":
        return translation_evaluation(model_file, names, {"data": data})
    if model_file.model.task == "caption":
        return caption_evaluation(model_file, names, {"data": data})
    if model_file.model.task != "generate":
        return label_evaluation(model_file, names, {"data": data})
    return evaluation_table(model, names, {"data": data}, with_baselines=False, limit=limit, weights=weights).report


def adapt(model: str | PathLike[str], texts: str | Sequence[str], output: str | PathLike[str], **data: Any) -> Report:
    """Let a model read files and learn from them in seconds; the result is a model file of its own.

    Returns how well the model predicted the files on the way. `data` are settings such as columns. Raises
    UsageError for a model that cannot be adapted, or where `output` exists.
    """
    if Path(output).exists():
        raise UsageError(f"{output} exists; choose another name for the adapted model")
    adapted, report = adapted_model(model, [texts] if isinstance(texts, str) else list(texts), {"data": data})
    save_model_file(Path(output), adapted)
    return report


def label_evaluation(model_file: ModelFile, texts: Sequence[str], settings: Settings) -> LabelReport:
    """A classifier or tagger on labelled texts read as its training texts were; `settings` may say otherwise."""
    from sonho.data.corpus import encode_for_evaluation
    from sonho.evaluation.evaluate_labels import evaluate_labels

    config = build_config({"data": stored_data_settings(model_file)}, settings).data
    labels = model_file.labels
    return evaluate_labels(
        model_file, encode_for_evaluation(list(texts), model_file.tokenizer, config, label_names=labels)
    )


def translation_evaluation(
    model_file: ModelFile, texts: Sequence[str], settings: Settings, *, beam: int = 5, **search: Any
) -> TranslationReport:
    """A translation model on pairs: its translations against the texts as they are written, not as it would cut them.

    `settings` may say which columns; pairs of any length count. Raises UsageError without sacrebleu.
    """
    from sonho.data.pairs import encode_pairs, iter_pairs
    from sonho.data.passes import Job
    from sonho.evaluation.agreement import check_sacrebleu
    from sonho.evaluation.translation import translation_report

    check_sacrebleu()
    loaded = Translator(model_file)
    config = build_config({"data": {**stored_data_settings(model_file), "max_words": 0}}, settings).data
    pairs = list(iter_pairs(texts, config))
    if not pairs:
        raise DataError(f"{', '.join(texts)}: no pair of texts that both say something; there is nothing to score")
    part = encode_pairs(pairs, Job([], config, 0, model_file.tokenizer, model_file.source_tokenizer))
    found = loaded.translate([source for source, _ in pairs], beam=beam, **search)
    references = [target for _, target in pairs]
    return translation_report(loaded.runner.score(part), [one.text for one in found], references, beam=beam)


def caption_evaluation(
    model_file: ModelFile, texts: Sequence[str], settings: Settings, *, beam: int = 1
) -> CaptionReport:
    """A captioner on a table of pictures and texts read as that of its training; `settings` may say otherwise."""
    from sonho.data.corpus import encode_captions
    from sonho.data.pictures import folder_beside
    from sonho.evaluation.evaluate_captions import evaluate_captions

    beside = {"data": {"pictures": folder_beside(texts)}}
    config = build_config({"data": stored_data_settings(model_file)}, beside, settings).data
    part, pictures = encode_captions(list(texts), model_file.tokenizer, config)
    return evaluate_captions(model_file, part, pictures, beam=beam)


def adapted_model(
    model: str | PathLike[str], texts: Sequence[str], settings: Settings | None = None
) -> tuple[ModelFile, Report]:
    """What a model becomes by reading files, and how well it predicted them on the way."""
    from sonho.data.corpus import encode_for_evaluation
    from sonho.training.adapt import AdaptiveStepper, read

    model_file = load_model_file(model)
    config = build_config({"data": stored_data_settings(model_file)}, settings or {}).data
    stepper = AdaptiveStepper(model_file)
    tokenizer = model_file.tokenizer
    report = read(stepper, tokenizer, encode_for_evaluation(list(texts), tokenizer, config))
    return stepper.model_file, report


def score(model: str | PathLike[str], text: str, *, alternatives: int = 0) -> list[TokenScore]:
    """The surprise of every token of `text`, in bits."""
    from sonho.evaluation.score import Scorer

    return list(Scorer(load_model_file(model)).tokens(text, alternatives=alternatives))


def evaluation_table(
    model: str | PathLike[str],
    texts: Sequence[str],
    settings: Settings,
    *,
    train_texts: Sequence[str] = (),
    with_baselines: bool = True,
    limit: int = 0,
    weights: Weights = "float32",
    adapt: bool = False,
) -> Evaluation:
    """Evaluate a model on texts read as its training text was; `settings` may say otherwise.

    `adapt`: once more, learning on the way (from the first `limit` tokens).
    """
    from sonho.data.corpus import encode_for_evaluation
    from sonho.evaluation.baselines import baselines
    from sonho.evaluation.conditions import conditions_of, with_shuffled_labels
    from sonho.evaluation.evaluate import evaluate as evaluate_part

    model_file = load_model_file(model)
    config = build_config({"data": stored_data_settings(model_file)}, settings).data
    tokenizer, kind = model_file.tokenizer, model_file.data_kind
    part = encode_for_evaluation(list(texts), tokenizer, config, label_names=model_file.labels)
    conditions = conditions_of(model_file, part, config.vectors)
    measured = partial(evaluate_part, model_file, stride=config.stride, limit=limit, weights=weights)
    report = measured(part, conditions=conditions, prior=False)
    shuffled = None
    if conditions is not None:
        shuffled = measured(with_shuffled_labels(part), conditions=conditions, prior=False)
    with_prior = measured(part, conditions=conditions) if model_file.prior else None
    adapted: Report | None = None
    adapted_with_prior: Report | None = None
    if adapt:
        from sonho.training.adapt import AdaptiveStepper, adaptive_with_prior, read

        adapted = read(AdaptiveStepper(model_file), tokenizer, part, limit=limit)
        if model_file.prior:
            adapted_with_prior = read(adaptive_with_prior(model_file), tokenizer, part, limit=limit)
    found: dict[str, float] = {}
    if with_baselines:
        # Without the training text there is nothing to count n-grams on.
        train = encode_for_evaluation(list(train_texts), tokenizer, config) if train_texts else None
        orders = BASELINE_ORDERS if train is not None else ()
        rows = baselines(train or part, part, tokenizer, kind, orders=orders, max_tokens=BASELINE_TOKENS, limit=limit)
        found = {row.name: row.bits_per_char for row in rows}
    return Evaluation(report, adapted, found, shuffled, with_prior, adapted_with_prior)


def stored_data_settings(model_file: ModelFile) -> dict[str, Any]:
    """The data settings that a model was trained with: how held-out text must be read to be comparable."""
    stored = dict(model_file.record.get("data") or {})
    stored["kind"] = model_file.data_kind
    return stored


__all__ = [
    "Caption",
    "Captioner",
    "Generation",
    "Model",
    "Piece",
    "Predictor",
    "Translation",
    "Translator",
    "adapt",
    "caption",
    "evaluate",
    "generate",
    "load",
    "predict",
    "score",
    "stream_generate",
    "train",
    "translate",
]
