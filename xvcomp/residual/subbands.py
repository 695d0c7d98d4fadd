"""Whole numbers of the subbands of wavelets, each coded by its expected magnitude.

Components follow each other, within each the subbands from coarse to fine, within each of these
four *phases*: every second column of every second row, then what lies diagonally between, then
the rest. What is known of the same place tells how large a number may be: the coarser subband, the
other directions, the component before, and neighbours of the phases before. Frames are coded
side by side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
_LARGEST = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class _Phase:
    """Numbers that are coded at once: where they are, and what tells how large they may be."""

    level: int
    direction: int
    place: tuple[Any, ...]
    kind: tuple[Any, ...]
    features: list[Roots]

    @property
    def default(self) -> list[float]:
        """Weights of features until there are others."""
        return [1 / len(self.features)] * len(self.features)

    def contexts(self, weights: Numbers) -> NDArray[np.uint8]:
        """Number the contexts, in the order of the numbers."""
        expected = combine(np.zeros(self.features[0].shape), self.features, weights)
        return classify(expected).reshape(-1)


def encode_subbands(details: Details) -> bytes:
    """Code the details of frames, numbers of magnitude up to 2**30."""
    if not details:
        return b""
    weights, contexts = WeightWriter(), ContextWriter()

    def code(phase: _Phase) -> Numbers:
        k: Numbers = details[phase.level][phase.direction][phase.place]
        fitted = weights.fit(phase.kind, phase.default, phase.features, _roots(k), None, _RIDGE)
        contexts.add(k.reshape(-1), phase.contexts(fitted))
        return k

    time, components = details[0][0].shape[:2]
    _walk(time, components, [[part.shape[2:] for part in level] for level in details], code)
    return pack([weights.write(), contexts.write()])


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
    details = [[np.empty((time, components, *shape), np.int64) for shape in s] for s in shapes]

    def code(phase: _Phase) -> Numbers:
        k = contexts.take(phase.contexts(weights.next(phase.kind, phase.default)))
        if max(-int(k.min()), int(k.max())) > _LARGEST:
            raise ValueError("subbands are damaged: too large numbers")
        k = k.reshape(phase.features[0].shape)
        details[phase.level][phase.direction][phase.place] = k
        return k

    _walk(time, components, shapes, code)
    return details


def _walk(time: int, components: int, shapes: Shapes, code: Callable[[_Phase], Numbers]) -> None:
    """Visit all phases in their order; ``code`` gives the numbers of each."""
    before: list[list[Roots]] = []
    for component in range(components):
        found: list[list[Roots]] = []
        for level, sizes in enumerate(shapes):
            found.append([])
            for size in sizes:
                roots = np.zeros((time, *size), np.float32)
                for phase, numbers in _phases(component, roots, found, before):
                    numbers[...] = _roots(code(phase))
                found[level].append(roots)
        before = found


def _roots(k: Numbers) -> Roots:
    return np.asarray(np.sqrt(np.abs(k)), dtype=np.float32)


def _phases(
    component: int,
    roots: Roots,
    found: Sequence[Sequence[Roots]],
    before: Sequence[Sequence[Roots]],
) -> Iterator[tuple[_Phase, Roots]]:
    """Yield the phases of a subband, and where their roots are wanted before the next."""
    level, direction = len(found) - 1, len(found[-1])
    known = [_doubled(found[level - 1][direction], roots.shape)] if level else []
    for other in found[level]:
        # Subbands of another direction may have a row or a column more or less.
        fitting = _fitted(other, roots.shape)
        known += [fitting, _mean_around(fitting)]
    if before:
        known += [before[level][direction], _mean_around(before[level][direction])]
    for number, (row, column) in enumerate(_PHASES):
        rows, columns = slice(row, None, 2), slice(column, None, 2)
        wanted = roots[:, rows, columns]
        if not wanted.size:
            continue
        features = [each[:, rows, columns] for each in known]
        features += _neighbours(roots, number)
        features.append(np.ones(wanted.shape, np.float32))
        phase = _Phase(
            level=level,
            direction=direction,
            place=(slice(None), component, rows, columns),
            kind=(level > 0, direction == 2, number, len(features)),
            features=features,
        )
        yield phase, wanted


def _neighbours(roots: Roots, number: int) -> Iterator[Roots]:
    """Yield means of neighbours that the phases before have made known; outside is nothing."""
    row, column = _PHASES[number]
    _, height, width = roots.shape
    ring = np.pad(roots, ((0, 0), (1, 1), (1, 1)))

    def at(y: int, x: int) -> Roots:
        rows = slice(1 + row + y, 1 + y + height, 2)
        return ring[:, rows, 1 + column + x : 1 + x + width : 2]

    if number > 1:
        yield (at(0, -1) + at(0, 1)) * np.float32(0.5)
        yield (at(-1, 0) + at(1, 0)) * np.float32(0.5)
    if number in (1, 3):
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
