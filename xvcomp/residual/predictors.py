"""Linear prediction along axes, modulo the integer width, undone by cumulative sums."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["axis_subsets", "difference", "undo_difference"]


def difference(codes: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    """Subtract the neighbour before, along each axis in turn (modulo the width).

    Two axes give the planar predictor ``left + up - up-left``, three its 3-D form
    (the Lorenzo predictor of L. Ibarria et al., 2003).

    Parameters
    ----------
    codes : ndarray of unsigned integers
    axes : tuple of int
    """
    out = codes.copy()
    for axis in axes:
        later, earlier = _shifted(out, axis)
        np.subtract(later, earlier.copy(), out=later)
    return out


def undo_difference(residuals: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    """Undo ``difference``."""
    out = residuals
    for axis in axes:
        out = np.cumsum(out, axis=axis, dtype=residuals.dtype)
    return out


def axis_subsets(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """List the sets of axes worth predicting along, the empty one first."""
    long = [axis for axis, size in enumerate(shape) if size > 1]
    counts = range(len(long) + 1)
    return [axes for count in counts for axes in itertools.combinations(long, count)]


def _shifted(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    before = (slice(None),) * axis
    return values[(*before, slice(1, None))], values[(*before, slice(None, -1))]
