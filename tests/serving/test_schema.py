"""Whatever fits the schema, and what nearly does, is answered without a fault."""

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.serving.conftest import FILES, Live

schemathesis = pytest.importorskip("schemathesis")


@schemathesis.pytest.from_fixture("schema") if hasattr(schemathesis, "pytest") else None
def _unused() -> None: ...
