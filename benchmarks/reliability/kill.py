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
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import xarray as xr

import xvcomp
from xvcomp.sinks import write_dataset

from ..output import write_json
from .corpus import KINDS
from .targets import snapshot

__all__ = ["Work", "kill_batch", "kill_in_process", "trial"]

Work = Callable[[], None]
_KILLS_A_FOLDER = 5


def trial(work: Work, seconds: float) -> bool:
    """Run ``work`` in a child and kill it after ``seconds``; says whether it was still at it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _end_with(work)
    time.sleep(seconds)
    still = os.waitpid(child, os.WNOHANG) == (0, 0)
    if still:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return still


def _end_with(work: Work) -> NoReturn:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _duration(work: Work) -> float:
    """Return how long the work takes when nobody kills it: the longer of two runs."""
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _end_with(work)
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
    """Kill ``xvcomp batch`` of four cubes ``count`` times, from its start to its end.

    Every other time its workers are killed with it. All that is there under a final name
    must be whole; each folder is killed at five times, then the batch may finish.
    """
    clock, found, losses = random.Random(seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(4):
            KINDS["gaps"].make().to_netcdf(folder / "in" / f"c{number}.nc")
        started = time.monotonic()
        _batch(folder / "in", folder / "whole").wait()
        usual = time.monotonic() - started
        for number in range(count):
            out = folder / f"out{number // _KILLS_A_FOLDER}"
            process = _batch(folder / "in", out)
            time.sleep(clock.uniform(0, usual))
            found["killed" if process.poll() is None else "done"] += 1
            _kill(process, workers=bool(number % 2))
            found["files"] += len(list(out.glob("*.mp4")))
            losses += [f"{number}: {each}" for each in _broken(out)]
            if number % _KILLS_A_FOLDER == _KILLS_A_FOLDER - 1:
                status = _batch(folder / "in", out).wait()
                made = sorted(path.name for path in out.glob("*.mp4"))
                losses += [f"{number}: {each}" for each in _broken(out)]
                if status or made != [f"c{n}.mp4" for n in range(4)]:
                    losses.append(f"{number}: went on to {made}, status {status}")
    return {"trials": count, **found, "losses": len(losses), "examples": losses[:10]}


def _batch(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    words = ["batch", str(source), "--out", str(out), "--workers", "1", "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "xvcomp_cli", *words, "--quality", "40", "--preset", "fast"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill(process: "subprocess.Popen[bytes]", *, workers: bool) -> None:
    """Kill a batch, its workers too or so that they notice that they are alone, and end."""
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    if workers:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    if alive:
        raise RuntimeError(f"workers outlive their batch: {alive}")


def _broken(out: Path) -> list[str]:
    found = []
    for path in out.glob("*.mp4"):
        try:
            xvcomp.verify(path)
        except xvcomp.XvcompError as error:
            found.append(f"{path.name}: {error}")
    return found


def main() -> int:
    """Run what the command line asks for; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = {kind: kill_in_process(kind, asked.count, asked.seed) for kind in ("encode", "decode")}
    found["batch"] = kill_batch(asked.batches, asked.seed)
    write_json(found, asked.out)
    return int(any(each["losses"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
