"""Run a function over items on all cores, results in order, never far ahead of their use."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

__all__ = ["cpu_count", "map_ordered", "map_slabs"]

T = TypeVar("T")
R = TypeVar("R")


def cpu_count() -> int:
    """Return the cores that this process may use; ``XVCOMP_THREADS`` sets a lower number."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    asked = os.environ.get("XVCOMP_THREADS", "")
    return max(1, min(cores, int(asked))) if asked.isdigit() else cores


def map_ordered(function: Callable[[T], R], items: Iterable[T], workers: int = 0) -> Iterator[R]:
    """Apply ``function`` in threads; yield the results in the order of ``items``.

    Numpy and the codecs release the interpreter lock, so threads do run side by side.
    At most ``workers + 1`` results exist at a time, which bounds memory.
    """
    workers = workers or cpu_count()
    if workers == 1:
        yield from map(function, items)
        return
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def map_slabs(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Do as `map_ordered` does, with no more threads than other slabs leave.

    Slabs are parts of a window, of which some may be at work side by side, in groups that are
    so, too. Where all cores are taken, the caller's own thread does the work.

    Parameters
    ----------
    function : callable
    items : iterable
    threads : int
        At most so many, and no more than there are cores.
    """
    with _claimed.some(threads) as granted:
        yield from map_ordered(function, items, granted)


class _Claims:
    """Counts the threads of this process that work at slabs."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process must: it has none of the threads."""
        self._lock = Lock()
        self._taken = 0

    @contextmanager
    def some(self, threads: int) -> Iterator[int]:
        """Take as many as are left of some threads, and at least one, inside the block."""
        with self._lock:
            granted = max(1, min(threads, cpu_count() - self._taken))
            self._taken += granted
        try:
            yield granted
        finally:
            with self._lock:
                self._taken -= granted


_claimed = _Claims()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_claimed.forget)
