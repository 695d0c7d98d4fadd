"""The Karhunen-Loeve transform over bands, with an inverse that is exact everywhere.

The basis is orthonormal in *weighted* units (stored values times a weight per band),
so that one quantiser step for all components is the optimum for squared error
(reverse water-filling).

The inverse must give the same bits on every machine, for error bounds stand on it.
So the matrix that is stored holds integers: products with integer codes and their sums
stay below 2**53 and are exact in float64, whatever the order of summation or the BLAS.
What follows is one multiplication and one addition per sample.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..spec import Array, Klt
from . import per_band
from .products import gram, multiply

__all__ = [
    "Moments",
    "eigenvectors",
    "fit",
    "forward",
    "identity",
    "inverse",
    "of_vectors",
    "select",
]

_SHIFT = 14
"""Entries lie in [-1, 1]: 14 bits after the point fit int16, which keeps the matrix small."""

_SHORT_SHIFT = 7
"""Bits after the point of entries that fit int8."""

_LEAK = 8.0
"""What leaks into dropped components is at most so much below the error of one that is kept."""

_SURELY_KEPT = 0.25
"""Components that deviate by so many steps are coded, at any number of samples."""


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of bands, which add up over windows.

    Sums are taken around ``origin``, so that large means do not swallow small variances.
    """

    count: int
    origin: NDArray[np.float64]
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64], origin: NDArray[np.float64]) -> "Moments":
        """Measure gap-free values of shape (time, band, y, x)."""
        flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1) - origin[:, None]
        return cls(flat.shape[1], origin, flat.sum(axis=1), gram(flat))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.origin,
            self.total + other.total,
            self.products + other.products,
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each band."""
        return np.asarray(self.origin + self.total / self.count)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance between bands, shape (band, band)."""
        centre = self.total / self.count
        return np.asarray(self.products / self.count - np.outer(centre, centre))


def fit(moments: Moments, weights: NDArray[np.float64]) -> tuple[Klt, NDArray[np.float64]]:
    """Find the basis in which weighted bands are uncorrelated.

    Parameters
    ----------
    moments : Moments
        Of the bands, in stored units.
    weights : ndarray of float64, shape (band,)

    Returns
    -------
    Klt
        With as many components as bands, the strongest first.
    variances : ndarray of float64, shape (component,)
        In squared weighted units.
    """
    return of_vectors(eigenvectors(moments, weights)[0], moments, weights)


