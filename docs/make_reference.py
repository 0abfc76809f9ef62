"""Writes docs/reference from `--help` and from the settings, so that it cannot drift. `make docs` runs it."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import click

from sonho.cli.main import COMMANDS, sonho_command
from sonho.config import SECTIONS

REFERENCE = Path(__file__).parent / "reference"


def settings_page() -> str:
    """Every section of settings as a table: name, default, help."""
    lines = ["# Settings", "", "Written by `make docs` from `sonho/config.py`. Give one as `section.key=value` on the"]
    lines += ["command line, or in a recipe (TOML) under `[section]`.", ""]
    for name, section in SECTIONS.items():
        lines += [f"## {name}", "", str(section.__doc__), "", "| setting | default | meaning |", "|---|---|---|"]
        for described in dataclasses.fields(section):
            default = getattr(section(), described.name)
            meaning = described.metadata["help"].replace("|", "\\|")
            lines.append(f"| `{name}.{described.name}` | `{shown(default)}` | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def commands_page() -> str:
    """The help text of every command."""
    lines = ["# Commands", "", "Written by `make docs` from `--help`.", ""]
    for name in COMMANDS:
        with click.Context(sonho_command, info_name="sonho", help_option_names=["-h", "--help"]) as parent:
            command = sonho_command.get_command(parent, name)
            assert command is not None
        with click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100) as own:
            text = re.sub(r" +$", "", command.get_help(own), flags=re.M)
        lines += [f"## sonho {name}", "", "```text", text, "```", ""]
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    for code, meaning in (
        (0, "done"),
        (2, "wrong usage: an option or setting that cannot work"),
        (65, "the input was found but cannot be used; a damaged model file"),
        (66, "no such input"),
        (70, "a fault of sonho"),
        (74, "the disk refused"),
        (130, "stopped by Ctrl-C; a training was saved and can be resumed"),
    ):
        lines.append(f"| {code} | {meaning} |")
    return "\n".join([*lines, ""])


def shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


PAGES = {"settings.md": settings_page, "commands.md": commands_page}


def main() -> int:
    REFERENCE.mkdir(exist_ok=True)
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
