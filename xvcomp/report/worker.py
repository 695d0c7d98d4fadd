"""``python -m xvcomp.report.worker``: make one point of a sweep in a process of its own.

An encoder that crashes takes one point with it, not the sweep. The job comes pickled on
stdin, the point goes as JSON to stdout.
"""

import contextlib
import os
import pickle
import sys
import threading
import time
from dataclasses import asdict

from . import strict
from .job import Job, make_point

__all__ = ["die_with", "main"]


def main() -> None:
    """Read a job, make the point, write it."""
    # The job comes from the sweep that started this process, from nowhere else.
    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=die_with, args=(job.parent,), daemon=True).start()
    if job.cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, job.cores)
    sys.stdout.write(strict.dumps(asdict(make_point(job))))


def die_with(parent: int) -> None:
    """End when the process that waits for the result was killed; runs in a thread."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    main()
