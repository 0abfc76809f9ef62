"""Small models with random weights. All sizes differ, so that swapped axes fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sonho.config import DataConfig, ModelConfig
from sonho.decoding import Model
from sonho.native import library
from sonho.storage.blocks import have_blocks, join_blocks, split_blocks
from sonho.storage.model_file import ModelFile
from sonho.storage.shapes import GATES, expected_shapes
from sonho.text import fit_tokenizer

SYMBOLS = "abcdefgh \nXY"


@pytest.fixture
def make_file() -> Callable[..., ModelFile]:
    """make_file(cell="gru", hidden_size=7, symbols="abc", data_kind="records", window=0, seed=1, networks=1, ...)"""

    def make(
        *, symbols: str = SYMBOLS, level: str = "char", data_kind: str = "stream", window: int = 0,
        seed: int = 1, scale: float = 0.6, data: dict[str, Any] | None = None, networks: int = 1, **config: Any,
    ) -> ModelFile:  # fmt: skip
        tokenizer = fit_tokenizer([symbols], DataConfig(level=level, **(data or {})))
        model = ModelConfig(**{"hidden_size": 7, **config})
        rng = np.random.default_rng(seed)
        arrays = {
            name: (rng.standard_normal(shape) * scale).astype(np.float32)
            for name, shape in expected_shapes(model, tokenizer.vocab_size).items()
        }
        for name in have_blocks(model) if networks > 1 else []:  # nothing between the networks
            gates = GATES[model.cell]
            arrays[name] = join_blocks(split_blocks(arrays[name], gates, networks), gates)
        return ModelFile(model, tokenizer, data_kind, arrays, window)

    return make


@pytest.fixture
def make_model(make_file: Callable[..., ModelFile]) -> Callable[..., Model]:
    return lambda **options: Model(make_file(**options))


@pytest.fixture(params=["native", "library"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with libsonho and with the NumPy twins."""
    if request.param == "native" and not library.available():
        pytest.skip("the kernels were not built")
    monkeypatch.setenv("SONHO_ENGINE", request.param)
    return str(request.param)
