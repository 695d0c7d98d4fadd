"""Samples that the user does not care about: under clouds, at sea, outside of a region.

They are said by a mask variable of the cube and the values in it: ``SCL=3,8,9,10,11``, or
the names of CF flags (``SCL=cloud_*``). Such samples are filled from their neighbours
before they are coded, cost almost nothing, and count in no measure of quality.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import StoredVariable
from .errors import PlanError
from .pipeline.windows import Reader
from .spec import Ignored, Lossless, MaxError, Target

__all__ = ["IgnoreReader", "ignore_reader", "ignores", "resolve_ignored"]

Axes = tuple[str | None, str, str]

_EVERY_BIT = -1


def ignores(target: Target) -> bool:
    """Say whether a target leaves ignored samples out: bounds and exact values hold for all."""
    return not isinstance(target, MaxError | Lossless)


def resolve_ignored(
    asked: Mapping[str, Sequence[int | str]], variables: Mapping[str, StoredVariable]
) -> tuple[Ignored, ...]:
    """Turn names of flags into values.

    Parameters
    ----------
    asked : Mapping[str, sequence of int or str]
        Values, or names of flags (patterns too), by the mask variable.
    variables : Mapping[str, StoredVariable]

    Raises
    ------
    PlanError
        If there is no such variable or flag, or the variable is no mask.
    """
    found = []
    for name, values in asked.items():
        if name not in variables:
            known = ", ".join(variables) or "none"
            raise PlanError(f"there is no variable {name!r} to ignore by; the cube has {known}")
        stored = variables[name]
        if stored.variable.dtype.kind not in "iubf" or stored.variable.ndim < 2:
            raise PlanError(f"{name!r} is no mask: it must hold numbers on an image grid")
        flags = dict.fromkeys(flag for value in values for flag in _flags(stored, value))
        found.append(Ignored(variable=name, flags=tuple(flags)))
    return tuple(found)


def _flags(stored: StoredVariable, value: int | str) -> list[tuple[int, int]]:
    """Return pairs of bits to look at, and what they must be."""
    if not isinstance(value, str):
        return [(_EVERY_BIT, int(value))]
    if value.lstrip("-").isdigit():
        return [(_EVERY_BIT, int(value))]
    names = str(stored.attrs.get("flag_meanings", "")).split()
    chosen = [number for number, name in enumerate(names) if fnmatch.fnmatchcase(name, value)]
    if not chosen:
        known = ", ".join(names) or "none"
        raise PlanError(f"{stored.spec.name!r} has no flag {value!r}; it has {known}")
    values, bits = (_numbers(stored, key) for key in ("flag_values", "flag_masks"))
    found = []
    for number in chosen:
        mask = bits[number] if number < len(bits) else _EVERY_BIT
        wanted = values[number] if number < len(values) else mask
        if number >= max(len(values), len(bits)):
            raise PlanError(f"flag {names[number]!r} of {stored.spec.name!r} has no value")
        found.append((mask, wanted))
    return found


def _numbers(stored: StoredVariable, key: str) -> list[int]:
    return [int(each) for each in np.atleast_1d(stored.attrs.get(key, []))]


@dataclass(frozen=True, slots=True)
class IgnoreReader:
    """Say which samples of a group are to be ignored, shape (time, 1, y, x).

    ``factor`` is how many rows and columns of the mask a coded sample covers: it is ignored
    where all of them are.
    """

    stored: StoredVariable
    flags: tuple[tuple[int, int], ...]
    frame_dim: str | None
    factor: tuple[int, int]

    def __call__(self, time: slice, y: slice, x: slice) -> NDArray[np.bool_]:
        """Read a part of the coded grid."""
        rows, columns = self.factor
        dims = _image_dims(self.stored, self.frame_dim)
        chosen = {
            dims[0]: slice(y.start * rows, y.stop * rows),
            dims[1]: slice(x.start * columns, x.stop * columns),
        }
        has_frames = self.frame_dim in self.stored.spec.dims
        if has_frames:
            chosen[str(self.frame_dim)] = time
        order = (*([self.frame_dim] if has_frames else []), *dims)
        values = np.asarray(self.stored.variable.isel(chosen).transpose(*order).values)
        hit = _matches(values, self.flags)
        if not has_frames:
            hit = np.broadcast_to(hit, (time.stop - time.start, *hit.shape))
        return _all_of_blocks(hit, self.factor)[:, None]


def _matches(values: NDArray[Any], flags: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    known = np.isfinite(values)
    whole = np.where(known, values, 0).astype(np.int64)
    hit = np.zeros(values.shape, dtype=np.bool_)
    for bits, wanted in flags:
        hit |= (whole & bits) == (wanted & bits)
    return np.asarray(hit & known)


def _all_of_blocks(hit: NDArray[np.bool_], factor: tuple[int, int]) -> NDArray[np.bool_]:
    """Combine blocks; what lies past the edge does not matter."""
    if factor == (1, 1):
        return np.asarray(hit)
    _, height, width = hit.shape
    down, right = -height % factor[0], -width % factor[1]
    whole = np.pad(hit, ((0, 0), (0, down), (0, right)), constant_values=True)
    time, rows, columns = len(hit), whole.shape[1] // factor[0], whole.shape[2] // factor[1]
    blocks = whole.reshape(time, rows, factor[0], columns, factor[1])
    return np.asarray(blocks.all(axis=(2, 4)))


def _image_dims(stored: StoredVariable, frame_dim: str | None) -> tuple[str, str]:
    y, x = (dim for dim in stored.spec.dims if dim != frame_dim)
    return y, x


def ignore_reader(
    axes: Axes,
    shape: tuple[int, int, int, int],
    ignored: Sequence[Ignored],
    variables: Mapping[str, StoredVariable],
    repeat: tuple[int, int] = (1, 1),
) -> Reader | None:
    """Return what says which samples of a grid are to be ignored, if any mask covers it.

    Parameters
    ----------
    axes : (str or None, str, str)
        Frame, row and column dims.
    shape : (int, int, int, int)
        (time, band, y, x) of the grid.
    ignored : sequence of Ignored
    variables : Mapping[str, StoredVariable]
    repeat : (int, int)
        Rows and columns of the dims that a sample of the grid stands for.
    """
    found = []
    for each in ignored:
        stored = variables[each.variable]
        factor = _factor(axes, shape, stored, repeat)
        if factor is not None:
            found.append(IgnoreReader(stored, each.flags, axes[0], factor))
    if not found:
        return None

    def read(time: slice, y: slice, x: slice) -> NDArray[np.bool_]:
        return np.asarray(np.logical_or.reduce([each(time, y, x) for each in found]))

    return read


def _factor(
    axes: Axes,
    shape: tuple[int, int, int, int],
    stored: StoredVariable,
    repeat: tuple[int, int],
) -> tuple[int, int] | None:
    """Return the mask's samples per one of the grid; ``None`` if the grids do not fit."""
    frame_dim, *image = axes
    sizes = dict(zip(stored.spec.dims, stored.spec.shape, strict=True))
    frames = sizes.pop(str(frame_dim), shape[0])
    if frames != shape[0] or len(sizes) != 2:
        return None
    (y, height), (x, width) = sizes.items()
    if [y, x] == image:
        return repeat
    if set(image) & set(sizes):
        return None
    rows, columns = round(height / shape[2]), round(width / shape[3])
    fits = rows >= 1 and columns >= 1 and (rows * shape[2], columns * shape[3]) == (height, width)
    return (rows, columns) if fits else None
