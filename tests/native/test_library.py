import os
import subprocess
import sys

import numpy as np
import pytest

from sonho.errors import UsageError
from sonho.native import library

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


@pytest.fixture(params=["avx512", "avx2", "baseline"])
def isa(request):
    if request.param not in library.isas():
        pytest.skip(f"this machine has no {request.param}")
    library.select_isa(request.param)
    yield request.param
    library.select_isa(library.isas()[0])


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


@pytest.mark.parametrize(("rows", "m", "c"), [(1, 1, 1), (5, 13, 33), (300, 28, 7), (513, 30, 70)])
@pytest.mark.parametrize("threads", [1, 3])
def test_outer_sum_is_a_matrix_product(isa, rows, m, c, threads):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, m + 3)).astype(np.float32)
    b = rng.standard_normal((rows, c)).astype(np.float32)
    out = np.empty((m, c), dtype=np.float32)
    library.outer_sum(a.ctypes.data, m + 3, b.ctypes.data, rows, out.ctypes.data, (m, c), threads)
    np.testing.assert_allclose(out, a[:, :m].astype(np.float64).T @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("columns", [1, 31, 70])
def test_scatter_add_adds_each_row_where_its_id_points(isa, columns):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 40)
    rows = rng.standard_normal((40, columns + 2)).astype(np.float32)
    tables = []
    for threads in (1, 3):
        table = np.zeros((5, columns), dtype=np.float32)
        library.scatter_add(ids.ctypes.data, rows.ctypes.data, columns + 2, 40, table.ctypes.data, table.shape, threads)
        tables.append(table)
    expected = np.zeros((5, columns))
    np.add.at(expected, ids, rows[:, :columns])
    np.testing.assert_allclose(tables[0], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(*tables)


def test_an_id_outside_the_table_is_refused():
    ids, row = np.array([5]), np.zeros((1, 4), dtype=np.float32)
    table = np.zeros((5, 4), dtype=np.float32)
    with pytest.raises(UsageError, match="an id is not in the vocabulary"):
        library.scatter_add(ids.ctypes.data, row.ctypes.data, 4, 1, table.ctypes.data, table.shape, 1)


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
import os, numpy as np
from sonho.native import library
a = np.ones((600, 64), dtype=np.float32); out = np.empty((64, 64), dtype=np.float32)
def run(): library.outer_sum(a.ctypes.data, 64, a.ctypes.data, 600, out.ctypes.data, (64, 64), 2); return int(out.sum())
run()
pid = os.fork()
if pid == 0:
    print(run()); os._exit(0)
os.waitpid(pid, 0)
print(run())
"""
    assert in_new_process(code).split() == [str(600 * 64 * 64)] * 2
