"""Fuzz the readers: ``python -m benchmarks.reliability.fuzz --out fuzz.json [--scale 0.01]``.

Each target runs in a process of its own, with bounded memory and a time limit per input.
The input of number ``i`` depends on the target, the seed and ``i`` alone: a loss is repeated
with ``--target T --first i --count 1``.
"""

import argparse
import faulthandler
import json
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from .targets import TARGETS

__all__ = ["attempt", "campaign", "run_target"]

SECONDS = 10
"""For one input; most take a few milliseconds."""
ALLOWANCE = 1 << 30
"""Bytes of address space that an input may take beyond what the process has."""
_DEADLY = 60


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


def _serve(pipe: Connection, target: str, seed: int, first: int, last: int) -> None:
    """Be the child: tell of each input as soon as it is done."""
    warnings.simplefilter("ignore")
    attempt(target, seed, first)  # Makes the seeds, and loads libraries, before the limit.
    signal.signal(signal.SIGALRM, _ring)
    _limit_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(first, last):
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        # A loop in C does not see the alarm; this ends the process.
        faulthandler.dump_traceback_later(_DEADLY, exit=True)
        started = time.perf_counter()
        outcome = attempt(target, seed, number)
        signal.setitimer(signal.ITIMER_REAL, 0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        pipe.send((number, outcome, time.perf_counter() - started, grown << 10))
    pipe.close()


def run_target(target: str, count: int, seed: int = 1, first: int = 0) -> dict[str, Any]:
    """Try ``count`` inputs of a target; a process that dies is a loss, and is replaced."""
    context = multiprocessing.get_context("spawn")
    outcomes: Counter[str] = Counter()
    losses: list[str] = []
    slowest = peak = 0.0
    started, done, last = time.perf_counter(), first, first + count
    while done < last:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_serve, args=(theirs, target, seed, done, last))
        child.start()
        theirs.close()
        try:
            while True:
                number, outcome, seconds, grown = ours.recv()
                done = number + 1
                slowest, peak = max(slowest, seconds), max(peak, grown)
                outcomes[outcome.partition(" ")[0]] += 1
                if outcome.startswith("LOSS"):
                    losses.append(f"{number}: {outcome}")
        except EOFError:
            child.join()
        if done < last and len(losses) < 1000:
            losses.append(f"{done}: the process ended with status {child.exitcode}")
            outcomes["LOSS"] += 1
            done += 1
    return {
        "inputs": sum(outcomes.values()),
        **{name: outcomes[name] for name in ("refused", "right", "valid")},
        "losses": outcomes["LOSS"],
        "examples": losses[:20],
        "slowest_seconds": round(slowest, 3),
        "peak_growth_mib": round(peak / 2**20, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }


def campaign(scale: float, seed: int, names: list[str]) -> dict[str, Any]:
    """Run all targets one after the other."""
    return {
        name: run_target(name, max(1, int(TARGETS[name][1] * scale)), seed)
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
    asked = parser.parse_args()
    if asked.count:
        found = {t: run_target(t, asked.count, asked.seed, asked.first) for t in asked.target}
    else:
        found = campaign(asked.scale, asked.seed, asked.target)
    text = json.dumps(found, indent=1)
    if asked.out:
        asked.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return int(any(each["losses"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
