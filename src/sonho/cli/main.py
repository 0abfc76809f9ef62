"""The `sonho` command: finds the sub-command, and turns every error into one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import importlib
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import sonho
from sonho.errors import SonhoError

# name -> sentence; the module of a command is loaded when it is called, so that each stays quick.
COMMANDS = {
    "train": "Train a model on a text or on a table of short texts.",
    "tune": "Search for better settings than the plan's, and write a recipe.",
    "generate": "Write text with a trained model.",
    "caption": "Say what is on a picture.",
    "predict": "Label texts with a classifier, or restore them with a tagger.",
    "translate": "Translate texts with a model that learned from pairs.",
    "evaluate": "Measure a model on held-out text, in bits per character, its labels, or BLEU.",
    "score": "Show how surprising a text is, line by line or token by token.",
    "serve": "Answer over HTTP, for OpenAI's clients and a page in the browser.",
    "adapt": "Let a model take on the style of a text, in seconds.",
    "inspect": "Show what is in a model file.",
    "chat": "Talk with a model that learned a conversation.",
    "render": "Turn tunes and sound that a model wrote into MIDI, WAV and pictures.",
    "molecules": "Count how many molecules are valid, different and new.",
    "novelty": "Find what a text has copied from the training text.",
    "prepare": "Tokenise a large text into memory-mapped shards.",
    "report": "Write how a training went as one HTML file.",
}
# A budget of minutes counts from here.
BEGAN = time.perf_counter()
# Commands whose module has another name.
MODULES = {"report": "report_page"}
BAD_USAGE, INTERRUPTED, FAULT, DISK = 2, 130, 70, 74


class LazyGroup(click.Group):
    """A group that imports the module of a sub-command only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "generate":
            # Its products are the kernels' own: threads that NumPy's library starts would only delay the first letter.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        module = importlib.import_module(f"sonho.cli.{MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as error:
            # The reader went away, as `| head` does; rich has turned that into an exit with 1, click would.
            if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
                raise
            # Nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sonho.__version__, message="sonho %(version)s")
def sonho_command() -> None:
    """Train small recurrent networks on your own text, and generate, score and measure.

    \b
    sonho train my.txt --minutes 3 -o runs/my
    sonho generate runs/my --prompt "Once" --temperature 0.8
    """


def run(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and leaves with its exit code."""
    _open_streams()
    # Imports make a hundred thousand objects that stay; to look for garbage among them costs a fifth of a start.
    gc.set_threshold(200_000, 20, 20)
    # Being told to end is an interrupt like Ctrl-C, also before a training listens to it.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = main(arguments)
    # All is said and saved: a late Ctrl-C must not turn that into a death by signal.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process with its exit code: at once, as Python would take a third of a second to take torch apart."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader went away
    except OSError as error:
        code = _fail(f"the disk refused: {error}", DISK)
    watched = sys.gettrace() or sys.getprofile()  # who does has something to write at the end
    if watched or any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every warning and error becomes one line on standard error, an error an exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _guarded(list(arguments) if arguments is not None else None)


def _open_streams() -> None:
    """Give a command streams that any text can be written to: closed ones swallow it, narrow ones show `?`."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _guarded(arguments: list[str] | None) -> int:
    try:
        returned = sonho_command.main(args=arguments, prog_name="sonho", standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return BAD_USAGE
    except click.ClickException as error:
        where = f"; see {error.ctx.command_path} --help" if getattr(error, "ctx", None) else ""  # type: ignore[attr-defined]
        return _fail(f"{_one_line(error.format_message()).rstrip('.')}{where}", BAD_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except SonhoError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = {"torch": "train", "tokenizers": "subword", "pyarrow": "parquet", "tensorboardX": "train"}
        extra["optuna"] = "tune"
        extra |= dict.fromkeys(("starlette", "uvicorn", "prometheus_client"), "serve")
        extra |= {"mido": "music", "PIL": "music", "rdkit": "chem"}
        if error.name in extra:
            return _fail(
                f"this needs {error.name}; install it with pip install 'sonho[{extra[error.name]}]'",
                BAD_USAGE,
            )
        return _fault(error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            return _fail(f"the disk refused: {error}", DISK)
        return _fault(error)
    except Exception as error:
        return _fault(error)


def _fault(error: BaseException) -> int:
    if os.environ.get("SONHO_DEBUG"):
        raise error
    name = type(error).__name__
    return _fail(f"a fault of sonho, please report it: {name}: {error} (SONHO_DEBUG=1 shows where)", FAULT)


def _fail(message: str, code: int) -> int:
    print(f"sonho: {_one_line(message)}", file=sys.stderr)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_warning(message: Warning | str, *details: Any, **more: Any) -> None:
    print(f"sonho: {_one_line(str(message))}", file=sys.stderr)
