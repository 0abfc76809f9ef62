"""Are captions of drawn scenes good, and are they true? BLEU-4, and sentences judged against the scene.

    python benchmarks/captions.py CORPORA [--only VARIANT] [--jobs 2] [--keep FOLDER] [--set section.key=value ...]

CORPORA is a folder with nlvr: 1,103 scenes with a sentence each, too few to hold out a tenth and to tell two points
of BLEU from chance. So nlvr_data.py cuts it by scene into five folds, in each of which the recipe nlvr-scenes is
trained anew and tested on a fifth: every scene is captioned once, by a model that has never read it. It is trained
with attention, and with the picture as the first state alone (model.attention=none). nlvr_truth.py judges the
sentences whose form it knows, of people, of the model, and of both with the scenes mixed up. The constant captions
are among the 300 commonest of the training part: the best of all for the scenes that are tested, which no model could
know, and for each fold the best for its validation part; beyond: how much better than each a model is, in the middle
95 % of the same samples of whole scenes for both. --jobs trains so many folds side by side, on a core each. --keep
leaves the run folders there, and finds those of an earlier call.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from common import Row, Tables, installed, machine, save
from nlvr_data import FOLDS, cut
from nlvr_truth import Scene, read_scenes, shares
from sonho.data.corpus import Corpus, Part
from sonho.data.prepare import load_prepared
from sonho.evaluation.agreement import bleu
from sonho.evaluation.evaluate_captions import evaluate_captions, reference
from sonho.storage.model_file import count_parameters, load_model_file

VARIANTS = {"attention": [], "vector": ["model.attention=none"]}
WAYS: dict[str, dict[str, int]] = {"greedy": {"beam": 1}, "beam 3": {"beam": 3}}
SAMPLES, SEED = 1000, 0  # of the bootstrap
CONSTANTS = 300  # captions that are tried for all pictures
Texts = dict[str, str]  # a picture's name -> a sentence


def trained(variant: str, fold: int, corpora: Path, folder: Path, settings: Sequence[str]) -> Path:
    """The run folder of a variant in a fold."""
    run = folder / f"fold-{fold}" / variant
    if (run / "model.safetensors").exists():
        return run
    nlvr = folder / f"fold-{fold}" / "nlvr"
    if not (nlvr / "test.tsv").exists():
        cut(corpora / "nlvr", nlvr, fold)
    command = [sys.executable, "-m", "sonho", "train", "--recipe", "nlvr-scenes", "--data", str(nlvr / "train.tsv")]
    command += ["--validation-files", str(nlvr / "validation.tsv"), "--test", str(nlvr / "test.tsv")]
    command += ["--pictures", str(nlvr / "pictures.tar"), "-o", str(run), *VARIANTS[variant], *settings]
    subprocess.run(command, check=True)
    return run


def seconds_of(run: Path) -> float:
    """How long a run learned."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(json.loads(lines[-1])["seconds"])


def scene_of(name: str) -> str:
    """The scene of a picture, of which there is one for each order of the boxes: dev-1-0-3.png is of dev-1-0."""
    return name.rsplit("-", 1)[0]


def row(
    what: str,
    texts: Texts,
    references: Mapping[str, list[str]],
    scenes: Mapping[str, Scene],
    simple: Mapping[str, Texts] | None = None,
) -> Row:
    """BLEU with its interval, and how many sentences are judged and true, of their scenes and of others.

    Of the differences to the `simple` captions, the intervals.
    """
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
        all_scenes = bleu([texts[name] for name in names], [references[name] for name in names])[0]
        shown |= {"BLEU-4": round(all_scenes, 2), "95 % over scenes": interval(scores)}
        for name, other_texts in (simple or {}).items():
            pairs = zip(scores, sampled(other_texts, references), strict=True)
            shown[f"beyond {name}"] = interval([score - lower for score, lower in pairs])
    return shown | {
        "judged, %": percent(judged, whole),
        "true of the judged, %": percent(true, judged),
        "true of another scene, %": percent(mixed, also),
        "different sentences": len(set(texts.values())),
    }


def sampled(texts: Texts, references: Mapping[str, list[str]]) -> list[float]:
    """BLEU of bootstrap samples of whole scenes, the same for all texts."""
    from sacrebleu.metrics.bleu import BLEU

    rng = random.Random(SEED)
    of_scene: dict[str, list[str]] = {}
    for name in sorted(texts):
        of_scene.setdefault(scene_of(name), []).append(name)
    counted = []
    for names in of_scene.values():
        streams = [list(stream) for stream in zip(*(references[name] for name in names), strict=True)]
        score = BLEU().corpus_score([texts[name] for name in names], streams)
        counted.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    drawn = (rng.choices(counted, k=len(counted)) for _ in range(SAMPLES))
    sums = ([sum(column) for column in zip(*sample, strict=True)] for sample in drawn)
    return [BLEU.compute_bleu(each[:4], each[4:8], each[8], each[9], smooth_method="exp").score for each in sums]


