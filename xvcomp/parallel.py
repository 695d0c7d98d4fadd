"""Run a function over items on all cores, results in order, never far ahead of their use."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["cpu_count", "map_ordered"]

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
