"""Datasets -> NetCDF or Zarr on disk: complete under its name, or not there at all."""

import errno
import json
import logging
import os
import shutil
import uuid
import warnings
import zipfile
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import PlanError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SINK_SUFFIXES", "check_sink", "write_dataset"]

SINK_SUFFIXES = (".nc", ".nc4", ".cdf", ".zarr", ".zarr.zip")
_LOG = logging.getLogger(__name__)
_STREAMED = 1 << 26
# What a store of another kind, or another version of Zarr, said about its own chunks.
_FOREIGN_ZARR = ("compressor", "compressors", "filters", "serializer", "shards")


def check_sink(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Refuse a destination that cannot be written, before any work is done.

    Raises
    ------
    PlanError
        If the suffix is none of ``SINK_SUFFIXES``.
    FileExistsError
        If there is something already and ``overwrite`` is false.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if not path.name.lower().endswith(SINK_SUFFIXES):
        raise PlanError(
            f"cannot tell what to write to {path}; name it one of {', '.join(SINK_SUFFIXES)}"
        )
    if path.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, "it exists already", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    return path


def write_dataset(
    ds: "xr.Dataset", path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a Dataset as it is: nothing encoded that is not, no fill value added.

    Parameters
    ----------
    ds : Dataset
        Stored values with their attributes (``decode_cf=False``), or decoded ones.
    path : str or path
        The suffix decides: ``.nc``, ``.nc4``, ``.cdf`` (NetCDF4), ``.zarr`` (a v3
        folder), ``.zarr.zip``.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    PlanError, FileExistsError, FileNotFoundError
        See ``check_sink``.
    OSError
        If writing fails; what was there before is still there.

    Notes
    -----
    A temporary name beside ``path`` is written, flushed to disk, and renamed.
    """
    path = check_sink(path, overwrite=overwrite)
    ds = _streamed(ds)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        _write(_as_is(ds), temporary, path.name.lower())
        _replace(temporary, path)
    finally:
        _remove(temporary)
    return path


def _streamed(ds: "xr.Dataset") -> "xr.Dataset":
    """Make dask arrays of large lazy variables, so that they are written part by part."""
    large = {
        name: _parts(variable)
        for name, variable in ds.variables.items()
        if variable.nbytes > _STREAMED and not variable._in_memory
    }
    if not large:
        return ds
    try:
        import dask  # noqa: F401
    except ImportError:
        _LOG.info("without dask, whole variables are held in memory: pip install 'xvcomp[dask]'")
        return ds
    return ds.assign({name: ds.variables[name].chunk(parts) for name, parts in large.items()})


def _parts(variable: "xr.Variable") -> dict[Hashable, int]:
    """Return parts that are cheap to read, and whole chunks of what is to be written."""
    stored = variable.encoding.get("chunks") or variable.encoding.get("chunksizes")
    cheap = variable.encoding.get("preferred_chunks") or dict(variable.sizes)
    parts = {dim: cheap.get(dim, size) for dim, size in variable.sizes.items()}
    for dim, chunk in zip(variable.dims, stored or (), strict=False):
        parts[dim] = min(variable.sizes[dim], -(-parts[dim] // chunk) * chunk)
    return parts


def _as_is(ds: "xr.Dataset") -> "xr.Dataset":
    """Return a shallow copy whose encodings keep xarray from adding a fill value."""
    ds = ds.copy(deep=False)
    for variable in ds.variables.values():
        variable.encoding = {k: v for k, v in variable.encoding.items() if k not in _FOREIGN_ZARR}
        if variable.dtype.kind in "fc" and "_FillValue" not in variable.attrs:
            variable.encoding.setdefault("_FillValue", None)
    return ds


def _write(ds: "xr.Dataset", temporary: Path, name: str) -> None:
    if name.endswith(".zarr"):
        _write_zarr(ds, temporary)
    elif name.endswith(".zip"):
        folder = temporary.with_suffix(".folder.tmp")
        try:
            _write_zarr(ds, folder)
            _zip_folder(folder, temporary)
        finally:
            _remove(folder)
    else:
        ds = ds.assign({n: _join_chars(v) for n, v in ds.variables.items() if _is_chars(v)})
        ds.to_netcdf(temporary, engine="netcdf4", format="NETCDF4")
    _flush(temporary)


def _is_chars(variable: "xr.Variable") -> bool:
    return variable.dtype == "S1" and variable.ndim > 0 and variable.size > 0


def _join_chars(variable: "xr.Variable") -> "xr.Variable":
    """Make bytes of NetCDF's character arrays, or xarray would add a dim of length 1."""
    import numpy as np

    *dims, last = variable.dims
    joined = np.ascontiguousarray(variable.values).view(f"S{variable.shape[-1]}")[..., 0]
    encoding = {**variable.encoding, "char_dim_name": last}
    return type(variable)(dims, joined, variable.attrs, encoding)


def _write_zarr(ds: "xr.Dataset", path: Path) -> None:
    for variable in ds.variables.values():
        chunks = variable.encoding.pop("chunksizes", None)
        if chunks is not None and "chunks" not in variable.encoding:
            variable.encoding["chunks"] = tuple(chunks)
    with warnings.catch_warnings():
        # Consolidated metadata and strings are in wide use, though not yet in the v3 text.
        warnings.filterwarnings("ignore", message=".*(Zarr V3|Zarr format 3).*")
        ds.to_zarr(path, zarr_format=3, consolidated=True, mode="w")
    _restore_order(path / "zarr.json", list(ds.variables))


def _restore_order(metadata_file: Path, names: Sequence[Hashable]) -> None:
    """List the arrays in the order of the Dataset: Zarr itself sorts them by name."""
    metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
    arrays = metadata["consolidated_metadata"]["metadata"]
    metadata["consolidated_metadata"]["metadata"] = {str(n): arrays[str(n)] for n in names}
    metadata_file.write_text(json.dumps(metadata, indent=2), encoding="utf-8")


def _zip_folder(folder: Path, path: Path) -> None:
    """Pack without compression: the chunks are compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())


def _flush(path: Path) -> None:
    """Wait until all of it is on disk, so that the name never outlives the content."""
    for name in [path, *path.rglob("*")] if path.is_dir() else [path]:
        handle = os.open(name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(temporary: Path, path: Path) -> None:
    """Rename; a folder cannot replace another, so the old one steps aside first."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    aside = temporary.with_suffix(".old")
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(aside, path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
