"""The side that trains with sonho, at sonho's own settings. Told what to do by a driver; see workers.py."""

from __future__ import annotations

import sonho.training  # noqa: F401 - says how OpenMP waits, before torch is loaded

# isort: split
import torch

from sonho.config import TrainingConfig, build_config
from sonho.models.language_model import LanguageModel, detach
from sonho.training.optimizers import make_optimizers
from sonho.training.plan import plan
from torch_step import adamw, training_work
from workers import Case, Work, serve

ALL_THREADS = torch.get_num_threads()


def prepare(case: Case) -> Work:
    """`threads` 0 is sonho's choice; without `embedding_dim` the plan chooses the input layer."""
    torch.set_num_threads(case["threads"] or ALL_THREADS)
    torch.manual_seed(0)
    settings = {"cell": case["cell"], "hidden_size": case["hidden_size"], "num_layers": case["layers"], "dropout": 0.0}
    if "embedding_dim" in case:
        settings["embedding_dim"] = case["embedding_dim"]
    given = {f"model.{name}" for name in settings}
    config = plan(build_config({"model": settings}), given, symbols=1_000_000, vocab_size=case["vocab_size"]).config
    model = LanguageModel(config.model, case["vocab_size"], masked_ids=())
    muon = case["optimizer"] == "muon"
    optimizers = make_optimizers(model, TrainingConfig()) if muon else adamw(model)
    shape = case["batch_size"], case["window"]
    state = model.initial_state(shape[0])
    return training_work(model, model.loss, optimizers, state, detach, shape, case["vocab_size"])


if __name__ == "__main__":
    serve(prepare)
