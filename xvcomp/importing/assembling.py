"""The files of one xarrayvideo cube -> one Dataset, with its maths and without its bugs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import ContainerError, PlanError
from .tag import VideoTag
from .video import read_video

__all__ = ["assemble_cube", "denormalize"]

_LOG = logging.getLogger(__name__)
_MATROSKA, _NETCDF = b"\x1a\x45\xdf\xa3", (b"\x89HDF", b"CDF\x01", b"CDF\x02", b"CDF\x05")


def assemble_cube(files: Sequence[Path], *, swap_xy: bool = False) -> xr.Dataset:
    """Make the Dataset of a cube from its files.

    Parameters
    ----------
    files : sequence of Path
        Matroska files and one NetCDF file, told apart by their first bytes.
    swap_xy : bool
        The tags name rows and columns the wrong way round, as those of early versions do.
        Where sizes show it, that is seen without being told.

    Returns
    -------
    Dataset
        Stored values, as of ``decode_cf=False``. What was coded as a video comes as float32,
        or as the integers it was.

    Raises
    ------
    ContainerError
        If files are missing, damaged, or do not go together.
    PlanError
        If the cube is of image sequences, which are not read.
    """
    heads = {path: _head(path) for path in files}
    others = [path for path, head in heads.items() if head in _NETCDF]
    videos = [path for path, head in heads.items() if head == _MATROSKA]
    if any(path.suffix == ".jp2" for path in files):
        raise PlanError(f"{files[0].parent} holds JPEG 2000 images; only videos are imported")
    if len(others) != 1:
        raise ContainerError(f"a cube has one NetCDF file, {_place(files)} has {len(others)}")
    dataset = _load(others[0])
    sizes = {str(dim): length for dim, length in dataset.sizes.items()}
    for coded in _sets(videos):
        dataset = dataset.assign(coded.variables(sizes, swap_xy))
    return dataset


def denormalize(codes: NDArray[Any], ranges: NDArray[np.float64], bits: int) -> NDArray[np.float32]:
    """Undo xarrayvideo's scaling, in float32 as it does.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16, shape (..., channels)
    ranges : ndarray of float64, shape (channels, 2)
    bits : int
    """
    low = ranges[:, 0].astype(np.float32)
    # The difference is taken before rounding, as there.
    span = (ranges[:, 1] - ranges[:, 0]).astype(np.float32)
    scaled = codes.astype(np.float32) / np.float32(2**bits - 1)
    return np.asarray(scaled * span + low, dtype=np.float32)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _place(files: Sequence[Path]) -> str:
    return str(files[0].parent) if files else "the folder"


def _load(path: Path) -> xr.Dataset:
    try:
        with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as opened:
            return opened.load()
    except (OSError, ValueError, RuntimeError) as error:
        raise ContainerError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _CodedSet:
    """The files that hold the same variables, three channels each, in order."""

    tag: VideoTag
    codes: NDArray[Any]

    def variables(self, sizes: Mapping[str, int], swap_xy: bool) -> dict[str, xr.Variable]:
        tag, codes = self.tag, self.codes
        values = denormalize(codes, tag.ranges, tag.bits) if tag.normalized else codes
        if tag.pca is not None:
            values = tag.pca.inverse(values)
        if len(tag.dims) == 4:
            count = self._bands(values.shape[3], sizes)
            dims = _dims(tag.dims, (*values.shape[:3], count), sizes, swap_xy)
            bands = [(tag.variables[0], np.ascontiguousarray(values[..., :count]), dims)]
        else:
            dims = _dims(tag.dims, values.shape[:3], sizes, swap_xy)
            names = tag.variables[: values.shape[3]]
            bands = [
                (name, np.ascontiguousarray(values[..., i]), dims) for i, name in enumerate(names)
            ]
        return {
            name: xr.Variable(axes, array, _plain(tag.attrs.get(name, {})))
            for name, array, axes in bands
        }

    def _bands(self, channels: int, sizes: Mapping[str, int]) -> int:
        """Tell the bands of a variable with a band axis from what fills up the last file."""
        dim = self.tag.dims[3]
        if dim not in sizes and self.tag.pca is None:
            raise ContainerError(f"{self.tag.bands[0]!r} has the axis {dim!r}, of unknown length")
        count = sizes.get(dim, channels)
        if count > channels:
            raise ContainerError(f"{self.tag.bands[0]!r} has {channels} channels for {count} {dim}")
        return count


def _sets(videos: Sequence[Path]) -> list[_CodedSet]:
    """Decode files, those of one set together.

    xarrayvideo itself orders the files of a set with the inverse of the permutation that
    it wants, which is another one for three files and more; the order of the tags is meant.
    """
    found: dict[tuple[str, ...], dict[int, tuple[Path, VideoTag, NDArray[Any]]]] = {}
    for path in videos:
        tag, codes = read_video(path)
        files = found.setdefault(tag.bands, {})
        if tag.order in files:
            raise ContainerError(f"{path} and {files[tag.order][0]} are the same part of a set")
        files[tag.order] = (path, tag, codes)
    return [_joined(files) for files in found.values()]


def _joined(files: Mapping[int, tuple[Path, VideoTag, NDArray[Any]]]) -> _CodedSet:
    path, tag, first = files[min(files)]
    expected = -(-len(tag.ranges) // first.shape[3])
    missing = sorted(set(range(1, expected + 1)) - set(files))
    if missing:
        raise ContainerError(
            f"{path.parent} lacks video {missing[0]} of {expected} of {', '.join(tag.variables)}"
        )
    parts = [files[order][2] for order in sorted(files)]
    if len({part.shape[:3] for part in parts}) != 1:
        raise ContainerError(f"the videos of {', '.join(tag.variables)} differ in size")
    codes = np.concatenate(parts, axis=-1)
    if codes.shape[3] != len(tag.ranges):
        raise ContainerError(f"{path} has {codes.shape[3]} channels, {len(tag.ranges)} ranges")
    return _CodedSet(tag, codes)


def _dims(
    named: tuple[str, ...], shape: Sequence[int], sizes: Mapping[str, int], swap_xy: bool
) -> tuple[str, ...]:
    """Name the axes; the tags of early versions have rows and columns the wrong way round."""
    swapped = (named[0], named[2], named[1], *named[3:])
    choices = (swapped, named) if swap_xy else (named, swapped)
    for dims in choices:
        if all(sizes.get(dim, n) == n for dim, n in zip(dims, shape, strict=True)):
            return dims
    known = {dim: sizes[dim] for dim in named if dim in sizes}
    raise ContainerError(f"a video of shape {tuple(shape)} does not fit {named} of sizes {known}")


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what NetCDF can hold; other things become text, as xarrayvideo writes them."""
    found = {}
    for key, value in attrs.items():
        if value is None:
            _LOG.info("attribute %r has no value and is left out", key)
        else:
            found[str(key)] = value if _is_plain(value) else str(value)
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        kinds = {str if isinstance(each, str) else float for each in value}
        return len(kinds) == 1 and all(_is_plain(v) and not isinstance(v, list) for v in value)
    numbers = int | float | np.number | np.ndarray
    return isinstance(value, str | numbers) and not isinstance(value, bool)
