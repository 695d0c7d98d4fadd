"""Whole numbers of the subbands of wavelets, each coded by its expected magnitude.

Components follow each other, within each the subbands from coarse to fine, within each of these
four *phases*: every second column of every second row, then what lies diagonally between, then
the rest. What is known of the same place tells how large a number may be: the coarser subband, the
other directions, the component before, and neighbours of the phases before. Frames are coded
side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contexts import ContextReader, ContextWriter, classify
from .framing import pack, unpack
from .weights import WeightReader, WeightWriter, combine

__all__ = ["decode_subbands", "encode_subbands"]

Numbers = NDArray[np.int64]
Roots = NDArray[np.float32]

Details = Sequence[Sequence[Numbers]]
"""From coarse to fine, each of three directions of shape (time, component, y, x)."""

Shapes = Sequence[Sequence[tuple[int, int]]]

_PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
_RIDGE = 1e-3
_LARGEST = 1 << 31

_Code = Callable[[tuple[Any, ...], list[float], list[Roots], tuple[Any, ...]], Numbers]
"""Codes a phase: its kind, default weights, features and place; returns its numbers."""


def encode_subbands(details: Details) -> bytes:
    """Code the details of frames."""
    weights, contexts = WeightWriter(), ContextWriter()

    def writing(numbers: Numbers) -> _Code:
        def code(
            kind: tuple[Any, ...], default: list[float], features: list[Roots], place: Any
        ) -> Numbers:
            k: Numbers = numbers[place]
            fitted = weights.fit(kind, default, features, _roots(k), None, _RIDGE)
            expected = combine(np.zeros(k.shape), features, fitted)
            contexts.add(k.reshape(-1), classify(expected).reshape(-1))
            return k

        return code

    count = details[0][0].shape[1] if details else 0
    before: list[list[Roots]] = []
    for component in range(count):
        found: list[list[Roots]] = []
        for level, directions in enumerate(details):
            found.append([])
            for numbers in directions:
                own = np.ascontiguousarray(numbers[:, component])
                roots = _code_subband(writing(own), own.shape, found, before, level)[1]
                found[-1].append(roots)
        before = found
    return pack([weights.write(), contexts.write()]) if count else b""


def decode_subbands(data: bytes, time: int, components: int, shapes: Shapes) -> list[list[Numbers]]:
    """Undo `encode_subbands`.

    Parameters
    ----------
    data : bytes
    time, components : int
    shapes : sequence of sequences of (int, int)
        Heights and widths of the details, from coarse to fine.

    Raises
    ------
    ValueError
        If the data are damaged.
    """
    if not shapes:
        return []
    parts = unpack(data)
    if len(parts) != 2:
        raise ValueError(f"subbands have 2 parts, got {len(parts)}")
    flat = [shape for level in shapes for shape in level]
    phases = sum(1 for y, x in flat for row, column in _PHASES if row < y and column < x)
    weights = WeightReader(parts[0], components * phases)
    contexts = ContextReader(parts[1], time * components * sum(y * x for y, x in flat))

    def code(
        kind: tuple[Any, ...], default: list[float], features: list[Roots], place: Any
    ) -> Numbers:
        fitted = weights.next(kind, default)
        expected = combine(np.zeros(features[0].shape), features, fitted)
        k = contexts.take(classify(expected).reshape(-1))
        if max(-int(k.min()), int(k.max())) > _LARGEST:
            raise ValueError("subbands are damaged: too large numbers")
        return k.reshape(expected.shape)

    details = [[np.empty((time, components, *shape), np.int64) for shape in s] for s in shapes]
    before: list[list[Roots]] = []
    for component in range(components):
        found: list[list[Roots]] = []
        for level, sizes in enumerate(shapes):
            found.append([])
            for direction, size in enumerate(sizes):
                numbers, roots = _code_subband(code, (time, *size), found, before, level)
                details[level][direction][:, component] = numbers
                found[-1].append(roots)
        before = found
    return details


def _roots(k: Numbers) -> Roots:
    return np.asarray(np.sqrt(np.abs(k)), dtype=np.float32)


def _code_subband(
    code: _Code,
    shape: tuple[int, ...],
    found: Sequence[Sequence[Roots]],
    before: Sequence[Sequence[Roots]],
    level: int,
) -> tuple[Numbers, Roots]:
    """Code one subband of one component, given what is known by then."""
    direction = len(found[level])
    known = [_doubled(found[level - 1][direction], shape)] if level else []
    for other in found[level]:
        # Subbands of another direction may have a row or a column more or less.
        fitting = _fitted(other, shape)
        known += [fitting, _mean_around(fitting)]
    if before:
        known += [before[level][direction], _mean_around(before[level][direction])]
    numbers = np.zeros(shape, np.int64)
    ring = np.zeros((shape[0], shape[1] + 2, shape[2] + 2), np.float32)
    for phase, (row, column) in enumerate(_PHASES):
        place = (slice(None), slice(row, None, 2), slice(column, None, 2))
        size = numbers[place].shape
        if not all(size):
            continue
        features = [each[place] for each in known]
        features += _neighbours(ring, phase, size)
        features.append(np.ones(size, np.float32))
        kind = (level > 0, direction == 2, phase, len(features))
        k = code(kind, [1 / len(features)] * len(features), features, place)
        numbers[place] = k
        ring[:, 1 + row : 1 + shape[1] : 2, 1 + column : 1 + shape[2] : 2] = _roots(k)
    return numbers, ring[:, 1:-1, 1:-1]


def _neighbours(ring: Roots, phase: int, size: tuple[int, ...]) -> Iterator[Roots]:
    """Yield means of neighbours that the phases before have made known; outside is nothing."""
    row, column = _PHASES[phase]

    def at(y: int, x: int) -> Roots:
        first_y, first_x = 1 + row + y, 1 + column + x
        rows = slice(first_y, first_y + 2 * size[1] - 1, 2)
        return ring[:, rows, first_x : first_x + 2 * size[2] - 1 : 2]

    if phase > 1:
        yield (at(0, -1) + at(0, 1)) * np.float32(0.5)
        yield (at(-1, 0) + at(1, 0)) * np.float32(0.5)
    if phase in (1, 3):
        diagonal = ((at(-1, -1) + at(-1, 1)) + at(1, -1)) + at(1, 1)
        yield diagonal * np.float32(0.25)


def _doubled(coarse: Roots, shape: tuple[int, ...]) -> Roots:
    return _fitted(coarse.repeat(2, axis=1).repeat(2, axis=2), shape)


def _fitted(roots: Roots, shape: tuple[int, ...]) -> Roots:
    """Cut rows and columns off, or repeat the last ones."""
    sizes = zip(shape[1:], roots.shape[1:], strict=True)
    rows, columns = (np.minimum(np.arange(n), m - 1) for n, m in sizes)
    return roots[:, rows][:, :, columns]


def _mean_around(roots: Roots) -> Roots:
    """Average the four nearest, with the edges repeated."""
    wide = np.pad(roots, ((0, 0), (1, 1), (1, 1)), mode="edge")
    beside = wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return np.asarray(((beside + wide[:, :-2, 1:-1]) + wide[:, 2:, 1:-1]) * np.float32(0.25))
