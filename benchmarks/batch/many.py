"""Batch thousands of small cubes to a dataset: cores, memory, kills.

    XVCOMP_DATA=... python -m benchmarks.batch.many --count 2000 --kills 5 --out many.json

Makes crops of the cubes in XVCOMP_DATA (netCDF), runs ``xvcomp batch`` once without any
disturbance while it watches the cores and the memory of all its processes, then once
more with SIGKILL at random times, and compares both datasets byte for byte.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

import xvcomp
from xvcomp.containers.taco import open_taco
from xvcomp.sources import open_source

from ..rate_distortion.points import run_record

SIZE, FRAMES = 64, 24
WORDS = ("--preset", "fast", "--psnr", "45", "--json")


def make_crops(data: Path, folder: Path, count: int) -> None:
    """Cut ``count`` cubes of at most 24 x 64 x 64 out of all cubes there are, in turn."""
    paths = sorted(data.glob("*.nc"))
    windows = [crops for path in paths if (crops := list(_windows(path)))]
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    while made < count and windows:
        for crops in list(windows):
            if made == count:
                break
            if not crops:
                windows.remove(crops)
                continue
            path, window = crops.pop(0)
            with open_source(path) as cube:
                cube.isel(window).to_netcdf(folder / f"{made:05}_{path.stem[:24]}.nc")
            made += 1
    if made < count:
        raise SystemExit(f"the cubes in {data} give only {made} crops, {count} were asked for")


def _windows(path: Path) -> Iterator[tuple[Path, dict[str, slice]]]:
    """Yield windows of a cube along its time, y and x; half-overlapping to have many."""
    with open_source(path) as cube:
        sizes = {name: cube.sizes[name] for name in _axes(cube) if name in cube.sizes}
    if len(sizes) != 3:
        return
    steps = dict(zip(sizes, (FRAMES, SIZE, SIZE), strict=True))
    starts = [
        range(0, max(1, size - steps[name] // 2), max(1, steps[name] // 2))
        for name, size in sizes.items()
    ]
    for t in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                window = zip(sizes, (t, y, x), strict=True)
                yield path, {name: slice(at, at + steps[name]) for name, at in window}


def _axes(cube) -> tuple[str, ...]:
    """Return time, y and x of the largest variable, whatever they are called."""
    largest = max(cube.data_vars.values(), key=lambda v: v.size if v.ndim == 3 else 0)
    return tuple(largest.dims)


class Watch:
    """Samples a process and all below it, once a second."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.cores: list[float] = []
        self.rss: list[int] = []
        self._process = psutil.Process(process.pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        cores = psutil.cpu_count() or 1
        before, (busy, _) = time.monotonic(), self._family()
        while not self._stop.wait(1.0):
            now, (later, rss) = time.monotonic(), self._family()
            self.cores.append(max(0.0, later - busy) / (now - before) / cores)
            before, busy = now, later
            self.rss.append(rss)

    def _family(self) -> tuple[float, int]:
        """Return processor seconds so far, those of ended children too, and memory now."""
        seconds, rss = 0.0, 0
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return 0.0, 0
        for each in family:
            try:
                seconds += sum(each.cpu_times()[:4])
                rss += each.memory_info().rss
            except psutil.Error:
                continue
        return seconds, rss

    def end(self) -> dict[str, object]:
        """Stop; sum up the middle of the run, without its start and its end."""
        self._stop.set()
        self._thread.join()
        cut = max(1, len(self.cores) // 20)
        middle = self.cores[cut:-cut] or self.cores
        rss = [n for n in self.rss if n] or [0]
        third = max(1, len(rss) // 3)
        return {
            "busy_share_mean": statistics.fmean(middle) if middle else None,
            "busy_share_worst_decile": sorted(middle)[len(middle) // 10] if middle else None,
            "rss_peak": max(rss),
            "rss_mean_first_third": statistics.fmean(rss[:third]),
            "rss_mean_last_third": statistics.fmean(rss[-third:]),
            "samples": len(self.cores),
            "cores_over_time": [round(v, 3) for v in self.cores],
            "rss_over_time": self.rss,
        }


def start(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "xvcomp_cli", "batch", str(source), "--out", str(out), *WORDS]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)


def digests(dataset: Path) -> dict[str, str]:
    """Return the checksum of every cube, of the bytes as they lie in the dataset."""
    found = {}
    with open_taco(dataset) as taco:
        for row in taco.rows(columns=["id"]):
            source = taco.open(row["id"])
            found[row["id"]] = hashlib.sha256(source.read(0, source.nbytes)).hexdigest()
    return found


def undisturbed(source: Path, out: Path) -> dict[str, object]:
    started = time.monotonic()
    process = start(source, out)
    watch = Watch(process)
    code = process.wait()
    return {"code": code, "seconds": time.monotonic() - started, **watch.end()}


def disturbed(source: Path, out: Path, kills: int, seconds: float, seed: int) -> dict[str, object]:
    """Kill the batch at random times, spread over as long as it takes undisturbed."""
    chance = random.Random(seed)
    journal = out.with_name(f"{out.name}.work") / "journal.jsonl"
    done_at = []
    for _ in range(kills):
        process = start(source, out)
        if chance.random() < 0.8:  # the others are killed while they start, too
            _wait_for_more(journal, process)
        try:
            process.wait(chance.uniform(0.0, 1.2) * seconds / (kills + 1))
            break  # it finished before its turn
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        done_at.append(len(journal.read_text().splitlines()) if journal.exists() else 0)
    code = start(source, out).wait() if len(done_at) == kills else 0
    return {"code": code, "killed": len(done_at), "journal_lines_at_kills": done_at}


def _wait_for_more(journal: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until another cube is in the journal, or the batch has ended."""
    before = journal.stat().st_size if journal.exists() else 0
    while process.poll() is None:
        if journal.exists() and journal.stat().st_size > before:
            return
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=Path, help="folder to keep; by default a temporary one")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    data = os.environ.get("XVCOMP_DATA")
    if not data:
        raise SystemExit("set XVCOMP_DATA to a folder of real cubes")
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        if not (work / "in").exists():
            make_crops(Path(data), work / "in", asked.count)
        first = undisturbed(work / "in", work / "undisturbed.tacozip")
        second = disturbed(
            work / "in", work / "killed.tacozip", asked.kills, first["seconds"], asked.seed
        )
        one, other = digests(work / "undisturbed.tacozip"), digests(work / "killed.tacozip")
        report = json.loads((work / "undisturbed.report.json").read_text())
    found = {
        "run": run_record(sys.argv[1:]) | {"xvcomp": xvcomp.__version__},
        "count": asked.count,
        "options": WORDS,
        "cubes_per_second": asked.count / first["seconds"],
        "ratio": report["ratio"],
        "failures": report["failures"],
        "undisturbed": first,
        "killed": second,
        "cubes": len(one),
        "missing_after_kills": sorted(set(one) - set(other)),
        "doubled_after_kills": sorted(set(other) - set(one)),
        "different_after_kills": [name for name in one if other.get(name) != one[name]],
    }
    asked.out.write_text(json.dumps(found, indent=1).replace(f"{work}/", "") + "\n")
    brief = {k: v for k, v in found.items() if k not in ("undisturbed",)}
    sys.stdout.write(json.dumps(brief, indent=1) + "\n")
    busy = first["busy_share_mean"]
    sys.stdout.write(
        f"cores busy: {busy:.1%} on average, peak RSS {first['rss_peak'] / 1e9:.2f} GB\n"
    )


if __name__ == "__main__":
    main()