def eigenvectors(
    moments: Moments, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the KLT's vectors as columns, and their variances, the strongest first.

    The parameters are those of `fit`.
    """
    variances, vectors = np.linalg.eigh(moments.covariance * np.outer(weights, weights))
    return vectors[:, ::-1], np.maximum(variances[::-1], 0.0)


def of_vectors(
    vectors: NDArray[np.float64],
    moments: Moments,
    weights: NDArray[np.float64],
    step: float = 0.0,
) -> tuple[Klt, NDArray[np.float64]]:
    """Make a transform of orthonormal vectors.

    Parameters
    ----------
    vectors : ndarray of float64, shape (band, component)
        In any order, and of any sign.
    moments : Moments
    weights : ndarray of float64, shape (band,)
    step : float
        Of the quantiser, in weighted units. Entries are rounded as much as hardly shows at this
        step. `forward` takes the rounding into account as far as components are kept; what leaks
        from strong components into those that are not is an error.

    Returns
    -------
    Klt
        With its components by falling variance.
    variances : ndarray of float64, shape (component,)
        In squared weighted units.
    """
    covariance = moments.covariance * np.outer(weights, weights)
    variances = np.einsum("bk,bk->k", vectors, covariance @ vectors)
    order = np.argsort(variances, kind="stable")[::-1]
    vectors = vectors[:, order]
    # A vector's sign is arbitrary: fix it, so that every LAPACK gives one file.
    peaks = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    vectors = vectors * np.where(peaks < 0, -1.0, 1.0)
    shift = _shift(np.sqrt(np.maximum(variances, 0.0)), step)
    rounded = np.rint(vectors * 2**shift)
    matrix: NDArray[np.signedinteger] = (
        rounded.clip(max=2**shift - 1).astype(np.int8)
        if shift == _SHORT_SHIFT
        else rounded.astype(np.int16)
    )
    return _klt(matrix, shift, moments.mean, weights), np.maximum(variances[order], 0.0)


def _shift(deviations: NDArray[np.float64], step: float) -> int:
    """Return the bits after the point at which what leaks is far less than rounding to steps.

    Where all components are sure to be kept, none of it is lost, and it may be as much.
    """
    strongest = float(deviations.max())
    if not (step > 0 and math.isfinite(strongest)):
        return _SHIFT
    all_kept = deviations.min() > _SURELY_KEPT * step
    lost = 1.0 if all_kept else _LEAK * math.sqrt(len(deviations))
    wanted = math.ceil(math.log2(max(lost * strongest / step, 1.0)))
    return min(max(wanted, _SHORT_SHIFT), _SHIFT)


def identity(moments: Moments, weights: NDArray[np.float64]) -> tuple[Klt, NDArray[np.float64]]:
    """Make the transform that leaves bands as they are, apart from mean and weight."""
    variances = np.diag(moments.covariance) * weights**2
    matrix = np.eye(len(weights), dtype=np.int16)
    return _klt(matrix, 0, moments.mean, weights), np.maximum(variances, 0.0)


def _klt(
    matrix: NDArray[np.signedinteger],
    shift: int,
    means: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Klt:
    # Means only centre the bands: float32 does, and takes half the space.
    with np.errstate(over="ignore"):
        short = means.astype(np.float32)
    return Klt(
        matrix=Array.of(matrix),
        shift=shift,
        means=Array.of(short if np.isfinite(short).all() else means),
        weights=Array.of(weights.astype(np.float64)),
    )


def select(klt: Klt, components: NDArray[np.intp]) -> Klt:
    """Keep only some components."""
    matrix = klt.matrix.numpy()[:, components]
    return _klt(matrix, klt.shift, klt.means.numpy(), klt.weights.numpy())


def forward(values: NDArray[np.floating], klt: Klt) -> NDArray[np.float64]:
    """Transform gap-free bands to components.

    Parameters
    ----------
    values : ndarray of float, shape (time, band, y, x)
        In stored units.

    Returns
    -------
    ndarray of float64, shape (time, component, y, x)
        In weighted units. The least-squares solution for the rounded matrix, so that
        `inverse` of the unquantised components is as near as the components allow.
    """
    analysis, is_diagonal = _analysis(klt.matrix, klt.shift, klt.weights)
    centred = values.astype(np.float64)
    per_band.apply(np.subtract, centred, klt.means.numpy().astype(np.float64))
    if is_diagonal:
        per_band.apply(np.multiply, centred, np.diagonal(analysis))
        return centred
    time, bands, y, x = values.shape
    components = multiply(analysis, centred.reshape(time, bands, y * x))
    return np.asarray(components.reshape(time, len(analysis), y, x))


@lru_cache(maxsize=8)
def _analysis(matrix: Array, shift: int, weights: Array) -> tuple[NDArray[np.float64], bool]:
    """Return what gives components of centred bands, and whether it is diagonal.

    Many slabs want the same.
    """
    found = np.linalg.pinv(matrix.numpy() / 2**shift) * weights.numpy()
    found.setflags(write=False)
    is_square = found.shape[0] == found.shape[1]
    return found, is_square and np.array_equal(found, np.diag(np.diagonal(found)))


def inverse(levels: NDArray[np.float64], klt: Klt, step: float) -> NDArray[np.float64]:
    """Transform decoded levels back to bands, in stored units.

    Parameters
    ----------
    levels : ndarray of float64, shape (time, component, y, x)
        Codes minus their offset: multiples of 1/16, of magnitude up to 2**17.
    klt : Klt
    step : float
        Width of one code.

    Returns
    -------
    ndarray of float64, shape (time, band, y, x)
        The same bits on every machine (see the module's text).
    """
    matrix = klt.matrix.numpy().astype(np.float64)
    time, components, y, x = levels.shape
    flat = levels.reshape(time, components, y * x)
    gains = step / 2**klt.shift / klt.weights.numpy()
    is_identity = np.array_equal(matrix, np.eye(components))
    exact = flat.copy() if is_identity else multiply(matrix, flat)
    per_band.apply(np.multiply, exact, gains)
    per_band.apply(np.add, exact, klt.means.numpy().astype(np.float64))
    return np.asarray(exact.reshape(time, len(gains), y, x))
