"""The journal of a sweep: one line per finished point, whatever kills the process.

A line is appended in one write and flushed to the disk. A line that was cut short is
ignored, so its point is made again; all others stay.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import PlanError
from . import strict
from .points import SweepPoint

__all__ = ["Journal", "fingerprint", "key_of", "sole_user"]

_READ_BYTES = 1 << 26


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Keep a second sweep out of a folder; a sweep that was killed keeps nobody out.

    Raises
    ------
    PlanError
        If another process sweeps into the folder.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PlanError(f"another sweep is writing to {folder}: choose another") from error
        yield


class Journal:
    """Points by key, kept in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, SweepPoint]:
        """Return all points; of two with the same key, the later."""
        if not self._path.exists():
            return {}
        found = {}
        for line in self._path.read_bytes().splitlines():
            point = _point(line)
            if point is not None:
                found[point.key] = point
        return found

    def append(self, point: SweepPoint) -> None:
        """Add a point, so that it survives even the loss of power."""
        line = strict.dumps(asdict(point)).encode() + b"\n"
        # A writer that was killed may have left half a line, without its end.
        start = b"" if self._ends_whole() else b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, start + line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _ends_whole(self) -> bool:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return True
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _point(line: bytes) -> SweepPoint | None:
    try:
        return SweepPoint(**json.loads(line))
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
