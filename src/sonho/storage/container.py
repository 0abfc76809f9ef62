"""One safe file: named arrays and a JSON header in safetensors, sealed with a digest.

    safetensors metadata {"sonho": JSON}   JSON = {"kind", "version", "header", "sha256"}

The digest covers the header and every array's name, type, shape and bytes, so a file that was cut
short, altered or made by another program is refused. No pickle. The bytes depend on the content
alone: the same header and arrays give the same file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonho.errors import InputNotFoundError, ModelFileError, StorageError
from sonho.storage.durable import replace_file

Arrays = dict[str, NDArray[Any]]
FORMAT_VERSION = 1


def write_container(path: Path, kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write `header` and `arrays` durably. Raises StorageError."""
    from safetensors.numpy import save

    solid = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    sealed = {"kind": kind, "version": FORMAT_VERSION, "header": dict(header)}
    sealed["sha256"] = _digest(sealed, solid)
    metadata = json.dumps(sealed, ensure_ascii=False, sort_keys=True)
    # A lone surrogate cannot be UTF-8; JSON can say it with an escape.
    if any("\ud800" <= symbol <= "\udfff" for symbol in metadata):
        metadata = json.dumps(sealed, sort_keys=True)
    replace_file(path, save(solid, metadata={"sonho": metadata}))


def read_container(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Read a file written by `write_container` and check its seal.

    Raises InputNotFoundError, ModelFileError (damaged, altered, foreign, or another kind) or StorageError.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise ModelFileError(f"{path} is a folder, not a {kind} file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise InputNotFoundError(f"no such file: {path}") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError, MemoryError) as error:
        raise ModelFileError(f"{path} is damaged or not a sonho {kind}: {error}; take another copy of it") from None
    if "sonho" not in metadata:
        raise ModelFileError(f"{path} is a safetensors file, but not one of sonho's")
    try:
        sealed = json.loads(metadata["sonho"])
        found, version, header, sha256 = (sealed[k] for k in ("kind", "version", "header", "sha256"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelFileError(f"{path} has a damaged header; take another copy of it") from None
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelFileError(f"{path} has format {version}, newer than {FORMAT_VERSION}; update sonho")
    del sealed["sha256"]
    if sha256 != _digest(sealed, arrays) or not isinstance(header, dict):
        raise ModelFileError(f"{path} was altered after it was written (its digest is wrong); take another copy")
    if found != kind:
        raise ModelFileError(f"{path} is a {found}, not a {kind}")
    return header, arrays


def peek_container(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The header of a file and the size of each array, without reading the arrays or checking the seal.

    Raises InputNotFoundError or ModelFileError.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            sealed = json.loads((file.metadata() or {})["sonho"])
            sizes = {name: math.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        if sealed["kind"] == kind and isinstance(sealed["header"], dict):
            return sealed["header"], sizes
    except FileNotFoundError:
        raise InputNotFoundError(f"no such file: {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ModelFileError(f"{path} is damaged or not a sonho {kind}")


def _digest(sealed: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(sealed, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(array.tobytes())
    return digest.hexdigest()
