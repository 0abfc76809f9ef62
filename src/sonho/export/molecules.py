"""How good generated molecules (SMILES) are: valid, different, new. By RDKit where it is installed.

The measures of MOSES (Polykovskiy et al. 2020): validity is the share of all that a chemist could draw; uniqueness
the share of different ones among the valid; novelty the share of these that the training text lacks. RDKit writes
each molecule in one canonical way before it is compared; without RDKit the strings are compared as they stand,
and nothing is known about validity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

Canonical = Callable[[str], str | None]


@dataclass(frozen=True)
class MoleculeReport:
    """`valid` and `validity` are None without RDKit; `novelty` is None without a training text."""

    total: int
    valid: int | None
    different: int
    new: int | None
    example: str = ""  # the first that is not valid

    @property
    def validity(self) -> float | None:
        return None if self.valid is None else _share(self.valid, self.total)

    @property
    def uniqueness(self) -> float:
        return _share(self.different, self.total if self.valid is None else self.valid)

    @property
    def novelty(self) -> float | None:
        return None if self.new is None else _share(self.new, self.different)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        shares = {"validity": self.validity, "uniqueness": self.uniqueness, "novelty": self.novelty}
        return {**asdict(self), **shares}


def report_on(molecules: Iterable[str], training: Iterable[str] | None, canonical: Canonical | None) -> MoleculeReport:
    """Count. `canonical` gives the one way to write a molecule, None for what is none; see `rdkit_canonical`."""
    write = canonical or str.strip
    total, valid, example = 0, 0, ""
    different: set[str] = set()
    for smiles in molecules:
        total += 1
        written = write(smiles.strip())
        if written:
            valid += 1
            different.add(written)
        else:
            example = example or smiles
    new = None
    if training is not None:
        # One pass that forgets what it has read: the training text may be large.
        new = len(different - {written for smiles in training if (written := write(smiles.strip())) in different})
    return MoleculeReport(total, valid if canonical else None, len(different), new, example)


def rdkit_canonical() -> Canonical | None:
    """RDKit's canonical SMILES; None where RDKit is not installed."""
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        return None
    rdBase.DisableLog("rdApp.*")  # a line for each molecule that is none

    def canonical(smiles: str) -> str | None:
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
        return Chem.MolToSmiles(molecule) if molecule is not None else None

    return canonical


def _share(count: int, total: int) -> float:
    return round(count / total, 4) if total else 0.0
