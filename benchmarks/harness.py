"""lm-evaluation-harness itself against `sonho serve`: its likelihoods must be those of `sonho score`.

    make harness MODEL=runs/demo TEXT=examples/data/tinyshakespeare.txt

Runs in an environment with lm_eval; `sonho` is called as a program.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

PIECES, CONTEXT, CONTINUATION = 40, 60, 40
MOST_DIFFERENCE = 1e-4  # nats


def pairs(text: str) -> list[tuple[str, str]]:
    """Contexts and continuations, spread over the text. The harness moves a space between them, so there is none."""
    found = []
    for i in range(PIECES):
        start = i * (len(text) - CONTEXT - CONTINUATION) // PIECES
        context = text[start : start + CONTEXT].rstrip()
        found.append((context, text[start + len(context) : start + len(context) + CONTINUATION]))
    return [(context, continuation) for context, continuation in found if context]


def scored(sonho: str, model: str, context: str, continuation: str) -> float:
    """The log-probability in nats that `sonho score` gives."""
    command = [sonho, "score", model, "--tokens", "--json"]
    lines = subprocess.run(command, input=context + continuation, capture_output=True, text=True, check=True).stdout
    bits: list[float] = [json.loads(line)["bits"] for line in lines.splitlines()]
    return -sum(bits[-len(continuation) :]) * math.log(2)


def main() -> None:
    sonho, model, text = sys.argv[1:]
    with open(text, encoding="utf-8") as file:
        asked = pairs(file.read())
    command = [sonho, "serve", "--model", f"m={model}", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r":(\d+)\s*$", server.stderr.readline())
        if found is None:
            raise SystemExit("the server did not start")
        base = f"http://127.0.0.1:{found[1]}/v1/completions"
        harness = LocalCompletionsAPI(model="m", base_url=base, tokenizer_backend="remote", batch_size=16)
        answers = harness.loglikelihood([Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)])
    finally:
        server.terminate()
        server.wait()
    differences = [
        abs(likelihood - scored(sonho, model, *pair)) for (likelihood, _), pair in zip(answers, asked, strict=True)
    ]
    print(f"{len(asked)} continuations: at most {max(differences):.2g} nats between the harness and `sonho score`")
    if not max(differences) <= MOST_DIFFERENCE:
        raise SystemExit("they differ")


if __name__ == "__main__":
    main()
