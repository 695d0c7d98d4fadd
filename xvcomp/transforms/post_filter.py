"""A small linear filter of decoded bands, with coefficients in the file, exact everywhere.

A quantiser leaves noise of all spatial frequencies, of which many fields have no high ones:
those of spectral models on finer grids, smooth ones, bands that share components with
noisier bands. A sample takes a part of how its neighbours in space and time differ from
it; that part is learned from the original (`wiener`), as in the adaptive loop filter of
video codecs. Neighbours at equal distances along each axis count alike. Samples of calm
and of lively surroundings may have filters of their own.

The result must be the same bits on every machine. So values are rounded to a fine grid
around their mean first, where they are integers of 16 bits for codes, 6 for a grid that is finer
than these, and a few for sums of components: the sums of their products with weights of 16
bits stay below 2**53, and are exact in float64, whatever their order.
"""

import numpy as np
from numpy.typing import NDArray

from ..spec import Klt, PostFilter
from . import per_band
from .products import multiply

__all__ = [
    "LEVELS_PER_CODE",
    "TAPS",
    "activity",
    "around",
    "correct",
    "features",
    "levels_of",
    "padded",
    "units",
]

_MARGIN = 3
"""How far neighbours in space may be; those in time are next to the sample."""

TAPS = 13
"""Kinds of neighbours: 9 in the same frame, 4 in the frames before and after it."""

LEVELS_PER_CODE = 64


def units(klt: Klt, step: float, bands: int) -> NDArray[np.float64]:
    """Return the width of a level of each band, in stored units.

    Parameters
    ----------
    klt : Klt
        Of bands that may be folded: the weights of a frame are those of each.
    step : float
        Width of one code.
    bands : int
        Bands after unfolding.
    """
    return np.asarray(step / LEVELS_PER_CODE / klt.weights.numpy()[:bands])


