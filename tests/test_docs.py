"""The docs say what the program does."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

from sonho.cli.main import main

ROOT = Path(__file__).parent.parent


def reference():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "commands.md"])
def test_the_reference_pages_are_what_make_docs_writes(name):
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == reference().PAGES[name](), "run `make docs`"


def test_every_link_between_the_pages_leads_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def readme_commands():
    """The sonho commands in the README's shell blocks, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("sonho ")]


def test_the_commands_of_the_readme_work(tmp_path, monkeypatch, capsys):
    commands = readme_commands()
    assert len(commands) >= 5
    text = (ROOT / "examples" / "data" / "tinyshakespeare.txt").read_text()
    (tmp_path / "my.txt").write_text(text[:60_000])
    (tmp_path / "held-out.txt").write_text(text[60_000:70_000])
    shutil.copy(ROOT / "examples" / "data" / "names.txt", tmp_path / "names.txt")
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = shlex.split(command, comments=True)[1:]
        if arguments[0] == "train" and "--resume" not in arguments:
            # The same command, but shorter and smaller.
            for name in ("--minutes", "--epochs"):
                if name in arguments:
                    arguments[arguments.index(name) : arguments.index(name) + 2] = []
            arguments += ["--steps", "4", "model.hidden_size=16", "--threads", "1"]
        if "--resume" in arguments:
            place = arguments.index("--minutes")
            arguments[place : place + 2] = ["--steps", "6"]
        assert main(arguments) == 0, command
        capsys.readouterr()
