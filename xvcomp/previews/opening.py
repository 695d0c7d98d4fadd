"""Anything that can be looked at as a decoded Dataset: a cube, a cube file, any source."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..containers.mp4 import is_xvcomp
from ..containers.taco.address import from_vsi, split_member
from ..dataset import as_dataset
from ..errors import PlanError
from ..opening import open_source as open_file
from ..sources import open_source
from .channels import Channel, channels_of

__all__ = ["Lookable", "fields_of", "opened", "selected"]

Lookable = xr.Dataset | xr.DataArray | str | os.PathLike[str]


@contextlib.contextmanager
def opened(source: Lookable) -> Iterator[xr.Dataset]:
    """Open what is to be looked at, lazily and decoded by the CF conventions.

    Parameters
    ----------
    source : Dataset, DataArray, path or URL
        A cube file, one inside of a dataset (``data.tacozip::cube_0001``), or what
        `sources.open_source` reads.
    """
    if isinstance(source, xr.Dataset | xr.DataArray):
        yield _decoded(as_dataset(source))
        return
    name = os.fspath(source)
    if _is_cube_file(name):
        with open_file(name, decode_cf=False) as cube:
            yield _decoded(cube)
    else:
        with open_source(name) as cube:
            yield _decoded(cube)


def _is_cube_file(name: str) -> bool:
    bare = name.split("?", 1)[0].lower()
    if bare.endswith((".mp4", ".m4v")) or split_member(name) or from_vsi(name):
        return True
    return "://" not in name and os.path.isfile(name) and is_xvcomp(name)


def _decoded(dataset: xr.Dataset) -> xr.Dataset:
    """Apply the CF conventions to what is still packed; times that make no sense stay numbers."""
    _check_packing(dataset)
    numbers = xr.decode_cf(dataset, decode_times=False, decode_timedelta=False)
    try:
        decoded = xr.decode_cf(dataset, decode_timedelta=False)
    except (ValueError, OverflowError):
        return numbers
    # Pictures of dates, such as the day of a fire, are numbers to look at.
    dates = [name for name in decoded.data_vars if decoded[name].dtype.kind in "MO"]
    return decoded.assign({name: numbers[name].variable for name in dates})


def _check_packing(dataset: xr.Dataset) -> None:
    """Refuse packing that xarray stumbles over, but not before values are read."""
    for name, variable in dataset.variables.items():
        for key in ("scale_factor", "add_offset"):
            value = np.asarray(variable.attrs.get(key, 0.0))
            if value.dtype.kind not in "iuf" or value.size != 1:
                raise PlanError(
                    f"{key} of {name!r} is {variable.attrs[key]!r}: it must be one number; "
                    "correct or delete the attribute"
                )


def fields_of(dataset: xr.Dataset) -> list[Channel]:
    """List the fields of a cube.

    Raises
    ------
    PlanError
        If there is none; it says why.
    """
    found = channels_of(dataset)
    if found:
        return found
    pictures = [each for each in dataset.data_vars.values() if each.ndim >= 2 and each.size]
    odd = next((each for each in pictures if each.dtype.kind not in "iufb"), None)
    if odd is not None:
        raise PlanError(
            f"there is nothing to draw: {odd.name!r} is of dtype {odd.dtype}, "
            "and only real numbers can be drawn"
        )
    raise PlanError("there is nothing to draw: no numeric variable has two image dims")


def selected(dataset: xr.Dataset, isel: Mapping[str, Any] | None) -> xr.Dataset:
    """Take some positions along dims.

    Raises
    ------
    PlanError
        If a dim is not there, or a position is outside of it.
    """
    chosen = isel or {}
    for dim, wanted in chosen.items():
        if dim not in dataset.sizes:
            known = ", ".join(map(str, dataset.sizes))
            raise PlanError(f"there is no dim {dim!r}; the cube has {known}")
        _check_positions(str(dim), wanted, dataset.sizes[dim])
    # A dim stays, so that its date or level is still told.
    kept = {dim: [wanted] if _is_one(wanted) else wanted for dim, wanted in chosen.items()}
    try:
        found = dataset.isel(kept)
    except (IndexError, TypeError, ValueError) as error:
        raise PlanError(f"isel {dict(chosen)!r} selects nothing: {error}") from error
    empty = [str(dim) for dim in chosen if dim in found.sizes and found.sizes[dim] == 0]
    if empty:
        raise PlanError(f"nothing is left along {empty[0]!r}: choose other positions")
    return found


def _is_one(wanted: Any) -> bool:
    return isinstance(wanted, int | np.integer)


def _check_positions(dim: str, wanted: Any, size: int) -> None:
    positions = np.asarray([]) if isinstance(wanted, slice) else np.asarray(wanted)
    if positions.dtype.kind not in "iu":
        return
    outside = positions[(positions < -size) | (positions >= size)]
    if outside.size:
        raise PlanError(f"{dim}={outside.flat[0]} is outside of the {size} positions along {dim!r}")
