"""Learn the coefficients of a post-filter: the least squares of what decoding left.

The normal equations are gathered from samples of the decoded bands and of their original,
apart by how lively the surroundings are. They are then solved for bands that share a
filter, for bands that look at themselves only, and for bands that look at each other;
and each time for fewer and fewer classes of surroundings. What a bit is worth decides
between them, and against none at all.
"""

import base64
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..spec import Array, PostFilter
from .post_filter import TAPS
from .products import gram

__all__ = ["Evidence", "edges", "fit", "saved_bits"]

_SHIFTS = (6, 8, 10, 12)
_BITS_PER_FILTER = 400
_BITS_PER_DEFLATED_BYTE = 32 / 3
"""The manifest is deflated, and then written as text."""
_BITS_PER_DB = 0.03
"""Part of its bits that a decibel is worth even to what is coded with hardly any."""
_RIDGE = 1e-9
"""Smooth fields have neighbours that are all but the same."""
_LEAST_GAIN = 0.005
"""Part of the squared error that a filter must take off: every reader pays for it in time."""
_MOST_BANDS = 8
"""Bands that may look at each other: it takes each reader so many times the arithmetic."""
_MOST_CLASSES = 4
_BINS = 10
_FIRST_EDGE = -4
"""Binary logarithm of the lowest activity that is told from none, per second difference
and in quantiser steps."""


