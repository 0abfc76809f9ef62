"""sonho evaluate"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sonho.cli.options import flag_settings, setting_flags, weights_flag
from sonho.config import Weights
from sonho.errors import StorageError, UsageError

if TYPE_CHECKING:
    from sonho.storage.model_file import ModelFile


@click.command("evaluate")
@click.argument("model")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@setting_flags("--columns", "--field", "--errors", "--label-column", "--vectors", "--source-column", "--target-column")
@setting_flags("--pictures", "--skip-bad")
@click.option("--no-baselines", is_flag=True, help="leave out the n-grams, single letters and xz")
@click.option("--train-text", multiple=True, metavar="FILE", help="fit the n-gram baselines on this text")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=1_000_000,
    show_default=True,
    help="of a longer text score about this many tokens, spread evenly; 0 = all",
)
@click.option("--adapt", is_flag=True, help="once more, learning from each token after scoring it (needs PyTorch)")
@click.option("--svg", metavar="FILE", help="of a classifier or tagger: write the confusion matrix as a picture")
@click.option("--beam", type=int, default=5, show_default=True, help="of translations and captions; 1 = greedy")
@weights_flag
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(
    model: str,
    texts: tuple[str, ...],
    no_baselines: bool,
    train_text: tuple[str, ...],
    limit: int,
    adapt: bool,
    svg: str | None,
    beam: int,
    weights: Weights,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure MODEL (a model file or run folder) on held-out TEXT, its weights frozen.

    The text is read and cut exactly as the validation part was while training. Beside it stand single
    letters, xz and, where --train-text gives what the model learned from, Kneser-Ney n-grams. A conditioned
    model is told the label or vector of each record, and once more that of another record. A model that
    was trained with --prior ngram has two rows: the network alone, and with its prior.
    Of a classifier or tagger: accuracy, macro F1, each label, confusion and calibration. Of a translation model:
    BLEU and chrF on pairs, which are read as in training (plain texts: the source, then the target). Of a captioner:
    BLEU on a table of pictures and texts.
    """
    from sonho.api import evaluation_table
    from sonho.storage.model_file import load_model_file

    model_file = load_model_file(model)
    if model_file.model.task == "caption":
        _evaluate_captions(model_file, texts, flag_settings(flags), beam, as_json=as_json)
        return
    if model_file.model.task == "translate":
        _evaluate_pairs(model_file, texts, flag_settings(flags), beam, as_json=as_json)
        return
    if model_file.model.task != "generate":
        _evaluate_labels(model_file, texts, flag_settings(flags), svg, as_json=as_json)
        return
    if svg:
        raise UsageError("--svg draws the confusion of labels, which a language model has none of; leave it out")
    table = evaluation_table(
        model,
        texts,
        flag_settings(flags),
        train_texts=train_text,
        with_baselines=not no_baselines,
        limit=limit,
        weights=weights,
        adapt=adapt,
    )
    if as_json:
        others = {
            "adapted": table.adapted,
            "shuffled": table.shuffled,
            "with_prior": table.with_prior,
            "adapted_with_prior": table.adapted_with_prior,
        }
        shown = {name: report.to_dict() for name, report in others.items() if report is not None}
        print(json.dumps({**table.report.to_dict(), **shown, "baselines": table.baselines}))
        return
    from rich.console import Console

    from sonho.cli.report import print_adapted, print_shuffled, print_table

    console = Console(highlight=False, soft_wrap=True)
    print_table(console, ", ".join(texts), table.report, table.baselines, table.with_prior)
    if table.adapted:
        print_adapted(console, table.adapted, table.report, "")
    if table.adapted_with_prior:
        print_adapted(console, table.adapted_with_prior, table.report, " with n-gram prior")
    if table.shuffled:
        print_shuffled(console, table.shuffled, table.report)


def _evaluate_captions(
    model_file: ModelFile, texts: tuple[str, ...], settings: dict[str, dict[str, Any]], beam: int, *, as_json: bool
) -> None:
    from sonho.api import caption_evaluation

    report = caption_evaluation(model_file, texts, settings, beam=beam)
    if as_json:
        print(json.dumps(report.to_dict()))
        return
    from rich.console import Console

    from sonho.cli.translation_report import print_captions

    print_captions(Console(highlight=False, soft_wrap=True), ", ".join(texts), report, {})


def _evaluate_labels(
    model_file: ModelFile,
    texts: tuple[str, ...],
    settings: dict[str, dict[str, Any]],
    svg: str | None,
    *,
    as_json: bool,
) -> None:
    from sonho.api import label_evaluation

    report = label_evaluation(model_file, texts, settings)
    if svg:
        from sonho.evaluation.confusion_svg import confusion_svg

        try:
            Path(svg).write_text(confusion_svg(report), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"cannot write {svg}: {error.strerror or error}") from None
    if as_json:
        print(json.dumps(report.to_dict()))
        return
    from rich.console import Console

    from sonho.cli.label_report import print_details, print_labels

    console = Console(highlight=False, soft_wrap=True)
    beside = {} if report.words else {"always the commonest label": report.commonest}
    print_labels(console, ", ".join(texts), report, beside)
    print_details(console, report)


def _evaluate_pairs(
    model_file: ModelFile, texts: tuple[str, ...], settings: dict[str, dict[str, Any]], beam: int, *, as_json: bool
) -> None:
    from sonho.api import translation_evaluation

    report = translation_evaluation(model_file, texts, settings, beam=beam)
    if as_json:
        print(json.dumps(report.to_dict()))
        return
    from rich.console import Console

    from sonho.cli.translation_report import print_translation

    print_translation(Console(highlight=False, soft_wrap=True), ", ".join(texts), report)
