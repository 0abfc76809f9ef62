import sys
from pathlib import Path

import pytest

# The benchmarks are scripts, not a package: they find each other as they do when they are run.
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))

CORPORA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def corpora() -> Path:
    if not CORPORA.is_dir():
        pytest.skip("corpora folder ../shared/data is absent")
    return CORPORA
