"""What the planner may know of a variable, and which of its axes are the image's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spec import Interpolation

__all__ = ["VariableFacts", "frame_axes", "group_shape"]

_TIME_NAMES = ("time", "t", "valid_time", "date", "datetime", "step", "month", "year")
_SUBSTITUTES = (
    "realization",
    "member",
    "number",
    "ensemble",
    "level",
    "depth",
    "lev",
    "plev",
    "pressure",
    "height",
    "z",
)
_Y_NAMES = ("y", "lat", "latitude", "northing", "row", "rows", "rlat", "j", "nj")
_X_NAMES = ("x", "lon", "longitude", "easting", "column", "cols", "col", "rlon", "i", "ni")


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableFacts:
    """What the planner may know of a variable.

    Parameters
    ----------
    name : str
    dims : tuple of str
    shape : tuple of int
    dtype : numpy.dtype
        Of the stored samples.
    attrs : Mapping
        CF attributes of the stored form.
    is_coord : bool
    distinct : int
        Different valid values in the sample; of more than 256, only some are counted.
    varies : bool
        Whether the sample holds at least two different valid values.
    repeat : (int, int)
        Rows and columns over which every value is repeated (native resolution).
    interpolation : Interpolation or None
        How its frames were made from a coarser grid.
    sample : ndarray of float64, shape (n,), or None
        Values at places that are the same for all variables of the same dims and shape;
        NaN where invalid.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    is_coord: bool
    distinct: int = 0
    varies: bool = False
    repeat: tuple[int, int] = (1, 1)
    interpolation: Interpolation | None = None
    sample: NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def frame_axes(dims: Sequence[str], shape: Sequence[int]) -> tuple[str | None, str, str] | None:
    """Name the frame axis and the two image axes; ``None`` for what is no image.

    "Time" means the frame axis: where a cube has no time, a level or a member serves,
    or else its longest other axis.
    """
    if len(dims) < 2:
        return None
    y = next((d for d in dims if d.lower() in _Y_NAMES or d.lower().startswith("y")), None)
    x = next((d for d in dims if d.lower() in _X_NAMES or d.lower().startswith("x")), None)
    time = next((d for d in dims if d.lower() in _TIME_NAMES or d.lower().startswith("time")), None)
    if y is None or x is None or y == x:
        rest = [d for d in dims if d != time]
        if len(rest) < 2:
            return None
        y, x = rest[-2:]
    others = [d for d in dims if d not in (y, x)]
    if time is None and others:
        sizes = dict(zip(dims, shape, strict=True))
        named = [d for d in others if d.lower() in _SUBSTITUTES]
        time = max(named or others, key=lambda d: sizes[d])
    return time, y, x


def group_shape(
    members: Sequence[VariableFacts], axes: tuple[str | None, str, str], repeat: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the (time, bands, y, x) that some variables make when coded together."""
    first = members[0]
    sizes = dict(zip(first.dims, first.shape, strict=True))
    time = sizes[axes[0]] if axes[0] is not None else 1
    extra = int(np.prod([n for d, n in sizes.items() if d not in axes], dtype=np.int64))
    height, width = -(-sizes[axes[1]] // repeat[0]), -(-sizes[axes[2]] // repeat[1])
    return time, extra * len(members), height, width
