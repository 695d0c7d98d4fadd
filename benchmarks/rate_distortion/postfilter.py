"""What filtering decoded frames could gain: the best linear filters there are, for free.

``python -m benchmarks.rate_distortion.postfilter --data DIR --out FILE [--cubes A B]``

The streams are those that xvcomp would code, encoded by x265 as preset best does. For each,
coefficients are fitted to the very frames that they then filter, without a cost in bits: no
filter of that shape, in a file, can gain more. In decibels of squared error:

gain
    One factor and one offset: shrinkage of components, and least-squares reconstruction.
symmetric
    3 x 3 pixels, and one weight for both neighbours in time.
full
    All 27 neighbours in space and time.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xvcomp.codecs import registry
from xvcomp.codecs.segments import split

from .cubes import Cube
from .rows import Row, measure_rows, options
from .tune import Stream, recorded

__all__ = ["gains"]

_STEPS = (1, 4, 16)
"""In units of the step that gives about 50 dB."""

_FRAMES = 40
_MOST_STREAMS = 2

Offset = tuple[int, int, int]
_AROUND: tuple[Offset, ...] = tuple(itertools.product((-1, 0, 1), repeat=3))
_SYMMETRIC: tuple[tuple[Offset, ...], ...] = (
    ((0, 0, 0),),
    ((0, 0, -1), (0, 0, 1)),
    ((0, -1, 0), (0, 1, 0)),
    ((0, -1, -1), (0, -1, 1), (0, 1, -1), (0, 1, 1)),
    ((-1, 0, 0), (1, 0, 0)),
)
_SHAPES: dict[str, tuple[tuple[Offset, ...], ...]] = {
    "gain": (((0, 0, 0),),),
    "symmetric": _SYMMETRIC,
    "full": tuple((offset,) for offset in _AROUND),
}


def gains(
    original: NDArray[np.floating[Any]], decoded: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Return by how many dB each shape of filter lowers the squared error.

    Parameters
    ----------
    original, decoded : ndarray of float, shape (time, y, x)
    """
    error = float(np.mean(np.square(original - decoded)))
    padded = np.pad(decoded, 1, mode="edge")
    time, height, width = decoded.shape
    moved = {
        (t, y, x): padded[1 + t : 1 + t + time, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        for t, y, x in _AROUND
    }
    found = {}
    for name, shape in _SHAPES.items():
        columns = [sum(moved[offset] for offset in offsets) for offsets in shape]
        design = np.stack([np.ravel(column) for column in columns] + [np.ones(decoded.size)], 1)
        products = design.T @ design
        ridge = 1e-9 * np.trace(products) / len(products) * np.eye(len(products))
        weights = np.linalg.solve(products + ridge, design.T @ original.ravel())
        left = float(np.mean(np.square(original.ravel() - design @ weights)))
        found[name] = 10 * math.log10(error / left) if left > 0 else 0.0
    return found


def _measured(stream: Stream, factor: float) -> dict[str, float]:
    planes, params = stream
    codec = registry.get("libx265")
    widths = codec.quantizers(params.bit_depth)
    assert params.quantizer is not None  # a Quality target is lossy
    step = widths[params.quantizer] * factor
    nearest = min(widths, key=lambda q: abs(math.log(widths[q] / step)))
    own = replace(params, quantizer=nearest, preset="best", threads=0)
    info, gops = split(codec.encode(planes, own))
    packets = [packet for gop in gops for packet in gop]
    decoded = codec.decode(packets, info, chroma=own.chroma, threads=1)[0][:_FRAMES]
    bits = 8 * sum(map(len, packets)) / planes[0].size
    filtered = gains(planes[0][:_FRAMES].astype(np.float64), decoded.astype(np.float64))
    return {"bits": round(bits, 3)} | {name: round(db, 3) for name, db in filtered.items()}


def _mean(points: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.fmean(p[name] for p in points), 3) for name in _SHAPES}


def _row(cube: Cube) -> Row:
    streams = recorded(cube.dataset)[:_MOST_STREAMS]
    points = [_measured(stream, factor) for stream in streams for factor in _STEPS]
    return {"mean_db": _mean(points), "points": points}


def main() -> None:
    """Measure all cubes, writing after each."""
    measure_rows(options(__doc__).parse_args(), _row)


if __name__ == "__main__":
    main()
