"""Two cubes side by side: the same field in both, at the same positions, the same way up."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import PlanError
from ..evaluation.pairs import check_positions
from .channels import Channel

__all__ = ["match"]

_MAPPING_NAMES = ("spatial_ref", "crs")
_MAPPING_ATTRS = ("grid_mapping_name", "crs_wkt", "spatial_ref")


def match(channels: Sequence[Channel], wanted: Channel) -> Channel:
    """Find a field in another cube.

    Parameters
    ----------
    channels : sequence of Channel
        Of the other cube.
    wanted : Channel

    Returns
    -------
    Channel
        It runs north or south as ``wanted`` does, so that both are read alike.

    Raises
    ------
    PlanError
        If the field is missing there, could be one of several, has another size, or lies
        at other positions.
    """
    found = _counterpart(channels, wanted)
    if wanted.shape != found.shape:
        raise PlanError(
            f"{wanted.name!r} is {_size(wanted)} (frames, y, x) in one cube and "
            f"{_size(found)} in the other: they cannot be compared"
        )
    _check_axes(wanted, found)
    if found.upside_down == wanted.upside_down:
        return found
    return replace(found, variable=_with_rows_of(wanted.array, found.array), position=())


def _counterpart(channels: Sequence[Channel], wanted: Channel) -> Channel:
    """Take the one layer of the same variable at the same level, member ..."""
    name = str(wanted.variable.name)
    named = [each for each in channels if str(each.variable.name) == name]
    named = named or [each for each in channels if wanted.name.lower() in each.words]
    if not named:
        known = ", ".join(each.name for each in channels[:20])
        raise PlanError(f"there is no field {wanted.name!r} to compare with; there is {known}")
    differing = [_differing(wanted.array, each.array) for each in named]
    found = [each for each, dim in zip(named, differing, strict=True) if dim is None]
    if len(found) > 1:
        found = [each for each in found if each.name == wanted.name] or found
    if not found:
        dim = next(dim for dim in differing if dim is not None)
        raise PlanError(
            f"{wanted.name!r} is at {dim} {wanted.array.coords[dim].values} in one cube, which "
            "the other one lacks: they cannot be compared"
        )
    if len(found) > 1:
        known = ", ".join(each.name for each in found[:20])
        raise PlanError(
            f"{wanted.name!r} can be any of {known} in the other cube: choose one of them there"
        )
    return found[0]


def _differing(first: xr.DataArray, second: xr.DataArray) -> Hashable | None:
    """Name a position (level, member ...) in which two layers differ, if there is one."""
    for dim in first.coords:
        if dim not in second.coords or dim in _MAPPING_NAMES:
            continue
        here, there = first.coords[dim], second.coords[dim]
        mapping = any(key in each.attrs for key in _MAPPING_ATTRS for each in (here, there))
        if here.ndim or there.ndim or mapping:
            continue
        if not _equal(here.values[()], there.values[()]):
            return dim
    return None


def _equal(first: Any, second: Any) -> bool:
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype.kind in "iuf" and b.dtype.kind in "iuf":
        # Other tools keep levels in single precision.
        return bool(np.isclose(float(a), float(b), rtol=1e-7, atol=0, equal_nan=True))
    if a.dtype.kind == b.dtype.kind and a.dtype.kind in "mM":
        return bool(a == b) or bool(np.isnat(a) and np.isnat(b))
    both_text = isinstance(first, str) and isinstance(second, str)
    return first == second if both_text else True


def _check_axes(wanted: Channel, found: Channel) -> None:
    """Refuse frames, rows and columns that lie elsewhere."""
    axes = list(zip(wanted.array.dims[-2:], found.array.dims[-2:], strict=True))
    frame = wanted.frame_dim or found.frame_dim
    if frame is not None:
        axes.append((frame, found.frame_dim or frame))
    for ours, theirs in axes:
        here, there = _positions(wanted.array, ours), _positions(found.array, theirs)
        if here is None or there is None:
            continue
        check_positions(str(ours), *_numbers(here, there))


def _positions(array: xr.DataArray, dim: Hashable) -> NDArray[Any] | None:
    # Asked for a coordinate that is not there, xarray counts the positions.
    if dim not in array.coords or array.coords[dim].ndim > 1:
        return None
    return np.atleast_1d(array.coords[dim].values)


def _numbers(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count dates in seconds, and names by whether they are the same, so as to compare them."""
    kinds = {first.dtype.kind, second.dtype.kind}
    if kinds == {"M"}:
        known = first[~np.isnat(first)]
        start = known[0] if known.size else np.datetime64(0, "s")
        return _seconds(first - start), _seconds(second - start)
    if kinds == {"m"}:
        return _seconds(first), _seconds(second)
    if kinds <= set("OSU"):
        same = [str(a) == str(b) for a, b in zip(first, second, strict=True)]
        return np.ones(len(same)), np.array(same, np.float64)
    return first, second


def _seconds(spans: NDArray[np.timedelta64]) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = spans / np.timedelta64(1, "s")
    return seconds


def _with_rows_of(wanted: xr.DataArray, found: xr.DataArray) -> xr.DataArray:
    """Give an array the rows of another, which say where north is."""
    bare = found.drop_vars(list(found.coords))
    names = dict(zip(bare.dims[-2:], wanted.dims[-2:], strict=True))
    bare = bare.rename({old: new for old, new in names.items() if old != new})
    y = wanted.dims[-2]
    return bare.assign_coords({y: wanted.coords[y]}) if y in wanted.coords else bare


def _size(channel: Channel) -> str:
    return " x ".join(map(str, channel.shape))
