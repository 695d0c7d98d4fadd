"""Turn the basis of a KLT so that what a video codec makes of its components takes fewer bits.

The KLT makes bands uncorrelated as they are, and what is large in them decides: clouds,
seasons, the shapes of continents. But a codec predicts most of that, and cuts what is left
into spatial frequencies. What it then spends bits on may be correlated otherwise: fields of
spectral models share their large waves and not their small ones, and clouds are white where
the land below them has colours of its own.

So parts of frames are predicted and cosine-transformed much as a codec would, and the bands'
covariances are gathered for each part and each band of frequencies. No basis makes all of
them diagonal. Planes of two components are turned, pair by pair, to about the angle at which all
components together take the fewest bits at the quantiser's step, in a few rounds. With
components independent that is what the smallest Gaussian code length asks for.

References
----------
D. T. Pham, "Joint approximate diagonalization of positive definite Hermitian matrices", SIAM
Journal on Matrix Analysis and Applications 22 (2001). M. Effros, H. Feng and K. Zeger,
"Suboptimality of the Karhunen-Loeve transform for transform coding", IEEE Transactions on
Information Theory 50 (2004).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spec import Klt
from . import folding, klt
from .products import grams, multiply

__all__ = ["Patches", "diagonalizing", "fit", "side_of"]

_Floats = NDArray[np.float32]

_SIDES = (32, 16, 8)
"""Sides of blocks that codecs transform."""

_EDGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Where bands of frequencies begin, in half waves per `_SIDES[0]` pixels."""

_SAMPLES, _MOST_SAMPLES = 1 << 18, 1 << 20
"""Samples of all patches that are enough to tell, where that makes enough of them, and the most."""

_ENOUGH = 32
_LEAST_PATCHES = 4

_FLOOR = 0.1
"""Variance that takes about half a bit, in squared steps: the error of rounding is 1/12."""

_MOST_COMPONENTS = 32
"""Components that are turned; the work grows with the square."""

_NEGLIGIBLE = 0.03
"""Part of the floor's root: components that vary no more take hardly any bits."""

_SWEEPS = 4
_LEAST_GAIN = 1e-5
"""Part of the bits that a turn must save."""

_COARSE = np.linspace(-math.pi / 4, math.pi / 4, 16, endpoint=False)
_FINE = np.linspace(-1.0, 1.0, 9) * (_COARSE[1] - _COARSE[0])


