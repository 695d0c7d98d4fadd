"""Find out whether frames were interpolated from a coarser grid, and how."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .spec import Interpolation
from .transforms import interpolating

__all__ = ["fits", "interpolation_of"]

_FACTORS = (6, 4, 3, 2)
_KERNELS = (("linear", 0.0), ("cubic", -0.5), ("cubic", -0.75))

_SIDES = (192, 96, 48)
"""Multiples of all factors, so that every patch has the same offsets."""

_EDGE = 6
_LEAST_SIDE = 24
_PATCHES = 3
_LINES = 16
_GLANCE = 6
"""Lively lines, of which a part tells most fields from interpolated ones."""

_ROUNDED = 0.35
"""RMS of what rounding to integers leaves at most, with room: 0.29."""

_EXACT = 1e-4
"""The same for other numbers, over their standard deviation."""

_INSIDE = 1.4
"""So many times more is left in patches that reach edges where kernels were cut off otherwise."""

_AT_EDGES = 4.0
"""The same for whole frames: a grid that ends at the edges is smaller, and whether its error is
small enough for a target is seen later."""

_FAINT = 3e-3
"""Power at the wave of two or three rows, over that of the longest waves: 2e-5 was seen for
most kernels, a cubic one with ``a`` of -0.75 leaves more."""

_WORSE = 3.0
"""So many times larger is the error at wrong offsets: a smooth field fits at any."""


def interpolation_of(frames: NDArray[np.float64], valid: NDArray[np.bool_]) -> Interpolation | None:
    """Find how frames were interpolated, if they were.

    Parameters
    ----------
    frames : ndarray of float64, shape (frame, y, x)
    valid : ndarray of bool, same shape

    Returns
    -------
    Interpolation or None
        What gives the frames back, but for rounding, wherever it was tried.
    """
    patches = _patches(frames, valid)
    if not patches or min(frames.shape[1:]) < _LEAST_SIDE:
        return None
    most = _tolerance(patches)
    found = []
    for kernel, a in _KERNELS:
        rows = _axis(patches, 0, kernel, a, most)
        columns = rows and _axis(patches, 1, kernel, a, most)
        if rows is None or columns is None:
            continue
        field = _field(kernel, a, (rows[0], columns[0]), (rows[1], columns[1]))
        if not _fits_inside(field, patches, most):
            continue
        clamped = replace(field, edges="clamp")
        if _fits_edges(clamped, frames, valid, most):
            return clamped
        found.append(field)
    best = max(found, key=_preference, default=None)
    if best is None or interpolating.is_small(best, *frames.shape[1:]):
        return best
    if not _fits_edges(replace(best, edges="clamp"), frames, valid, _AT_EDGES * most):
        return best
    return replace(best, edges="clamp")


def _preference(field: Interpolation) -> tuple[int, bool, float]:
    """Rank interpolations that all make a field, but for its edges.

    At a factor of 2 linear and cubic kernels make the same fields: the coarse samples of a
    cubic one are closer to an orthonormal basis, and take fewer bits.
    """
    return math.prod(field.factors), field.a == _KERNELS[1][1], field.a


def fits(field: Interpolation, frames: NDArray[np.float64], valid: NDArray[np.bool_]) -> bool:
    """Say whether frames may have been interpolated like others; see `interpolation_of`."""
    patches = _patches(frames, valid)
    if not patches:
        return False
    most = _tolerance(patches)
    inside = _fits_inside(replace(field, edges="open"), patches, most)
    return inside and (field.edges == "open" or _fits_edges(field, frames, valid, _AT_EDGES * most))


def _fits_inside(field: Interpolation, patches: Sequence[NDArray[np.float64]], most: float) -> bool:
    return all(_misfit(patch, field) <= _INSIDE * most for patch in patches)


def _fits_edges(
    field: Interpolation, frames: NDArray[np.float64], valid: NDArray[np.bool_], most: float
) -> bool:
    known = np.argsort(-valid.sum(axis=(1, 2)), kind="stable")[:_PATCHES]
    return all(_misfit(frames[k], field, valid[k]) <= most for k in known.tolist())


def _field(
    kernel: str, a: float, factors: tuple[int, int], offsets: tuple[int, int]
) -> Interpolation:
    name: Literal["linear", "cubic"] = "linear" if kernel == "linear" else "cubic"
    return Interpolation(kernel=name, factors=factors, offsets=offsets, a=a)


def _patches(frames: NDArray[np.float64], valid: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return the liveliest patches without gaps, as large as there are any."""
    for side in _SIDES:
        whole = [frames[at] for at in _places(frames.shape, side) if valid[at].all()]
        lively = sorted(whole, key=np.std, reverse=True)[:_PATCHES]
        if lively and np.std(lively[0]) > 0:
            return [patch for patch in lively if np.std(patch) > 0]
    return []


