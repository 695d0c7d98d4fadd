"""What the post-filter of preset best gains: the same files, decoded with it and without.

``python -m benchmarks.rate_distortion.postfilter --data DIR --out FILE [--cubes A B]``

For each quality: the gain in dB at the same bits (but for the filter's own, which are counted
in both), how many weights it has per file, and how much longer decoding takes.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import xvcomp
from xvcomp.pipeline import slabs
from xvcomp.reading import CubeFile

from .coder import BIG
from .cubes import Cube
from .points import measure_errors
from .rows import Row, measure_rows, options

__all__ = ["compared"]

_PSNR_DB = (34, 42, 50)
_DECODES = 5


@contextmanager
def _unfiltered() -> Iterator[None]:
    with mock.patch.object(slabs, "_filter"):
        yield


def _decoded(cube: Cube, path: Path) -> tuple[NDArray[np.float64], float]:
    """Return unpacked values, and the seconds of the quickest of some decodings."""
    seconds = math.inf
    for _ in range(1 if cube.samples > BIG else _DECODES):
        started = time.perf_counter()
        with xvcomp.open(path, decode_cf=False) as dataset:
            loaded = dataset.load()
        seconds = min(seconds, time.perf_counter() - started)
    return cube.from_dataset(loaded), seconds


def compared(cube: Cube, db: float) -> Row:
    """Encode at a nominal PSNR on the cube's peak, and decode in both ways."""
    low, high = cube.value_range
    target = xvcomp.Quality(db + 20 * math.log10((high - low) / cube.peak))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        xvcomp.encode(cube.dataset, path, stored=True, target=target, preset="best")
        filtered, seconds = _decoded(cube, path)
        with _unfiltered():
            plain, plain_seconds = _decoded(cube, path)
        with closing(CubeFile(path)) as file:
            filters = [each.post_filter for each in file.manifest.groups if each.post_filter]
        nbytes = path.stat().st_size
    psnr_db = measure_errors(cube, filtered).psnr_db
    return {
        "quality_db": db,
        "bpppb": round(8 * nbytes / cube.samples, 4),
        "psnr_db": round(psnr_db, 3),
        "gain_db": round(psnr_db - measure_errors(cube, plain).psnr_db, 3),
        "weights": sum(math.prod(each.weights.shape) for each in filters),
        "classes": max((each.weights.shape[1] for each in filters), default=0),
        "decode_ratio": round(seconds / plain_seconds, 2),
    }


def _row(cube: Cube) -> Row:
    points = [compared(cube, db) for db in _PSNR_DB]
    means = {key: round(statistics.fmean(p[key] for p in points), 3) for key in _MEANS}
    return {**means, "points": points}


_MEANS = ("gain_db", "decode_ratio")


def _summary(rows: Sequence[Row]) -> Row:
    return {"mean": {key: round(statistics.fmean(r[key] for r in rows), 3) for key in _MEANS}}


def main() -> None:
    """Measure all cubes, writing after each."""
    measure_rows(options(__doc__).parse_args(), _row, _summary)


if __name__ == "__main__":
    main()
