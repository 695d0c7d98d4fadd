"""``ds.video`` and ``da.video`` (alias ``.xvcomp``): the library from an xarray object."""

import os
import warnings
from typing import Any

import xarray as xr

from . import api
from .results import Report
from .spec import Plan

__all__ = ["VideoAccessor", "register"]


class VideoAccessor:
    """Encode, plan and evaluate the Dataset or DataArray that it belongs to."""

    def __init__(self, obj: xr.Dataset | xr.DataArray) -> None:
        self._obj = obj

    def to_mp4(self, path: str | os.PathLike[str], **keywords: Any) -> Report:
        """Write the cube as a video file; the keywords are those of `xvcomp.encode`."""
        return api.encode(self._obj, path, **keywords)

    def plan(self, **keywords: Any) -> Plan:
        """Say how the cube would be coded; the keywords are those of `xvcomp.plan`."""
        return api.plan(self._obj, **keywords)


def register() -> None:
    """Register the accessors, leaving a ``video`` of another package alone.

    Warns
    -----
    UserWarning
        If another package owns ``video``; the message names it.
    """
    _register("xvcomp")
    owners = {_owner(kind, "video") for kind in (xr.Dataset, xr.DataArray)} - {None}
    if not owners:
        _register("video")
        return
    warnings.warn(
        f"the accessor .video belongs to {', '.join(sorted(map(str, owners)))}: "
        "use .xvcomp instead",
        UserWarning,
        stacklevel=3,
    )


def _owner(kind: type, name: str) -> str | None:
    """Return the package of an accessor that is not ours."""
    found = kind.__dict__.get(name)
    if found is None:
        return None
    accessor = getattr(found, "_accessor", found)
    module = str(getattr(accessor, "__module__", "another package"))
    return (
        None if module.split(".", maxsplit=1)[0] == "xvcomp" else module.split(".", maxsplit=1)[0]
    )


def _register(name: str) -> None:
    for kind, decorate in (
        (xr.Dataset, xr.register_dataset_accessor),
        (xr.DataArray, xr.register_dataarray_accessor),
    ):
        if kind.__dict__.get(name) is None:
            decorate(name)(VideoAccessor)
