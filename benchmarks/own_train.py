"""The side that trains with sonho, at sonho's own settings. Told what to do by a driver; see workers.py."""

from __future__ import annotations

import sonho.training  # noqa: F401 - says how OpenMP waits, before torch is loaded

# isort: split
import torch

from sonho.config import TrainingConfig, build_config
from sonho.models.direct import DirectGradients
from sonho.models.language_model import LanguageModel
from sonho.nn.precision import products_in, resolve_precision
from sonho.training.adamw import AdamW
from sonho.training.elementwise import Clipping
from sonho.training.optimizers import make_optimizers
from sonho.training.plan import plan
from torch_step import WARM_UP_STEPS
from workers import Case, Work, serve

ALL_THREADS = torch.get_num_threads()


def prepare(case: Case) -> Work:
    """`threads` 0 is sonho's choice; without `embedding_dim` the plan chooses the input layer.

    `precision` is that of the products, "auto" where there is none.
    """
    precision = resolve_precision(case.get("precision", "auto"))
    torch.set_num_threads(case["threads"] or ALL_THREADS)
    torch.manual_seed(0)
    settings = {"cell": case["cell"], "hidden_size": case["hidden_size"], "num_layers": case["layers"], "dropout": 0.0}
    if "embedding_dim" in case:
        settings["embedding_dim"] = case["embedding_dim"]
    given = {f"model.{name}" for name in settings}
    config = plan(build_config({"model": settings}), given, symbols=1_000_000, vocab_size=case["vocab_size"]).config
    model = LanguageModel(config.model, case["vocab_size"], masked_ids=())
    direct, clipping = DirectGradients(model), Clipping(model)
    if case["optimizer"] == "muon":
        optimizers = make_optimizers(model, TrainingConfig())
    else:  # with the numbers of torch_step.adamw
        groups = [{"params": model.parameters(), "weight_decay": 0.01}]
        optimizers = [AdamW(groups, lr=1e-3, betas=(0.9, 0.999))]
    shape = case["batch_size"], case["window"]
    inputs, targets = torch.randint(0, case["vocab_size"], (2, *shape))
    state = model.initial_state(shape[0])

    def step() -> dict[str, float]:
        """As the trainer does it (training/trainer.py), but for its average of the weights, which no peer has."""
        nonlocal state
        with products_in(precision):
            _, state = direct(inputs, targets, state)
            clipping.clip(1.0)
            for optimizer in optimizers:
                optimizer.step()
        return {"count": inputs.numel()}

    for _ in range(WARM_UP_STEPS):
        step()
    return step


if __name__ == "__main__":
    serve(prepare)
