"""Kill writers at random moments: ``python -m benchmarks.reliability.kill --out kill.json``.

After each kill the final name must hold nothing, the whole file of before, or the whole new
one; whatever else lies about must be a hidden temporary file.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

import xvcomp
from xvcomp.sinks import write_dataset

from ..output import write_json
from .corpus import KINDS
from .targets import snapshot

__all__ = ["Work", "kill_batch", "kill_in_process", "trial"]

Work = Callable[[], None]


def trial(work: Work, seconds: float) -> bool:
    """Run ``work`` in a child and kill it after ``seconds``; says whether it was still at it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        work()
        os._exit(0)
    time.sleep(seconds)
    still = os.waitpid(child, os.WNOHANG) == (0, 0)
    if still:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return still


def _duration(work: Work) -> float:
    """Return how long the work takes when nobody kills it: the longer of two runs."""
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        os.waitpid(child, 0)
        taken.append(time.perf_counter() - started)
    return max(taken)


def _leftovers(folder: Path, names: set[str]) -> list[str]:
    """List what is neither wanted nor a hidden temporary file, and remove temporary ones."""
    odd = []
    for path in sorted(folder.iterdir()):
        if path.name in names:
            continue
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            path.unlink()
        else:
            odd.append(path.name)
    return odd


def kill_in_process(kind: str, count: int, seed: int = 1) -> dict[str, Any]:
    """Kill ``encode`` or ``decode`` ``count`` times, with and without a file of before."""
    clock, found, losses = random.Random(seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, checked, work = _prepared(kind, folder)
        work()  # Loads the libraries that children then have.
        usual, whole, number = _duration(work), checked(), 0
        while found["killed"] < count and number < 4 * count:
            number += 1
            if number % 2:
                made.unlink(missing_ok=True)
            before = made.read_bytes() if made.exists() else None
            found["killed" if trial(work, clock.uniform(0, usual)) else "done"] += 1
            odd = _leftovers(folder, {made.name, "source.mp4"})
            after = made.read_bytes() if made.exists() else None
            if odd or (after is None) > (before is None):
                losses.append(f"{number}: left {odd}, the file is {'there' if after else 'gone'}")
            elif after is not None and after != before and checked() != whole:
                losses.append(f"{number}: another file than the whole one")
            found["new" if after != before else "as before"] += 1
    return {"trials": number, **found, "losses": len(losses), "examples": losses[:10]}


def _prepared(kind: str, folder: Path) -> tuple[Path, Callable[[], Any], Work]:
    """Return the file to be made, what it holds once it is whole, and the work."""
    chosen = KINDS["gaps"]
    cube, source = chosen.make(), folder / "source.mp4"
    if kind == "encode":
        made = folder / "cube.mp4"

        def encode() -> None:
            xvcomp.encode(cube, made, overwrite=True, preset="fast", **chosen.options)

        return made, lambda: _held(made, xvcomp.open), encode
    made = folder / "cube.nc"
    xvcomp.encode(cube, source, preset="fast", **chosen.options)

    def decode() -> None:
        with xvcomp.open(source, decode_cf=False) as opened:
            write_dataset(opened, made, overwrite=True)

    return made, lambda: _held(made, xr.open_dataset), decode


def _held(path: Path, opener: Callable[..., xr.Dataset]) -> Any:
    with opener(path, decode_cf=False) as opened:
        return snapshot(opened.load())


def kill_batch(count: int, seed: int = 1) -> dict[str, Any]:
    """Kill ``xvcomp batch`` of four cubes once it works; every file then there must verify."""
    clock, losses, files = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(4):
            KINDS["gaps"].make().to_netcdf(folder / "in" / f"c{number}.nc")
        for number in range(count):
            out = folder / f"out{number}"
            _killed_batch(folder / "in", out, clock.uniform(0, 2))
            for path in out.glob("*.mp4"):
                files += 1
                try:
                    xvcomp.verify(path)
                except xvcomp.XvcompError as error:
                    losses.append(f"{number}: {path.name}: {error}")
    return {"trials": count, "files": files, "losses": len(losses), "examples": losses[:10]}


def _killed_batch(source: Path, out: Path, seconds: float) -> None:
    """Start a batch, and kill it so long after its first cube is done."""
    words = ["batch", str(source), "--out", str(out), "--workers", "1", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "xvcomp_cli", *words, "--quality", "40", "--preset", "fast"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < until and not list(out.glob("*.mp4")):
        time.sleep(0.02)
    time.sleep(seconds)
    process.kill()
    process.wait()
    # Workers notice that they are alone, and end.
    time.sleep(1)


def main() -> int:
    """Run what the command line asks for; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = {kind: kill_in_process(kind, asked.count, asked.seed) for kind in ("encode", "decode")}
    found["batch"] = kill_batch(asked.batches, asked.seed)
    write_json(found, asked.out)
    return int(any(each["losses"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