def edges(step: float) -> tuple[int, ...]:
    """Return the activities between which evidence is kept apart: octaves.

    Parameters
    ----------
    step : float
        Width of the quantiser, in levels.
    """
    # Activity adds up 18 magnitudes.
    found = [18 * step * 2.0 ** (_FIRST_EDGE + k) for k in range(_BINS - 1)]
    return tuple(max(1, round(edge)) for edge in found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sums over samples, which add up.

    Parameters
    ----------
    count : int
    gram : ndarray of float64, shape (band, bin, n, n)
        Products of features with each other, for samples of each band in each bin of
        activity. The features are those of all bands, or, of many, of the band itself.
    cross : ndarray of float64, shape (band, bin, n)
        Products of features with errors, which are in levels.
    squares : ndarray of float64, shape (band,)
        Of the errors.
    """

    count: int
    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def none(cls, bands: int) -> "Evidence":
        """Return what nothing adds up to."""
        n = TAPS * (bands if bands <= _MOST_BANDS else 1)
        return cls(0, np.zeros((bands, _BINS, n, n)), np.zeros((bands, _BINS, n)), np.zeros(bands))

    @classmethod
    def of(
        cls,
        features: NDArray[np.float64],
        bins: NDArray[np.integer],
        errors: NDArray[np.float64],
        valid: NDArray[np.bool_] | None,
    ) -> "Evidence":
        """Gather from some samples.

        Parameters
        ----------
        features : ndarray of float64, shape (band, TAPS, time, y, x)
        bins : ndarray of int, shape (band, time, y, x)
            Of each sample's activity: how many `edges` it reaches.
        errors : ndarray of float64, shape (band, time, y, x)
            Original minus decoded, in levels.
        valid : ndarray of bool, shape (time, y, x), or None
            Which samples count, in all bands.
        """
        bands = len(errors)
        total = cls.none(bands)
        shared = total.gram.shape[-1] > TAPS
        kinds = features.reshape((bands * TAPS, -1) if shared else (bands, TAPS, -1))
        counted = slice(None) if valid is None else valid.ravel()
        for band in range(bands):
            seen = (kinds if shared else kinds[band])[:, counted]
            missed = errors[band].ravel()[counted]
            where = bins[band].ravel()[counted]
            total.squares[band] = missed @ missed
            for number in np.unique(where):
                own = where == number
                part = seen[:, own]
                total.gram[band, number] = gram(part)
                total.cross[band, number] = part @ missed[own]
        count = errors[0].size if valid is None else int(np.count_nonzero(valid))
        return cls(count, total.gram, total.cross, total.squares)

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.count + other.count,
            self.gram + other.gram,
            self.cross + other.cross,
            self.squares + other.squares,
        )

    def joined(self, starts: Sequence[int]) -> "Evidence":
        """Add up bins: each class begins with one of ``starts``, the first of which is 0."""
        gram = np.add.reduceat(self.gram, starts, axis=1)
        cross = np.add.reduceat(self.cross, starts, axis=1)
        return Evidence(self.count, gram, cross, self.squares)

    def of_themselves(self) -> "Evidence":
        """Leave out what bands see of each other."""
        bands = len(self.squares)
        if self.gram.shape[-1] == TAPS:
            return self
        own = [slice(band * TAPS, (band + 1) * TAPS) for band in range(bands)]
        gram = np.stack([self.gram[band, :, seen, seen] for band, seen in enumerate(own)])
        cross = np.stack([self.cross[band, :, seen] for band, seen in enumerate(own)])
        return Evidence(self.count, gram, cross, self.squares)

    def shared(self, worth: NDArray[np.float64]) -> "Evidence":
        """Add up bands."""
        gram = np.tensordot(worth, self.gram, 1)[None]
        cross = np.tensordot(worth, self.cross, 1)[None]
        return Evidence(self.count, gram, cross, np.atleast_1d(worth @ self.squares))


def fit(
    evidence: Evidence, bounds: Sequence[int], worth: NDArray[np.float64], nbits: float
) -> PostFilter | None:
    """Return the filter that saves most, or none where no filter pays.

    Parameters
    ----------
    evidence : Evidence
    bounds : sequence of int
        The `edges` of its bins.
    worth : ndarray of float64, shape (band,)
        Bits that one squared level in ``evidence`` is worth at a high rate.
    nbits : float
        Size of what was decoded.
    """
    lost = float(worth @ evidence.squares)
    best, most = None, 0.0
    for made, gain in _candidates(evidence, bounds, worth):
        saved = saved_bits(made, lost, gain, nbits)
        if saved > most:
            best, most = made, saved
    return best


def saved_bits(made: PostFilter, lost: float, gain: float, nbits: float) -> float:
    """Return about how many bits a filter saves beyond its own; 0 for one that is not worth it.

    Parameters
    ----------
    made : PostFilter
    lost, gain : float
        The squared error without it, and how much of that it takes off, in bits that they are
        worth at a high rate.
    nbits : float
        Size of what was decoded.
    """
    if gain <= _LEAST_GAIN * lost:
        return 0.0
    gain_db = 10 * math.log10(lost / max(lost - gain, 1e-9 * lost))
    return max(0.0, max(gain, _BITS_PER_DB * nbits * gain_db) - _cost(made))


def _candidates(
    evidence: Evidence, bounds: Sequence[int], worth: NDArray[np.float64]
) -> Iterator[tuple[PostFilter, float]]:
    """Yield filters, and how many bits they are worth."""
    own = evidence.of_themselves()
    shared = own.shared(worth)
    ways = [(shared, np.ones(1))]
    if len(worth) > 1:
        ways.append((own, worth))
    if own is not evidence:
        ways.append((evidence, worth))
    for starts in _classes(shared):
        thresholds = tuple(bounds[start - 1] for start in starts[1:])
        for way, value in ways:
            seen = way.joined(starts)
            weights = _solved(seen)
            for shift in _SHIFTS:
                rounded = _rounded(weights, shift)
                gain = value @ _saved(seen, rounded / 2**shift).sum(axis=1)
                yield _made(rounded, shift, thresholds), float(gain)


def _classes(evidence: Evidence) -> Iterator[list[int]]:
    """Yield where classes of bins begin: fewer and fewer, as costs least at each turn."""
    starts = list(range(_BINS))
    while True:
        if len(starts) <= _MOST_CLASSES:
            yield starts
        if len(starts) == 1:
            return
        fewer = [starts[:k] + starts[k + 1 :] for k in range(1, len(starts))]
        starts = max(fewer, key=lambda each: _best_of(evidence.joined(each)))


def _best_of(evidence: Evidence) -> float:
    return float(_saved(evidence, _solved(evidence)).sum())


def _solved(evidence: Evidence) -> NDArray[np.float64]:
    """Return weights of shape (band, class, n)."""
    # Features of weak bands and near neighbours are small: compare them by themselves.
    scale = np.sqrt(np.diagonal(evidence.gram, axis1=2, axis2=3))
    scale = np.where(scale == 0, 1.0, scale)
    even = evidence.gram / (scale[..., None] * scale[..., None, :])
    even = even + _RIDGE * np.eye(scale.shape[-1])
    found = np.linalg.solve(even, (evidence.cross / scale)[..., None])[..., 0]
    weights: NDArray[np.float64] = found / scale
    return weights


def _rounded(weights: NDArray[np.float64], shift: int) -> NDArray[np.int16]:
    limits = np.iinfo(np.int16)
    return np.asarray(np.rint(weights * 2**shift).clip(limits.min, limits.max).astype(np.int16))


def _saved(evidence: Evidence, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much weights lower the squared error, shape (band, class)."""
    seen = np.einsum("bcmn,bcn->bcm", evidence.gram, weights)
    saved: NDArray[np.float64] = np.einsum("bcn,bcn->bc", weights, 2 * evidence.cross - seen)
    return saved


def _made(weights: NDArray[np.int16], shift: int, thresholds: tuple[int, ...]) -> PostFilter:
    bands, classes = weights.shape[:2]
    shaped = weights.reshape(bands, classes, -1, TAPS)
    return PostFilter(weights=Array.of(shaped), shift=shift, thresholds=thresholds)


def _cost(made: PostFilter) -> float:
    """Return about how many bits a filter takes in the manifest."""
    text = base64.b64encode(made.weights.data)
    return _BITS_PER_FILTER + _BITS_PER_DEFLATED_BYTE * len(zlib.compress(text, 9))