@dataclass(frozen=True, slots=True)
class Patches:
    """Square parts of folded frames, and the same places in the frames before.

    Parameters
    ----------
    here, before : ndarray of float32, shape (patch, band, side, side)
        In stored units, less the origin of the group's moments.
    first : ndarray of bool, shape (patch,)
        Which have no frame before them; there ``before`` means nothing.
    """

    here: _Floats
    before: _Floats
    first: NDArray[np.bool_]

    @classmethod
    def none(cls, bands: int, side: int) -> "Patches":
        """Return what nothing adds up to."""
        empty = np.empty((0, bands, side, side), dtype=np.float32)
        return cls(empty, empty, np.empty(0, dtype=np.bool_))

    @classmethod
    def of(
        cls,
        filled: NDArray[np.floating],
        fold: int,
        origin: NDArray[np.float64],
        *,
        side: int,
        share: float,
        seed: tuple[int, int],
    ) -> "Patches":
        """Draw a window's share of its group's patches.

        Parameters
        ----------
        filled : ndarray of float, shape (time, band, y, x)
            Gap-free.
        fold : int
        origin : ndarray of float64, shape (fold * band,)
        side : int
            From `side_of`.
        share : float
            Part of the group's samples that the window holds.
        seed : (int, int)
            The same window gives the same patches.
        """
        time, _, height, width = filled.shape
        found = cls.none(len(origin), side)
        if side == 0:
            return found
        grid = (-(-time // fold), height // side, width // side)
        draws = np.random.default_rng(seed)
        wanted = min(math.prod(grid), int(share * _count(len(origin), side) + draws.random()))
        chosen = np.sort(draws.choice(math.prod(grid), wanted, replace=False))

        def seen(frame: int, row: int, column: int) -> _Floats:
            rows, columns = (slice(k * side, (k + 1) * side) for k in (row, column))
            part = filled[frame * fold : (frame + 1) * fold, :, rows, columns]
            folded = folding.fold(part.astype(np.float64), fold)[0] - origin[:, None, None]
            return np.asarray(folded.astype(np.float32))

        places = np.transpose(np.unravel_index(chosen, grid)).tolist()
        if not places:
            return found
        with np.errstate(over="ignore"):
            here = np.stack([seen(*place) for place in places])
            before = np.stack([seen(max(frame - 1, 0), *at) for frame, *at in places])
        return cls(here, before, np.array([frame == 0 for frame, *_ in places]))

    def __add__(self, other: "Patches") -> "Patches":
        # Most of many windows have none.
        if not len(other.first):
            return self
        return Patches(
            np.concatenate([self.here, other.here]),
            np.concatenate([self.before, other.before]),
            np.concatenate([self.first, other.first]),
        )

    @property
    def side(self) -> int:
        """Height and width, in pixels."""
        return int(self.here.shape[-1])


def side_of(height: int, width: int) -> int:
    """Return the side of patches that fit frames, or 0 where none does."""
    return next((side for side in _SIDES if side <= min(height, width)), 0)


def _count(bands: int, side: int) -> int:
    size = bands * side * side
    return max(_SAMPLES // size, min(_ENOUGH, _MOST_SAMPLES // size))


def fit(
    moments: klt.Moments, weights: NDArray[np.float64], patches: Patches, step: float
) -> tuple[Klt, NDArray[np.float64]]:
    """Find the orthonormal basis whose components take the fewest bits at a step.

    Parameters
    ----------
    moments : Moments
        Of the bands, in stored units.
    weights : ndarray of float64, shape (band,)
    patches : Patches
        Of the same bands. Where there are too few, the KLT's own basis is returned.
    step : float
        Of the quantiser, in weighted units.

    Returns
    -------
    Klt
        With as many components as bands, the strongest first.
    variances : ndarray of float64, shape (component,)
        In squared weighted units.
    """
    vectors, variances = klt.eigenvectors(moments, weights)
    # Not squared: values may be huge.
    floor = math.sqrt(_FLOOR) * step
    strong = int(np.count_nonzero(np.sqrt(variances) > _NEGLIGIBLE * floor))
    turned = vectors[:, : min(strong, _MOST_COMPONENTS)]
    if turned.shape[1] > 1 and len(patches.first) >= _LEAST_PATCHES:
        # Values that overflow are seen to by the check; pairs of such do not turn.
        with np.errstate(all="ignore"):
            seen = _Seen.of(patches, (turned.T * (weights / floor)).astype(np.float32))
            if np.isfinite(seen.covariances).all():
                vectors = np.hstack([turned @ seen.turned(), vectors[:, turned.shape[1] :]])
    return klt.of_vectors(vectors, moments, weights, step)


def diagonalizing(
    covariances: NDArray[np.floating], counts: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Find the orthonormal basis in which many covariances take the fewest bits together.

    Parameters
    ----------
    covariances : ndarray of float, shape (n, band, band)
        In squared steps of the quantiser.
    counts : ndarray of float, shape (n,)
        Coefficients that each stands for.

    Returns
    -------
    ndarray of float64, shape (band, component)
        Vectors as columns, the strongest first. Of more bands than are turned, those of the mean.
    """
    mean = np.tensordot(counts, covariances, 1) / counts.sum()
    vectors = np.linalg.eigh(mean)[1][:, ::-1]
    if len(vectors) > _MOST_COMPONENTS:
        return np.asarray(vectors)
    with np.errstate(all="ignore"):
        seen = vectors.T @ (covariances / _FLOOR) @ vectors
        wide = np.ascontiguousarray(seen.transpose(1, 2, 0), dtype=np.float32)
        if np.isfinite(wide).all():
            vectors = vectors @ _Seen(wide, counts.astype(np.float32)).turned()
    order = np.argsort(np.einsum("bk,bk->k", vectors, mean @ vectors), kind="stable")[::-1]
    return np.asarray(vectors[:, order])


@dataclass(slots=True)
class _Seen:
    """What a codec would see of components, in units of the floor.

    ``covariances`` has the shape (component, component, n); each of the n parts stands for
    ``counts`` coefficients.
    """

    covariances: _Floats
    counts: _Floats

    @classmethod
    def of(cls, patches: Patches, analysis: _Floats) -> "_Seen":
        """Predict and transform each patch the way that takes the fewest bits."""
        here, before = (_components(each, analysis) for each in (patches.here, patches.before))
        count, size = here.shape[:2]
        bins = len(_EDGES) - 1
        covariances = np.zeros((bins, count, size, size), dtype=np.float32)
        counts = np.zeros((bins, count), dtype=np.float32)
        least = np.full(count, np.inf, dtype=np.float32)
        for possible, cosines in _ways(here, before, patches.first):
            bits = np.log2(1 + np.square(cosines)).sum(axis=(1, 2, 3))
            better = (bits < least) & possible
            least[better] = bits[better]
            chosen = cosines[better]
            for number, part in enumerate(_by_frequency(chosen)):
                covariances[number, better] = _products(part)
                counts[number, better] = part.shape[-1]
        used = counts.ravel() > 0
        flat = covariances.reshape(-1, size, size)[used]
        return cls(np.ascontiguousarray(flat.transpose(1, 2, 0)), counts.ravel()[used])

    def turned(self) -> NDArray[np.float64]:
        """Turn pairs of components in place, while that gains; return the matrix that did it."""
        size = len(self.covariances)
        turn = np.eye(size)
        for _ in range(_SWEEPS):
            gains = [self._turn(one, other, turn) for one in range(size) for other in range(one)]
            if not any(gains):
                break
        return turn

    def _turn(self, one: int, other: int, turn: NDArray[np.float64]) -> bool:
        """Turn one pair, if that gains; says whether it did."""
        seen = self.covariances
        a, b, c = seen[one, one], seen[other, other], 2 * seen[one, other]
        now = float(np.log((1 + a) * (1 + b)) @ self.counts)
        if _gain_nearby(a, b, c, self.counts) < now * _LEAST_GAIN:
            return False

        def nats(angles: NDArray[np.floating]) -> _Floats:
            cosine, sine = (f(angles).astype(np.float32)[:, None] for f in (np.cos, np.sin))
            first = np.maximum(cosine**2 * a + sine**2 * b - cosine * sine * c, 0)
            second = np.maximum(a + b - first, 0)
            return np.asarray(np.log((1 + first) * (1 + second)) @ self.counts)

        coarse = _COARSE[nats(_COARSE).argmin()]
        fine = nats(coarse + _FINE)
        angle = coarse + _FINE[fine.argmin()]
        if not fine.min() < now * (1 - _LEAST_GAIN):
            return False
        rotation = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        pair = [one, other]
        narrow = rotation.astype(np.float32)
        seen[pair] = np.tensordot(narrow, seen[pair], 1)
        seen[:, pair] = np.einsum("pq,aqn->apn", narrow, seen[:, pair])
        turn[:, pair] = turn[:, pair] @ rotation.T
        return True


def _gain_nearby(a: _Floats, b: _Floats, c: _Floats, counts: _Floats) -> float:
    """Return what the best small turn of a pair saves, in nats; infinite where none can tell."""
    p, q = 1 / (1 + a), 1 / (1 + b)
    slope = float((c * (q - p)) @ counts)
    bend = float((2 * (b - a) * (p - q) - c**2 * (p**2 + q**2)) @ counts)
    return slope**2 / (2 * bend) if bend > 0 else math.inf


def _components(patches: _Floats, analysis: _Floats) -> _Floats:
    count, bands, side, _ = patches.shape
    found = multiply(analysis, patches.reshape(count, bands, side * side))
    return np.asarray(found.reshape(count, len(analysis), side, side))


def _ways(
    here: _Floats, before: _Floats, first: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.bool_], _Floats]]:
    """Yield where each way of coding patches is possible, and coefficients.

    Coefficients have the shape (patch, component, frequency, coefficient of it), with
    frequencies along y and x on the scale of `_EDGES`.
    """
    level = here.mean(axis=(2, 3), keepdims=True)
    for possible, left in ((np.ones_like(first), here - level), (~first, here - before)):
        for side in _SIDES:
            if side <= here.shape[-1]:
                yield possible, _cosine_transformed(left, side)


def _cosine_transformed(values: _Floats, side: int) -> _Floats:
    """Transform blocks; returns shape (patch, component, side * side, block)."""
    count, size, whole, _ = values.shape
    cuts = whole // side
    cosines = _cosines(side)
    blocks = values.reshape(count, size, cuts, side, cuts, side).swapaxes(3, 4)
    found = cosines @ blocks @ cosines.T
    flat = found.reshape(count, size, cuts * cuts, side * side)
    return np.asarray(flat.swapaxes(2, 3), dtype=np.float32)


def _cosines(side: int) -> _Floats:
    """The orthonormal DCT-II."""
    k = np.arange(side)
    matrix = np.sqrt(2 / side) * np.cos(np.pi * (2 * k + 1) * k[:, None] / (2 * side))
    matrix[0] /= math.sqrt(2)
    return np.asarray(matrix.astype(np.float32))


def _by_frequency(cosines: _Floats) -> Iterator[_Floats]:
    """Yield the coefficients of each band of frequencies: (patch, component, coefficient)."""
    count, size, pixels, blocks = cosines.shape
    side = math.isqrt(pixels)
    k = np.arange(side)
    frequency = (np.maximum(k[:, None], k) * (_SIDES[0] // side)).ravel()
    for low, high in itertools.pairwise(_EDGES):
        inside = np.flatnonzero((frequency >= low) & (frequency < high))
        yield cosines[:, :, inside].reshape(count, size, inside.size * blocks)


def _products(part: _Floats) -> _Floats:
    """Return the mean products of components."""
    return np.asarray(grams(part) / np.float32(max(1, part.shape[-1])))
