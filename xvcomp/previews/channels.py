"""What of a cube can be seen: its fields, one two-dimensional layer each, and their frames."""

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..planner import frame_axes

__all__ = ["Channel", "Grid", "channels_of", "plain_unit"]

_CLASS_WORDS = ("mask", "class", "flag", "quality", "scl", "label", "category", "landcover")


@dataclass(frozen=True, slots=True)
class Grid:
    """Which frames and pixels are looked at.

    Parameters
    ----------
    frames : tuple of int
        Rising positions along the frame axis.
    stride : int
        Every how many rows and columns.
    """

    frames: tuple[int, ...]
    stride: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """A field of a cube: one number per frame, row and column.

    Parameters
    ----------
    name : str
        The variable's, with the position along other dims if it has any.
    variable : DataArray
        Decoded by the CF conventions, perhaps lazy; dims (others,) (frame,) y, x.
    position : tuple of int
        Of the field along the other dims.
    frame_dim : hashable or None
    words : tuple of str
        What else it may be called: band label, ``common_name``; in lower case.
    """

    name: str
    variable: xr.DataArray
    position: tuple[int, ...]
    frame_dim: Hashable | None
    words: tuple[str, ...]

    @cached_property
    def array(self) -> xr.DataArray:
        """The field alone, dims (frame,) y, x; cut only when it is asked for."""
        return self.variable.isel(dict(zip(self.variable.dims, self.position, strict=False)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, y, x)."""
        height, width = self.variable.shape[-2:]
        return (self.variable.shape[-3] if self.frame_dim is not None else 1), height, width

    @property
    def unit(self) -> str:
        """Units, as one would write them behind a number."""
        return plain_unit(self.variable.attrs)

    @property
    def is_classes(self) -> bool:
        """Whether it looks like classes or flags rather than a measurement."""
        words = str(self.variable.name).lower()
        return (
            self.variable.dtype.kind == "b"
            or any(key in self.variable.attrs for key in ("flag_values", "flag_masks"))
            or any(word in words for word in _CLASS_WORDS)
        )

    @property
    def upside_down(self) -> bool:
        """Whether the first row is the southernmost."""
        dim = self.variable.dims[-2]
        if dim not in self.variable.coords:
            return False
        rows = self.variable.coords[dim]
        if rows.ndim != 1 or rows.size < 2 or rows.dtype.kind not in "iuf":
            return False
        named = str(rows.name).lower().startswith("lat")
        # A plain count of rows runs downwards; only coordinates say where north is.
        told = {"units", "standard_name", "axis"} & set(rows.attrs)
        return bool(rows[0] < rows[-1]) and (named or bool(told))

    def read(self, grid: Grid) -> NDArray[np.float64]:
        """Read some frames, shape (frames, y, x), north up; NaN is missing."""
        picked: dict[Any, Any] = {
            dim: slice(None, None, grid.stride) for dim in self.array.dims[-2:]
        }
        if self.frame_dim is not None:
            picked[self.frame_dim] = _compact(grid.frames)
        values = np.asarray(self.array.isel(picked).values).astype(np.float64)
        values = values.reshape(-1, *values.shape[-2:])
        values[~np.isfinite(values)] = np.nan
        return values[:, ::-1] if self.upside_down else values


def _compact(frames: Sequence[int]) -> slice | list[int]:
    """Return a slice where there is one: files read it in one go."""
    steps = {b - a for a, b in itertools.pairwise(frames)}
    if len(steps) > 1:
        return list(frames)
    return slice(frames[0], frames[-1] + 1, steps.pop() if steps else 1)


def plain_unit(attrs: Mapping[Any, Any]) -> str:
    """Return the units among attributes; nothing for pure numbers."""
    unit = str(attrs.get("units", "")).strip()
    return "" if unit.lower() in ("1", "-", "none", "dimensionless", "unitless") else unit


def channels_of(dataset: xr.Dataset) -> list[Channel]:
    """List all fields of a cube.

    Parameters
    ----------
    dataset : Dataset
        Decoded by the CF conventions.
    """
    return [channel for name in dataset.data_vars for channel in _layers(dataset[name])]


def _layers(array: xr.DataArray) -> Iterator[Channel]:
    """Cut a variable along all dims that are neither frame nor image."""
    by_name = {str(dim): dim for dim in array.dims}
    axes = frame_axes(tuple(by_name), array.shape) if len(by_name) == array.ndim else None
    if axes is None or array.dtype.kind not in "iufb" or 0 in array.shape:
        return
    frame, y, x = (None if axis is None else by_name[axis] for axis in axes)
    others = [dim for dim in array.dims if dim not in (frame, y, x)]
    ordered = array.transpose(*others, *(dim for dim in (frame, y, x) if dim is not None))
    labels = [_labels(array, dim) for dim in others]
    common = str(array.attrs.get("common_name", "")).lower()
    named = [
        (" ".join([str(array.name), *(full for full, _ in each if full)]), each)
        for each in itertools.product(*labels)
    ]
    count = Counter(name for name, _ in named)
    positions = itertools.product(*(range(array.sizes[dim]) for dim in others))
    for (name, each), position in zip(named, positions, strict=True):
        told = any(full for full, _ in each)
        words = {short for _, short in each} if told else {str(array.name), common}
        yield Channel(
            name=name if count[name] == 1 else f"{name} [{', '.join(map(str, position))}]",
            variable=ordered,
            position=position,
            frame_dim=frame,
            words=tuple(sorted({word.lower() for word in words} - {""})),
        )


def _labels(array: xr.DataArray, dim: Hashable) -> list[tuple[str, str]]:
    """Name the positions along a dim; a single one needs no name."""
    size = array.sizes[dim]
    if size == 1:
        return [("", "")]
    if dim not in array.coords:
        return [(f"{dim} {k}", "") for k in range(size)]
    return [_label(dim, value) for value in array.coords[dim].values]


def _label(dim: Hashable, value: Any) -> tuple[str, str]:
    """Name a coordinate: in full, and alone where it is a name."""
    if isinstance(value, str):
        return value, value
    if isinstance(value, np.floating):
        # By its text: 0.1 of float32 is not 0.1 of float64.
        return f"{dim} {float(str(value)):.15g}", ""
    return f"{dim} {value!s:.32}", ""
