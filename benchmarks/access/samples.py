"""Random training windows from a cube file, and from Zarr with zstd at the same accuracy.

::

    XVCOMP_DATA=... python -m benchmarks.access.samples --json samples.json

Zarr holds the same cube, rounded to the step at which its PSNR equals the file's, as
int16 with byte shuffle and zstd; once in chunks of the window's own size, once in chunks
as long as the file's GOPs. Bytes are what is read from disk, opening included. The cache
of decoded GOPs is held to two of them, for these cubes would fit into it.
"""

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

import xvcomp
from xvcomp.containers.source import LocalSource

from ..output import write_json

WINDOW = {"time": 8, "y": 64, "x": 64}
CUBES = {"seviri_hrv_5min_a": "hrv", "s2_eolearn_ndvi": ""}
COUNT = 200
SIDE = 512


class CountingSource(LocalSource):
    """A local file that counts what is read."""

    nbytes_read = 0

    def _read(self, offset: int, nbytes: int) -> bytes:
        type(self).nbytes_read += nbytes
        return super()._read(offset, nbytes)


class CountingStore(zarr.storage.WrapperStore):
    """A Zarr store that counts what is read."""

    nbytes_read = 0

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        found = await super().get(*args, **kwargs)
        type(self).nbytes_read += len(found) if found is not None else 0
        return found


def psnr(before: np.ndarray, after: np.ndarray, peak: float) -> float:
    valid = np.isfinite(before)
    error = np.square(before[valid].astype(np.float64) - after[valid]).mean()
    return float(10 * np.log10(peak**2 / error))


def rounded(values: np.ndarray, db: float, peak: float) -> tuple[np.ndarray, float]:
    """Round to the step whose error gives ``db``, as int16 with -32768 for NaN."""
    step = peak * 10 ** ((10.79 - db) / 20)
    low = np.nanmin(values)
    codes = np.rint((values - low) / step) - 32767
    return np.where(np.isfinite(values), codes, -32768).astype(np.int16), step


def write_zarr(path: Path, codes: np.ndarray, chunks: tuple[int, ...]) -> int:
    zarr.create_array(
        path, data=codes, chunks=chunks,
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"),
    )  # fmt: skip
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def zarr_windows(path: Path, step: float, reuse: int) -> Iterator[np.ndarray]:
    """Draw windows as ``xvcomp.samples`` does."""
    array = zarr.open_array(CountingStore(zarr.storage.LocalStore(path, read_only=True)), mode="r")
    rng = np.random.default_rng(0)
    sizes = list(WINDOW.values())
    while True:
        first = int(rng.integers(0, array.shape[0] - sizes[0] + 1))
        for _ in range(reuse):
            y, x = (
                int(rng.integers(0, n - s + 1))
                for n, s in zip(array.shape[1:], sizes[1:], strict=True)
            )
            part = array[first : first + sizes[0], y : y + sizes[1], x : x + sizes[2]]
            yield np.where(part == -32768, np.nan, part.astype(np.float32) * np.float32(step))


def timed(windows: Iterator[Any], counter: Any, count: int) -> dict[str, float]:
    counter.nbytes_read = 0
    started = time.perf_counter()
    for _ in itertools.islice(windows, count):
        pass
    seconds = time.perf_counter() - started
    return {
        "windows_per_second": round(count / seconds, 1),
        "kilobytes_per_window": round(counter.nbytes_read / count / 1000, 1),
    }


def loaded(name: str) -> xr.DataArray:
    cube = xr.open_dataset(Path(os.environ["XVCOMP_DATA"]) / f"{name}.nc")
    own = CUBES[name] or max(cube.data_vars, key=lambda v: cube[v].size)
    values = cube[own].astype(np.float32).drop_encoding().reset_coords(drop=True)
    values = values.rename(dict(zip(values.dims, WINDOW, strict=True)))
    return values.isel(y=slice(SIDE), x=slice(SIDE)).load()


def _gop_nbytes(values: xr.DataArray, gop: int) -> int:
    return gop * values[0].nbytes


def compare(name: str, db: float, gop: int, count: int) -> dict[str, Any]:
    values = loaded(name)
    peak = float(np.nanmax(values) - np.nanmin(values))
    found: dict[str, Any] = {"cube": name, "shape": list(values.shape), "gop": gop}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        report = xvcomp.encode(
            values.to_dataset(name="v"), path, target=xvcomp.Psnr(db), preset="fast", gop=gop
        )
        reached = report.groups[0].psnr_db
        codes, step = rounded(values.values, reached, peak)
        found |= {"psnr_db": round(reached, 2), "xvcomp_nbytes": report.nbytes, "by_reuse": []}
        low = float(np.nanmin(values))
        back = (codes.astype(np.float64) + 32767) * step + low
        found["zarr_psnr_db"] = round(psnr(values.values, back, peak), 2)
        stores = {"window chunks": tuple(WINDOW.values()), "GOP chunks": (gop, 128, 128)}
        for what, chunks in stores.items():
            found[f"zarr {what} nbytes"] = write_zarr(Path(folder) / what, codes, chunks)
        for reuse in (1, 8, 32):
            row: dict[str, Any] = {"reuse": reuse}
            ours = xvcomp.samples(
                CountingSource(path), WINDOW, reuse=reuse, cache_bytes=2 * _gop_nbytes(values, gop)
            )
            row["xvcomp"] = timed(ours, CountingSource, count)
            for what in stores:
                theirs = zarr_windows(Path(folder) / what, step, reuse)
                row[f"zarr {what}"] = timed(theirs, CountingStore, count)
            found["by_reuse"].append(row)
    return found


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--psnr", type=float, default=45.0)
    parser.add_argument("--gop", type=int, default=16)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = [compare(name, given.psnr, given.gop, given.count) for name in CUBES]
    write_json(found, given.json)


if __name__ == "__main__":
    main()
