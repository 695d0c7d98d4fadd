"""What a Dask worker does with a job: hand it to a child process, and watch over that.

Each thread of a worker keeps one child for all its jobs, because starting one costs a
second. A child that dies, hangs or takes too much memory costs its job, and is replaced.
The worker itself loads neither xarray nor codecs.
"""

import contextlib
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import psutil

from .items import CubeResult, Task

__all__ = ["LENGTH", "Limits", "work"]

LENGTH = struct.Struct(">Q")
"""What comes before each message of a child."""


_POLL_SECONDS = 0.2
_ATTEMPTS = 2
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XVCOMP_THREADS")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one cube may take.

    Parameters
    ----------
    memory : int or None
        Bytes of the process that encodes it.
    seconds : float or None
    """

    memory: int | None = None
    seconds: float | None = None


def work(task: Task, job: bytes, limits: Limits) -> CubeResult:
    """Make a cube; runs in a thread of a Dask worker.

    Parameters
    ----------
    task : Task
    job : bytes
        The pickled `Job`, for the child.
    limits : Limits

    Notes
    -----
    A process that dies gets one more attempt: what killed it may have been a neighbour
    that took all memory.
    """
    if not os.path.isdir(task.folder):
        where = os.uname().nodename if hasattr(os, "uname") else "this machine"
        return task.failed(
            "disk", f"{where} has no folder {task.folder}; all workers need the same file system"
        )
    for attempt in range(_ATTEMPTS):
        child = _own_child()
        result = child.make(task, job, limits)
        if result.kind != "crash" or attempt == _ATTEMPTS - 1:
            break
    return result


_children: "dict[int, _Child]" = {}
_lock = threading.Lock()


def _own_child() -> "_Child":
    """Return this thread's child, a new one if need be."""
    with _lock:
        child = _children.get(threading.get_ident())
    if child is None or not child.alive:
        child = _Child()
        with _lock:
            _children[threading.get_ident()] = child
    return child


class _Child:
    """One process of `child`."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        # One thread per cube: as many cubes as cores are made at a time, and the same
        # cube gives the same bytes on every machine.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xvcomp.batch.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, "1")},
            start_new_session=True,
        )
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether it takes jobs."""
        return self._process.poll() is None

    def make(self, task: Task, job: bytes, limits: Limits) -> CubeResult:
        """Hand a job over, and wait for its result."""
        # The child writes where this leaves the position: they share one open file.
        self._errors.seek(0)
        self._errors.truncate()
        broken = None
        with contextlib.suppress(BrokenPipeError):
            if not self._ready:
                self._read()
                self._ready = True
            self._stdin.write(job)
            self._stdin.flush()
            broken = self._wait(limits)
        if broken is not None:
            self.end()
            return task.failed(*broken)
        result = self._read()
        if result is None:
            return task.failed("crash", self._epitaph())
        if limits.memory is not None and self._rss() > limits.memory // 2:
            # What libraries keep is no memory of the next cube.
            self.end()
        return result

    def end(self) -> None:
        """Kill it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None  # asked for in __init__
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # asked for in __init__
        return self._process.stdout

    def _wait(self, limits: Limits) -> tuple[Literal["memory", "time"], str] | None:
        """Wait for the result or the end; say why if a limit was passed first."""
        started = time.monotonic()
        while not select.select([self._stdout], [], [], _POLL_SECONDS)[0]:
            if limits.memory is not None and (taken := self._rss()) > limits.memory:
                return "memory", (
                    f"it took {taken / 1e9:.2f} GB of memory, {limits.memory / 1e9:.2f} GB "
                    "are allowed per cube"
                )
            if limits.seconds is not None and time.monotonic() - started > limits.seconds:
                return "time", f"it was not done after {limits.seconds:g} s"
        return None

    def _rss(self) -> int:
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def _read(self) -> CubeResult | None:
        """Read a result; ``None`` if the process has ended instead."""
        head = self._stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        (nbytes,) = LENGTH.unpack(head)
        data = self._stdout.read(nbytes)
        if len(data) < nbytes:
            return None
        result: CubeResult = pickle.loads(data)
        return result

    def _epitaph(self) -> str:
        """Say how the process ended."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        if code >= 0:
            return f"the encoding process ended with code {code}{last}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = " (out of memory, or by hand)" if name == "SIGKILL" else ""
        return f"the encoding process was killed by {name}{hint}{last}"
