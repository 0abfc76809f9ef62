import os
import subprocess
import sys

import numpy as np
import pytest

from sonho.errors import UsageError
from sonho.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


def apply(function, x):
    y = np.empty_like(x)
    function(x.ctypes.data, y.ctypes.data, x.size)
    return y


def test_sigmoid_is_within_two_parts_in_ten_million(isa):
    x = np.concatenate([np.linspace(-30, 30, 400_001), [-1e30, 1e30, -np.inf, np.inf, 0]]).astype(np.float32)
    exact = 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -700, 700)))
    assert np.abs(apply(library.sigmoid, x) - exact).max() < 2e-7


def test_tanh_is_within_four_parts_in_ten_million(isa):
    x = np.concatenate([np.linspace(-12, 12, 400_001), [-1e30, 1e30, -np.inf, np.inf, 0]]).astype(np.float32)
    assert np.abs(apply(library.tanh, x) - np.tanh(x.astype(np.float64))).max() < 4e-7


def test_sigmoid_and_tanh_let_a_nan_through(isa):
    x = np.full(3, np.nan, dtype=np.float32)
    for function in (library.sigmoid, library.tanh):
        assert np.isnan(apply(function, x)).all()


def test_the_tile_rate_is_a_number_of_billions(isa):
    assert 0.1 < library.tile_rate(1, 0.01) < 10_000
    assert library.tile_rate(2, 0.01) > 0.1


def test_an_unknown_instruction_set_is_refused():
    with pytest.raises(UsageError, match="SONHO_ISA='mmx' cannot run here; choose one of"):
        library.select_isa("mmx")


def in_new_process(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    return result.stdout + result.stderr


def test_the_binding_brings_no_torch():
    code = "import sys; from sonho.native import library; library.isas(); print('torch' in sys.modules)"
    assert in_new_process(code) == "False\n"


def test_without_a_library_the_fallback_is_used_and_one_warning_given():
    code = (
        "import pathlib, warnings; warnings.simplefilter('always');"
        "from sonho.native import library; library._find = lambda: None;"
        "print(library.engine_name(), library.engine_name())"
    )
    told = in_new_process(code)
    assert "library library" in told
    assert told.count("native kernels were not built") == 1


def test_sonho_isa_chooses_the_instruction_set():
    code = "from sonho.native import library; library.isas()"
    assert in_new_process(code, SONHO_ISA="baseline") == ""
    assert "SONHO_ISA='mmx' cannot run here" in in_new_process(code, SONHO_ISA="mmx")


def test_the_pool_works_again_after_fork():
    code = """
import os
from sonho.native import library
def run(): return library.tile_rate(2, 0.01) > 0
run()
pid = os.fork()
if pid == 0:
    print(run()); os._exit(0)
os.waitpid(pid, 0)
print(run())
"""
    assert in_new_process(code).split() == ["True"] * 2
