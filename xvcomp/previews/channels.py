"""What of a cube can be seen: its fields, one two-dimensional layer each, and their frames."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..planner import frame_axes

__all__ = ["Channel", "Grid", "channels_of", "plain_unit"]

_MAX_LAYERS = 64
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A field of a cube: one number per frame, row and column.

    Parameters
    ----------
    name : str
        The variable's, with the position along other dims if it has any.
    array : DataArray
        Decoded by the CF conventions, perhaps lazy; dims (frame,) y, x.
    frame_dim : str or None
    words : tuple of str
        What else it may be called: band label, ``common_name``; in lower case.
    """

    name: str
    array: xr.DataArray
    frame_dim: str | None
    words: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, y, x)."""
        height, width = self.array.shape[-2:]
        return (self.array.shape[0] if self.frame_dim is not None else 1), height, width

    @property
    def unit(self) -> str:
        """Units, as one would write them behind a number."""
        return plain_unit(self.array.attrs)

    @property
    def is_classes(self) -> bool:
        """Whether it looks like classes or flags rather than a measurement."""
        words = str(self.array.name).lower()
        return (
            self.array.dtype.kind == "b"
            or any(key in self.array.attrs for key in ("flag_values", "flag_masks"))
            or any(word in words for word in _CLASS_WORDS)
        )

    @property
    def upside_down(self) -> bool:
        """Whether the first row is the southernmost."""
        rows = self.array.coords.get(self.array.dims[-2])
        if rows is None or rows.ndim != 1 or rows.size < 2 or rows.dtype.kind not in "iuf":
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
    """List all fields of a cube, at most 64 of each variable.

    Parameters
    ----------
    dataset : Dataset
        Decoded by the CF conventions.
    """
    return [channel for name in dataset.data_vars for channel in _layers(dataset[name])]


def _layers(array: xr.DataArray) -> Iterator[Channel]:
    """Cut a variable along all dims that are neither frame nor image."""
    dims = tuple(str(dim) for dim in array.dims)
    axes = frame_axes(dims, array.shape)
    if axes is None or array.dtype.kind not in "iufb" or 0 in array.shape:
        return
    frame, y, x = axes
    others = [dim for dim in dims if dim not in axes]
    ordered = array.transpose(*others, *([] if frame is None else [frame]), y, x)
    positions = itertools.product(*(range(array.sizes[dim]) for dim in others))
    common = str(array.attrs.get("common_name", "")).lower()
    for position in itertools.islice(positions, _MAX_LAYERS):
        layer = ordered.isel(dict(zip(others, position, strict=True)))
        labels = [_label(layer, dim, k) for dim, k in zip(others, position, strict=True)
                  if array.sizes[dim] > 1]  # fmt: skip
        name = " ".join([str(array.name), *(full for full, _ in labels)])
        words = {str(array.name), common} if not labels else {short for _, short in labels}
        yield Channel(
            name=name,
            array=layer,
            frame_dim=frame,
            words=tuple(sorted({word.lower() for word in words} - {""})),
        )


def _label(layer: xr.DataArray, dim: str, position: int) -> tuple[str, str]:
    """Name a position along a dim: in full, and the coordinate alone where it is a name."""
    if dim not in layer.coords:
        return f"{dim} {position}", ""
    value = layer.coords[dim].values[()]
    if isinstance(value, str):
        return value, value
    if isinstance(value, np.number) and value.dtype.kind in "iuf":
        return f"{dim} {value:g}", ""
    return f"{dim} {value!s:.32}", ""
