"""How fast should a model learn from what it reads? The adaptive loss of saved models, by the rate of a step.

    python benchmarks/experiments/adapting.py MODEL TEXT [--rates ...] [--tokens 40000] [--threads 1]

MODEL is a model file or a run folder, TEXT a file that it has not learned from. docs/log.md, 46.
"""

from __future__ import annotations

import argparse

import torch

from sonho.config import DataConfig
from sonho.data.corpus import encode_for_evaluation
from sonho.evaluation.evaluate import evaluate
from sonho.storage.model_file import load_model_file
from sonho.training.adapt import Adaptation, AdaptiveStepper, read

RATES = (3.5e-4, 5e-4, 7e-4, 1e-3, 1.4e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--tokens", type=int, default=40_000, help="of the text's beginning")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model_file = load_model_file(arguments.model)
    part = encode_for_evaluation([arguments.text], model_file.tokenizer, DataConfig())
    model = model_file.model
    print(f"{model.cell} {model.hidden_size}: frozen {evaluate(model_file, part, limit=arguments.tokens).loss:.4f}")
    for rate in arguments.rates:
        stepper = AdaptiveStepper(model_file, Adaptation(rate=rate))
        report = read(stepper, model_file.tokenizer, part, limit=arguments.tokens)
        print(f"{rate:g}: {report.loss:.4f} nats a token", flush=True)


if __name__ == "__main__":
    main()
