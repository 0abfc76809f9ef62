"""Knowing how good a model is: held-out scores, baselines, surprise and novelty. Light: no torch."""

# Not lazy: `evaluate` and `novelty` name a function and its file, and only an import in this order
# makes `from sonho.evaluation import evaluate` the function, whoever imported the file before.
from sonho.evaluation.baselines import Baseline, baselines, letter_entropy, part_text, xz_bits_per_char
from sonho.evaluation.evaluate import evaluate, evaluate_ngram, evaluate_stepper, ngram_of
from sonho.evaluation.kneser_ney import fit, fit_orders, fit_part
from sonho.evaluation.metrics import Report, Tally
from sonho.evaluation.ngram_model import NgramModel
from sonho.evaluation.novelty import Novelty, novelty
from sonho.evaluation.protocol import Block, scoring_blocks
from sonho.evaluation.score import Alternative, LineScore, Scorer, TokenScore, worst_first

__all__ = [
    "Alternative",
    "Baseline",
    "Block",
    "LineScore",
    "NgramModel",
    "Novelty",
    "Report",
    "Scorer",
    "Tally",
    "TokenScore",
    "baselines",
    "evaluate",
    "evaluate_ngram",
    "evaluate_stepper",
    "fit",
    "fit_orders",
    "fit_part",
    "letter_entropy",
    "ngram_of",
    "novelty",
    "part_text",
    "scoring_blocks",
    "worst_first",
    "xz_bits_per_char",
]