def _places(shape: Sequence[int], side: int) -> Iterator[tuple[int, slice, slice]]:
    count, height, width = shape
    rows, columns = min(side, height), min(side, width)
    for frame in range(count):
        for top in range(0, height - rows + 1, side):
            for left in range(0, width - columns + 1, side):
                yield frame, slice(top, top + rows), slice(left, left + columns)


def _tolerance(patches: Sequence[NDArray[np.float64]]) -> float:
    if all(np.array_equal(patch, np.rint(patch)) for patch in patches):
        return _ROUNDED
    return _EXACT * float(np.mean([np.std(patch) for patch in patches]))


def _axis(
    patches: Sequence[NDArray[np.float64]], axis: int, kernel: str, a: float, most: float
) -> tuple[int, int] | None:
    """Return the factor and offset that make rows (0) or columns (1), if any do."""
    lines = np.concatenate([np.moveaxis(p, axis, -1)[:: _step(p, axis)] for p in patches])
    # Of few lengths, so that what solves them is made once.
    parts = lines[:, : _SIDES[-1] if lines.shape[-1] >= _SIDES[-1] else _LEAST_SIDE]
    glance = parts[np.argsort(-parts.std(axis=-1), kind="stable")[:_GLANCE]]
    for factor in _likely(glance):
        # With odd factors, half a row is no place of a coarse one.
        offsets = range(0, 2 * factor, 1 if factor % 2 == 0 else 2)
        errors = {
            each: _rms(glance @ _residual(_along(kernel, a, factor, each), glance.shape[-1]))
            for each in offsets
        }
        best = min(errors, key=errors.__getitem__)
        # Half a row further on, fields are of another smoothness.
        alike = [each for each in offsets if each != best and (each - best) % 2 == 0]
        others = statistics.median(errors[each] for each in alike)
        likely = errors[best] <= 2 * most and others >= max(most, _WORSE * errors[best])
        if likely and _misfit(lines, _along(kernel, a, factor, best)) <= most:
            return factor, best
    return None


def _likely(lines: NDArray[np.float64]) -> list[int]:
    """Return the factors that the spectrum leaves: interpolation has its zeros at their waves."""
    count = lines.shape[-1]
    centred = lines - lines.mean(axis=-1, keepdims=True)
    power = np.square(np.abs(np.fft.rfft(centred * np.hanning(count)))).sum(axis=0)
    least = _FAINT * power[1:4].max()
    found = {period: power[count // period] <= least for period in (2, 3)}
    return [
        factor
        for factor in _FACTORS
        if all(found[period] for period in (2, 3) if factor % period == 0)
    ]


@lru_cache(maxsize=128)
def _residual(field: Interpolation, count: int) -> NDArray[np.float64]:
    """Return the matrix that leaves of lines what the coarse grid does not say, but for edges."""
    unit = np.eye(count)
    left = interpolating.refine(interpolating.coarsen(unit, field), field, (count, count)) - unit
    return left[:, _EDGE:-_EDGE]


def _along(kernel: str, a: float, factor: int, offset: int) -> Interpolation:
    return _field(kernel, a, (1, factor), (0, offset))


def _step(patch: NDArray[np.float64], axis: int) -> int:
    return max(1, int(patch.shape[1 - axis]) // _LINES)


def _misfit(
    values: NDArray[np.float64], field: Interpolation, known: NDArray[np.bool_] | None = None
) -> float:
    """Return the RMS difference from what the coarse grid says.

    Where values are known; or if that is not said, everywhere but for the edges.
    """
    coarse = interpolating.coarsen(values, field, known)
    found = interpolating.refine(coarse, field, (values.shape[-2], values.shape[-1])) - values
    if known is not None:
        return _rms(found[known])
    # Cubic kernels are cut off at edges in more ways than one.
    rows, columns = (
        slice(_EDGE, -_EDGE) if factor > 1 else slice(None) for factor in field.factors
    )
    return _rms(found[..., rows, columns])


def _rms(values: NDArray[np.float64]) -> float:
    return math.sqrt(float(np.mean(np.square(values))))
