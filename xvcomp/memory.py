"""How much memory an encoding may take, and what follows for windows, threads and caches."""

import contextlib
import ctypes
import os
import re
import sys
from dataclasses import dataclass

from .errors import PlanError

__all__ = ["Memory", "parse_nbytes"]

_BASE = 420 << 20
"""What Python, numpy, xarray, FFmpeg and a reader of some chunks take by themselves."""
_PER_SAMPLE = 36
"""Bytes per sample of a window at work, as measured: read, filled, coded and decoded
samples, and the encoder's own frames."""
_PER_PACKET_SAMPLE = 90
"""The same where packets are coded without a video: by a pyramid, at worst."""
_PER_SLAB_THREAD = 128 << 20
"""Of the limit, for each thread that works at slabs: these take 12 MiB at a time."""
_MAX_WINDOW = 32_000_000
_MAX_PACKET_WINDOW = 4_000_000
_MIN_WINDOW = 1_000_000
_KEEP = 1 << 29
_SPOOL = 1 << 24
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD = 1 << 21
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Memory:
    """A limit on what an encoding takes at its peak; what it cannot help taking included.

    Parameters
    ----------
    limit : int or None
        Bytes. ``None``: half of the machine's memory, and windows of at most 32 million
        samples.
    groups : int
        Groups of variables that share it.

    Raises
    ------
    PlanError
        If the limit is below 512 MiB: no window would be left.
    """

    limit: int | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 512 << 20:
            raise PlanError(f"memory must be at least 512 MiB, got {self.limit} bytes")

    @property
    def window_samples(self) -> int:
        """Largest window, all bands counted, of which two fit at a time."""
        if self.limit is None:
            return _MAX_WINDOW
        # A quarter is for what is kept between windows.
        fitting = (self.limit - _BASE) * 3 // 4 // (2 * _PER_SAMPLE)
        return min(_MAX_WINDOW, max(_MIN_WINDOW, fitting))

    @property
    def packet_samples(self) -> int:
        """Largest window that is coded without video, all bands counted; two fit at a time."""
        return min(_MAX_PACKET_WINDOW, self.window_samples * _PER_SAMPLE // _PER_PACKET_SAMPLE)

    @property
    def keep_nbytes(self) -> int:
        """Bytes that may stay in memory between uses, per group."""
        if self.limit is None:
            return _KEEP // self.groups
        return min(_KEEP, max(0, (self.limit - _BASE) // 4)) // self.groups

    @property
    def spool_nbytes(self) -> int:
        """Encoded bytes that stay in memory, per group and trial."""
        return min(_SPOOL, self.keep_nbytes // 4)

    def tighten(self) -> None:
        """Make the C library give memory back at once, if there is a limit.

        By default glibc keeps freed blocks of up to 32 MiB in an arena per thread, which
        adds up to several hundred MiB. Blocks from 2 MiB on come from the system then, for
        the rest of the process; that costs a few page faults.
        """
        if self.limit is None or not sys.platform.startswith("linux"):
            return
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)

    def slab_threads(self, cores: int) -> int:
        """Return how many slabs of a window may be at work at a time: each has temporary copies."""
        return cores if self.limit is None else max(1, min(cores, self.limit // _PER_SLAB_THREAD))

    def workers(self, samples: int, cores: int, *, packets: bool = False) -> int:
        """Return how many windows of that many samples may be at work at a time.

        ``packets`` says that they are coded without video.
        """
        limit = _half_of_the_machine() if self.limit is None else self.limit
        each = samples * (_PER_PACKET_SAMPLE if packets else _PER_SAMPLE)
        return max(1, min(cores, (limit - _BASE) * 3 // 4 // each))


def _half_of_the_machine() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return 4 << 30


def parse_nbytes(text: str | int) -> int:
    """Read a number of bytes: ``2GB``, ``1.5 GiB``, ``800M``, ``1000000``.

    Raises
    ------
    PlanError
        If it is none.
    """
    if isinstance(text, int):
        return text
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise PlanError(f"{text!r} is no size; give bytes, such as 2GB, 1.5GiB or 800MB")
    return int(float(found[1]) * _UNITS[found[2]])
