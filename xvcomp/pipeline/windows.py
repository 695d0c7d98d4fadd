"""How a group is cut for work: windows of whole GOPs in time, blocks in space."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..memory import Memory
from ..spec import Interpolation
from ..transforms import interpolating

__all__ = ["GroupInput", "Reader", "VariableInput", "Window", "block_slices", "windows"]


class Reader(Protocol):
    """Give stored samples of one variable, of shape (time, band, y, x), on demand."""

    def __call__(self, time: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read a part; slices are within the coded grid and have no step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableInput:
    """One variable of a group, ready to be read.

    Parameters
    ----------
    name : str
    bands : int
        Product of its extra dims.
    dtype : numpy.dtype
        Of the stored samples.
    fill_values : tuple
        Stored values that are not samples, besides NaN and infinities.
    scale, offset : float
        Unpacked value = stored * scale + offset.
    read : Reader
    ignore : Reader or None
        Samples that the user does not care about, as booleans.
    """

    name: str
    bands: int
    dtype: np.dtype[Any]
    fill_values: tuple[Any, ...]
    scale: float
    offset: float
    read: Reader
    ignore: Reader | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupInput:
    """The variables of a group and the shape (time, bands, y, x) that they make.

    ``memory`` is what working on them may take; ``interpolation`` makes that shape of what
    is coded.
    """

    variables: tuple[VariableInput, ...]
    shape: tuple[int, int, int, int]
    memory: Memory = field(default_factory=Memory)
    interpolation: Interpolation | None = None

    @property
    def coded_shape(self) -> tuple[int, int, int, int]:
        """(time, bands, y, x) on the grid that is coded."""
        if self.interpolation is None:
            return self.shape
        time, bands, height, width = self.shape
        return (time, bands, *interpolating.coarse_size(self.interpolation, height, width))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Stored units to unpacked units, per band."""
        return np.concatenate(
            [np.full(variable.bands, abs(variable.scale)) for variable in self.variables]
        )

    @property
    def band_slices(self) -> list[slice]:
        """Where each variable's bands lie."""
        ends = np.cumsum([variable.bands for variable in self.variables])
        return [
            slice(int(end) - v.bands, int(end)) for v, end in zip(self.variables, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in one spatial block; the unit of work and of an encoder run."""

    index: int
    block: int
    time: slice
    y: slice
    x: slice

    @property
    def key(self) -> tuple[int, int]:
        """Position among the windows (slices have no hash before Python 3.12)."""
        return self.index, self.block

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, y, x)."""
        return (
            self.time.stop - self.time.start,
            self.y.stop - self.y.start,
            self.x.stop - self.x.start,
        )


def block_slices(height: int, width: int, block: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Cut a frame into blocks, row by row; the last ones may be smaller."""
    return [
        (slice(y, min(y + block[0], height)), slice(x, min(x + block[1], width)))
        for y in range(0, height, block[0])
        for x in range(0, width, block[1])
    ]


def windows(
    shape: tuple[int, int, int, int], span: int, block: tuple[int, int]
) -> Sequence[Window]:
    """List the windows of a group, in order of time and then of blocks."""
    time, _, height, width = shape
    blocks = block_slices(height, width, block)
    return [
        Window(start // span, number, slice(start, min(start + span, time)), y, x)
        for start in range(0, time, span)
        for number, (y, x) in enumerate(blocks)
    ]
