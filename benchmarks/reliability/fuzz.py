"""Fuzz the readers: ``python -m benchmarks.reliability.fuzz --out fuzz.json [--scale 0.01]``.

Each target runs in a process of its own, with bounded memory and a time limit per input.
The input of number ``i`` depends on the target, the seed and ``i`` alone: a loss is repeated
with ``--target T --first i --count 1``.
"""

import argparse
import faulthandler
import math
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from ..output import write_json
from .targets import TARGETS

__all__ = ["attempt", "campaign", "run_target"]

SECONDS = 10
"""For one input; most take a few milliseconds."""
ALLOWANCE = 1 << 30
"""Bytes of address space that an input may take beyond what the process has."""
_DEADLY = 60
_BATCH = 100


class TooSlow(BaseException):
    """An input took more than its time; no ``except Exception`` may catch it."""


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlow(f"over {SECONDS} s")


def attempt(target: str, seed: int, number: int) -> str:
    """Try one input; returns its outcome, or what was lost after ``LOSS``."""
    function, _ = TARGETS[target]
    try:
        return function(Random(f"{target}/{seed}/{number}"))
    except (Exception, TooSlow) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"LOSS {type(error).__name__} at {place}: {str(error)[:200]}"


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ALLOWANCE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(
    pipe: Connection, target: str, seed: int, span: tuple[int, int], batch: int, until: float
) -> None:
    """Be the child: tell of every ``batch`` inputs what came of them."""
    warnings.simplefilter("ignore")
    first, last = span
    attempt(target, seed, first)  # Makes the seeds, and loads libraries, before the limit.
    signal.signal(signal.SIGALRM, _ring)
    _limit_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(first, last, batch):
        if time.time() > until:
            break
        # A loop in C does not see the alarm; this ends the process.
        faulthandler.dump_traceback_later(_DEADLY + SECONDS * batch, exit=True)
        found = [_timed(target, seed, n) for n in range(start, min(start + batch, last))]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        pipe.send((found, grown << 10))
    pipe.close()


def _timed(target: str, seed: int, number: int) -> tuple[str, float]:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    started = time.thread_time()
    outcome = attempt(target, seed, number)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return outcome, time.thread_time() - started


@dataclass(slots=True)
class _Tally:
    """What came of the inputs of one target so far."""

    target: str
    seed: int
    done: int
    outcomes: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def add(self, found: list[tuple[str, float]], grown: int) -> None:
        """Take in what a child has told."""
        for outcome, seconds in found:
            if outcome.startswith("LOSS"):
                self.losses.append(f"{self.done}: {outcome}")
            self.outcomes[outcome.partition(" ")[0]] += 1
            self.slowest, self.peak = max(self.slowest, seconds), max(self.peak, grown)
            self.done += 1

    def run(self, last: int, batch: int, until: float) -> int | None:
        """Let a child try the inputs up to ``last``; returns its exit status, 0 if all is well."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        words = (theirs, self.target, self.seed, (self.done, last), batch, until)
        child = context.Process(target=_serve, args=words)
        child.start()
        theirs.close()
        try:
            while True:
                self.add(*ours.recv())
        except EOFError:
            child.join()
        return child.exitcode


def run_target(
    target: str, count: int, seed: int = 1, first: int = 0, seconds: float = math.inf
) -> dict[str, Any]:
    """Try inputs of a target, for at most about so many seconds.

    A process that dies is a loss: the input is found by going one by one, and left out.
    """
    tally, started = _Tally(target, seed, first), time.time()
    last, until = first + count, started + seconds
    while tally.done < last and time.time() < until:
        if tally.run(last, _BATCH, until) == 0:
            continue
        status = tally.run(min(last, tally.done + _BATCH), 1, math.inf)
        if status != 0:
            tally.add([(f"LOSS the process ended with status {status}", 0.0)], 0)
    return {
        "inputs": sum(tally.outcomes.values()),
        **{name: tally.outcomes[name] for name in ("refused", "right", "valid")},
        "losses": tally.outcomes["LOSS"],
        "examples": tally.losses[:20],
        "slowest_cpu_seconds": round(tally.slowest, 3),
        "peak_growth_mib": round(tally.peak / 2**20, 1),
        "seconds": round(time.time() - started, 1),
    }


def campaign(
    scale: float, seed: int, names: list[str], seconds: float = math.inf
) -> dict[str, Any]:
    """Run targets one after the other."""
    return {
        name: run_target(name, max(1, int(TARGETS[name][1] * scale)), seed, seconds=seconds)
        for name in names or TARGETS
    }


def main() -> int:
    """Run what the command line asks for; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", default=[], choices=list(TARGETS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float, default=math.inf, help="for each target")
    asked = parser.parse_args()
    if asked.count:
        found = {t: run_target(t, asked.count, asked.seed, asked.first) for t in asked.target}
    else:
        found = campaign(asked.scale, asked.seed, asked.target, asked.seconds)
    write_json(found, asked.out)
    return int(any(each["losses"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
