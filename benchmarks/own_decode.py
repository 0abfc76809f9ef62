"""The side that generates with sonho, through its public doors only. Told what to do by a driver; see workers.py."""

from __future__ import annotations

import time

import numpy as np

import sonho
from workers import Case, SkipCase, Work, serve

PROMPT = "Today "
# A text takes about so long, so that a turn holds whole texts; its start is then a small part of it.
TEXT_SECONDS = 0.2
FEWEST_TOKENS, MOST_TOKENS = 20, 1000


def prepare(case: Case) -> Work:
    """`weights` as in `sonho.load`; `style` is text, or stream for the time to the first and between the pieces."""
    try:
        model = sonho.load(case["path"], **({"weights": case["weights"]} if case["weights"] else {}))
    except TypeError:
        raise SkipCase(f"this sonho has no {case['weights']} weights") from None
    options = {"temperature": case["temperature"], "seed": 1, "echo": False}

    def text(max_tokens: int) -> dict[str, float]:
        if case["batch_size"] == 1:
            return {"count": model.generate(PROMPT, max_tokens=max_tokens, **options).num_tokens}
        texts = model.generate(PROMPT, n=case["batch_size"], max_tokens=max_tokens, **options)
        return {"count": sum(one.num_tokens for one in texts)}

    def stream(max_tokens: int) -> dict[str, float]:
        times = [time.perf_counter()]
        for piece in model.stream(PROMPT, max_tokens=max_tokens, **options):
            if piece.text:
                times.append(time.perf_counter())
        gaps = np.diff(times) * 1e3
        later = gaps[1:] if len(gaps) > 1 else gaps
        told = {"pieces": len(gaps), "first_ms": gaps[0], "gap_p99_ms": float(np.percentile(later, 99))}
        return {"count": piece.num_tokens, **told}  # the last piece holds the number of tokens

    unit = stream if case["style"] == "stream" else text
    unit(FEWEST_TOKENS)  # tables and buffers are made once
    began = time.perf_counter()
    unit(FEWEST_TOKENS)
    fit = int(FEWEST_TOKENS * TEXT_SECONDS / (time.perf_counter() - began))
    max_tokens = min(max(fit, FEWEST_TOKENS), MOST_TOKENS)
    return lambda: unit(max_tokens)


if __name__ == "__main__":
    serve(prepare)
