"""``python -m xvcomp.batch.child``: make cubes in a process of its own, one after the other.

An encoder that crashes takes this process with it, and one cube. Jobs come pickled on
stdin; each result goes to stdout, pickled, after its length as 8 bytes; ``None`` comes
first, once it is ready. A process that
gets no job for a minute ends: workers of a cluster live on after a batch.
"""

import os
import pickle
import select
import signal
import sys
import threading
from typing import IO

from ..report.worker import die_with
from .items import CubeResult
from .job import Job, make_cube
from .worker import LENGTH

__all__ = ["main"]

_IDLE_SECONDS = 60.0


def main() -> None:
    """Make cubes until there are no more, or none for a while."""
    # Ctrl-C in a terminal reaches every process there; the batch alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=die_with, args=(parent,), daemon=True).start()
    # Libraries print; nothing may come between the results.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Whoever waits does not count the start against the first cube.
    _send(results, None)
    while select.select([sys.stdin], [], [], _IDLE_SECONDS)[0]:
        try:
            # Jobs come from the process that started this one, from nowhere else.
            job: Job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _send(results, make_cube(job))


def _send(results: IO[bytes], result: CubeResult | None) -> None:
    data = pickle.dumps(result)
    results.write(LENGTH.pack(len(data)) + data)
    results.flush()


if __name__ == "__main__":
    main()
