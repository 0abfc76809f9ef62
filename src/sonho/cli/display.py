"""What a person sees while a model learns: a live line on a terminal, plain lines elsewhere, or JSON.

Also where Ctrl-C is heard: the first stops cleanly after the current step, the second at once.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from sonho.training.callbacks import Callback

if TYPE_CHECKING:
    from sonho.training.trainer import Trainer

PLAIN_SECONDS = 10.0


class Display(Callback):
    """Writes nothing but what `say` is given; the base of the others, and the one that hears Ctrl-C."""

    def __init__(self) -> None:
        self._old: dict[int, Any] = {}

    def say(self, text: str) -> None:
        """A line about the data, the plan or the run."""

    def on_start(self, trainer: Trainer) -> None:
        def stop(number: int, frame: Any) -> None:
            # Nothing is printed here: the signal may have come in the middle of a print.
            trainer.stop_requested = True
            signal.signal(number, self._old.get(number) or signal.SIG_DFL)

        for number in (signal.SIGINT, signal.SIGTERM):
            # Handlers can be set only in the main thread; elsewhere the caller looks after interrupts.
            try:
                self._old[number] = signal.signal(number, stop)
            except ValueError:
                break

    def on_step(self, trainer: Trainer, loss: float) -> None:
        if trainer.stop_requested:
            self.say("Stopping after this step; once more stops at once")

    def on_message(self, trainer: Trainer, text: str) -> None:
        self.say(text)

    def on_end(self, trainer: Trainer) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)


class JsonDisplay(Display):
    """Every line of the metrics, samples and messages, as JSON on standard output."""

    def say(self, text: str) -> None:
        self._write({"message": text})

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        self._write(metrics)

    def on_sample(self, trainer: Trainer, sample: dict[str, Any]) -> None:
        self._write({"sample": sample})

    def _write(self, record: dict[str, Any]) -> None:
        print(json.dumps(record), flush=True)


class PlainDisplay(Display):
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0
        self._validation = math.nan

    def say(self, text: str) -> None:
        print(text, flush=True)

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        validated = "validation_loss" in metrics
        self._validation = metrics.get("validation_loss", math.nan if "network" in metrics else self._validation)
        if validated or time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self.say(status(trainer, metrics, self._validation))

    def on_sample(self, trainer: Trainer, sample: dict[str, Any]) -> None:
        self.say(f"  sample at {_drawn_at(sample)}: {visible(sample['text'])}")


class LiveDisplay(Display):
    """A bar, the figures and the last sample, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f} %"),
        )
        self._bar = self._progress.add_task("Learning", total=1.0)
        self._figures = Text("")
        self._sample = Panel(Text(""), title="sample", title_align="left", border_style="dim")
        self._validation = math.nan
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self.console.print(Text(text))

    def on_start(self, trainer: Trainer) -> None:
        super().on_start(trainer)
        self._live = Live(self._picture(), console=self.console, refresh_per_second=4, transient=True)
        self._live.start()

    def on_step(self, trainer: Trainer, loss: float) -> None:
        super().on_step(trainer, loss)
        self._progress.update(self._bar, completed=trainer.progress)

    def on_log(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        if "validation_loss" in metrics:
            self._validation = metrics["validation_loss"]
            self.console.print(Text(status(trainer, metrics, self._validation), style="dim"))
        if "network" in metrics:
            self._validation = math.nan  # it is the first one's
            self._progress.update(self._bar, description=f"Network {metrics['network']}")
        self._figures = Text(status(trainer, metrics, self._validation))
        self._update()

    def on_sample(self, trainer: Trainer, sample: dict[str, Any]) -> None:
        title = f"step {sample['step']}, temperature {_drawn_at(sample)}"
        self._sample = Panel(Text(sample["text"]), title=title, title_align="left", border_style="dim")
        self._update()

    def on_end(self, trainer: Trainer) -> None:
        super().on_end(trainer)
        if self._live is not None:
            self._live.stop()
            self.console.print(self._sample)

    def _picture(self) -> Group:
        return Group(self._progress, self._figures, self._sample)

    def _update(self) -> None:
        if self._live is not None:
            self._live.update(self._picture())


def _drawn_at(sample: dict[str, Any]) -> str:
    """The temperature of a sample, and its label if it has one."""
    return f"{sample['temperature']:g}" + (f", {sample['label']}" if "label" in sample else "")


def status(trainer: Trainer, metrics: dict[str, Any], validation: float) -> str:
    """One line of figures: loss is nats per token."""
    parts = [f"step {metrics['step']:,}", f"epoch {metrics['epoch']:.2f}"]
    if "network" in metrics:
        parts.insert(0, f"network {metrics['network']}")
    if "train_loss" in metrics:
        parts.append(f"train {metrics['train_loss']:.3f}")
    if not math.isnan(validation):
        parts.append(f"validation {validation:.3f} nats = {validation / math.log(2):.3f} bits")
    if "validation_bleu" in metrics:
        parts.append(f"BLEU {metrics['validation_bleu']:.2f}")
    if metrics["tokens_per_second"]:
        parts.append(f"{metrics['tokens_per_second'] / 1000:.1f} k tokens/s")
    left = trainer.budget.seconds_left(trainer.counters.step, trainer.counters.seconds)
    parts.append(f"{clock(left)} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75)
    '1:15'
    """
    if not math.isfinite(seconds):
        return "?"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def visible(text: str) -> str:
    """A text on one line: line breaks shown as a sign."""
    return text.replace("\n", "⏎")


def make_display(*, as_json: bool, quiet: bool) -> Display:
    """The display that fits where standard output goes."""
    if as_json:
        return JsonDisplay()
    if quiet:
        return Display()
    console = Console()
    if console.is_terminal and sys.stdout.isatty():
        return LiveDisplay(console)
    return PlainDisplay()
