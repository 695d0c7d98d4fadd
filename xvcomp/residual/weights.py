"""Weights of linear predictions: fitted by the encoder, a few bytes each, applied in order.

Weights are integers over 1024, and sums are taken one feature after the other, so that
encoder and decoder get the same bits on every machine.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .framing import pack, unpack
from .integers import decode_ints, encode_ints

__all__ = ["WeightReader", "WeightWriter", "combine"]

Field = NDArray[Any]

_ONE = 1 << 10
_LARGEST = 1 << 15
_SAMPLES = 20_000
"""More samples than these make no better fit."""
_BITS = 24.0
"""What a new weight has to save: about twice of what it costs."""


def combine(base: Field, features: Iterable[Field], weights: NDArray[np.int64]) -> Field:
    """Return ``base`` plus the weighted features, added one by one."""
    total = base.astype(np.float64)
    weighted = np.empty_like(total)
    for feature, weight in zip(features, weights.tolist(), strict=True):
        if weight:
            np.multiply(feature, weight / _ONE, out=weighted)
            total += weighted
    return total


class _Known:
    """The latest weights of each kind of prediction; until there are any, the defaults."""

    def __init__(self) -> None:
        self._latest: dict[tuple[Any, ...], NDArray[np.int64]] = {}

    def latest(self, kind: tuple[Any, ...], default: Sequence[float]) -> NDArray[np.int64]:
        known = self._latest.get(kind)
        if known is None:
            return _whole(np.array(default) * _ONE)
        return known

    def keep(self, kind: tuple[Any, ...], weights: NDArray[np.int64]) -> None:
        self._latest[kind] = weights


class WeightWriter(_Known):
    """Fit weights wherever new ones save more than they cost."""

    def __init__(self) -> None:
        super().__init__()
        self._changes: list[bool] = []
        self._new: list[NDArray[np.int64]] = []

    def fit(
        self,
        kind: tuple[Any, ...],
        default: Sequence[float],
        features: Sequence[Field],
        wanted: Field,
        valid: NDArray[np.bool_] | None,
        noise: float,
    ) -> NDArray[np.int64]:
        """Return the weights to use.

        Parameters
        ----------
        kind : tuple
            Predictions of one kind inherit each other's weights.
        default : sequence of float
            Weights for the first of its kind.
        features : sequence of ndarray
        wanted : ndarray
            What the weighted sum should be.
        valid : ndarray of bool, or None
            Samples that count.
        noise : float
            Variance that each feature and the remainder will have besides what is seen.
        """
        current = self.latest(kind, default)
        rows, target = _rows(features, wanted, valid)
        count = wanted.size if valid is None else int(valid.sum())
        fitted = _solve(rows, target, noise)
        gain = 0.0
        if fitted is not None:
            left = _power(rows, target, fitted) + noise
            gain = count / 2 * float(np.log2((_power(rows, target, current) + noise) / left))
        changed = fitted is not None and gain > _BITS * len(features)
        self._changes.append(changed)
        if not changed or fitted is None:
            return current
        self._new.append(fitted)
        self.keep(kind, fitted)
        return fitted

    def write(self) -> bytes:
        """Return everything that ``WeightReader`` needs."""
        new = np.concatenate(self._new) if self._new else np.zeros(0, np.int64)
        changes = np.array(self._changes, dtype=np.int64)
        return pack([encode_ints(np.array([new.size])), encode_ints(changes), encode_ints(new)])


class WeightReader(_Known):
    """Give the same weights again; raises ``ValueError`` where the data do not suffice."""

    def __init__(self, data: bytes, predictions: int) -> None:
        super().__init__()
        parts = unpack(data)
        if len(parts) != 3:
            raise ValueError(f"weights have 3 parts, got {len(parts)}")
        count = int(decode_ints(parts[0], (1,))[0])
        if not 0 <= count <= predictions * 256:
            raise ValueError(f"weights are damaged: {count} of them")
        self._changes = iter(decode_ints(parts[1], (predictions,)).tolist())
        self._new = decode_ints(parts[2], (count,))

    def next(self, kind: tuple[Any, ...], default: Sequence[float]) -> NDArray[np.int64]:
        """Return the weights of the next prediction."""
        if next(self._changes, 0):
            new, self._new = self._new[: len(default)], self._new[len(default) :]
            if new.size < len(default) or (np.abs(new) > _LARGEST).any():
                raise ValueError("weights are damaged: too few or too large")
            self.keep(kind, new)
        return self.latest(kind, default)


def _rows(
    features: Sequence[Field], wanted: Field, valid: NDArray[np.bool_] | None
) -> tuple[Field, Field]:
    """Take an even sample of the valid places: one column per place."""
    chosen = np.arange(wanted.size) if valid is None else np.flatnonzero(valid)
    chosen = chosen[:: max(1, chosen.size // _SAMPLES)]
    rows = np.empty((len(features), chosen.size))
    for row, feature in zip(rows, features, strict=True):
        row[...] = feature.reshape(-1)[chosen]
    return rows, wanted.reshape(-1)[chosen].astype(np.float64)


def _solve(rows: Field, target: Field, noise: float) -> NDArray[np.int64] | None:
    if len(target) <= 2 * len(rows):
        return None
    products = rows @ rows.T
    ridge = noise * len(target) + 1e-9 * np.trace(products) / len(products) + 1e-12
    products[np.diag_indices_from(products)] += ridge
    weights = np.linalg.solve(products, rows @ target)
    if not np.isfinite(weights).all():
        return None
    return _whole(np.clip(weights * _ONE, -_LARGEST, _LARGEST))


def _power(rows: Field, target: Field, weights: NDArray[np.int64]) -> float:
    return float(np.mean((target - (weights / _ONE) @ rows) ** 2))


def _whole(weights: Field) -> NDArray[np.int64]:
    return np.asarray(np.rint(weights), dtype=np.int64)
