"""x265 below QP 0: flat scaling lists, and the Lagrange factors that go with them.

x265 crashes at negative QPs. A scaling list whose entries are all 8 instead of 16 halves every
step, thus stands for 6 QPs. Without Lagrange factors to match, x265 would weigh bits against
four times the error that it makes, and give up most of what the finer steps are for. x265 reads
these from a file, into tables that all its encoders of a process share, so encoders that need
other tables wait for each other here.

With the preset best, six QPs are worth 5 to 6 dB at the efficiency of those above 0; quick
settings gain 4 dB for the same bits, which other ways of coding beat. Lists of 4 would reach
further, but x265's 32-bit products overflow with them where contrasts are high.
"""

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from functools import cache
from importlib.resources import as_file, files

from ..errors import CodecError
from .decoding import why
from .scheduling import ordinary_priority

__all__ = ["FINEST", "LagrangeTables", "escaped", "lagrange", "scaling", "split_qp"]

_log = logging.getLogger(__name__)

FINEST = -6
"""The lowest QP, at 12 bits: there codes have room for finer steps than QP 0."""

FLAT = 16
"""The entry of a scaling list that changes nothing."""

_LONGEST_PATH = 255

_files = ExitStack()
atexit.register(_files.close)


def split_qp(qp: int) -> tuple[int, int]:
    """Return the QP to give to x265, and the entries of the scaling list."""
    return (qp, FLAT) if qp >= 0 else (qp + 6, 8)


def scaling(entry: int) -> dict[str, str]:
    """Return the option that sets all entries of the scaling lists."""
    return {} if entry == FLAT else {"scaling-list": escaped(_path(f"flat{entry}.txt"))}


def escaped(text: str) -> str:
    """Escape what ends a value where FFmpeg splits ``x265-params``."""
    return "".join(f"\\{c}" if c in "\\':" else c for c in text)


@cache
def _path(name: str) -> str:
    held = as_file(files(__package__).joinpath("x265_tables", name))
    return str(_files.enter_context(held))


class LagrangeTables:
    """The Lagrange factors that x265's encoders of this process share.

    Encoders for the same entry run side by side. One for another entry waits until all
    have ended, and whoever comes later waits behind it. Unused, the tables are x265's own:
    those for ``FLAT``, whose numbers are x265 4.2's.

    Parameters
    ----------
    load : callable
        Makes x265 read the tables for an entry, or raises and leaves them as they were.
    """

    def __init__(self, load: Callable[[int], None]) -> None:
        self._load = load
        self._entry = FLAT
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process must: threads that it does not have hold the lock."""
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._users: set[object] = set()

    @contextmanager
    def using(self, entry: int) -> Iterator[None]:
        """Have the tables for ``entry`` in place inside the block.

        Raises
        ------
        CodecError
            If x265 cannot read them.
        """
        ticket = object()
        try:
            self._enter(ticket, entry)
            yield
        finally:
            self._leave(ticket)

    def _enter(self, ticket: object, entry: int) -> None:
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._is_free(ticket, entry))
            self._set(entry)
            self._users.add(ticket)
            self._queue.popleft()
            self._changed.notify_all()

    def _leave(self, ticket: object) -> None:
        """Undo as much of entering as was done: it may have been interrupted."""
        with self._changed:
            self._users.discard(ticket)
            if ticket in self._queue:
                self._queue.remove(ticket)
            self._changed.notify_all()
            if not self._users and not self._queue:
                try:
                    self._set(FLAT)
                except CodecError as error:
                    # Whoever needs them will try again; what was encoded is good.
                    _log.warning("x265 keeps other tables for now: %s", error)

    def _is_free(self, ticket: object, entry: int) -> bool:
        return self._queue[0] is ticket and (not self._users or self._entry == entry)

    def _set(self, entry: int) -> None:
        if entry != self._entry:
            self._load(entry)
            self._entry = entry


def _load(entry: int) -> None:
    """Let an encoder that encodes nothing read the tables."""
    import av

    context = av.CodecContext.create("libx265", "w")
    context.width = context.height = 64
    context.pix_fmt = "gray12le"
    context.framerate = Fraction(1)
    path = _path(f"lagrange{entry}.txt")
    if len(path) > _LONGEST_PATH:
        raise CodecError(f"libx265 reads no paths over {_LONGEST_PATH} characters, got {path}")
    table = escaped(path)
    quiet = "log-level=none:info=0:pools=none:frame-threads=1:rc-lookahead=0:bframes=0"
    context.options = {
        "preset": "ultrafast",
        "x265-params": f"lambda-file={table}:{quiet}",
    }
    try:
        with ordinary_priority():
            context.open()
    except av.FFmpegError as error:
        raise CodecError(f"libx265 cannot read its tables {table}: {why(error)}") from error


lagrange = LagrangeTables(_load)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lagrange.forget)
