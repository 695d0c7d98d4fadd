"""x265 below QP 0: flat scaling lists, and the Lagrange factors that go with them.

x265 crashes at negative QPs. A scaling list whose entries are all 8 or 4 instead of 16 halves
or quarters every step, thus stands for 6 or 12 QPs. Without Lagrange factors to match, x265
would weigh bits against four or sixteen times the error that it makes, and give up most of
what the finer steps are for. x265 reads these from a file, into tables that all its encoders
of a process share, so encoders that need other tables wait for each other here.

Entries of 2 would be worth 4 dB more to slow presets; with fast ones x265's own 32-bit products
overflow. So they do, seldom, at 4: in flat blocks of full contrast, which verification finds.
"""

import atexit
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

FINEST = -12
"""The lowest QP, at 12 bits: there codes have room for finer steps than QP 0."""

FLAT = 16
"""The entry of a scaling list that changes nothing."""

_files = ExitStack()
atexit.register(_files.close)


def split_qp(qp: int) -> tuple[int, int]:
    """Return the QP to give to x265, and the entries of the scaling list."""
    if qp >= 0:
        return qp, FLAT
    return (qp + 6, 8) if qp >= -6 else (qp + 12, 4)


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
    have ended, and whoever comes later waits behind it. Between uses the tables are those of
    ``FLAT``, loaded before the first encode: other versions of x265 might have others.

    Parameters
    ----------
    load : callable
        Makes x265 read the tables for an entry.
    """

    def __init__(self, load: Callable[[int], None]) -> None:
        self._load = load
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process must: threads that it does not have hold the lock."""
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._users = 0
        self._entry: int | None = None

    @contextmanager
    def using(self, entry: int) -> Iterator[None]:
        """Have the tables for ``entry`` in place inside the block.

        Raises
        ------
        CodecError
            If x265 cannot read them.
        """
        self._enter(entry)
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()
                self._restore()

    def _enter(self, entry: int) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._is_free(ticket, entry))
                if entry != self._entry:
                    self._set(entry)
                self._users += 1
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _is_free(self, ticket: object, entry: int) -> bool:
        return self._queue[0] is ticket and (not self._users or self._entry == entry)

    def _restore(self) -> None:
        if not self._users and not self._queue and self._entry != FLAT:
            self._set(FLAT)

    def _set(self, entry: int) -> None:
        self._entry = None  # should loading fail half-way
        self._load(entry)
        self._entry = entry


def _load(entry: int) -> None:
    """Let an encoder that encodes nothing read the tables."""
    import av

    context = av.CodecContext.create("libx265", "w")
    context.width = context.height = 64
    context.pix_fmt = "gray12le"
    context.framerate = Fraction(1)
    table = escaped(_path(f"lagrange{entry}.txt"))
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
