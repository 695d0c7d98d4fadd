"""The cache of decoded parts: shared work, a budget, and no deadlock."""

import gc
import threading

import numpy as np
import pytest

from xvcomp.part_cache import PartCache


def _part(value=0, n=100):
    return [np.full(n, value, dtype="u1")]


def test_the_part_that_was_used_last_stays():
    cache = PartCache(250)
    for name in "abc":
        cache.get((name, 0), _part)
        cache.get(("a", 0), lambda: pytest.fail("it was kept"))
    assert cache.nbytes == 200
    assert ("b", 0) not in cache


def test_a_file_may_be_closed_by_the_garbage_collector_in_the_midst_of_a_call():
    cache = PartCache(1000)
    cache.get(("file", 0), _part)

    class Closing:
        def __del__(self):
            cache.forget("file")

    def make():
        cycle = [Closing()]
        cycle.append(cycle)
        return _part(1)

    done = threading.Event()

    def work():
        with cache._lock:
            make()
            gc.collect()
        cache.get(("other", 0), _part)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(10), "the cache waits for itself"
    assert ("file", 0) not in cache
    assert cache.nbytes == 100


def test_an_error_reaches_all_who_wait_and_is_not_kept():
    cache = PartCache(1000)

    def fail():
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            cache.get(("a", 0), fail)
    assert cache.get(("a", 0), lambda: _part(7))[0][0] == 7
