"""Take back the real-time priority that an encoder gives to itself.

Where it may (as root, on Linux), SVT-AV1 makes the thread that opens it a real-time thread
of the highest priority, and all that this thread starts from then on inherits that: its own
workers, threads of other encoders, child processes. They then run before everything else
on the machine, and one that waits busily for another never lets it run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ordinary_priority"]

_TASKS = Path("/proc/self/task")


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Leave scheduling as it was: this thread's own, and that of threads started meanwhile."""
    if not (hasattr(os, "sched_setscheduler") and _TASKS.is_dir()):
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    before = set(os.listdir(_TASKS))
    try:
        yield
    finally:
        if (os.sched_getscheduler(0), os.sched_getparam(0)) != (policy, param):
            os.sched_setscheduler(0, policy, param)
            for thread in set(os.listdir(_TASKS)) - before:
                # It may have ended.
                with suppress(OSError):
                    os.sched_setscheduler(int(thread), policy, param)
