"""Fields that were interpolated from a coarser grid: back to that grid, and up again.

Bands that are measured on a coarser grid are often handed out on a finer one, by linear or
cubic convolution (Keys 1981), as in GDAL, OpenCV, PIL, PyTorch or xarray's ``interp``. Of such
a field the coarser grid says all, but for rounding, what lies beside gaps, and edges where
kernels are cut off in another way. It is found by least squares.

Going up is elementwise arithmetic in a fixed order: the same bits on every machine.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..spec import Interpolation

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "coarse_size",
    "coarsen",
    "covering",
    "is_small",
    "refine",
    "step_gain",
]

_SMOOTHING, _SMOOTHING_BEYOND = 1e-9, 1e-3
"""Keep what hardly counts close to its neighbours; the second, coarse samples beyond open
edges, which would else take the rounding of the few samples that know of them, many times over."""

_ALIGN = 8
_MOST_BORDER = 0.05
"""Part of all samples, padding included, that may be coded beside those of a coarse grid without
borders: with a factor of 2, a tenth was gained at 0.05, and a sixth lost at 0.07."""

_DAMPING = 1e-2
_PASSES = 40
"""Of fitting frames with gaps, each of which takes about as long as encoding them."""

_Field = NDArray[np.float64]
_Phase = tuple[int, Sequence[float]]


def coarse_size(field: Interpolation, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of the coarse grid under a part of a field.

    The part begins at a multiple of the factors. With open edges its coarse grid goes beyond
    them, so that it needs nothing of its neighbours.
    """
    return _kept(field, 0, height)[1], _kept(field, 1, width)[1]


