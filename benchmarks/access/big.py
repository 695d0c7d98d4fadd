"""Encode and decode a cube larger than memory, and measure the peak of what that takes.

::

    XVCOMP_DATA=... python -m benchmarks.access.big --gigabytes 12 --memory 1.5GB --json big.json

The cube is lazy: ``seviri_hrv_5min_a.nc`` again and again, each time shifted and with
another gain. Every step runs in a process of its own, whose peak of resident memory
(``ru_maxrss``, everything included) is what is reported.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..output import write_json

FRAMES_PER_CHUNK = 16


def made_cube(gigabytes: float) -> Any:
    """Return a lazy Dataset of float32 of that size in memory."""
    import dask.array as da
    import numpy as np
    import xarray as xr

    source = Path(os.environ["XVCOMP_DATA"]) / "seviri_hrv_5min_a.nc"
    base = xr.open_dataset(source, decode_cf=False)["hrv"]
    values, scale = base.values, float(base.attrs.get("scale_factor", 1.0))
    _, height, width = values.shape
    frames = int(gigabytes * 1e9 / (height * width * 4))

    def chunk(block_info: Any = None) -> Any:
        first, last = block_info[None]["array-location"][0]
        found = np.empty((last - first, height, width), np.float32)
        for i in range(first, last):
            turn, frame = divmod(i, len(values))
            shifted = np.roll(values[frame], (37 * turn, 53 * turn), axis=(0, 1))
            found[i - first] = shifted * np.float32(scale * (1 + 0.05 * np.sin(turn)))
        return found

    steps = [min(FRAMES_PER_CHUNK, frames - i) for i in range(0, frames, FRAMES_PER_CHUNK)]
    lazy = da.map_blocks(chunk, chunks=(tuple(steps), (height,), (width,)), dtype=np.float32,
                         meta=np.empty((0, 0, 0), np.float32))  # fmt: skip
    return xr.Dataset(
        {"hrv": (("time", "y", "x"), lazy, {"units": "1"})}, {"time": np.arange(frames)}
    )


def encode(path: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Encode the cube, at a fixed quality: one trial and one verification."""
    import xvcomp

    report = xvcomp.encode(
        made_cube(given.gigabytes), path, target=xvcomp.Quality(given.quality), preset="fast",
        memory=given.memory, codec=given.codec,
    )  # fmt: skip
    group = report.groups[0]
    return {"nbytes": report.nbytes, "psnr_db": group.psnr_db, "frames": group.shape[0],
            "gop": xvcomp.info(path).manifest.groups[0].gop}  # fmt: skip


def decode(path: Path, target: Path) -> dict[str, Any]:
    """Decode the file to Zarr."""
    import xvcomp
    from xvcomp.sinks import write_dataset

    with xvcomp.open(path) as cube:
        write_dataset(cube, target, overwrite=True)
        return {"raw_nbytes": int(cube["hrv"].nbytes)}


def _step(arguments: list[str]) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.access.big", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _measured(work: Any) -> None:
    started = time.perf_counter()
    found = work()
    found["seconds"] = round(time.perf_counter() - started, 1)
    found["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--memory", default="1.5GB")
    parser.add_argument("--quality", type=float, default=42.0)
    parser.add_argument("--codec", default="libsvtav1")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=("encode", "decode"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    size = [f"--gigabytes={given.gigabytes}", f"--memory={given.memory}",
            f"--quality={given.quality}", f"--codec={given.codec}"]  # fmt: skip
    if given.step:
        file, store = given.folder / "big.mp4", given.folder / "big.zarr"
        if given.step == "encode":
            _measured(lambda: encode(file, given))
        else:
            _measured(lambda: decode(file, store))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = {"gigabytes": given.gigabytes, "memory": given.memory,
                 "quality": given.quality, "codec": given.codec}  # fmt: skip
        for step in ("encode", "decode"):
            found[step] = _step([*size, f"--step={step}", f"--folder={folder}"])
            print(step, found[step], file=sys.stderr)
    write_json(found, given.json)


if __name__ == "__main__":
    main()
