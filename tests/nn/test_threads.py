"""Where the kernels' helper threads may run."""

import os
import sys

import pytest
import torch

from sonho.native import library
from sonho.training.optimizers import Muon

pytestmark = pytest.mark.skipif(not library.available(), reason="the kernels were not built")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a thread's cores")
def test_a_helper_may_run_on_every_core_but_that_of_its_caller(monkeypatch):
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one core is all there is")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    parameter = torch.nn.Parameter(torch.ones(640, 160))
    parameter.grad = torch.ones(640, 160)
    Muon([{"params": [parameter]}], 0.1, 0.9, 0.0).step()
    others = [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]
    assert any(cores < allowed and len(cores) == len(allowed) - 1 for cores in others)
    assert os.sched_getaffinity(0) == allowed
