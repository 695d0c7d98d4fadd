"""Parts of a group that stand for the whole in trials: a crop, or four patches side by side."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pipeline import GroupInput, Reader

__all__ = ["cropped", "sample_of"]

_LARGE_SIDE = 128
_MOST_FRAMES = 768


def cropped(data: GroupInput, frames: int, height: int, width: int) -> GroupInput:
    """Return the middle of a group's first frames."""
    full_time, bands, full_height, full_width = data.shape
    time = min(frames, full_time)
    height, width = min(height, full_height), min(width, full_width)
    rows, columns = (1, 1) if data.interpolation is None else data.interpolation.factors
    top = (full_height - height) // 2 // rows * rows
    left = (full_width - width) // 2 // columns * columns

    def moved(part: slice, by: int) -> slice:
        return slice(part.start + by, part.stop + by)

    def shifted(read: Reader) -> Reader:
        return lambda t, y, x: read(t, moved(y, top), moved(x, left))

    part = _seen(data, (time, bands, height, width), shifted)
    field = data.interpolation
    if field is None or (height, width) == data.shape[2:]:
        return part
    return replace(part, interpolation=replace(field, edges="open"))


def sample_of(
    data: GroupInput, samples: int, *, least_side: int = 64, least_frames: int = 192
) -> GroupInput:
    """Return a part of about so many coded samples: all of the time, if not very long.

    Of large frames a large part shows four places. ``least_side`` and ``least_frames`` are
    kept even where that makes more samples.
    """
    time, bands, height, width = data.coded_shape
    most = samples // (bands * min(height * width, least_side**2))
    time = min(time, _MOST_FRAMES, max(most, least_frames))
    area = max(least_side**2, samples // (time * bands))
    if area >= height * width and time == data.shape[0]:
        return data
    side = max(least_side, 8 * int(math.sqrt(area) // 8))
    size = (side, max(least_side, area // min(side, height)))
    if data.interpolation is not None:
        rows, columns = data.interpolation.factors
        # What lies across a seam is not interpolated.
        return cropped(data, time, size[0] * rows, size[1] * columns)
    # Seams cost bits that the whole does not: patches must be large beside them.
    return (_patches if min(size) >= _LARGE_SIDE else cropped)(data, time, *size)


def _patches(data: GroupInput, time: int, height: int, width: int) -> GroupInput:
    """Join the middles of a group's four quarters: one place may be unlike the others."""
    height, width = min(height, data.shape[2]), min(width, data.shape[3])
    rows, columns = _halves(height, data.shape[2]), _halves(width, data.shape[3])

    def joined(read: Reader) -> Reader:
        def read_patches(time: slice, y: slice, x: slice) -> NDArray[Any]:
            across = list(_within(columns, x))
            parts = [[read(time, down, right) for right in across] for down in _within(rows, y)]
            return np.concatenate([np.concatenate(row, axis=-1) for row in parts], axis=-2)

        return read_patches

    return _seen(data, (time, data.shape[1], height, width), joined)


def _seen(
    data: GroupInput, shape: tuple[int, int, int, int], through: Callable[[Reader], Reader]
) -> GroupInput:
    """Return a group of another shape, whose readers look at the whole one's."""
    variables = tuple(
        replace(
            variable,
            read=through(variable.read),
            ignore=None if variable.ignore is None else through(variable.ignore),
        )
        for variable in data.variables
    )
    return replace(data, variables=variables, shape=shape)


def _halves(size: int, whole: int) -> list[tuple[int, slice]]:
    """Return where each half of a part begins, and what it shows of the whole."""
    if size >= whole:
        return [(0, slice(0, whole))]
    first = size // 2
    starts = (whole // 4 - first // 2, 3 * whole // 4 - (size - first) // 2)
    left = min(max(0, starts[0]), whole - size)
    right = min(max(left + first, starts[1]), whole - (size - first))
    return [(0, slice(left, left + first)), (first, slice(right, right + size - first))]


def _within(halves: Sequence[tuple[int, slice]], part: slice) -> Iterator[slice]:
    """Yield what a slice of the part shows of the whole."""
    for begin, shown in halves:
        start = max(part.start, begin)
        stop = min(part.stop, begin + shown.stop - shown.start)
        if start < stop:
            yield slice(shown.start + start - begin, shown.start + stop - begin)
