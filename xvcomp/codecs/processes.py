"""Run a program that reads a clip on stdin and writes a stream to stdout, and never wait for ever.

Encoders of other programs and of drivers hang, crash and stop reading. Here each of
the three pipes has a thread of its own, so that none can fill up and block the others, and
a program that neither reads nor writes anything for too long is killed.
"""

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from ..errors import CodecError, CodecUnavailable

__all__ = ["Finished", "run", "stall_seconds"]

_STALL_SECONDS = 60.0
_SLOWEST_SAMPLES_PER_SECOND = 10_000.0
_CHUNK = 1 << 16
_TICK_SECONDS = 0.05
_LINES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What a program left behind: its output, its exit status and its last lines on stderr."""

    stdout: bytes
    status: int
    last_lines: tuple[str, ...]

    @property
    def why(self) -> str:
        """The exit status and what the program said last."""
        said = "; ".join(self.last_lines) or "it said nothing"
        if self.status < 0:
            return f"killed by signal {-self.status}: {said}"
        return f"exit status {self.status}: {said}"


def stall_seconds(samples: int) -> float:
    """Return how long an encoder may show no sign of life.

    ``XVCOMP_STALL_SECONDS`` replaces the first minute; slow encoders that look ahead are
    silent for about as long as the frames in flight take.

    Parameters
    ----------
    samples : int
        Of the whole clip.
    """
    given = os.environ.get("XVCOMP_STALL_SECONDS")
    try:
        base = _STALL_SECONDS if given is None else float(given)
    except ValueError:
        raise CodecError(f"XVCOMP_STALL_SECONDS must be a number, got {given!r}") from None
    return base + samples / _SLOWEST_SAMPLES_PER_SECOND


def run(
    command: Sequence[str],
    chunks: Iterable[bytes],
    *,
    name: str,
    stall: float,
    env: dict[str, str] | None = None,
) -> Finished:
    """Run a program, feed it, and collect what it writes.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell reads them.
    chunks : iterable of bytes
        For stdin, which is closed after them.
    name : str
        What errors call the program.
    stall : float
        Seconds without a byte in either direction after which it is killed.
    env : dict, optional

    Raises
    ------
    CodecUnavailable
        If the program cannot be started.
    CodecError
        If it hangs. An exit status other than 0 is left to the caller.

    Notes
    -----
    Whatever ends this call (an error, Ctrl-C), the program has ended, too.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
    except (OSError, ValueError) as error:
        raise CodecUnavailable(f"{name} cannot be started: {error}") from error
    pumps = _Pumps(process, chunks)
    try:
        pumps.wait(name, stall)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        pumps.join()
    return Finished(
        stdout=b"".join(pumps.out),
        status=process.returncode,
        last_lines=tuple(b"".join(pumps.err).decode(errors="replace").splitlines()[-_LINES:]),
    )


@dataclass(slots=True)
class _Pumps:
    """The threads at the pipes of a process, and when one of them last moved a byte."""

    process: "subprocess.Popen[bytes]"
    chunks: Iterable[bytes]
    out: list[bytes] = field(default_factory=list)
    # The end of what was said is enough, and a program may talk for hours.
    err: "deque[bytes]" = field(default_factory=lambda: deque(maxlen=16))
    moved: float = field(default_factory=time.monotonic)
    failed: BaseException | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        pipes = self.process
        for target, arguments in (
            (self._feed, (pipes.stdin,)),
            (self._drain, (pipes.stdout, self.out)),
            (self._drain, (pipes.stderr, self.err)),
        ):
            thread = threading.Thread(target=target, args=arguments, daemon=True)
            thread.start()
            self.threads.append(thread)

    def wait(self, name: str, stall: float) -> None:
        """Wait for the end of the program and of its output."""
        while self.process.poll() is None or self.threads[1].is_alive():
            if self.failed is not None:
                raise self.failed
            if time.monotonic() - self.moved > stall:
                raise CodecError(f"{name} hung: no sign of life for {stall:.0f} s; it was killed")
            self.threads[1].join(_TICK_SECONDS)
            if not self.threads[1].is_alive():
                # Output has ended: only the exit status is still to come.
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(_TICK_SECONDS)
        if self.failed is not None:
            raise self.failed

    def join(self) -> None:
        """Wait for the threads of a program that has ended."""
        for thread in self.threads:
            # A grandchild may hold a pipe open; the thread is a daemon and ends with it.
            thread.join(1.0)

    def _feed(self, pipe: IO[bytes]) -> None:
        try:
            # A program that ended early closed its end; its exit status says why.
            with suppress(BrokenPipeError), pipe:
                for chunk in self.chunks:
                    self._write(pipe, memoryview(chunk))
        except BaseException as error:
            self.failed = error

    def _write(self, pipe: IO[bytes], view: "memoryview[Any]") -> None:
        for start in range(0, len(view), _CHUNK):
            pipe.write(view[start : start + _CHUNK])
            self.moved = time.monotonic()
        pipe.flush()

    def _drain(self, pipe: IO[bytes], to: "list[bytes] | deque[bytes]") -> None:
        with pipe:
            while data := os.read(pipe.fileno(), _CHUNK):
                to.append(data)
                self.moved = time.monotonic()
