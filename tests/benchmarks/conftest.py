import sys
from pathlib import Path

# The benchmarks are scripts, not a package: they find each other as they do when they are run.
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
