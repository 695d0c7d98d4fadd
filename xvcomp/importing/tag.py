"""The tag ``XARRAY`` of a Matroska file of xarrayvideo: what its channels hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ContainerError
from .literals import parse_literal

__all__ = ["PIXEL_FORMATS", "Pca", "VideoTag"]

PIXEL_FORMATS: dict[str, tuple[str, int]] = {
    "gray": ("y", 8),
    **{f"gray{bits}le": ("y", bits) for bits in (10, 12, 16)},
    "gbrp": ("gbr", 8),
    **{f"gbrp{bits}le": ("gbr", bits) for bits in (10, 12, 14, 16)},
}
"""What frames are converted to before their channels are read: planes, bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pca:
    """A principal component analysis over the bands.

    Parameters
    ----------
    matrix : ndarray of float32, shape (components, bands)
    mean : ndarray of float32, shape (bands,)
    """

    matrix: NDArray[np.float32]
    mean: NDArray[np.float32]

    def inverse(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return the bands, along the last axis, of components along the last axis."""
        kept = values[..., : len(self.matrix)].astype(np.float32, copy=False)
        flat = kept.reshape(-1, len(self.matrix)) @ self.matrix + self.mean
        return np.asarray(flat.reshape(*values.shape[:-1], -1), dtype=np.float32)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the parameters as xarrayvideo writes them.

        Raises
        ------
        ContainerError
            If they do not suffice to undo the transform.
        """
        found = _mapping(parse_literal(text), "PCA_PARAMS")
        own = _mapping(parse_literal(str(found.get("dr", "{}"))), "PCA_PARAMS")
        if str(found.get("scaler")) != "None" or own.get("whiten"):
            raise ContainerError(
                "a PCA with standardised bands cannot be undone: xarrayvideo does not keep "
                "the factors"
            )
        matrix = _numbers(found.get("dr_matrix"), "dr_matrix", 2).astype(np.float32)
        mean = _numbers(found.get("dr_mean"), "dr_mean", 1).astype(np.float32)
        if matrix.shape[1] != len(mean):
            raise ContainerError(f"a PCA of {matrix.shape[1]} bands has {len(mean)} means")
        return cls(matrix=matrix, mean=mean)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTag:
    """What one file holds.

    Parameters
    ----------
    bands : tuple of str
        Variables, the last one repeated until they fill whole files.
    dims : tuple of str
        Of the decoded array's axes before the channels: frame, columns, rows; a fourth
        name is the channels' own.
    attrs : Mapping
        Attributes by variable.
    frames : int
    ranges : ndarray of float64, shape (channels of all files, 2)
        Smallest and largest value of each, for the codes 0 and ``2**bits - 1``.
    pix_fmt : str
    bits : int
    normalized : bool
        Whether codes stand for values between those.
    channel_order : str
        Which plane is which channel: a permutation of ``rgb``.
    order : int
        Position among the files of the same variables, from 1.
    pca : Pca or None
    """

    bands: tuple[str, ...]
    dims: tuple[str, ...]
    attrs: Mapping[str, Mapping[str, Any]]
    frames: int
    ranges: NDArray[np.float64]
    pix_fmt: str
    bits: int
    normalized: bool
    channel_order: str
    order: int
    pca: Pca | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a tag.

        Raises
        ------
        ContainerError
            If it is no tag of xarrayvideo, or says what cannot be.
        """
        tag = _mapping(parse_literal(text), "the tag XARRAY")
        needed = ("BANDS", "COORDS_DIMS", "ATTRS", "FRAMES", "RANGE", "OUT_PIX_FMT", "BITS")
        missing = [key for key in needed if key not in tag]
        if missing:
            raise ContainerError(f"the tag XARRAY lacks {missing[0]}; it has {', '.join(tag)}")
        pca = tag.get("PCA_PARAMS")
        made = cls(
            bands=_names(tag["BANDS"], "BANDS"),
            dims=_names(tag["COORDS_DIMS"], "COORDS_DIMS"),
            attrs=_attrs(tag["ATTRS"]),
            frames=_count(tag["FRAMES"], "FRAMES"),
            ranges=_numbers(tag["RANGE"], "RANGE", 2),
            pix_fmt=str(tag["OUT_PIX_FMT"]),
            bits=_count(tag["BITS"], "BITS"),
            normalized=str(tag.get("NORMALIZED")) == "True",
            channel_order=str(tag.get("CHANNEL_ORDER", "rgb")),
            order=_count(tag.get("ORDER", 1), "ORDER"),
            pca=None if str(pca) == "None" else Pca.parse(str(pca)),
        )
        made._check()
        return made

    def _check(self) -> None:
        if self.pix_fmt not in PIXEL_FORMATS:
            raise ContainerError(
                f"pixel format {self.pix_fmt!r} is not read; known: {', '.join(PIXEL_FORMATS)}"
            )
        if PIXEL_FORMATS[self.pix_fmt][1] != self.bits:
            raise ContainerError(f"{self.pix_fmt} does not hold {self.bits} bits")
        if sorted(self.channel_order) != sorted("rgb"):
            raise ContainerError(f"CHANNEL_ORDER is {self.channel_order!r}, not an order of rgb")
        if self.ranges.shape[1] != 2:
            raise ContainerError(f"RANGE has {self.ranges.shape[1]} columns, not 2")
        if len(self.dims) not in (3, 4) or len(set(self.dims)) != len(self.dims):
            raise ContainerError(f"COORDS_DIMS names {len(self.dims)} axes, not 3 or 4 different")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, each once."""
        return tuple(dict.fromkeys(self.bands))


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ContainerError(f"{what} is not a table of names: {str(value)[:60]!r}")
    return value


def _names(value: Any, what: str) -> tuple[str, ...]:
    found = parse_literal(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        raise ContainerError(f"{what} is not a list of names: {str(found)[:60]!r}")
    return tuple(str(each) for each in found)


def _attrs(value: Any) -> dict[str, dict[str, Any]]:
    found = _mapping(parse_literal(str(value), lenient=True), "ATTRS")
    return {name: each if isinstance(each, dict) else {} for name, each in found.items()}


def _count(value: Any, what: str) -> int:
    try:
        found = int(str(value))
    except ValueError:
        found = 0
    if found < 1:
        raise ContainerError(f"{what} is {str(value)[:40]!r}, not a number from 1")
    return found


def _numbers(value: Any, what: str, ndim: int) -> NDArray[np.float64]:
    found = parse_literal(value) if isinstance(value, str) else value
    try:
        array = np.array(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ContainerError(f"{what} holds what is no number: {error}") from error
    if array.ndim != ndim or 0 in array.shape:
        raise ContainerError(f"{what} has the shape {array.shape}, not {ndim} dimensions")
    return array
