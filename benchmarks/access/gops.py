"""What a GOP length costs in bits, and what it saves a reader of one frame.

::

    XVCOMP_DATA=... python -m benchmarks.access.gops --json benchmarks/access/results/gops.json

Each cube (its first 128 frames, at most 256 x 256 pixels) is encoded at one PSNR with GOPs
of 1, 8, 16, 32, 64 frames and as a whole. What a search leaves over (up to 0.25 dB) is
taken off along the rate's own slope, measured by a second encoding of the whole 1.5 dB
higher. Latencies are the best of five readings of each of some random frames, with an
empty cache: other work on the machine only ever adds time.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xvcomp
from xvcomp.reading import CubeFile

from ..output import write_json

GOPS = (1, 8, 16, 32, 64, 0)
CUBES: dict[str, tuple[str, ...]] = {
    "seviri_hrv_5min_a": ("hrv",),
    "s2_worldcereal_be1": ("B02", "B03", "B04", "B08"),
    "era5_t2m_uk_hourly": ("t2m",),
}
FRAMES = 128
SIDE = 256
RANDOM_FRAMES = 5
REPEATS = 5
STEP_DB = 1.5


def best_ms(work: Callable[[], object]) -> float:
    """Time something several times; the best is what it takes undisturbed."""
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return 1000 * min(found)


def latency(path: Path, name: str, n_frames: int) -> dict[str, float]:
    """Time random single frames, and all frames, without any cache."""
    cube = CubeFile(path, cache_bytes=0)
    dim = str(cube.manifest.groups[0].frame_dim)
    frames = np.random.default_rng(0).integers(0, n_frames, RANDOM_FRAMES).tolist()
    single = [best_ms(lambda i=i: cube.read(name, {dim: slice(i, i + 1)})) for i in frames]
    whole = best_ms(lambda: cube.read(name, {}))
    cube.close()
    return {"frame_ms": round(float(np.median(single)), 2), "whole_cube_ms": round(whole, 1)}


def encoded(cube: xr.Dataset, gop: int, preset: str, db: float) -> dict[str, Any]:
    """Encode at one GOP length, and measure."""
    name = str(next(iter(cube.data_vars)))
    n_frames = cube[name].shape[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        report = xvcomp.encode(
            cube, path, stored=True, target=xvcomp.Psnr(db), preset=preset,
            gop=gop or n_frames, codec="libx265", lossy=tuple(cube.data_vars),
        )  # fmt: skip
        (group,) = report.groups
        found = {"gop": gop or n_frames, "bpppb": round(group.bpppb, 5)}
        found["psnr_db"] = round(group.psnr_db, 3)
        return found | latency(path, name, n_frames)


def table(name: str, variables: tuple[str, ...], preset: str, db: float) -> dict[str, Any]:
    """Measure all GOP lengths on one cube."""
    source = xr.open_dataset(Path(os.environ["XVCOMP_DATA"]) / f"{name}.nc", decode_cf=False)
    cube = source[list(variables)]
    time_dim, y, x = cube[variables[0]].dims
    cube = cube.isel({time_dim: slice(FRAMES), y: slice(SIDE), x: slice(SIDE)}).load()
    rows = [encoded(cube, gop, preset, db) for gop in GOPS]
    whole, finer = rows[-1], encoded(cube, 0, preset, db + STEP_DB)
    slope = math.log(finer["bpppb"] / whole["bpppb"]) / (finer["psnr_db"] - whole["psnr_db"])
    for row in rows:
        at_equal_psnr = row["bpppb"] * math.exp(slope * (whole["psnr_db"] - row["psnr_db"]))
        row["rate_vs_whole"] = round(at_equal_psnr / whole["bpppb"], 3)
        print(name, row, file=sys.stderr, flush=True)
    return {"cube": name, "variables": list(variables), "preset": preset, "psnr_db": db,
            "shape": list(cube[variables[0]].shape), "rows": rows}  # fmt: skip


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--psnr", type=float, default=45.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = [table(name, own, given.preset, given.psnr) for name, own in CUBES.items()]
    write_json(found, given.json)


if __name__ == "__main__":
    main()
