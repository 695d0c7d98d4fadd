"""Where components lie in video frames: tiles of one plane, colour planes, or one by one.

Component frames are padded to the layout's alignment by repeating their last row and
column, and frames to the smallest size that the codec takes; unpacking only reads the
components' own places, so neither needs to be remembered.
"""

from dataclasses import dataclass
from math import ceil, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .spec import Chroma, Layout, LayoutKind, Planes

__all__ = ["Geometry", "choose_columns", "chroma_of", "geometry", "pack", "unpack"]

_STREAM_COMPONENTS: dict[LayoutKind, int] = {"yuv444": 3, "yuv420": 3, "gray": 1}
_CHROMA: dict[LayoutKind, Chroma] = {
    "tiled": "gray",
    "gray": "gray",
    "yuv444": "444",
    "yuv420": "420",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """Sizes that follow from a layout: of a tile, of a frame, and how many streams."""

    tile: tuple[int, int]
    frame: tuple[int, int]
    streams: int


def chroma_of(kind: LayoutKind) -> Chroma:
    """Return the pixel format family of a layout."""
    return _CHROMA[kind]


def choose_columns(components: int, height: int, width: int, largest: tuple[int, int]) -> int:
    """Choose the tiles per row that make the frame compact.

    Parameters
    ----------
    components : int
    height, width : int
        Of one padded component.
    largest : (int, int)
        Largest frame of the codec.

    Returns
    -------
    int
        The number that wastes the least area, and of those the one nearest to a square.
        The frame may still be too large; `geometry` refuses it then.
    """

    def cost(columns: int) -> tuple[int, float]:
        rows = ceil(components / columns)
        size = (rows * height, columns * width)
        too_large = size[0] > largest[0] or size[1] > largest[1]
        shape = max(size) / min(size)
        return (too_large * 10**6 + columns * rows - components, shape)

    return min(range(1, components + 1), key=cost)


def geometry(
    layout: Layout, components: int, height: int, width: int, smallest: tuple[int, int]
) -> Geometry:
    """Work out the sizes of tiles and frames for components of ``height`` x ``width``."""
    align = layout.align * 2 // gcd(layout.align, 2) if layout.kind == "yuv420" else layout.align
    tile = (ceil(height / align) * align, ceil(width / align) * align)
    if layout.kind == "tiled":
        rows = ceil(components / layout.columns)
        size = (rows * tile[0], min(components, layout.columns) * tile[1])
        streams = 1
    else:
        size, streams = tile, ceil(components / _STREAM_COMPONENTS[layout.kind])
    frame = (max(size[0], smallest[0]), max(size[1], smallest[1]))
    return Geometry(tile=tile, frame=frame, streams=streams)


def pack(codes: NDArray[np.uint16], layout: Layout, geo: Geometry) -> list[Planes]:
    """Lay components out in frames.

    Parameters
    ----------
    codes : ndarray of uint16, shape (time, component, y, x)
    layout : Layout
    geo : Geometry
        Of the same layout and sizes.

    Returns
    -------
    list of Planes
        One per stream. Places that hold no component are filled by repetition.
    """
    if layout.kind == "tiled":
        return [(_mosaic(codes, layout, geo),)]
    per_stream = _STREAM_COMPONENTS[layout.kind]
    padded = _pad(codes, geo.frame)
    streams = []
    for first in range(0, codes.shape[1], per_stream):
        chosen = [padded[:, min(first + i, codes.shape[1] - 1)] for i in range(per_stream)]
        if layout.kind == "yuv420":
            chosen[1:] = [_halve(plane) for plane in chosen[1:]]
        streams.append(tuple(np.ascontiguousarray(plane) for plane in chosen))
    return streams


def unpack(
    streams: list[Planes], layout: Layout, geo: Geometry, shape: tuple[int, int, int]
) -> NDArray[Any]:
    """Read components back from frames.

    Parameters
    ----------
    shape : (int, int, int)
        (component, y, x) to give back.

    Returns
    -------
    ndarray, shape (time, component, y, x)
        Codes; of float64 and in multiples of 1/16 where chroma was interpolated.

    Raises
    ------
    ValueError
        If the frames are smaller than the layout says.
    """
    components, height, width = shape
    rows_needed, columns_needed = geo.frame
    for stream in streams:
        if stream[0].shape[1] < rows_needed or stream[0].shape[2] < columns_needed:
            raise ValueError(f"frames of {stream[0].shape[1:]} cannot hold {geo.frame}")
    if layout.kind == "tiled":
        return _cut(streams[0][0], layout, geo, shape)
    full = [plane for stream in streams for plane in _full_size(stream, layout)]
    return np.stack([plane[:, :height, :width] for plane in full[:components]], axis=1)


def _pad(codes: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    down, right = size[0] - codes.shape[2], size[1] - codes.shape[3]
    if not (down or right):
        return codes
    return np.pad(codes, ((0, 0), (0, 0), (0, down), (0, right)), mode="edge")


def _mosaic(codes: NDArray[np.uint16], layout: Layout, geo: Geometry) -> NDArray[np.uint16]:
    """Put components row by row; the last one is repeated in places that are left over."""
    time, components = codes.shape[:2]
    tile_height, tile_width = geo.tile
    columns = min(layout.columns, components)
    rows = ceil(components / columns)
    tiles = _pad(codes, geo.tile)
    spare = rows * columns - components
    if spare:
        tiles = np.concatenate([tiles, np.repeat(tiles[:, -1:], spare, axis=1)], axis=1)
    grid = tiles.reshape(time, rows, columns, tile_height, tile_width)
    frame = grid.transpose(0, 1, 3, 2, 4).reshape(time, 1, rows * tile_height, columns * tile_width)
    return np.ascontiguousarray(_pad(frame, geo.frame)[:, 0])


def _cut(
    frames: NDArray[np.uint16], layout: Layout, geo: Geometry, shape: tuple[int, int, int]
) -> NDArray[np.uint16]:
    components, height, width = shape
    columns = min(layout.columns, components)
    rows = ceil(components / columns)
    tile_height, tile_width = geo.tile
    used = frames[:, : rows * tile_height, : columns * tile_width]
    grid = used.reshape(len(frames), rows, tile_height, columns, tile_width)
    tiles = grid.transpose(0, 1, 3, 2, 4).reshape(-1, rows * columns, tile_height, tile_width)
    return np.ascontiguousarray(tiles[:, :components, :height, :width])


def _halve(plane: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Average 2 x 2 pixels, rounding half up."""
    time, height, width = plane.shape
    blocks = plane.reshape(time, height // 2, 2, width // 2, 2).astype(np.uint32)
    means: NDArray[np.uint16] = ((blocks.sum(axis=(2, 4)) + 2) >> 2).astype(np.uint16)
    return means


def _full_size(stream: Planes, layout: Layout) -> list[NDArray[np.float64] | NDArray[np.uint16]]:
    if layout.kind != "yuv420":
        return list(stream)
    # One dtype for all, as they are stacked.
    return [stream[0].astype(np.float64), *(_double(plane) for plane in stream[1:])]


def _double(plane: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Interpolate linearly to twice the size; weights of 1/4 and 3/4 keep floats exact."""
    wide = plane.astype(np.float64)
    for axis in (1, 2):
        before = np.concatenate(
            [wide.take([0], axis), wide.take(range(wide.shape[axis] - 1), axis)], axis
        )
        after = np.concatenate(
            [wide.take(range(1, wide.shape[axis]), axis), wide.take([-1], axis)], axis
        )
        pair = np.stack([0.25 * before + 0.75 * wide, 0.75 * wide + 0.25 * after], axis=axis + 1)
        shape = list(wide.shape)
        shape[axis] *= 2
        wide = pair.reshape(shape)
    return wide
