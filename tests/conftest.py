"""What holds for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from sonho.native import library
from tests.instruction_sets import isa_at_start

# A busy machine must not make a right answer wrong.
settings.register_profile("sonho", deadline=None)
settings.load_profile("sonho")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora beside the repository; a user's clone has none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("corpora folder ../shared/data is absent")
    return folder


@pytest.fixture(params=["avx512", "avx2", "baseline"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test with the kernels of each instruction set that this machine has."""
    if request.param not in library.isas():
        pytest.skip(f"this machine has no {request.param}")
    library.select_isa(request.param)
    yield request.param
    library.select_isa(isa_at_start())
