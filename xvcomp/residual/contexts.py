"""Entropy coding of corrections by how large they are expected to be."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .framing import pack, unpack
from .integers import decode_ints, encode_ints

__all__ = ["ContextReader", "ContextWriter", "classify"]

_MAGNITUDES = (
    0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.23, 0.32, 0.45, 0.6, 0.8, 1.1,
    1.5, 2.1, 3.0, 4.3, 6.0, 9.0, 13.0, 20.0, 30.0, 50.0, 80.0, 150.0,
)  # fmt: skip
_EDGES = np.sqrt(_MAGNITUDES)
"""Between the contexts, in roots of the expected magnitude."""
_COUNT = len(_EDGES) + 1
_TALLEST = 1 << 11
_STREAM_BYTES = 24
_BIN_BYTES = 1.5


def classify(expected: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Number the contexts of samples by the root of the magnitude that is expected."""
    return np.searchsorted(_EDGES, expected).astype(np.uint8)


class ContextWriter:
    """Collect corrections with their contexts, and code each context by itself."""

    def __init__(self) -> None:
        self._k: list[NDArray[np.int64]] = []
        self._contexts: list[NDArray[np.uint8]] = []

    def add(self, k: NDArray[np.int64], contexts: NDArray[np.uint8]) -> None:
        """Add corrections, in the order in which they will be asked for."""
        self._k.append(k)
        self._contexts.append(contexts)

    def write(self) -> bytes:
        """Return the corrections; neighbouring contexts that are alike share a stream."""
        k, contexts = np.concatenate(self._k), np.concatenate(self._contexts)
        first = _merged(_groups(k, contexts, _COUNT))
        joined = _groups(k, _streams(first)[contexts], len(first))
        sizes = np.array([group.size for group in joined])
        return pack([bytes(first), encode_ints(sizes), *(encode_ints(group) for group in joined)])


def _groups(
    k: NDArray[np.int64], numbers: NDArray[np.uint8], count: int
) -> list[NDArray[np.int64]]:
    """Part corrections by number, each part in its old order."""
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=count))
    return np.split(k[order], ends[:-1])


def _streams(first: Sequence[int]) -> NDArray[np.uint8]:
    """Return the stream of each context, given the first context of each stream."""
    starts = np.zeros(_COUNT, np.uint8)
    starts[list(first[1:])] = 1
    return np.cumsum(starts).astype(np.uint8)


class ContextReader:
    """Give corrections back; raises ``ValueError`` for what ``ContextWriter`` did not write."""

    def __init__(self, data: bytes, most: int) -> None:
        parts = unpack(data)
        first = list(parts[0]) if parts else []
        if first[:1] != [0] or sorted(set(first)) != first or first[-1] >= _COUNT:
            raise ValueError(f"contexts are damaged: {first}")
        if len(parts) != 2 + len(first):
            raise ValueError(f"{len(parts)} parts for {len(first)} contexts")
        sizes = decode_ints(parts[1], (len(first),)).tolist()
        if min(sizes) < 0 or sum(sizes) > most:
            raise ValueError(f"contexts are damaged: {sizes} corrections for {most} samples")
        self._left = [decode_ints(p, (n,)) for p, n in zip(parts[2:], sizes, strict=True)]
        self._stream = _streams(first)

    def take(self, contexts: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the next corrections of these contexts."""
        streams = self._stream[contexts]
        counts = np.bincount(streams, minlength=len(self._left)).tolist()
        k = np.empty(contexts.size, np.int64)
        taken = [left[:count] for left, count in zip(self._left, counts, strict=True)]
        if [part.size for part in taken] != counts:
            raise ValueError("corrections are damaged: too few of them")
        k[np.argsort(streams, kind="stable")] = np.concatenate(taken)
        self._left = [left[count:] for left, count in zip(self._left, counts, strict=True)]
        return k


def _merged(groups: Sequence[NDArray[np.int64]]) -> list[int]:
    """Choose the first context of each stream: join neighbours for as long as it saves."""
    first = list(range(len(groups)))
    counts = [_histogram(group) for group in groups]
    costs = [_cost(each) for each in counts]
    while len(first) > 1:
        joint = [_cost(a + b) for a, b in pairwise(counts)]
        saved = [costs[i] + costs[i + 1] - joint[i] for i in range(len(joint))]
        best = int(np.argmax(saved))
        if saved[best] < 0:
            break
        counts[best : best + 2] = [counts[best] + counts[best + 1]]
        costs[best : best + 2] = [joint[best]]
        del first[best + 1]
    return first


def _histogram(k: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(np.clip(k, -_TALLEST, _TALLEST) + _TALLEST, minlength=2 * _TALLEST + 1)


def _cost(counts: NDArray[np.int64]) -> float:
    """Estimate the bytes of a stream with such a histogram."""
    present = counts[counts > 0]
    if present.size < 2:
        return 2.0 * present.size
    entropy = float(np.sum(present * np.log2(present.sum() / present)))
    return entropy / 8 + _STREAM_BYTES + _BIN_BYTES * min(present.size, 64)