def interval(scores: Sequence[float]) -> str:
    """The middle 95 %."""
    ordered = sorted(scores)
    return f"{ordered[int(0.025 * len(ordered))]:.1f} to {ordered[int(0.975 * len(ordered)) - 1]:.1f}"


def commonest(known: Sequence[str]) -> list[str]:
    return [text for text, _ in Counter(known).most_common(CONSTANTS)]


def best_of(texts: Sequence[str], wanted: Sequence[list[str]]) -> str:
    """The one of `texts` that is the best caption for all pictures with these references."""
    return max(texts, key=lambda text: bleu([text] * len(wanted), wanted)[0])


def said(part: Part, corpus: Corpus) -> list[str]:
    return [reference(part, number, corpus.tokenizer) for number in range(part.num_records)]


def percent(part: int, whole: int) -> float:
    return round(100 * part / max(whole, 1), 1)


@dataclass
class Tested:
    """What was written for the pictures of all folds, and what can be written without a look at them."""

    written: dict[str, Texts] = field(default_factory=dict)
    references: dict[str, list[str]] = field(default_factory=dict)
    fair: Texts = field(default_factory=dict)  # the best constant for a fold's validation part
    chance: Texts = field(default_factory=dict)  # a training caption
    known: list[str] = field(default_factory=list)  # the training captions of all folds
    trainings: list[Row] = field(default_factory=list)

    def add(self, variant: str, fold: int, run: Path) -> None:
        model_file, corpus = load_model_file(run), load_prepared(run / "data")
        assert corpus.test is not None
        assert corpus.pictures is not None
        for how, options in WAYS.items():
            report = evaluate_captions(model_file, corpus.test, corpus.pictures, **options)
            texts = {name: text for name, (text, _) in report.captions.items()}
            self.written.setdefault(f"{variant}, {how}", {}).update(texts)
        if not self.references.keys() >= texts.keys():
            self.references |= {name: own for name, (_, own) in report.captions.items()}
            self._add_without_looking(corpus, sorted(texts))
        self.trainings.append(
            {
                "variant": variant,
                "fold": fold,
                "parameters": count_parameters(model_file),
                "minutes of training": round(seconds_of(run) / 60, 1),
                "epochs of the kept weights": model_file.record["epoch"],
                "test nats/token": round(report.loss, 3),
                "pictures": len(report.captions),
                "scenes": len({scene_of(name) for name in report.captions}),
                "signature": report.agreement.bleu_signature,
            }
        )

    def rows(self, scenes: Mapping[str, Scene]) -> list[Row]:
        best = best_of(commonest(self.known), list(self.references.values()))
        simple = {"the best constant": dict.fromkeys(self.references, best), "the chosen one": self.fair}
        rows = [row(what, texts, self.references, scenes, simple) for what, texts in self.written.items()]
        for what, texts in {
            f"best constant caption ({best})": simple["the best constant"],
            "constant caption chosen on each fold's validation part": self.fair,
            "a training caption by chance": self.chance,
        }.items():
            rows.append(row(what, texts, self.references, scenes))
        people = {name: own[0] for name, own in self.references.items()}
        return [*rows, row("people", people, {}, scenes)]

    def _add_without_looking(self, corpus: Corpus, names: Sequence[str]) -> None:
        assert corpus.validation is not None
        known, held_out = said(corpus.train, corpus), said(corpus.validation, corpus)
        self.known += known
        self.fair |= dict.fromkeys(names, best_of(commonest(known), [[own] for own in held_out]))
        rng = random.Random(SEED)
        self.chance |= {name: rng.choice(known) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--only", choices=list(VARIANTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", dest="settings", nargs="+", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    began, tested = machine(), Tested()
    settings = [*arguments.settings, *(["training.threads=1"] if arguments.jobs > 1 else [])]
    scenes = {name: scene for name, (_, scene) in read_scenes(arguments.corpora / "nlvr").items()}
    cases = [(variant, fold) for variant in VARIANTS for fold in range(FOLDS) if arguments.only in (None, variant)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.jobs) as pool:
        folder = arguments.keep or Path(scratch)
        runs = pool.map(lambda case: trained(case[0], case[1], arguments.corpora, folder, settings), cases)
        for (variant, fold), run in zip(cases, runs, strict=True):
            tested.add(variant, fold, run)
    tables: Tables = {"Captions of scenes that were never read": tested.rows(scenes), "The trainings": tested.trainings}
    for table in tables.values():
        for one in table:
            print(one)
    print(save("captions", tables, began, installed("numpy", "torch", "pillow", "sacrebleu")))


if __name__ == "__main__":
    main()
