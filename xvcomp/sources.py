"""Cubes on disk or behind a URL <-> Datasets of stored values, as exactly as they are there.

``open_source`` decodes nothing: integers stay packed, times stay numbers, and
``_FillValue`` stays an attribute, so that a cube can be written back as it was.
"""

import errno
import os
import re
import secrets
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .containers.source import is_url
from .errors import PlanError
from .local_copies import local_copy

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SOURCE_SUFFIXES", "SourceKind", "open_source", "source_kind"]

SourceKind = Literal["netcdf", "zarr", "grib", "geotiff"]

SOURCE_SUFFIXES: dict[SourceKind, tuple[str, ...]] = {
    "netcdf": (".nc", ".nc4", ".nc3", ".cdf", ".netcdf", ".h5", ".hdf5"),
    "zarr": (".zarr", ".zarr.zip", ".zip"),
    "grib": (".grib", ".grib2", ".grb", ".grb2", ".gb2"),
    "geotiff": (".tif", ".tiff"),
}
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs")
_DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


def open_source(source: str | os.PathLike[str], *, group: str | None = None) -> "xr.Dataset":
    """Open a cube lazily, with its values as they are stored.

    Parameters
    ----------
    source : str or path
        A NetCDF or GRIB file, a Zarr store (v2 or v3, a folder or a zip), a GeoTIFF, a
        folder of GeoTIFFs (one per time step), or an fsspec URL of one of these. Where
        its reader needs a file, that is a local copy, kept until the Dataset is closed.
    group : str or None
        Group of a NetCDF file or Zarr store; ``/`` is the root without its groups.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``source``.
    PlanError
        If the kind of file is unknown, needs a package that is not installed, or holds
        groups while ``group`` is ``None``: leaving them out in silence would lose data.
    """
    name = os.fspath(source)
    kind = source_kind(name)
    if group is not None and kind not in ("netcdf", "zarr"):
        raise PlanError(f"group {group!r} was given, but {kind} files have no groups")
    try:
        with ExitStack() as copies:
            path = _local(name, kind, copies)
            dataset = _OPENERS[kind](name, path, group)
            return dataset if path == name else _lend(dataset, copies)
    except ImportError as error:
        raise PlanError(f"cannot read {name}: {error}; {_INSTALL_HINT[kind]}") from error
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"cannot read {name} as {kind}: {error}") from error


def source_kind(name: str) -> SourceKind:
    """Tell what a path or URL holds, by its suffix or, for a folder, by what is in it.

    Raises
    ------
    FileNotFoundError
        If a local path does not exist.
    PlanError
        If neither tells.
    """
    if not is_url(name):
        path = Path(name)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "no such file or folder", name)
        if path.is_dir():
            return _folder_kind(path)
    bare = name.split("?", 1)[0].rstrip("/").lower()
    for kind, suffixes in SOURCE_SUFFIXES.items():
        if bare.endswith(suffixes):
            return kind
    if bare.endswith((".mp4", ".m4v")):
        raise PlanError(f"{name} is a video; use `xvcomp decode` or `xvcomp info` on it")
    known = ", ".join(suffix for group in SOURCE_SUFFIXES.values() for suffix in group)
    raise PlanError(f"cannot tell what {name} is; a source ends in one of {known}")


def _folder_kind(path: Path) -> SourceKind:
    if any((path / marker).exists() for marker in _ZARR_MARKERS):
        return "zarr"
    if _tiffs(path):
        return "geotiff"
    raise PlanError(f"{path} is a folder, but neither a Zarr group nor one with GeoTIFFs in it")


def _tiffs(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.suffix.lower() in SOURCE_SUFFIXES["geotiff"])


def _local(name: str, kind: SourceKind, copies: ExitStack) -> str:
    """Borrow a copy of a remote file, for readers that need one on disk."""
    if not is_url(name) or (kind == "zarr" and not name.lower().endswith(".zip")):
        return name
    if sys.platform == "win32":  # which lacks the locks of a cache that is shared
        import fsspec

        return str(fsspec.open_local(name if "::" in name else f"simplecache::{name}"))
    return str(copies.enter_context(local_copy(name)))


_lent: dict[str, ExitStack] = {}
"""The copies that open Datasets read."""


