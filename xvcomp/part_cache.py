"""Decoded parts of cubes, kept within a budget of bytes that all open files share."""

import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

__all__ = ["DEFAULT_BYTES", "PartCache", "shared_cache"]

Part = Sequence[NDArray[Any]]

DEFAULT_BYTES = 1 << 28


class PartCache:
    """The parts that were used last; safe to share between threads.

    Parameters
    ----------
    budget : int
        Bytes to keep. A part that is larger than that is not kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._used = 0
        self._parts: OrderedDict[Any, Part] = OrderedDict()
        self._pending: dict[Any, Future[Part]] = {}
        self._lock = threading.Lock()
        self._forgotten: deque[Any] = deque()
        _ALL.add(self)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now."""
        self._sweep()
        return self._used

    def get(self, key: tuple[Any, ...], make: Callable[[], Part]) -> Part:
        """Return a part; make it if it is not there.

        Threads that ask for a part while another makes it wait for that one.
        """
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key]
            future = self._pending.get(key)
            is_mine = future is None
            if future is None:
                future = self._pending[key] = Future()
        return self._make(key, make, future) if is_mine else future.result()

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._parts

    def _make(self, key: Any, make: Callable[[], Part], future: Future[Part]) -> Part:
        try:
            part = make()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            future.set_exception(error)
            raise
        with self._lock:
            self._drop_forgotten()
            self._keep(key, part)
            del self._pending[key]
        future.set_result(part)
        return part

    def _keep(self, key: Any, part: Part) -> None:
        size = _nbytes(part)
        if size > self.budget:
            return
        self._parts[key] = part
        self._used += size
        while self._used > self.budget:
            _, old = self._parts.popitem(last=False)
            self._used -= _nbytes(old)

    def forget(self, owner: Any) -> None:
        """Drop the parts whose key begins with ``owner``, now or at the next call.

        Never waits: the garbage collector may close a file, and call this, in the midst of
        another method of this cache, in the thread that holds the lock.
        """
        self._forgotten.append(owner)
        self._sweep()

    def _forked(self) -> None:
        """Wait for none of the threads that a forked process does not have."""
        self._lock, self._pending = threading.Lock(), {}

    def _sweep(self) -> None:
        if not self._forgotten or not self._lock.acquire(blocking=False):
            return
        try:
            self._drop_forgotten()
        finally:
            self._lock.release()

    def _drop_forgotten(self) -> None:
        while self._forgotten:
            owner = self._forgotten.popleft()
            for key in [key for key in self._parts if key[0] == owner]:
                self._used -= _nbytes(self._parts.pop(key))


def _nbytes(part: Part) -> int:
    return sum(values.nbytes for values in part)


def _renew() -> None:
    for cache in _ALL:
        cache._forked()


_ALL: "weakref.WeakSet[PartCache]" = weakref.WeakSet()
_SHARED = PartCache(DEFAULT_BYTES)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def shared_cache() -> PartCache:
    """Return the cache of this process: a hundred open cubes keep no more than one."""
    return _SHARED
