"""Damage by region, crowds, and thousands of cycles: ``python -m benchmarks.reliability.abuse``.

``--out abuse.json [--cycles 5000] [--minutes 6] [--stride 7]``
"""

import argparse
import gc
import io
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

import xvcomp

from ..output import write_json
from .corpus import KINDS, encoded, tiny
from .targets import loaded, snapshot

__all__ = ["crowd", "leaks", "regions", "soak"]

_GROWTH_MIB = 5
"""What the allocator may keep after the first cycles."""


def _verdict(data: bytes, expected: Any) -> str:
    try:
        found = loaded(data)
    except xvcomp.XvcompError:
        return "refused"
    return "right" if snapshot(found) == expected else "WRONG"


def regions(kind: str, stride: int = 1) -> dict[str, Any]:
    """Flip a bit of every ``stride``-th byte, and cut the file there."""
    data = encoded(kind)
    expected, found = snapshot(loaded(data)), Counter[str]()
    for position in range(0, len(data), stride):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        found["flip " + _verdict(bytes(flipped), expected)] += 1
        found["cut " + _verdict(data[:position], expected)] += 1
    wrong = found["flip WRONG"] + found["cut WRONG"]
    return {"nbytes": len(data), "inputs": found.total(), **sorted_counts(found), "losses": wrong}


def sorted_counts(found: Counter[str]) -> dict[str, int]:
    """Return counts by name, in order."""
    return dict(sorted(found.items()))


def _read(path: str, number: int) -> bool:
    """Read a variable by frames, from another place each time, and compare."""
    with xvcomp.open(path) as opened:
        names = list(opened.data_vars)
        variable = opened[names[number % len(names)]]
        times = variable.sizes["time"]
        parts = [variable.isel(time=(number + i) % times).values for i in range(times)]
    with xvcomp.open(path, cache_bytes=0) as again:
        whole = again[variable.name].values
    return all(
        part.tobytes() == whole[(number + i) % times].tobytes() for i, part in enumerate(parts)
    )


def crowd(n_threads: int = 100, processes: int = 16) -> dict[str, Any]:
    """Let threads, then processes, read one file at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "cube.mp4")
        Path(path).write_bytes(encoded("x265"))
        right: list[bool] = []
        threads = [
            threading.Thread(target=lambda n=n: right.append(_read(path, n)))
            for n in range(n_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        if processes:
            with multiprocessing.get_context("spawn").Pool(processes) as pool:
                right += pool.starmap(_read, [(path, n) for n in range(2 * processes)])
    lost = n_threads + 2 * processes - sum(right)
    return {"threads": n_threads, "processes": processes, "losses": lost}


def soak(cycles: int, seconds: float, every: int = 100) -> dict[str, Any]:
    """Encode, open, read and verify a tiny cube again and again; memory and files stay flat."""
    cube, process = tiny(), psutil.Process()
    marks: list[tuple[int, float, int, int]] = []
    done, started = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        while done < cycles and time.monotonic() - started < seconds:
            xvcomp.encode(
                cube,
                path,
                target=xvcomp.Quality(40),
                codec="libx265",
                lossy=("B00",),
                preset="fast",
                overwrite=True,
            )
            with xvcomp.open(io.BytesIO(path.read_bytes())) as opened:
                opened.load()
            done += 1
            if done % every == 0:
                gc.collect()
                resident = round(process.memory_info().rss / 2**20, 1)
                marks.append((done, resident, process.num_fds(), process.num_threads()))
        left = sorted(os.listdir(folder))
    return {
        "cycles": done,
        "seconds": round(time.monotonic() - started, 1),
        "left_in_folder": left,
        "cycle_rss_mib_fds_threads": marks[:: max(1, len(marks) // 20)] + marks[-1:],
    }


def leaks(found: dict[str, Any]) -> list[str]:
    """Say what a soak left behind, beyond what its first cycles took."""
    (_, rss, *first), *_, (_, rss_after, *last) = found["cycle_rss_mib_fds_threads"]
    leaked = [f"{rss_after - rss:.0f} MiB"] if rss_after - rss > _GROWTH_MIB else []
    names = ("open files", "threads")
    leaked += [f"{b - a} {what}" for what, a, b in zip(names, first, last, strict=True) if b > a]
    if found["left_in_folder"] != ["cube.mp4"]:
        leaked.append(f"files {found['left_in_folder']}")
    return leaked


def main() -> int:
    """Run what the command line asks for; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cycles", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--stride", type=int, default=13)
    asked = parser.parse_args()
    found: dict[str, Any] = {"soak": soak(asked.cycles, 60 * asked.minutes), "crowd": crowd()}
    found["regions"] = {kind: regions(kind, asked.stride) for kind in KINDS}
    write_json(found, asked.out)
    lost = found["crowd"]["losses"] + sum(each["losses"] for each in found["regions"].values())
    lost += len(leaks(found["soak"]))
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
