"""Where the tests of this folder find real text."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpora() -> Path:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("corpora folder ../shared/data is absent")
    return folder


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are joined to blocks of a million characters: leave the chunks as they are instead."""
    monkeypatch.setattr("sonho.text.steps.in_blocks", lambda chunks: (chunk for chunk in chunks if chunk))
