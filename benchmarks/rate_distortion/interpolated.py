"""What finding the coarser grid of interpolated fields gains: the same fields, with it and without.

``python -m benchmarks.rate_distortion.interpolated --data DIR --out FILE [--cubes A B]``

The fields are **made of** real cubes: their samples are taken for those of a coarser grid, and
interpolated to twice as many rows and columns (linearly by ``scipy.ndimage.zoom``, cubically
by PIL), then cast to the stored dtype. The BD-rate of each kernel compares files that code the
coarser grid with files that were kept from finding it.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from xvcomp import survey

from .bdrate import bd_rate
from .cubes import Cube, cast
from .encoding import encoded_row
from .rows import Row, measure_rows, options

__all__ = ["KERNELS", "compared", "widened"]

_CUBES = ("be1_4bands", "modis", "ndvi", "t2m")
_PSNR_DB = (30, 36, 42, 48, 54)
KERNELS = ("linear", "cubic")
_DIMS = ("time", "y", "x")


def _wide(frame: NDArray[np.float64], kernel: str) -> NDArray[np.float64]:
    if kernel == "linear":
        return np.asarray(ndimage.zoom(frame, 2, order=1, grid_mode=True, mode="nearest"))
    image = Image.fromarray(frame.astype(np.float32))
    size = (2 * frame.shape[1], 2 * frame.shape[0])
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)


def widened(cube: Cube, kernel: str) -> Cube:
    """Interpolate a cube's fields, gaps filled first, to twice as many rows and columns."""
    fields = {}
    for name, values in zip(cube.variables, cube.filled_stored, strict=True):
        for band in range(values.shape[1]):
            frames = [_wide(each.astype(np.float64), kernel) for each in values[:, band]]
            fields[f"{name}{band}"] = (_DIMS, cast(np.stack(frames), values.dtype))
    dataset = xr.Dataset(fields)
    return Cube(name=f"{cube.name} {kernel}", dataset=dataset, variables=tuple(fields))


@contextmanager
def _unfound() -> Iterator[None]:
    with mock.patch.object(survey, "interpolation_of", return_value=None):
        yield


def _curve(cube: Cube) -> list[Row]:
    rows = []
    for db in _PSNR_DB:
        row, groups = encoded_row(cube, db)
        rows.append(row | {"coarse": all(each["interpolation"] is not None for each in groups)})
    return rows


def compared(cube: Cube) -> Row:
    """Encode interpolated fields both ways."""
    found = _curve(cube)
    with _unfound():
        full = _curve(cube)
    curves = [[(row["bpppb"], row["psnr_db"]) for row in rows] for rows in (full, found)]
    seconds = [math.fsum(row["seconds"] for row in rows) for rows in (full, found)]
    return {
        "bd_rate_percent": round(bd_rate(*curves), 1),
        "seconds_ratio": round(seconds[1] / seconds[0], 2),
        "found": found,
        "full": full,
    }


def _row(cube: Cube) -> Row:
    points = {kernel: compared(widened(cube, kernel)) for kernel in KERNELS}
    return {kernel: points[kernel]["bd_rate_percent"] for kernel in KERNELS} | {"points": points}


def _summary(rows: Sequence[Row]) -> Row:
    return {"mean": {k: round(statistics.fmean(row[k] for row in rows), 1) for k in KERNELS}}


def main() -> None:
    """Measure all cubes, writing after each."""
    measure_rows(options(__doc__, _CUBES).parse_args(), _row, _summary)


if __name__ == "__main__":
    main()
