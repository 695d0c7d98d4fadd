"""``python -m xvcomp.batch.child``: make cubes in a process of its own, one after the other.

An encoder that crashes takes this process with it, and one cube. Jobs come pickled on
stdin; each result goes to stdout, pickled, after its length as 8 bytes.
"""

import os
import pickle
import signal
import struct
import sys
import threading

from ..report.worker import die_with
from .job import Job, make_cube

__all__ = ["LENGTH", "main"]

LENGTH = struct.Struct(">Q")


def main() -> None:
    """Make cubes until there are no more."""
    # Ctrl-C in a terminal reaches every process there; the batch alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=die_with, args=(parent,), daemon=True).start()
    # Libraries print; nothing may come between the results.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            # Jobs come from the process that started this one, from nowhere else.
            job: Job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        data = pickle.dumps(make_cube(job))
        results.write(LENGTH.pack(len(data)) + data)
        results.flush()


if __name__ == "__main__":
    main()
