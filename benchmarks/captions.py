"""Are captions of drawn scenes good, and are they true? BLEU-4, and sentences judged against the scene.

    python benchmarks/captions.py CORPORA [--only VARIANT] [--keep FOLDER] [--set section.key=value ...]

CORPORA is a folder with nlvr. nlvr_data.py cuts it by scene; the recipe nlvr-scenes is trained with attention, with the
picture as the first state alone (model.attention=none), and more cautiously: it then learns less of the scenes and says
what people say most. All figures are of the test part, whose scenes were never read while learning; nlvr_truth.py
judges the sentences whose form it knows, of people, of the model, and of both with the scenes mixed up. The constant
caption is one of the 300 commonest of the training part: the best for the validation part, and the best for the test
part, which no model could know; beyond: how much better than the latter a model is, in the middle 95 % of the same
samples of whole scenes for both. The weights that did best while learning are kept; those of the last step stand beside
them. --keep leaves the run folders there, and finds those of an earlier call.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common import Row, Tables, installed, machine, save
from nlvr_data import cut
from nlvr_truth import Scene, read_scenes, shares
from sonho.data.corpus import Corpus, Part
from sonho.data.prepare import load_prepared
from sonho.evaluation.agreement import bleu
from sonho.evaluation.evaluate_captions import evaluate_captions, reference
from sonho.storage.container import Arrays
from sonho.storage.model_file import count_parameters, load_model_file
from sonho.training.checkpoint import load_checkpoint

VARIANTS = {
    "attention": [],
    "vector": ["model.attention=none"],
    "cautious": ["model.dropout=0.5", "training.label_smoothing=0.1", "training.epochs=1.5"],
}
WAYS: dict[str, dict[str, int]] = {"greedy": {"beam": 1}, "beam 3": {"beam": 3}}
BEST_CONSTANT = "best constant caption"
SAMPLES, SEED = 100, 0  # of the bootstrap
CONSTANTS = 300  # captions that are tried for all pictures
Texts = dict[str, str]  # a picture's name -> a sentence


def trained(variant: str, corpora: Path, folder: Path, settings: Sequence[str]) -> Path:
    """The run folder of a variant."""
    run = folder / variant
    if (run / "model.safetensors").exists():
        return run
    nlvr = folder / "nlvr"
    if not (nlvr / "test.tsv").exists():
        cut(corpora / "nlvr", nlvr)
    command = [sys.executable, "-m", "sonho", "train", "--recipe", "nlvr-scenes", "--data", str(nlvr / "train.tsv")]
    command += ["--validation-files", str(nlvr / "validation.tsv"), "--test", str(nlvr / "test.tsv")]
    command += ["--pictures", str(nlvr / "pictures.tar"), "-o", str(run), *VARIANTS[variant], *settings]
    subprocess.run(command, check=True)
    return run


def seconds_of(run: Path) -> float:
    """How long a run learned."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(json.loads(lines[-1])["seconds"])


def last_weights(run: Path) -> Arrays:
    """The averaged weights of a run's last step."""
    _, arrays = load_checkpoint(run)
    prefix = "average."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def scene_of(name: str) -> str:
    """The scene of a picture, of which there is one for each order of the boxes: dev-1-0-3.png is of dev-1-0."""
    return name.rsplit("-", 1)[0]


def row(
    what: str, texts: Texts, references: Mapping[str, list[str]], scenes: Mapping[str, Scene], constant: Texts | None
) -> Row:
    """BLEU with its interval, and how many sentences are judged and true, of their scenes and of others."""
    names = sorted(texts)
    rng = random.Random(SEED)
    own = sorted({scene_of(name) for name in names})
    turn = rng.randrange(1, len(own))
    other = dict(zip(own, own[turn:] + own[:turn], strict=True))
    whole, judged, true = shares((texts[name], scenes[scene_of(name)]) for name in names)
    _, also, mixed = shares((texts[name], scenes[other[scene_of(name)]]) for name in names)
    shown: Row = {"captions": what}
    if references:
        scores = sampled(texts, references)
        shown |= {"BLEU-4": round(bleu_of(names, texts, references), 2), "95 % over scenes": interval(scores)}
        if constant is not None:
            pairs = zip(scores, sampled(constant, references), strict=True)
            shown["beyond the best constant"] = interval([score - simple for score, simple in pairs])
    return shown | {
        "judged, %": percent(judged, whole),
        "true of the judged, %": percent(true, judged),
        "true of another scene, %": percent(mixed, also),
        "different sentences": len(set(texts.values())),
    }


