"""The sides that use torch's own layers: training, and generating with nn.LSTM or nn.LSTMCell. See workers.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torch_step import Optimizer, adamw, cross_entropy, training_work
from workers import Case, SkipCase, Work, serve

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
ALL_THREADS = torch.get_num_threads()
# Characters that a text has in one unit of work.
TEXT = 20


class Network(nn.Module):
    """Embedding, recurrent layers and output layer, a window at a time: tokens (N, T) to logits (N, T, V)."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        size, inputs, vocab_size = case["hidden_size"], case["embedding_dim"], case["vocab_size"]
        self.embedding = nn.Embedding(vocab_size, inputs)
        self.layers = LAYERS[case["cell"]](inputs, size, case["layers"], batch_first=True)
        self.output = nn.Linear(size, vocab_size)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = self.layers(self.embedding(tokens), state)
        return self.output(hidden), state


class CellNetwork(nn.Module):
    """The same from cells, a symbol at a time: tokens (N, 1) to logits (N, 1, V)."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        size, inputs, vocab_size = case["hidden_size"], case["embedding_dim"], case["vocab_size"]
        self.embedding = nn.Embedding(vocab_size, inputs)
        sizes = [inputs] + [size] * (case["layers"] - 1)
        self.cells = nn.ModuleList(CELLS[case["cell"]](each, size) for each in sizes)
        self.output = nn.Linear(size, vocab_size)

    def forward(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden = self.embedding(tokens[:, 0])  # (N, D)
        new = []
        for cell, old in zip(self.cells, state or [None] * len(self.cells), strict=True):
            new.append(cell(hidden, old))
            hidden = new[-1][0] if isinstance(new[-1], tuple) else new[-1]
        return self.output(hidden)[:, None], new


def prepare(case: Case) -> Work:
    torch.manual_seed(0)
    torch.set_num_threads(case["threads"] or ALL_THREADS)
    return generating(case) if case["work"] == "generate" else training(case)


def training(case: Case) -> Work:
    network = Network(case)
    optimizers = muon(network, case) if case["optimizer"] == "muon" else adamw(network)
    shape = case["batch_size"], case["window"]
    return training_work(network, cross_entropy(network), optimizers, None, detach, shape, case["vocab_size"])


def muon(network: Network, case: Case) -> list[Optimizer]:
    """sonho's optimisers on torch's layers: Muon for the layers' matrices, AdamW for the rest."""
    try:
        from sonho.config import TrainingConfig
        from sonho.training.optimizers import DEFAULT_RATES, Muon
    except ImportError as error:
        raise SkipCase(str(error)) from None
    config, rate = TrainingConfig(), DEFAULT_RATES["muon"]
    matrices = [parameter for parameter in network.layers.parameters() if parameter.dim() > 1]
    taken = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in taken]
    return [
        Muon([{"params": matrices}], rate, config.momentum, config.weight_decay),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), fused=True),
    ]


def detach(state: Any) -> Any:
    return tuple(tensor.detach() for tensor in state) if isinstance(state, tuple) else state.detach()


def generating(case: Case) -> Work:
    """The usual loop: one step, softmax at a temperature, one draw for each row, the state carried."""
    network = CellNetwork(case) if case["style"] == "cell" else Network(case)
    network.eval()
    tokens = torch.ones(case["batch_size"], 1, dtype=torch.long)
    state: Any = None

    @torch.inference_mode()
    def text() -> dict[str, float]:
        nonlocal tokens, state
        for _ in range(TEXT):
            logits, state = network(tokens, state)
            tokens = torch.multinomial(torch.softmax(logits[:, -1] / case["temperature"], dim=-1), 1)
            tokens.tolist()  # the symbols are wanted now, as text
        return {"count": TEXT * case["batch_size"]}

    text()
    return text


if __name__ == "__main__":
    serve(prepare)
