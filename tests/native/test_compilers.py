"""The kernels are clean C++17 for every compiler that is here: what one lets through, another refuses."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from sonho.native import library
from tests.instruction_sets import isa_at_start

SOURCES = Path(__file__).parents[2] / "src" / "sonho" / "native"
COMPILERS = ("g++", "clang++")
NAMES = [f"-D{name}={name.lower()}_here" for name in ("KERNELS", "TABLE", "LOSS", "MUON", "STEPS", "UPDATES")]
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma"]
WIDTHS = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64"):
    WIDTHS |= {"avx512": AVX512, "bfloat16": [*AVX512, "-mavx512bf16", "-DBFLOAT16_PRODUCTS"]}


@pytest.mark.parametrize("width", list(WIDTHS))
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_file_has_an_error_or_a_warning(compiler, width):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not here")
    if width == "bfloat16" and not knows_shuffles(compiler):
        pytest.skip(f"this {compiler} is older than the kernels of bfloat16, which are left out then")
    files = sorted(SOURCES.glob("*.cpp" if width == "baseline" else "*kernels.cpp"))
    command = [compiler, "-std=c++17", "-pedantic-errors", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run([*command, *NAMES, *WIDTHS[width], *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_processor_with_products_of_bfloat16_is_seen():
    """Without this the tests of bfloat16 would be skipped where the build had left it out."""
    processor = Path("/proc/cpuinfo")
    if not processor.exists() or "avx512_bf16" not in processor.read_text() or not knows_shuffles("c++"):
        pytest.skip("the processor has no products of bfloat16, or the compiler is older than they are")
    if isa_at_start() != library.isas()[0]:
        pytest.skip("SONHO_ISA asks for fewer instructions than the processor has")
    assert library.has_bfloat16()


def knows_shuffles(compiler):
    text = "#if !__has_builtin(__builtin_shufflevector)\n#error\n#endif\n"
    command = [compiler, "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).returncode == 0
