"""The sides that use Keras: training, and an epoch and generating as the course notebooks do. See workers.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from workers import Case, SkipCase, Work, serve

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
WARM_UP_STEPS = 3
# Symbols of a notebook's text, which then begins again.
NOTEBOOK_LENGTH = 100


def prepare(case: Case) -> Work:
    keras.utils.set_random_seed(0)
    return {"generate": generating, "train": training, "titles": epoch_of_titles}[case["work"]](case)


def training(case: Case) -> Work:
    """train_on_batch, which Keras compiles as one program. The state starts at zero, gradients are not clipped."""
    if case["optimizer"] != "adamw":
        raise SkipCase(f"Keras has no {case['optimizer']}")
    vocab_size, shape = case["vocab_size"], (case["batch_size"], case["window"])
    network = keras.Sequential(
        [
            keras.layers.Embedding(vocab_size, case["embedding_dim"]),
            *(LAYERS[case["cell"]](case["hidden_size"], return_sequences=True) for _ in range(case["layers"])),
            keras.layers.Dense(vocab_size, activation="softmax"),
        ]
    )
    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
    inputs, targets = np.random.default_rng(0).integers(0, vocab_size, (2, *shape))

    def step() -> dict[str, float]:
        network.train_on_batch(inputs, targets)
        return {"count": inputs.size}

    for _ in range(WARM_UP_STEPS):
        step()
    return step


def epoch_of_titles(case: Case) -> Work:
    """One pass of `fit` over the lines of a file, as the notebook has it: one-hot, each batch padded to its longest."""
    lines = Path(case["titles"]).read_text(encoding="utf-8").splitlines()
    ids = {symbol: number for number, symbol in enumerate(["\n", *sorted(set("".join(lines)))])}
    titles = [np.array([ids[symbol] for symbol in f"\n{line}\n"]) for line in lines]
    batch_size, symbols = case["batch_size"], np.eye(len(ids), dtype=np.float32)
    network = keras.Sequential(
        [
            keras.Input((None, len(ids))),
            keras.layers.LSTM(case["hidden_size"], return_sequences=True),
            keras.layers.Dense(len(ids), activation="softmax"),
        ]
    )
    network.compile(optimizer=keras.optimizers.RMSprop(), loss="categorical_crossentropy")

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(titles), batch_size):
            some = titles[begin : begin + batch_size]
            padded = np.zeros((len(some), max(map(len, some))), np.int64)
            for row, title in zip(padded, some, strict=True):
                row[: len(title)] = title
            yield symbols[padded[:, :-1]], symbols[padded[:, 1:]]

    def epoch() -> dict[str, float]:
        network.fit(batches(), steps_per_epoch=-(-len(titles) // batch_size), verbose=0)
        return {"count": sum(len(title) - 1 for title in titles)}

    return epoch


def generating(case: Case) -> Work:
    """The whole text so far through `predict` for each character, one-hot.

    On JAX it is filled up to its full length: at its own, JAX would compile a program for each character.
    """
    vocab_size, filled = case["vocab_size"], keras.backend.backend() == "jax"
    network = keras.Sequential(
        [
            keras.Input((NOTEBOOK_LENGTH if filled else None, vocab_size)),
            *(LAYERS[case["cell"]](case["hidden_size"], return_sequences=True) for _ in range(case["layers"] - 1)),
            LAYERS[case["cell"]](case["hidden_size"]),
            keras.layers.Dense(vocab_size, activation="softmax"),
        ]
    )
    symbols, rng = np.eye(vocab_size, dtype=np.float32), np.random.default_rng(0)
    text = [1]

    def character() -> dict[str, float]:
        seen = [1] * (NOTEBOOK_LENGTH - len(text)) + text if filled else text
        shares = network.predict(symbols[seen][None], verbose=0)[0].astype(np.float64)
        logits = np.log(shares) / case["temperature"]
        shares = np.exp(logits - logits.max())
        text.append(int(rng.choice(vocab_size, p=shares / shares.sum())))
        if len(text) > NOTEBOOK_LENGTH:
            del text[1:]
        return {"count": 1}

    character()
    return character


if __name__ == "__main__":
    serve(prepare)