def bleu_of(names: Sequence[str], texts: Texts, references: Mapping[str, list[str]]) -> float:
    return bleu([texts[name] for name in names], [references[name] for name in names])[0]


def sampled(texts: Texts, references: Mapping[str, list[str]]) -> list[float]:
    """BLEU of bootstrap samples of whole scenes, the same for all texts."""
    rng = random.Random(SEED)
    of_scene: dict[str, list[str]] = {}
    for name in sorted(texts):
        of_scene.setdefault(scene_of(name), []).append(name)
    scenes = sorted(of_scene)
    draws = ([name for scene in rng.choices(scenes, k=len(scenes)) for name in of_scene[scene]] for _ in range(SAMPLES))
    return [bleu_of(names, texts, references) for names in draws]


def interval(scores: Sequence[float]) -> str:
    """The middle 95 %."""
    ordered = sorted(scores)
    return f"{ordered[int(0.025 * len(ordered))]:.1f} to {ordered[int(0.975 * len(ordered)) - 1]:.1f}"


def baselines(corpus: Corpus, references: Mapping[str, list[str]]) -> dict[str, Texts]:
    """Captions without a look at the picture: the best single ones, and one of the training part by chance."""
    assert corpus.validation is not None
    known, held_out = said(corpus.train, corpus), said(corpus.validation, corpus)
    wanted = [references[name] for name in sorted(references)]
    common = [text for text, _ in Counter(known).most_common(CONSTANTS)]
    chosen = max(common, key=lambda text: bleu([text] * len(held_out), [[own] for own in held_out])[0])
    best = max(common, key=lambda text: bleu([text] * len(wanted), wanted)[0])
    rng = random.Random(SEED)
    return {
        f"{BEST_CONSTANT} ({best})": dict.fromkeys(references, best),
        f"constant caption chosen on the validation part ({chosen})": dict.fromkeys(references, chosen),
        "a training caption by chance": {name: rng.choice(known) for name in sorted(references)},
    }


def said(part: Part, corpus: Corpus) -> list[str]:
    return [reference(part, number, corpus.tokenizer) for number in range(part.num_records)]


def percent(part: int, whole: int) -> float:
    return round(100 * part / max(whole, 1), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--only", choices=list(VARIANTS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    began = machine()
    scenes = {name: scene for name, (_, scene) in read_scenes(arguments.corpora / "nlvr").items()}
    written: dict[str, Texts] = {}
    trainings: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for variant in VARIANTS:
            if arguments.only not in (None, variant):
                continue
            run = trained(variant, arguments.corpora, arguments.keep or Path(scratch), arguments.settings)
            model_file, corpus = load_model_file(run), load_prepared(run / "data")
            assert corpus.test is not None
            assert corpus.pictures is not None
            losses = {}
            for weights, arrays in (("kept", model_file.arrays), ("last", last_weights(run))):
                for how, options in WAYS.items():
                    report = evaluate_captions(
                        replace(model_file, arrays=arrays), corpus.test, corpus.pictures, **options
                    )
                    written[f"{variant}, {weights} weights, {how}"] = {
                        name: text for name, (text, _) in report.captions.items()
                    }
                losses[f"test nats/token, {weights}"] = round(report.loss, 3)
            trainings.append(
                {
                    "variant": variant,
                    "parameters": count_parameters(model_file.arrays),
                    "minutes of training": round(seconds_of(run) / 60, 1),
                    "epochs of the kept weights": model_file.record["epoch"],
                    **losses,
                    "pictures": len(report.captions),
                    "scenes": len({scene_of(name) for name in report.captions}),
                    "signature": report.agreement.bleu_signature,
                }
            )
        references = {name: own for name, (_, own) in report.captions.items()}
        simple = baselines(corpus, references)
        constant = next(texts for what, texts in simple.items() if what.startswith(BEST_CONSTANT))
        rows = [row(what, texts, references, scenes, constant) for what, texts in written.items()]
        rows += [row(what, texts, references, scenes, None) for what, texts in simple.items()]
        rows.append(row("people", {name: own[0] for name, own in references.items()}, {}, scenes, None))
    tables: Tables = {"Captions of scenes that were never read": rows, "The trainings": trainings}
    for table in tables.values():
        for one in table:
            print(one)
    print(save("captions", tables, began, installed("numpy", "torch", "pillow", "sacrebleu")))


if __name__ == "__main__":
    main()
