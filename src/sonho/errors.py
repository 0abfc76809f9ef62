"""Everything that sonho raises on purpose.

    SonhoError                    70  a fault of ours, or the root of the tree
    ├── UsageError                 2  an option, a setting or a combination that cannot work
    ├── DataError                 65  the input was found but cannot be used
    │   └── ModelFileError        65  a model file or checkpoint that is damaged, altered or foreign
    ├── InputNotFoundError        66  no such file or folder
    └── StorageError              74  the disk said no

The number is the exit code of the command line. A message is one line:
what is wrong, which value, what to do.
"""

from __future__ import annotations


class SonhoError(Exception):
    """Root of every error that sonho raises on purpose."""

    exit_code = 70


class UsageError(SonhoError, ValueError):
    """An option, a setting or a combination of them that cannot work."""

    exit_code = 2


class DataError(SonhoError, ValueError):
    """An input that was found but cannot be used."""

    exit_code = 65


class ModelFileError(DataError):
    """A model file or checkpoint that is damaged, altered or not ours."""


class InputNotFoundError(SonhoError, FileNotFoundError):
    """A file or folder that is not there."""

    exit_code = 66


class StorageError(SonhoError, OSError):
    """A write that the disk refused."""

    exit_code = 74
