"""What the tests of this room share."""

import pytest


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are joined to blocks of a million characters: leave the chunks as they are instead."""
    monkeypatch.setattr("sonho.text.steps.in_blocks", lambda chunks: (chunk for chunk in chunks if chunk))
