"""``ds.video`` and ``da.video`` (alias ``.xvcomp``): the library from an xarray object.

``import xvcomp`` registers them as soon as xarray is imported too. This module imports
xarray and nothing else: what the methods need is loaded when they are called.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .previews import Preview
    from .results import Report
    from .spec import Plan

__all__ = ["VideoAccessor", "register"]


class VideoAccessor:
    """Encode, plan and evaluate the Dataset or DataArray that it belongs to."""

    def __init__(self, obj: xr.Dataset | xr.DataArray) -> None:
        self._obj = obj

    def to_mp4(self, path: str | os.PathLike[str], **keywords: Any) -> "Report":
        """Write the cube as a video file; the keywords are those of `xvcomp.encode`."""
        from .api import encode

        return encode(self._obj, path, **keywords)

    def plan(self, **keywords: Any) -> "Plan":
        """Say how the cube would be coded; the keywords are those of `xvcomp.plan`."""
        from .api import plan

        return plan(self._obj, **keywords)

    def evaluate(
        self, decoded: xr.Dataset | xr.DataArray | str | os.PathLike[str], **keywords: Any
    ) -> "Evaluation":
        """Measure how far a decoded cube, or an xvcomp file, is from this one.

        The keywords are those of `xvcomp.evaluate`.
        """
        from .evaluation import evaluate

        return evaluate(self._obj, decoded, **keywords)

    def preview(self, out: str | os.PathLike[str], **keywords: Any) -> "Preview":
        """Draw the cube as a video, GIF or PNG; the keywords are those of `xvcomp.preview`."""
        from .previews import preview

        return preview(self._obj, out, **keywords)

    def _repr_html_(self) -> str:
        """Show a few frames in notebooks."""
        from .previews import inline_html

        return inline_html(self._obj)


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
    package = str(getattr(accessor, "__module__", "another package")).split(".")[0]
    return None if package == "xvcomp" else package


def _register(name: str) -> None:
    kinds: tuple[tuple[type, Any], ...] = (
        (xr.Dataset, xr.register_dataset_accessor),
        (xr.DataArray, xr.register_dataarray_accessor),
    )
    for kind, decorate in kinds:
        if kind.__dict__.get(name) is None:
            decorate(name)(VideoAccessor)
