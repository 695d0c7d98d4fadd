"""Records that survive whatever kills the process: one line of JSON each, in one file.

A line is appended in one write and flushed to the disk. A line that was cut short is
ignored; all others stay.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import PlanError
from . import strict

__all__ = ["JsonLines", "sole_user"]


class JsonLines:
    """A file of records. Only one process may append at a time (see `sole_user`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield all records that are whole, in order."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    yield record

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, so that it survives even the loss of power."""
        line = strict.dumps(record).encode() + b"\n"
        # A writer that was killed may have left half a line, without its end.
        data = line if self._ends_whole() else b"\n" + line
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            # A disk that is almost full takes a part; the second call then says why.
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)

    def _ends_whole(self) -> bool:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return True
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


@contextmanager
def sole_user(folder: Path, what: str = "sweep") -> Iterator[None]:
    """Keep a second writer out of a folder; one that was killed keeps nobody out.

    Parameters
    ----------
    folder : Path
    what : str
        What the writers are called.

    Raises
    ------
    PlanError
        If another process writes to the folder.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            who = f" (process {pid})" if (pid := file.read().strip()) else ""
            raise PlanError(
                f"another {what}{who} is writing to {folder}: choose another"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
