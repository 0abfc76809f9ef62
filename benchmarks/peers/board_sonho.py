"""The board's side that runs `sonho train`, scores its model file in both protocols and lets it write.

Settings: "arguments" are further ones of `sonho train`; "clock": false leaves --minutes out, for what ends by itself;
"adapt": true scores once more, learning from each character after it was scored. What this process needs beyond the
standard library is loaded after the training, so that the seconds are those of the command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from board.peer import TEMPERATURE, Job, Trained, serve
from board.scoring import Bounds, Carry, carried, cold_bounds, record_bounds, stream_bounds

if TYPE_CHECKING:
    import numpy as np

    from sonho.data.parts import Part


class SonhoRun:
    """A run folder, whose model is the best by the validation part."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        from sonho.decoding.model import Model
        from sonho.storage.model_file import count_parameters, load_model_file

        self.model_file = load_model_file(folder)
        self.model = Model(self.model_file)
        self.adapt = bool(settings.get("adapt"))
        counted = self.model_file.model.cell == "ngram"  # has counts, no parameters
        self.parameters = 0 if counted else count_parameters(self.model_file)

    def score(self, test: str, kind: str) -> dict[str, float | None]:
        part, ids = self._read(test)
        if self.model_file.data_kind == "records":
            end = self.model_file.tokenizer.eos_id
            bounds = {"stream": record_bounds(ids, end), "cold": record_bounds(ids, end, window=256)}
        else:
            bounds = {"stream": stream_bounds(ids), "cold": cold_bounds(ids)}
        nats = self._counted if self.model_file.model.cell == "ngram" else self._carried
        scores: dict[str, float | None] = {protocol: nats(ids, each) for protocol, each in bounds.items()}
        return scores | ({"adaptive": self._adaptive(part)} if self.adapt else {})

    def write(self, prompt: str, length: int, seed: int) -> str:
        if self.model_file.data_kind != "records":
            return self.model.generate(prompt, max_tokens=length, temperature=TEMPERATURE, seed=seed).text
        written = ""
        while len(written) < length:
            seed += 1
            written += self.model.generate(prompt, max_tokens=length, temperature=TEMPERATURE, seed=seed).text + "\n"
        return written

    def _read(self, test: str) -> tuple[Part, np.ndarray]:
        """The test part, and its ids (L,) with the end of a record in front of the first."""
        import numpy as np

        from sonho.api import stored_data_settings
        from sonho.config import build_config
        from sonho.data.corpus import encode_for_evaluation

        config = build_config({"data": stored_data_settings(self.model_file)}).data
        part = encode_for_evaluation([test], self.model_file.tokenizer, config)
        ids = part.tokens.read(0, len(part.tokens)).astype(np.int64)
        if part.offsets is not None:
            ids = np.insert(ids, 0, self.model_file.tokenizer.eos_id)
        return part, ids

    def _carried(self, ids: np.ndarray, bounds: Bounds) -> float:
        from sonho.decoding.stepper import build_stepper

        stepper = build_stepper(self.model_file)

        def carry(inputs: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
            return stepper.forward(inputs, stepper.initial_state(len(inputs)) if state is None else state)

        forward: Carry = carry
        return carried(forward, ids, bounds)

    def _counted(self, ids: np.ndarray, bounds: Bounds) -> float:
        from sonho.evaluation.evaluate import ngram_of

        model = ngram_of(self.model_file)
        total = sum(-float(model.log_probs(ids[start - 1 : stop]).sum()) for start, stop in bounds)
        return total / sum(stop - start for start, stop in bounds)

    def _adaptive(self, part: Part) -> float:
        from sonho.training.adapt import AdaptiveStepper, adaptive_with_prior, read

        stepper = adaptive_with_prior(self.model_file) if self.model_file.prior else AdaptiveStepper(self.model_file)
        return read(stepper, self.model_file.tokenizer, part).loss


def train(job: Job) -> Trained:
    folder = Path(tempfile.mkdtemp()) / "run"
    command = [sys.executable, "-m", "sonho", "train", job.fit, "-o", str(folder), "--json", "--seed", str(job.seed)]
    command += ["--kind", "records"] if job.kind == "records" else []
    if job.settings.get("clock", True):
        command += ["--minutes", f"{job.seconds / 60:.6f}"]
    else:
        command += ["--validation", str(job.share)]  # what a run by the clock holds out of its own accord
    command += job.settings.get("arguments", [])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "validation_loss" in told:
                job.note(told["validation_loss"])
    if process.returncode:
        raise SystemExit(f"sonho train ended with {process.returncode}")
    job.seconds_used = job.elapsed()
    return SonhoRun(folder, job.settings)


if __name__ == "__main__":
    serve(train)
