"""The side that generates with sonho, through its public doors only. Told what to do by a driver; see workers.py."""

from __future__ import annotations

import time

import numpy as np

import sonho
from workers import Case, SkipCase, Work, serve

PROMPT = "Today "
# For the first text, for which tables and buffers are made.
WARM_UP_TOKENS = 20


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
    unit(WARM_UP_TOKENS)
    return lambda: unit(case["max_tokens"])


if __name__ == "__main__":
    serve(prepare)