def levels_of(
    values: NDArray[np.float64], klt: Klt, widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Round how values differ from the mean of their band to levels.

    Parameters
    ----------
    values : ndarray of float64, shape (time, band, y, x)
    klt : Klt
        Of bands that may be folded: the means of a frame are those of each.
    widths : ndarray of float64, shape (band,)
        From `units`.

    Returns
    -------
    ndarray of float64, of the same shape
        Integers.
    """
    levels = values.copy()
    per_band.apply(np.subtract, levels, klt.means.numpy().astype(np.float64)[: len(widths)])
    per_band.apply(np.divide, levels, widths)
    np.rint(levels, out=levels)
    return levels


def padded(
    levels: NDArray[np.float64],
    before: NDArray[np.float64] | None,
    after: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Give consecutive frames neighbours on all sides.

    Parameters
    ----------
    levels : ndarray of float64, shape (time, band, y, x)
    before, after : ndarray of float64, shape (1, band, y, x), or None
        The frames next to them; at an end of a GOP its own frame is repeated, as rows
        and columns are at the edges.

    Returns
    -------
    ndarray of float64, shape (band, time + 2, y + 2 * _MARGIN, x + 2 * _MARGIN)
    """
    time, bands, height, width = levels.shape
    out = np.empty((bands, time + 2, height + 2 * _MARGIN, width + 2 * _MARGIN))
    inner = out[:, :, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].swapaxes(0, 1)
    inner[0] = levels[0] if before is None else before[0]
    inner[1:-1] = levels
    inner[-1] = levels[-1] if after is None else after[0]
    out[:, :, _MARGIN:-_MARGIN, :_MARGIN] = out[:, :, _MARGIN:-_MARGIN, _MARGIN : _MARGIN + 1]
    out[:, :, _MARGIN:-_MARGIN, -_MARGIN:] = out[:, :, _MARGIN:-_MARGIN, -_MARGIN - 1 : -_MARGIN]
    out[:, :, :_MARGIN] = out[:, :, _MARGIN : _MARGIN + 1]
    out[:, :, -_MARGIN:] = out[:, :, -_MARGIN - 1 : -_MARGIN]
    return out


def around(levels: NDArray[np.float64], frames: slice, rows: slice) -> NDArray[np.float64]:
    """Return a view of `padded` levels: some frames and rows, and their neighbours."""
    return levels[:, frames.start : frames.stop + 2, rows.start : rows.stop + 2 * _MARGIN]


def features(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how neighbours of each kind differ from each sample, added up.

    Parameters
    ----------
    levels : ndarray of float64
        From `padded`, or some of its rows, ``_MARGIN`` more on each side.

    Returns
    -------
    ndarray of float64, shape (band, TAPS, time, y, x)
        Kinds by distance in (time, y, x): (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 1, 0),
        (0, 2, 0), (0, 3, 0), (0, 1, 1), (0, 1, 2), (0, 2, 1), (1, 0, 0), (1, 0, 1),
        (1, 1, 0), (1, 1, 1). Of each the two, four or eight neighbours minus as often the
        sample.
    """
    sums = _sums(levels)
    found, centre = sums[:, :TAPS], sums[:, TAPS]
    for tap, count in enumerate(_COUNTS):
        found[:, tap] -= count * centre
    return found


_COUNTS = (2, 2, 2, 2, 2, 2, 4, 4, 4, 2, 4, 4, 8)
"""Neighbours of each kind."""


def _sums(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add up the neighbours of each kind; after the kinds come the samples themselves."""
    same, adjacent = levels[:, 1:-1], levels[:, :-2] + levels[:, 2:]
    centre, near = _inner_x(same), _inner_x(adjacent)
    beside = [_beside(same, distance) for distance in (1, 2, 3)]
    next_to_near = _beside(adjacent, 1)
    bands, time, height, width = _inner_y(centre).shape
    found = np.empty((bands, TAPS + 1, time, height, width))
    level = ((0, beside[0]), (1, beside[1]), (2, beside[2]), (9, near), (10, next_to_near))
    for tap, each in (*level, (TAPS, centre)):
        found[:, tap] = _inner_y(each)
    across = (
        *((3, centre, 1), (4, centre, 2), (5, centre, 3)),
        *((6, beside[0], 1), (7, beside[1], 1), (8, beside[0], 2)),
        *((11, near, 1), (12, next_to_near, 1)),
    )
    for tap, each, distance in across:
        above, below = (
            each[..., top : top + height, :] for top in (_MARGIN - distance, _MARGIN + distance)
        )
        np.add(above, below, out=found[:, tap])
    return found


def _beside(levels: NDArray[np.float64], distance: int) -> NDArray[np.float64]:
    """Add the neighbours to the left and to the right, for all but the margins."""
    low, high = _MARGIN - distance, levels.shape[-1] - _MARGIN
    left, right = levels[..., low : high - distance], levels[..., _MARGIN + distance :]
    return np.asarray(left + right[..., : left.shape[-1]])


def _inner_x(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return levels[..., _MARGIN:-_MARGIN]


def _inner_y(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return levels[..., _MARGIN:-_MARGIN, :]


def activity(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how lively the surroundings of each sample are.

    Parameters
    ----------
    levels : ndarray of float64
        As for `features`.

    Returns
    -------
    ndarray of float64, shape (band, time, y, x)
        Magnitudes of the second differences along y and along x, added up over the 3 x 3
        samples of the frame around each.
    """
    frame = levels[:, 1:-1]
    twice = 2 * frame[..., 1:-1, 1:-1]
    bend = np.abs(frame[..., 1:-1, :-2] + frame[..., 1:-1, 2:] - twice)
    bend += np.abs(frame[..., :-2, 1:-1] + frame[..., 2:, 1:-1] - twice)
    # The margin left is 2: one for the sum, one to spare.
    rows = bend[..., 1:-3, :] + bend[..., 2:-2, :] + bend[..., 3:-1, :]
    return np.asarray(rows[..., 1:-3] + rows[..., 2:-2] + rows[..., 3:-1])


def correct(
    values: NDArray[np.float64],
    levels: NDArray[np.float64],
    post_filter: PostFilter,
    widths: NDArray[np.float64],
) -> None:
    """Filter values in place.

    Parameters
    ----------
    values : ndarray of float64, shape (time, band, y, x)
    levels : ndarray of float64
        From `padded`: of the same samples and their neighbours.
    post_filter : PostFilter
    widths : ndarray of float64, shape (band,)
        From `units`.
    """
    time, bands, height, width = values.shape
    weights = post_filter.weights.numpy().astype(np.float64)
    classes, sources = weights.shape[1:3]
    # Differences from the sample are left to the weights: one more, of the sample itself.
    of_sample = -(weights @ np.array(_COUNTS, dtype=np.float64))[..., None]
    weights = np.concatenate([weights, of_sample], axis=-1)
    kinds = _sums(levels).reshape(bands, TAPS + 1, -1)
    if sources == 1:
        each = np.broadcast_to(weights[:, :, 0], (bands, classes, TAPS + 1))
        sums = np.stack([multiply(own, near) for own, near in zip(each, kinds, strict=True)])
    else:
        flat = weights.reshape(bands * classes, -1)
        sums = multiply(flat, kinds.reshape(bands * (TAPS + 1), -1)).reshape(bands, classes, -1)
    chosen = sums[:, 0]
    if classes > 1:
        lively = activity(levels).reshape(bands, -1)
        for number, threshold in enumerate(post_filter.thresholds, start=1):
            np.copyto(chosen, sums[:, number], where=lively >= threshold)
    for band, gain in enumerate((widths / 2**post_filter.shift).tolist()):
        own = chosen[band].reshape(time, height, width)
        np.multiply(own, gain, out=own)
        np.add(values[:, band], own, out=values[:, band])
