"""sonho trains small recurrent networks on your own text and generates, scores and measures.

    load(path)                 a model: .generate, .stream; of other tasks .predict, .translate or .caption
    predict(path, texts)       labels of texts, or texts restored
    translate(path, texts)     their translations
    caption(path, pictures)    what is said of them
    generate(path, prompt)     text from a model file or run folder
    stream_generate(path, prompt)   the same, piece by piece
    train(paths, output)       from text to a run folder (needs sonho[train])
    evaluate(path, texts)      bits per character on held-out text
    score(path, text)          the surprise of every token
    adapt(path, texts, output) the model, with the style of other texts

Each is loaded when first used: `import sonho` is quick and brings no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sonho.api import adapt, caption, evaluate, generate, load, predict, score, stream_generate, train, translate

__all__ = [
    "__version__",
    "adapt",
    "caption",
    "evaluate",
    "generate",
    "load",
    "predict",
    "score",
    "stream_generate",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("sonho.api"), name)
    raise AttributeError(f"module 'sonho' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
