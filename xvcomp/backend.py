"""The xarray engine ``xvcomp``: cube files open like any other source."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from .containers.mp4 import is_xvcomp
from .opening import open_source

__all__ = ["XvcompBackendEntrypoint"]


class XvcompBackendEntrypoint(BackendEntrypoint):
    """Open cube files with `xarray.open_dataset`; found by their own tag, not by suffix."""

    description = "Open datacubes that xvcomp stored as video"
    url = "https://pypi.org/project/xvcomp"
    open_dataset_parameters = (
        "filename_or_obj",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
        "cache_bytes",
        "storage_options",
        "hwaccel",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool | None = True,
        decode_times: Any = True,
        concat_characters: bool = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: bool | None = None,
        decode_timedelta: Any = None,
        cache_bytes: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        hwaccel: str | None = None,
    ) -> xr.Dataset:
        """Open a cube file lazily; the arguments are those of `xarray.open_dataset`.

        Parameters
        ----------
        cache_bytes : int, optional
            Decoded bytes to keep of this file alone; by default all files share 256 MiB.
        storage_options : Mapping, optional
            Handed to fsspec, for URLs.
        hwaccel : str, optional
            As for `xvcomp.open`.
        """
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables
        arguments = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "concat_characters": concat_characters,
            "decode_coords": decode_coords,
            "decode_timedelta": decode_timedelta,
        }
        if use_cftime is not None:
            arguments["use_cftime"] = use_cftime
        given = {key: value for key, value in arguments.items() if value is not None}
        return open_source(
            _source(filename_or_obj),
            drop_variables=dropped or (),
            decode_cf=given,
            cache_bytes=cache_bytes,
            storage_options=storage_options,
            hwaccel=hwaccel,
        )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Say whether the file carries the tag of a cube file."""
        return is_xvcomp(_source(filename_or_obj))


def _source(filename_or_obj: Any) -> Any:
    return (
        os.fspath(filename_or_obj) if isinstance(filename_or_obj, os.PathLike) else filename_or_obj
    )