def is_small(field: Interpolation, height: int, width: int) -> bool:
    """Say whether the coarse grid of a field is small enough to gain by it, borders included."""
    coded, full = (
        math.prod(-(-n // _ALIGN) * _ALIGN for n in size)
        for size in (coarse_size(field, height, width), (height, width))
    )
    times = math.prod(field.factors)
    return coded * times <= (1 + _MOST_BORDER * times) * full


def _open_size(field: Interpolation, number: int, length: int) -> int:
    """Return how many coarse samples some rows (0) or columns (1) are made of."""
    factor, offset = field.factors[number], field.offsets[number]
    return int((2 * (length - 1) + offset) // (2 * factor)) + 2 * _reach(field)


def _kept(field: Interpolation, number: int, length: int) -> tuple[int, int]:
    """Return the first of those that is kept, and how many are; others repeat the nearest."""
    factor, offset = field.factors[number], field.offsets[number]
    if factor == 1:
        return 0, length
    if field.edges == "open":
        return 0, _open_size(field, number, length)
    beyond = _reach(field) - 1
    low = (offset + factor) // (2 * factor)
    high = (2 * (length - 1) + offset + factor) // (2 * factor)
    return low + beyond, high - low + 1


def _reach(field: Interpolation) -> int:
    """Return how many coarse samples on each side a value is made of."""
    return 1 if field.kernel == "linear" else 2


def _phases(factor: int, offset: int, field: Interpolation) -> list[_Phase]:
    """Return, per position within a coarse cell, the first coarse sample and the weights."""
    found: list[_Phase] = []
    for position in range(factor):
        first, part = divmod(2 * position + offset, 2 * factor)
        found.append((first, _weights(part / (2 * factor), field)))
    return found


def _weights(part: float, field: Interpolation) -> list[float]:
    """Return the weights of neighbours at a place ``part`` of the way between two."""
    if field.kernel == "linear":
        return [1.0 - part, part]
    return [_keys(distance, field.a) for distance in (1.0 + part, part, 1.0 - part, 2.0 - part)]


def _keys(distance: float, a: float) -> float:
    """Evaluate Keys' kernel, in this very order: decoders must get the same bits."""
    if distance <= 1.0:
        return ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0
    return ((a * distance - 5.0 * a) * distance + 8.0 * a) * distance - 4.0 * a


def refine(values: _Field, field: Interpolation, size: tuple[int, int]) -> _Field:
    """Interpolate coarse samples.

    Parameters
    ----------
    values : ndarray of float64, shape (..., y, x)
        On the grid of `coarse_size`.
    field : Interpolation
    size : (int, int)
        Rows and columns to make.

    Returns
    -------
    ndarray of float64, shape (..., *size)
    """
    return _refined(_refined(values, field, 0, size[0], axis=-2), field, 1, size[1], axis=-1)


def _refined(values: _Field, field: Interpolation, number: int, length: int, axis: int) -> _Field:
    """Interpolate along one axis, by the first or second factor and offset."""
    factor, offset = field.factors[number], field.offsets[number]
    if factor == 1:
        return values
    shape = list(values.shape)
    shape[axis] = length
    out = np.empty(shape)
    low, size = _kept(field, number, length)
    source, target = np.moveaxis(values, axis, 0), np.moveaxis(out, axis, 0)
    if field.edges == "clamp":
        source = source[np.clip(np.arange(_open_size(field, number, length)) - low, 0, size - 1)]
    for position, (first, weights) in enumerate(_phases(factor, offset, field)):
        part = target[position::factor]
        np.multiply(source[first : first + len(part)], weights[0], out=part)
        for tap, weight in enumerate(weights[1:], start=first + 1):
            part += source[tap : tap + len(part)] * weight
    return out


def coarsen(values: _Field, field: Interpolation, known: NDArray[np.bool_] | None = None) -> _Field:
    """Find the coarse samples that a field was interpolated from, by least squares.

    Parameters
    ----------
    values : ndarray of float64, shape (..., y, x)
        Without gaps.
    field : Interpolation
    known : ndarray of bool, same shape, optional
        Where values count; elsewhere they are a guess, and replaced by what those say.

    Returns
    -------
    ndarray of float64, shape (..., *coarse_size(field, y, x))
    """
    found = np.ascontiguousarray(_fitted(_fitted(values, field, 0, axis=-2), field, 1, axis=-1))
    if known is not None:
        for index in np.ndindex(values.shape[:-2]):
            if known[index].any() and not known[index].all():
                found[index] = _refitted(values[index], known[index], found[index], field)
    return found


def _fitted(values: _Field, field: Interpolation, number: int, axis: int) -> _Field:
    """Undo `_refined`."""
    # Most cubes never need it, and readers do not: it takes a tenth of a second to import.
    from scipy.linalg import cho_solve_banded

    if field.factors[number] == 1:
        return values
    source = np.moveaxis(values, axis, 0)
    taps, factored = _solver(field, number, len(source))
    right = taps.T @ source.reshape(len(source), -1)
    solved = cho_solve_banded((factored, True), right, overwrite_b=True, check_finite=False)
    return np.moveaxis(np.asarray(solved).reshape(-1, *source.shape[1:]), 0, axis)


def _refitted(
    values: _Field, known: NDArray[np.bool_], start: _Field, field: Interpolation
) -> _Field:
    """Fit a frame where it is known; elsewhere what was found with guesses decides."""
    from scipy.sparse.linalg import LinearOperator, lsmr

    rows, columns = (_taps(field, number, values.shape[number]) for number in (0, 1))

    def made(coarse: _Field) -> _Field:
        return np.asarray((columns @ (rows @ coarse.reshape(start.shape)).T).T[known])

    def adjoint(misfit: _Field) -> _Field:
        whole = np.zeros(values.shape)
        whole[known] = misfit
        return np.asarray((columns.T @ (rows.T @ whole).T).T.ravel())

    shape = (int(np.count_nonzero(known)), start.size)
    problem = LinearOperator(shape, matvec=made, rmatvec=adjoint, dtype=np.float64)
    found = lsmr(
        problem,
        values[known],
        x0=start.ravel(),
        damp=_DAMPING,
        atol=1e-5,
        btol=1e-5,
        maxiter=_PASSES,
    )
    return np.asarray(found[0]).reshape(start.shape)


@lru_cache(maxsize=128)
def _solver(field: Interpolation, number: int, length: int) -> "tuple[csr_array, _Field]":
    """Return what makes rows (0) or columns (1) of coarse ones, and its factored normal matrix."""
    from scipy.linalg import cholesky_banded

    taps = _taps(field, number, length)
    size = taps.shape[1]
    products = (taps.T @ taps).todia()
    # Lower form: row k holds the products of columns that lie k apart.
    normal = np.zeros((max(2, 2 * _reach(field)), size))
    for apart, row in enumerate(normal[:size]):
        row[: size - apart] = products.diagonal(-apart)
    smoothing = np.full(size - 1, _SMOOTHING)
    if field.edges == "open":
        beyond = 2 * _reach(field)
        smoothing[:beyond] = smoothing[-beyond:] = _SMOOTHING_BEYOND
    normal[0, :-1] += smoothing
    normal[0, 1:] += smoothing
    normal[1, :-1] -= smoothing
    return taps, np.asarray(cholesky_banded(normal, lower=True))


@lru_cache(maxsize=16)
def _taps(field: Interpolation, number: int, length: int) -> "csr_array":
    """Return the matrix of `_refined`."""
    from scipy.sparse import csr_array

    factor, offset = field.factors[number], field.offsets[number]
    low, size = _kept(field, number, length)
    rows, columns, weights = [], [], []
    for position, (first, own) in enumerate(_phases(factor, offset, field)):
        at = np.arange(position, length, factor)
        for tap, weight in enumerate(own, start=first):
            rows.append(at)
            columns.append(np.clip(tap + np.arange(len(at)) - low, 0, size - 1))
            weights.append(np.full(len(at), weight))
    places = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(weights), places), shape=(length, size))


def step_gain(field: Interpolation) -> float:
    """Return what a squared error of one coarse sample adds to those of the field."""
    gain = 1.0
    for factor, offset in zip(field.factors, field.offsets, strict=True):
        if factor > 1:
            weights = [w for _, own in _phases(factor, offset, field) for w in own]
            gain *= sum(w * w for w in weights)
    return gain


def covering(field: Interpolation, number: int, length: int) -> NDArray[np.int64]:
    """Return which of ``length`` rows (0) or columns (1) lies nearest to each coarse one."""
    factor, offset = field.factors[number], field.offsets[number]
    low, size = _kept(field, number, length)
    if factor == 1:
        return np.arange(length)
    places = (np.arange(size) + low - (_reach(field) - 1)) * factor - offset // 2
    return np.clip(places, 0, length - 1)
