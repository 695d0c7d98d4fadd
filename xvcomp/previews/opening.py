"""Anything that can be looked at as a decoded Dataset: a cube, a cube file, any source."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from ..containers.mp4 import is_xvcomp
from ..containers.taco.address import from_vsi, split_member
from ..dataset import as_dataset
from ..errors import PlanError
from ..opening import open_source as open_file
from ..sources import open_source

__all__ = ["Lookable", "opened", "selected"]

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
    try:
        return xr.decode_cf(dataset, decode_timedelta=False)
    except (ValueError, OverflowError):
        return xr.decode_cf(dataset, decode_times=False, decode_timedelta=False)


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
        size = dataset.sizes[dim]
        if isinstance(wanted, int) and not -size <= wanted < size:
            raise PlanError(f"{dim}={wanted} is outside of the {size} positions along {dim!r}")
    # A dim stays, so that its date or level is still told.
    kept = {dim: [wanted] if isinstance(wanted, int) else wanted for dim, wanted in chosen.items()}
    found = dataset.isel(kept)
    empty = [str(dim) for dim in chosen if dim in found.sizes and found.sizes[dim] == 0]
    if empty:
        raise PlanError(f"nothing is left along {empty[0]!r}: choose other positions")
    return found
