"""An open cube file as a lazy Dataset: values are decoded when they are looked at."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from .dataset import assemble
from .reading import CubeFile
from .spec import BandGroup, VariableSpec

__all__ = ["open_cube", "preferred_chunks"]


class _CubeArray(BackendArray):
    """One coded variable, indexed lazily."""

    def __init__(self, cube: CubeFile, spec: VariableSpec, group: BandGroup) -> None:
        self._cube, self._spec, self._group = cube, spec, group
        self.shape = spec.shape
        self.dtype = np.dtype(spec.dtype).newbyteorder("=")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Decode the smallest box that holds the selection, then select from it."""
        dims = self._spec.dims
        box, rest = [], []
        for wanted, length in zip(key, self.shape, strict=True):
            span, inner = _span(wanted, length)
            box.append(span)
            rest.append(inner)
        axes = {dim: box[dims.index(dim)] for dim in dims}
        empty = any(span.stop <= span.start for span in box)
        if empty:
            values = np.empty([span.stop - span.start for span in box], dtype=self.dtype)
        else:
            values = self._decode(axes)
        return _outer(values, rest)

    def _decode(self, axes: Mapping[str, slice]) -> NDArray[Any]:
        group, dims = self._group, self._spec.dims
        time = axes[group.frame_dim] if group.frame_dim is not None else slice(0, 1)
        values = self._cube.read(
            self._spec.name, time, axes[str(group.y_dim)], axes[str(group.x_dim)]
        )
        read = {group.frame_dim, group.y_dim, group.x_dim}
        extra = tuple(slice(None) if dim in read else axes[dim] for dim in dims)
        return values[extra]


def _span(wanted: Any, length: int) -> tuple[slice, Any]:
    """Return the contiguous span that holds a selection, and the selection within it."""
    if isinstance(wanted, slice):
        chosen = range(*wanted.indices(length))
        if not chosen:
            return slice(0, 0), slice(0, 0)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        start = chosen[0] - low
        stop = chosen[-1] - low + (1 if chosen.step > 0 else -1)
        return slice(low, high + 1), slice(start, None if stop < 0 else stop, chosen.step)
    if np.ndim(wanted) == 0:
        number = int(wanted) + (length if wanted < 0 else 0)
        return slice(number, number + 1), 0
    numbers = np.where(np.asarray(wanted) < 0, np.asarray(wanted) + length, wanted)
    if numbers.size == 0:
        return slice(0, 0), numbers.astype(np.int64)
    low = int(numbers.min())
    return slice(low, int(numbers.max()) + 1), numbers - low


def _outer(values: NDArray[Any], key: Iterable[Any]) -> NDArray[Any]:
    """Apply one selection per axis, independently."""
    keys = list(key)
    for axis in reversed(range(len(keys))):
        values = values[(slice(None),) * axis + (keys[axis],)]
    return values


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


def open_cube(
    cube: CubeFile,
    *,
    drop_variables: Iterable[str] = (),
    decode_cf: bool | Mapping[str, Any] = True,
) -> xr.Dataset:
    """Make a lazy Dataset of an open file."""
    dropped = set(drop_variables)
    kept = cube.sidecar()
    variables = []
    for spec in cube.manifest.variables:
        if spec.name in dropped:
            continue
        group = cube.group_of(spec.name)
        if group is None:
            variables.append((spec, kept[spec.name]))
        else:
            lazy = indexing.LazilyIndexedArray(_CubeArray(cube, spec, group))
            variables.append((spec, lazy))
    dataset = assemble(variables, cube.manifest.attrs, cube.manifest.encoding, decode_cf=decode_cf)
    for spec in cube.manifest.variables:
        group = cube.group_of(spec.name)
        if group is not None and spec.name in dataset.variables:
            dataset[spec.name].encoding["preferred_chunks"] = preferred_chunks(spec, group)
    dataset.set_close(cube.close)
    return dataset
