"""The coefficients of Muon's Newton-Schulz steps: what brings singular values from LEAST..1 nearest to 1?

    python benchmarks/experiments/newton_schulz.py LEAST STEPS

Each step's odd polynomial of degree five is the best for the range in which the step before left the values, which is
the best that a chain of them can do (Amsel, Persson, Musco and Gower 2025). Found by Remez exchange.
"""

from __future__ import annotations

import sys

import numpy as np


def best_polynomial(low: float, high: float) -> tuple[np.ndarray, float]:
    """a, b, c of a x + b x^3 + c x^5 nearest to 1 on [low, high], and how far it goes from it."""
    grid = np.sort(np.concatenate([np.geomspace(low, high, 4000), np.linspace(low, high, 4000)]))
    points = low + (high - low) * np.array([0.0, 0.3, 0.8, 1.0])
    for _ in range(60):
        system = np.stack([points, points**3, points**5, [1.0, -1.0, 1.0, -1.0]], axis=1)
        a, b, c, _ = np.linalg.solve(system, np.ones(4))
        error = 1 - (a * grid + b * grid**3 + c * grid**5)
        runs = np.split(np.arange(len(grid)), np.flatnonzero(np.diff(np.sign(error))) + 1)
        points = np.array([grid[run[np.argmax(np.abs(error[run]))]] for run in runs])
    return np.array([a, b, c]), float(np.abs(error).max())


def main() -> None:
    low, high = float(sys.argv[1]), 1.0
    for _ in range(int(sys.argv[2])):
        coefficients, distance = best_polynomial(low, high)
        low, high = 1 - distance, 1 + distance
        print(coefficients.round(4).tolist(), f"leaves {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
