"""`model.prior=ngram`: counts of the text beside the network, and the gate that says how much either is to be trusted.

The gate is learned on held-out tokens that were not counted: it must see how the counts do on a text that is new to
them. Afterwards the held-out tokens are counted as well, because the end of a text is what resembles its
continuation most; nothing that was measured before changes by it.

Shapes: M predictions, V vocabulary, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sonho.config import Config
from sonho.data.corpus import Part
from sonho.decoding.prior import LEAST_NETWORK, MOST_WEIGHT, Prior
from sonho.decoding.state import Array
from sonho.decoding.stepper import build_stepper
from sonho.errors import UsageError
from sonho.evaluation.kneser_ney import read_end
from sonho.evaluation.prior_counts import MOST_BYTES_A_BYTE, MOST_TOKENS, count_prior, num_bytes
from sonho.evaluation.protocol import scoring_blocks
from sonho.storage.container import Arrays
from sonho.storage.model_file import ModelFile
from sonho.storage.prior import GATE_EXTRAS, unpack_prior
from sonho.text import Tokenizer, masked_ids

# Held-out tokens that the gate is learned on, and how many numbers they may become.
GATE_TOKENS, GATE_NUMBERS = 16_384, 2**24
GATE_STEPS = 25
# What a gate is before it is learned, and what keeps it there where there is little to learn from.
HALF, PULL = 0.5, 1e-4


def count_parts(parts: Sequence[Part], tokenizer: Tokenizer, masked: Sequence[int], order: int) -> Arrays:
    """The counts of parts that follow each other, of a long text of its end; the gate is half and half."""
    tokens, offsets = _read_ends(parts)
    arrays = count_prior(
        tokens,
        order,
        tokenizer.vocab_size,
        most_bytes=MOST_BYTES_A_BYTE * num_text_bytes(tokens, tokenizer),
        masked=masked,
        offsets=offsets,
    )
    arrays["gate"][:, :-GATE_EXTRAS] = HALF
    return arrays


def check_prior(config: Config) -> None:
    """Raise UsageError for a model beside which no prior can stand."""
    if config.model.prior == "none":
        return
    if config.model.task != "generate":
        raise UsageError(f"model.prior=ngram is for language models; leave it out of model.task={config.model.task}")
    if config.model.cell == "ngram":
        raise UsageError("model.cell=ngram is all counts; leave out model.prior")
    if config.model.task != "generate":
        raise UsageError(f"model.prior=ngram is for generated text; leave it out of --task {config.model.task}")
    if config.model.condition != "none":
        raise UsageError("model.prior=ngram counts text whatever its labels; leave it out, or model.condition")
    if config.data.objective == "last":
        raise UsageError("model.prior=ngram needs predictions of every position; leave out data.objective=last")


def prior_note(prior: Arrays, num_tokens: int) -> str:
    """What the counts of so many tokens hold and what they take, in one line."""
    sizes = prior["sizes"]
    what = f"The n-gram prior holds {int(sizes.sum()):,} grams of up to {len(sizes)} tokens"
    if num_tokens > MOST_TOKENS:
        what += f" of the last {MOST_TOKENS:,}"
    return f"{what} and takes {num_bytes(prior) / 1e6:.2f} MB of the model file"


def num_text_bytes(tokens: Array, tokenizer: Tokenizer) -> int:
    """Bytes in UTF-8 of the text of tokens (L,)."""
    return int(np.bincount(tokens, minlength=tokenizer.vocab_size) @ tokenizer.byte_counts())


def learn_gate(model_file: ModelFile, held_out: Part) -> Array:
    """The gate (2, F) float32 for the network and the counts of `model_file`, learned on tokens in neither."""
    network, features, ngram, targets = _examples(model_file, held_out)
    start = torch.zeros(2, features.shape[1])
    start[:, :-GATE_EXTRAS] = HALF
    gate = start.clone().requires_grad_()

    def loss() -> torch.Tensor:
        weights = features @ gate.T  # (M, 2)
        a, b = weights[:, :1].clamp(LEAST_NETWORK, MOST_WEIGHT), weights[:, 1:].clamp(0.0, MOST_WEIGHT)
        return F.cross_entropy(a * network + b * ngram, targets) + PULL * (gate - start).square().sum()

    optimizer = torch.optim.LBFGS([gate], max_iter=GATE_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the products are so small that threads would wait for each other more than work
    try:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    finally:
        torch.set_num_threads(threads)
    return gate.detach().numpy().astype(np.float32)


def _examples(model_file: ModelFile, held_out: Part) -> tuple[torch.Tensor, ...]:
    """Of each held-out position: log-probabilities of the network and of the counts (M, V), features (M, F), target."""
    tokenizer, kind = model_file.tokenizer, model_file.data_kind
    trie = unpack_prior(model_file.prior, tokenizer.vocab_size)
    masked = masked_ids(tokenizer, kind)
    prior, stepper = Prior(trie, masked), build_stepper(model_file, prior=False)
    open_ids = np.setdiff1d(np.arange(tokenizer.vocab_size), list(masked))
    limit = min(GATE_TOKENS, max(GATE_NUMBERS // tokenizer.vocab_size, 1))
    logits, features, ngram, targets = [], [], [], []
    for block in scoring_blocks(held_out, kind, 0, 1, tokenizer.eos_id, limit=limit):
        if block.fresh:
            state, last = stepper.initial_state(len(block.inputs)), np.zeros(len(block.inputs), np.int64)
        scored = block.targets >= 0
        predicted, state = stepper.forward(block.inputs, state)
        nodes = prior.advance(block.inputs, last)  # (N, T)
        last = nodes[:, -1]
        logits.append(predicted[scored][:, open_ids])
        targets.append(np.searchsorted(open_ids, block.targets[scored]))
        for node in nodes[scored].tolist():
            depth, top, log_gamma, log_probs = prior.features(node)
            features.append([*(float(depth == d) for d in range(trie.order)), top, log_gamma])
            ngram.append(log_probs[open_ids])
    network = torch.from_numpy(np.concatenate(logits)).log_softmax(-1)
    return network, torch.tensor(features), torch.from_numpy(np.stack(ngram)), torch.from_numpy(np.concatenate(targets))


def _read_ends(parts: Sequence[Part]) -> tuple[Array, Array | None]:
    """The tokens of parts that follow each other, of more than MOST_TOKENS the end, and the bounds of their records."""
    room, pieces, bounds = MOST_TOKENS, list[Array](), list[Array]()
    for part in reversed(parts):
        if room <= 0:
            break
        tokens, offsets = read_end(part, room)
        pieces.insert(0, tokens)
        if offsets is not None:
            bounds.insert(0, np.diff(offsets))
        room -= len(tokens)
    offsets = np.cumsum([0, *np.concatenate(bounds).tolist()]) if bounds else None
    return np.concatenate(pieces), offsets