def _lend(dataset: "xr.Dataset", copies: ExitStack) -> "xr.Dataset":
    """Keep copies until a Dataset is closed, or else for good: parts of it may outlive it."""
    # A copy has no way yet to be closed, and passes on that of the original.
    lent, key = dataset.copy(), secrets.token_hex(8)
    copies.callback(dataset.close)
    _lent[key] = copies.pop_all()
    # By a key, for Datasets are pickled, and locks cannot be.
    lent.set_close(partial(_give_back, key))
    return lent


def _give_back(key: str) -> None:
    copies = _lent.pop(key, None)
    if copies is not None:
        copies.close()


def _open_netcdf(name: str, path: str, group: str | None) -> "xr.Dataset":
    import xarray as xr

    if group is None:
        _refuse_groups(name, _netcdf_groups(path))
    return xr.open_dataset(path, engine="netcdf4", decode_cf=False, group=group or None)


def _netcdf_groups(path: str) -> list[str]:
    import netCDF4

    with netCDF4.Dataset(path) as file:
        return list(file.groups)


def _open_zarr(name: str, path: str, group: str | None) -> "xr.Dataset":
    import xarray as xr
    import zarr

    store: Any = path
    if path.lower().endswith(".zip"):
        store = zarr.storage.ZipStore(path, mode="r")
    with warnings.catch_warnings():
        # Stores without consolidated metadata are read all the same.
        warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*consolidated.*")
        if group is None and not is_url(path):
            _refuse_groups(name, list(zarr.open_group(store, mode="r").group_keys()))
        return xr.open_dataset(
            store, engine="zarr", decode_cf=False, chunks=None, group=group or None
        )


def _refuse_groups(name: str, groups: list[str]) -> None:
    if groups:
        listed = ", ".join(sorted(groups))
        raise PlanError(
            f"{name} holds groups ({listed}), and a cube is one group; "
            "choose one with --group, or the root alone with --group /"
        )


def _open_grib(_name: str, path: str, _group: str | None) -> "xr.Dataset":
    import cfgrib  # noqa: F401  (xarray's own message does not say what to install)
    import xarray as xr

    # No index file beside the source: it may be read-only, and must not be changed.
    return xr.open_dataset(path, engine="cfgrib", decode_cf=False, backend_kwargs={"indexpath": ""})


def _open_geotiff(name: str, path: str, _group: str | None) -> "xr.Dataset":
    import xarray as xr

    if not Path(path).is_dir():
        return _read_tiff(Path(path)).to_dataset(name=_safe_name(Path(path).stem))
    files = _tiffs(Path(path))
    layers = [_read_tiff(file) for file in files]
    if len({layer.shape for layer in layers}) != 1:
        raise PlanError(f"the GeoTIFFs in {name} differ in size; a stack needs one grid")
    stack = xr.concat(layers, dim=_time_axis(files), join="exact", combine_attrs="override")
    return stack.to_dataset(name=_safe_name(Path(path).name))


def _read_tiff(path: Path) -> "xr.DataArray":
    import rioxarray
    import xarray as xr

    opened = rioxarray.open_rasterio(path, mask_and_scale=False)
    if isinstance(opened, list | xr.Dataset):
        raise PlanError(f"{path} holds several images; extract the one you want first")
    return opened


def _time_axis(files: list[Path]) -> "xr.Variable":
    """Read dates out of file names, or number the files where some name has none."""
    import numpy as np
    import xarray as xr

    found = [_DATE.findall(file.stem) for file in files]
    try:
        if all(len(dates) == 1 for dates in found):
            days = [np.datetime64("-".join(dates[0]), "D").astype(int) for dates in found]
            attrs = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
            return xr.Variable("time", np.array(days, np.int64), attrs)
    except ValueError:  # digits that are no date
        pass
    return xr.Variable("time", np.arange(len(files)), {"long_name": "position in the stack"})


def _safe_name(stem: str) -> str:
    """NetCDF forbids slashes in names, and a leading digit is trouble everywhere."""
    name = re.sub(r"\W+", "_", stem).strip("_") or "data"
    return f"band_{name}" if name[0].isdigit() else name


_OPENERS: dict[SourceKind, Callable[[str, str, str | None], "xr.Dataset"]] = {
    "netcdf": _open_netcdf,
    "zarr": _open_zarr,
    "grib": _open_grib,
    "geotiff": _open_geotiff,
}
_INSTALL_HINT: dict[SourceKind, str] = {
    "netcdf": "for URLs: pip install 'xvcomp[cloud]'",
    "zarr": "for URLs: pip install 'xvcomp[cloud]'",
    "grib": "pip install 'xvcomp[grib]'",
    "geotiff": "pip install 'xvcomp[geotiff]'",
}
