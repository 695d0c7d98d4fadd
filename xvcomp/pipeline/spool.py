"""Keep what was encoded on disk once it is large: cubes may exceed memory coded, too."""

import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import IO

from .encoded import EncodedWindow

__all__ = ["Spooled", "spooled"]


@dataclass(frozen=True, slots=True)
class Spooled:
    """Bytes on disk; ``bytes(...)`` reads them, ``len(...)`` is their number."""

    file: IO[bytes]
    lock: threading.Lock
    offset: int
    nbytes: int

    def __len__(self) -> int:
        return self.nbytes

    def __bytes__(self) -> bytes:
        with self.lock:
            self.file.seek(self.offset)
            data = self.file.read(self.nbytes)
        if len(data) != self.nbytes:
            raise OSError(f"the temporary file lost {self.nbytes - len(data)} bytes")
        return data


def spooled(parts: Iterable[EncodedWindow], keep_nbytes: int) -> tuple[EncodedWindow, ...]:
    """Collect windows; once they exceed ``keep_nbytes``, the rest goes to a temporary file.

    The file has no name on most systems, and vanishes with the last window that is in it.
    """
    found: list[EncodedWindow] = []
    total = 0
    spool: _Spool | None = None
    for part in parts:
        total += part.nbytes
        if total > keep_nbytes:
            spool = spool or _Spool()
            part = spool.moved(part)  # noqa: PLW2901
        found.append(part)
    return tuple(found)


class _Spool:
    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="xvcomp-")  # noqa: SIM115
        self._lock = threading.Lock()

    def moved(self, part: EncodedWindow) -> EncodedWindow:
        """Return the window with its bytes on disk."""
        return replace(
            part,
            segments=tuple(self._put(bytes(each)) for each in part.segments),
            masks=tuple(self._put(bytes(each)) for each in part.masks),
            residuals=tuple(self._put(bytes(each)) for each in part.residuals),
        )

    def _put(self, data: bytes) -> Spooled:
        with self._lock:
            offset = self._file.seek(0, 2)
            self._file.write(data)
        return Spooled(self._file, self._lock, offset, len(data))
