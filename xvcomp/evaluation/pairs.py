"""One variable on both sides of a comparison, read window by window."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks
from ..dataset import StoredVariable, coded_dtype
from ..errors import PlanError
from ..ignoring import Axes
from ..metrics import ErrorStats
from ..pipeline.windows import Reader, Window

__all__ = ["Axes", "Pair", "Samples", "check_coordinates", "check_positions", "check_shape"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """A window of one variable, shape (time, band, y, x), both sides as stored."""

    reference: NDArray[Any]
    decoded: NDArray[Any]
    valid: NDArray[np.bool_]
    decoded_valid: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A variable in the reference and in the decoded cube.

    Parameters
    ----------
    reference, decoded : StoredVariable
        The same dims, in any order; perhaps packed in different ways.
    axes : (str or None, str, str)
        Frame, row and column dims.
    ignore : Reader or None
        Samples that do not count.
    """

    reference: StoredVariable
    decoded: StoredVariable
    axes: Axes
    ignore: Reader | None = None

    @property
    def name(self) -> str:
        """Name of the variable."""
        return self.reference.spec.name

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(time, band, y, x)."""
        sizes = dict(zip(self.reference.spec.dims, self.reference.spec.shape, strict=True))
        frame, y, x = self.axes
        bands = np.prod([sizes[d] for d in sizes if d not in self.axes], dtype=np.int64)
        return sizes[frame] if frame is not None else 1, int(bands), sizes[y], sizes[x]

    def read_reference(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read one side, and which of its samples are valid."""
        values = _read(self.reference, self.reference.spec.dims, self.axes, window)
        valid = _valid(values, self.reference)
        if self.ignore is not None:
            valid &= ~self.ignore(window.time, window.y, window.x)
        return values, valid

    def read(self, window: Window) -> Samples:
        """Read both sides."""
        reference, valid = self.read_reference(window)
        decoded = _read(self.decoded, self.reference.spec.dims, self.axes, window)
        return Samples(
            reference=reference,
            decoded=decoded,
            valid=valid,
            decoded_valid=_valid(decoded, self.decoded),
        )

    def errors(self, samples: Samples) -> ErrorStats:
        """Measure a window in unpacked units, from stored samples where both are packed alike.

        That is how an encoder measures: equal integers differ by exactly nothing.
        """
        lost = bool((samples.valid & ~samples.decoded_valid).any())
        scale, offset = self.reference.scale, self.reference.offset
        alike = (scale, offset) == (self.decoded.scale, self.decoded.offset)
        same = alike and samples.reference.dtype == samples.decoded.dtype
        if same and not (lost and samples.decoded.dtype.kind != "f"):
            decoded = samples.decoded
            if lost:
                decoded = np.where(samples.decoded_valid, decoded, np.nan).astype(decoded.dtype)
            return ErrorStats.of(samples.reference, decoded, samples.valid).scaled(scale, offset)
        return ErrorStats.of(*self.unpack(samples), samples.valid)

    def unpack(self, samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both sides in unpacked units; missing decoded samples are NaN."""
        reference = _unpack(samples.reference, self.reference)
        decoded = _unpack(samples.decoded, self.decoded)
        decoded[~samples.decoded_valid] = np.nan
        return reference, decoded


def _read(
    stored: StoredVariable, dims: tuple[str, ...], axes: Axes, window: Window
) -> NDArray[Any]:
    """Read a window as (time, band, y, x) in the coded dtype; extra dims in the order of dims."""
    frame, y, x = axes
    extra = [dim for dim in dims if dim not in axes]
    chosen = {y: window.y, x: window.x} | ({} if frame is None else {frame: window.time})
    order = (*(() if frame is None else (frame,)), *extra, y, x)
    values = np.asarray(stored.variable.isel(chosen).transpose(*order).values)
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    frames, rows, columns = window.shape
    return native.reshape(frames, -1, rows, columns).view(coded_dtype(stored.spec))


def _valid(values: NDArray[Any], stored: StoredVariable) -> NDArray[np.bool_]:
    classes = masks.classify(values, masks.specials_of(values, stored.fill_values))
    valid: NDArray[np.bool_] = classes == 0
    return valid


def _unpack(values: NDArray[Any], stored: StoredVariable) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        unpacked: NDArray[np.float64] = values.astype(np.float64) * stored.scale + stored.offset
    return unpacked


def check_shape(reference: StoredVariable, decoded: StoredVariable) -> None:
    """Refuse variables that are not on one grid.

    Raises
    ------
    PlanError
        If their dims or sizes differ.
    """
    sizes = [
        dict(zip(each.spec.dims, each.spec.shape, strict=True)) for each in (reference, decoded)
    ]
    if sizes[0] != sizes[1]:
        raise PlanError(
            f"{reference.spec.name!r} is {sizes[0]} in the reference and {sizes[1]} decoded: "
            "only cubes of the same dims and sizes can be compared"
        )


def check_coordinates(
    reference: Mapping[str, StoredVariable], decoded: Mapping[str, StoredVariable], axes: Axes
) -> None:
    """Refuse cubes whose rows or columns lie elsewhere, for samples are paired by position.

    Raises
    ------
    PlanError
        If a numeric coordinate of an image dim differs.
    """
    for dim in axes[1:]:
        if dim is None or dim not in reference or dim not in decoded:
            continue
        here, there = reference[dim].variable, decoded[dim].variable
        if here.shape == there.shape:
            check_positions(dim, here.values, there.values)


def check_positions(dim: str, reference: NDArray[Any], decoded: NDArray[Any]) -> None:
    """Refuse coordinates of one size that differ by a quarter of their spacing, if numeric.

    Raises
    ------
    PlanError
        If they do.
    """
    if not _close(np.asarray(reference), np.asarray(decoded)):
        raise PlanError(
            f"coordinate {dim!r} differs between the reference and the decoded cube; "
            "samples are compared by position: select or sort one of them first"
        )


def _close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf":
        return True
    if np.array_equal(a, b, equal_nan=True):
        return True
    spacing = float(np.abs(np.diff(a.astype(np.float64))).min()) if a.size > 1 else 1.0
    # Other tools keep coordinates in other dtypes or scaled; a quarter pixel is another grid.
    return bool(np.allclose(a.astype(np.float64), b, rtol=0, atol=0.25 * spacing, equal_nan=True))
