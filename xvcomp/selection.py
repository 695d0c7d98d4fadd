"""Which samples of an axis are wanted, and which of them a part of the axis holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Wanted", "flat_bands", "paste"]

Index = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Positions along one axis, in the order in which they are to come; may repeat.

    Parameters
    ----------
    indices : ndarray of int64, shape (n,)
        Not negative.
    """

    indices: NDArray[np.int64]

    @classmethod
    def of(cls, key: Any, length: int) -> "Wanted":
        """Read a slice, a number or an array of numbers, as numpy understands them.

        Raises
        ------
        IndexError
            If a number is outside the axis.
        """
        if isinstance(key, slice):
            return cls(np.arange(*key.indices(length), dtype=np.int64))
        numbers = np.atleast_1d(np.asarray(key)).astype(np.int64)
        outside = numbers[(numbers < -length) | (numbers >= length)]
        if outside.size:
            raise IndexError(f"index {outside[0]} is out of bounds for an axis of length {length}")
        return cls(np.where(numbers < 0, numbers + length, numbers))

    def __len__(self) -> int:
        return len(self.indices)

    def coarser(self, factor: int) -> "Wanted":
        """Return the positions on a grid whose samples stand for ``factor`` of these."""
        return self if factor == 1 else Wanted(self.indices // factor)

    def parts(self, size: int) -> list[int]:
        """Return the numbers of the parts of length ``size`` that hold a wanted sample."""
        return [int(part) for part in np.unique(self.indices // size)]

    def within(self, start: int, stop: int) -> tuple[Index, Index]:
        """Return where the samples of a part go, and where in the part they are."""
        hits = np.flatnonzero((self.indices >= start) & (self.indices < stop))
        return _as_slice(hits), _as_slice(self.indices[hits] - start)


def _as_slice(indices: NDArray[np.int64]) -> Index:
    """Return a slice where there is one: numpy copies slices several times faster."""
    if indices.size == 0:
        return slice(0, 0)
    step = int(indices[1] - indices[0]) if indices.size > 1 else 1
    first, last = int(indices[0]), int(indices[-1])
    if step <= 0 or last - first != step * (indices.size - 1):
        return indices
    return slice(first, last + 1, step) if (np.diff(indices) == step).all() else indices


def flat_bands(wanted: Sequence[Wanted], sizes: Sequence[int]) -> Wanted:
    """Combine selections of several dims into one of the axis that they unroll to."""
    flat = np.zeros(1, dtype=np.int64)
    for each, size in zip(wanted, sizes, strict=True):
        flat = (flat[:, None] * size + each.indices).ravel()
    return Wanted(flat)


def paste(
    out: NDArray[Any], to: Sequence[Index], part: NDArray[Any], come: Sequence[Index]
) -> None:
    """Copy an outer selection of ``part`` to an outer selection of ``out``."""
    values = part
    for axis, index in enumerate(come):
        values = values[(slice(None),) * axis + (index,)]
    if all(isinstance(index, slice) for index in to):
        out[tuple(to)] = values
    else:
        ranges = [_numbers(index, length) for index, length in zip(to, out.shape, strict=True)]
        out[np.ix_(*ranges)] = values


def _numbers(index: Index, length: int) -> NDArray[np.int64]:
    return np.arange(*index.indices(length)) if isinstance(index, slice) else index
