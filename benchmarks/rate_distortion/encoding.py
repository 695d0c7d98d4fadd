"""Encode a cube at a nominal quality, decode it, and measure: a row of what was found."""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import xvcomp

from .cubes import Cube
from .points import measure_errors
from .rows import Row

__all__ = ["encoded_row"]


def encoded_row(cube: Cube, db: float, **options: Any) -> tuple[Row, list[dict[str, Any]]]:
    """Return what a file of a nominal PSNR on the cube's peak measures, and its groups.

    Parameters
    ----------
    cube : Cube
    db : float
    **options
        Of ``xvcomp.encode``.
    """
    low, high = cube.value_range
    target = xvcomp.Quality(db + 20 * math.log10((high - low) / cube.peak))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        started = time.perf_counter()
        xvcomp.encode(cube.dataset, path, stored=True, target=target, **options)
        seconds = time.perf_counter() - started
        groups = xvcomp.info(path).to_dict()["groups"]
        with xvcomp.open(path, decode_cf=False) as opened:
            decoded = cube.from_dataset(opened.load())
        nbytes = path.stat().st_size
    row = {
        "quality_db": db,
        "bpppb": 8 * nbytes / cube.samples,
        "psnr_db": measure_errors(cube, decoded).psnr_db,
        "seconds": seconds,
    }
    return row, groups
