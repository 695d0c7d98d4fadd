"""The journal of a sweep: one line per finished point, whatever kills the process."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import strict
from .json_lines import JsonLines, sole_user
from .points import SweepPoint

__all__ = ["Journal", "fingerprint", "key_of", "sole_user"]

_READ_BYTES = 1 << 26


class Journal:
    """Points by key, kept in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path)

    def read(self) -> dict[str, SweepPoint]:
        """Return all points; of two with the same key, the later."""
        points = map(_point, self._lines.read())
        return {point.key: point for point in points if point is not None}

    def append(self, point: SweepPoint) -> None:
        """Add a point, so that it survives even the loss of power."""
        self._lines.append(asdict(point))


def _point(record: Mapping[str, Any]) -> SweepPoint | None:
    try:
        return SweepPoint(**record)
    except (ValueError, TypeError):
        return None


def fingerprint(dataset: xr.Dataset) -> str:
    """Return a checksum of a cube's content: names, dims, attributes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
        digest.update(repr((name, variable.dims, variable.shape, str(variable.dtype))).encode())
        digest.update(repr(sorted((str(k), str(v)) for k, v in variable.attrs.items())).encode())
        for part in _parts(variable):
            digest.update(_bytes(part))
    return digest.hexdigest()


def _parts(variable: xr.Variable) -> Iterator[xr.Variable]:
    """Cut along the first dim, so that large cubes are read a piece at a time."""
    if variable.ndim == 0 or variable.shape[0] == 0:
        yield variable
        return
    rows = max(1, _READ_BYTES // max(1, variable.nbytes // variable.shape[0]))
    for start in range(0, variable.shape[0], rows):
        yield variable[start : start + rows]


def _bytes(variable: xr.Variable) -> bytes:
    values = np.asarray(variable.values)
    return repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()


def key_of(content: str, version: str, choices: Mapping[str, Any]) -> str:
    """Return what stands for an encoding: the same key is the same file."""
    text = strict.dumps([content, version, sorted(choices.items(), key=lambda item: item[0])])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
