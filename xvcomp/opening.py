"""An open cube file as a lazy Dataset: values are decoded when they are looked at."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray, CachingFileManager
from xarray.backends.file_manager import DummyFileManager, FileManager
from xarray.core import indexing

from .containers.source import RangeSource
from .dataset import assemble
from .errors import ContainerError
from .reading import CubeFile
from .spec import BandGroup, VariableSpec

__all__ = ["open_cube", "open_source", "preferred_chunks"]


_SOURCES = (str, os.PathLike, bytes, RangeSource)


class _CubeArray(BackendArray):
    """One coded variable, indexed lazily.

    Pickles without the file: where it arrives, all arrays of a cube share one open file.
    """

    def __init__(self, manager: "FileManager[CubeFile]", identity: int, spec: VariableSpec) -> None:
        self._manager, self._identity, self._spec = manager, identity, spec
        self.shape = spec.shape
        self.dtype = np.dtype(spec.dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # xarray cannot take a slice apart that goes backwards and holds nothing.
        pairs = zip(key.tuple, self.shape, strict=True)
        plain = type(key)(tuple(_no_empty_slice(each, length) for each, length in pairs))
        return indexing.explicit_indexing_adapter(
            plain, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        spec = self._spec
        with self._manager.acquire_context() as cube:
            if cube.identity != self._identity:
                raise ContainerError("the file was replaced since it was opened: open it again")
            values = cube.read(spec.name, dict(zip(spec.dims, key, strict=True)))
        # Numbers, unlike arrays of one, take their dim away.
        return values[tuple(0 if np.ndim(_plain(k)) == 0 else slice(None) for k in key)]


def _no_empty_slice(key: Any, length: int) -> Any:
    return slice(0, 0) if isinstance(key, slice) and not range(*key.indices(length)) else key


def _plain(key: Any) -> Any:
    return [] if isinstance(key, slice) else key


class _Opener:
    """Open a cube file; equal for equal arguments, so that copies share what they open."""

    def __init__(
        self,
        source: Any,
        cache_bytes: int | None,
        storage_options: Any,
        hwaccel: str | None = None,
    ) -> None:
        self._arguments = (source, cache_bytes, storage_options, hwaccel)

    def __call__(self, mode: str = "r") -> CubeFile:
        source, cache_bytes, storage_options, hwaccel = self._arguments
        return CubeFile(
            source, cache_bytes=cache_bytes, storage_options=storage_options, hwaccel=hwaccel
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opener) and self._arguments == other._arguments

    def __hash__(self) -> int:
        # Options of a storage may hold dicts, which have no hash.
        return hash(self._arguments[:2])


def preferred_chunks(spec: VariableSpec, group: BandGroup) -> dict[str, int]:
    """Return the chunks in which a variable is cheapest to read: GOPs and blocks."""
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    chunks = dict(sizes)
    if group.frame_dim is not None:
        chunks[group.frame_dim] = min(group.window, sizes[group.frame_dim])
    for dim, length, repeat in zip(
        (group.y_dim, group.x_dim), group.block, group.repeat, strict=True
    ):
        if dim is not None:
            chunks[dim] = min(length * repeat, sizes[dim])
    return chunks


def open_source(
    source: Any,
    *,
    drop_variables: Iterable[str] = (),
    decode_cf: bool | Mapping[str, Any] = True,
    cache_bytes: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    hwaccel: str | None = None,
) -> xr.Dataset:
    """Open a cube file as a lazy Dataset; the parameters are those of `CubeFile`.

    xarray keeps the file open while there is room among its open files, and opens it
    again when it is needed: a thousand cubes do not exhaust the system's file handles.
    """
    if not isinstance(source, _SOURCES) and not hasattr(source, "seek"):
        raise TypeError(
            "a cube file is a path, a URL, its bytes or a seekable binary file, "
            f"not {type(source).__name__}"
        )
    manager = CachingFileManager(_Opener(source, cache_bytes, storage_options, hwaccel), mode="r")
    try:
        cube = manager.acquire()
        dataset = _lazy_dataset(manager, cube, drop_variables, decode_cf)
    except BaseException:
        manager.close()
        raise
    if isinstance(source, str | os.PathLike):
        # As xarray's own engines do: a variable alone still says what it is read from.
        for name in dataset.data_vars:
            dataset[name].encoding["source"] = os.fspath(source)
    return dataset


def open_cube(
    cube: CubeFile,
    *,
    drop_variables: Iterable[str] = (),
    decode_cf: bool | Mapping[str, Any] = True,
) -> xr.Dataset:
    """Make a lazy Dataset of an open file, which stays the caller's to close."""
    return _lazy_dataset(DummyFileManager(cube), cube, drop_variables, decode_cf)


def _lazy_dataset(
    manager: "FileManager[CubeFile]",
    cube: CubeFile,
    drop_variables: Iterable[str],
    decode_cf: bool | Mapping[str, Any],
) -> xr.Dataset:
    dropped = set(drop_variables)
    kept = cube.sidecar()
    variables: list[tuple[VariableSpec, Any]] = []
    for spec in cube.manifest.variables:
        if spec.name in dropped:
            continue
        group = cube.group_of(spec.name)
        if group is None:
            variables.append((spec, kept[spec.name]))
        else:
            lazy = indexing.LazilyIndexedArray(_CubeArray(manager, cube.identity, spec))
            variables.append((spec, lazy))
    dataset = _assembled(cube, variables, decode_cf)
    for spec in cube.manifest.variables:
        group = cube.group_of(spec.name)
        if group is not None and spec.name in dataset.variables:
            dataset[spec.name].encoding["preferred_chunks"] = preferred_chunks(spec, group)
    dataset.set_close(manager.close)
    return dataset


def _assembled(
    cube: CubeFile,
    variables: list[tuple[VariableSpec, Any]],
    decode_cf: bool | Mapping[str, Any],
) -> xr.Dataset:
    """Put the variables together; what xarray cannot do with them is told as ours."""
    manifest = cube.manifest
    try:
        return assemble(variables, manifest.attrs, manifest.encoding, decode_cf=decode_cf)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        hint = "" if decode_cf is False else " (decode_cf=False gives what was stored)"
        raise ContainerError(f"the file makes no dataset: {error}{hint}") from error
