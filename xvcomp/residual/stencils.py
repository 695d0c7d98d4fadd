"""The order in which a pyramid codes samples, and the known samples around each of them.

Frames come first: the ends, then the middle between known frames, again and again. Within
a frame the grid is refined likewise. At every level the known samples are the *corners*;
then follow the *centre* of each four, the *side* between two rows, and the *top* between
two columns, each from the nearest four that are known by then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OFFSETS",
    "PHASES",
    "Batch",
    "Padded",
    "Phase",
    "coarsest",
    "count_outer",
    "frame_batches",
    "outer",
    "pad",
    "ring",
    "split",
]

Phase = Literal["corner", "centre", "side", "top"]
Field = NDArray[np.float64]

OFFSETS: Mapping[Phase, tuple[int, int]] = {
    "corner": (0, 0),
    "centre": (1, 1),
    "side": (1, 0),
    "top": (0, 1),
}
"""First row and column of each phase on the grid of its level; the next are two further."""

PHASES: tuple[Phase, ...] = ("centre", "side", "top")

_Place = tuple[Phase, int, int]
Padded = Mapping[Phase, NDArray[Any]]
"""Phases of a grid with their edges repeated (`pad`); those without samples are left out."""

_RINGS: Mapping[Phase, tuple[_Place, ...]] = {
    "centre": (("corner", 0, 0), ("corner", 0, 1), ("corner", 1, 0), ("corner", 1, 1)),
    "side": (("corner", 0, 0), ("corner", 1, 0), ("centre", 0, -1), ("centre", 0, 0)),
    "top": (("centre", -1, 0), ("centre", 0, 0), ("corner", 0, 0), ("corner", 0, 1)),
}
"""The four nearest: phase, and rows and columns from the sample's own."""

_OUTER: Mapping[Phase, tuple[tuple[_Place, ...], ...]] = {
    "centre": (
        (("corner", -1, 0), ("corner", -1, 1)),
        (("corner", 2, 0), ("corner", 2, 1)),
        (("corner", 0, -1), ("corner", 1, -1)),
        (("corner", 0, 2), ("corner", 1, 2)),
        (("corner", -1, -1), ("corner", -1, 2), ("corner", 2, -1), ("corner", 2, 2)),
    ),
    "side": (
        (("corner", 0, -1), ("corner", 0, 1)),
        (("corner", 1, -1), ("corner", 1, 1)),
        (("centre", -1, -1), ("centre", -1, 0)),
        (("centre", 1, -1), ("centre", 1, 0)),
        (("corner", -1, 0),),
        (("corner", 2, 0),),
        (("centre", 0, -2),),
        (("centre", 0, 1),),
    ),
    "top": (
        (("side", -1, 0),),
        (("side", -1, 1),),
        (("side", 0, 0),),
        (("side", 0, 1),),
        (("centre", -2, 0),),
        (("centre", 1, 0),),
        (("corner", 0, -1),),
        (("corner", 0, 2),),
    ),
}
"""Those further out, in groups that are added up."""

_BEFORE, _AFTER = 2, 3
"""How far neighbours lie beyond the edges of a phase that may be one shorter."""

_COARSEST = 6
"""Longest side of the grid that is coded first, without neighbours."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames coded together, and per reference the frame that each of them refers to."""

    frames: NDArray[np.intp]
    references: tuple[NDArray[np.intp], ...]


def coarsest(height: int, width: int) -> int:
    """Return the stride of the first grid, a power of two."""
    stride = 1
    while max(height, width) > _COARSEST * stride:
        stride *= 2
    return stride


def frame_batches(frames: int, most: int) -> Iterator[Batch]:
    """List the frames in the order of coding, at most ``most`` at a time.

    All but the first have four references: the nearest known frames before and after,
    and the next ones beyond them; at the ends some of these are the same.
    """
    yield Batch(np.zeros(1, np.intp), ())
    stride = 1 << (frames - 1).bit_length() >> 1
    while stride:
        chosen = np.arange(stride, frames, 2 * stride)
        for start in range(0, len(chosen), most):
            part = chosen[start : start + most]
            yield Batch(part, _references(part, stride, frames))
        stride //= 2


def _references(chosen: NDArray[np.intp], stride: int, frames: int) -> tuple[NDArray[np.intp], ...]:
    before = chosen - stride
    after = np.where(chosen + stride < frames, chosen + stride, before)
    earlier = np.where(chosen >= 3 * stride, chosen - 3 * stride, before)
    later = np.where(chosen + 3 * stride < frames, chosen + 3 * stride, after)
    return before, after, earlier, later


def split(grid: NDArray[Any]) -> dict[Phase, NDArray[Any]]:
    """Cut a grid (frame, y, x) into its phases."""
    return {phase: grid[:, y::2, x::2] for phase, (y, x) in OFFSETS.items()}


def pad(grid: NDArray[Any]) -> NDArray[Any]:
    """Repeat the edges of a phase, so that neighbours beyond them are slices like any other."""
    frames, height, width = grid.shape
    out = np.empty((frames, height + _BEFORE + _AFTER, width + _BEFORE + _AFTER), grid.dtype)
    bottom, right = _BEFORE + height, _BEFORE + width
    inner = out[:, :, _BEFORE:right]
    inner[:, _BEFORE:bottom] = grid
    inner[:, :_BEFORE] = grid[:, :1]
    inner[:, bottom:] = grid[:, -1:]
    out[:, :, :_BEFORE] = out[:, :, _BEFORE : _BEFORE + 1]
    out[:, :, right:] = out[:, :, right - 1 : right]
    return out


def ring(padded: Padded, phase: Phase, size: tuple[int, int]) -> list[NDArray[Any]]:
    """Return the four nearest known neighbours of every sample of a phase of that size."""
    return [_shifted(padded, place, size) for place in _RINGS[phase]]


def count_outer(phase: Phase) -> int:
    """Return how many sums `outer` gives."""
    return len(_OUTER[phase])


def outer(padded: Padded, phase: Phase, size: tuple[int, int]) -> Iterator[tuple[Field, int]]:
    """Give sums of neighbours further out, and how many each sum holds."""
    for first, *rest in _OUTER[phase]:
        total = _shifted(padded, first, size)
        for number, place in enumerate(rest):
            other = _shifted(padded, place, size)
            total = np.add(total, other, out=total if number else None)
        yield total, 1 + len(rest)


def _shifted(padded: Padded, place: _Place, size: tuple[int, int]) -> NDArray[Any]:
    """Read the neighbours at one place; a phase that is empty is stood in for by the corners."""
    name, down, right = place
    source = padded.get(name, padded["corner"])
    top, left = _BEFORE + down, _BEFORE + right
    return source[:, top : top + size[0], left : left + size[1]]
