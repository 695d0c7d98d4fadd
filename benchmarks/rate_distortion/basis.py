"""What turning the KLT's basis gains: files of the same cubes with the turned basis and the plain.

``python -m benchmarks.rate_distortion.basis --data DIR --out FILE [--cubes A B]``

The BD-rate of each preset compares files as they are written with files whose basis is that
of the KLT, at five qualities. Trials choose codec and folding for each file.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

from xvcomp.transforms import klt, rotating

from .bdrate import bd_rate
from .cubes import Cube
from .encoding import encoded_row
from .rows import Row, measure_rows, options

__all__ = ["compared"]

_CUBES = (
    "be1_10bands",
    "earthnet",
    "glosea4",
    "globcurrent",
    "erai_uv",
    "erai_z",
    "t2m",
    "s1",
    "modis",
)
_PSNR_DB = (30, 36, 42, 48, 54)
_PRESETS = ("fast", "balanced")


@contextmanager
def _plain() -> Iterator[None]:
    def fit(moments: klt.Moments, weights: object, *_: object) -> object:
        return klt.fit(moments, weights)  # type: ignore[arg-type]

    with mock.patch.object(rotating, "fit", fit):
        yield


def compared(cube: Cube, preset: str) -> Row:
    """Encode a cube both ways."""
    turned = [encoded_row(cube, db, preset=preset)[0] for db in _PSNR_DB]
    with _plain():
        plain = [encoded_row(cube, db, preset=preset)[0] for db in _PSNR_DB]
    curves = [[(row["bpppb"], row["psnr_db"]) for row in rows] for rows in (plain, turned)]
    seconds = [math.fsum(row["seconds"] for row in rows) for rows in (plain, turned)]
    return {
        "bd_rate_percent": round(bd_rate(*curves), 1),
        "seconds_ratio": round(seconds[1] / seconds[0], 2),
        "turned": turned,
        "plain": plain,
    }


def _row(cube: Cube) -> Row:
    points = {preset: compared(cube, preset) for preset in _PRESETS}
    return {each: points[each]["bd_rate_percent"] for each in _PRESETS} | {"points": points}


def _summary(rows: Sequence[Row]) -> Row:
    return {"mean": {k: round(statistics.fmean(row[k] for row in rows), 1) for k in _PRESETS}}


def main() -> None:
    """Measure all cubes, writing after each."""
    measure_rows(options(__doc__, _CUBES).parse_args(), _row, _summary)


if __name__ == "__main__":
    main()
