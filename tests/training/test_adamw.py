"""AdamW without torch.optim: the same numbers, and none of its imports."""

import subprocess
import sys

import torch

from sonho.training.adamw import AdamW

WITHOUT_THE_COMPILER = """
import sys
from pathlib import Path
from sonho.training.run import train
folder = Path(sys.argv[1])
text = folder / "text.txt"
text.write_text("a line of text, and another one;\\n" * 40)
train([str(text)], folder / "run", {"training": {"steps": 2, "threads": 1}, "model": {"hidden_size": 8}})
assert "torch._dynamo" not in sys.modules
"""


def test_its_steps_are_those_of_torch_bit_for_bit(monkeypatch):
    """Where the kernels are not used; tests/training/test_elementwise.py has those."""
    monkeypatch.setenv("SONHO_ENGINE", "library")
    torch.manual_seed(0)
    own, theirs = ([torch.nn.Parameter(torch.ones(3, 5)), torch.nn.Parameter(torch.ones(7))] for _ in range(2))
    groups = [[{"params": p[:1], "weight_decay": 0.1}, {"params": p[1:], "lr": 0.3}] for p in (own, theirs)]
    mine = AdamW(groups[0], lr=0.01, betas=(0.9, 0.99))
    reference = torch.optim.AdamW(groups[1], lr=0.01, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    for _ in range(4):
        for a, b in zip(own, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(own, theirs, strict=True))


def test_a_parameter_without_a_gradient_stays():
    parameter = torch.nn.Parameter(torch.ones(2))
    AdamW([{"params": [parameter]}], lr=0.1, betas=(0.9, 0.99)).step()
    assert parameter.tolist() == [1.0, 1.0]


def test_a_training_does_not_import_torchs_compiler(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_THE_COMPILER, str(tmp_path)], check=True, timeout=100)
