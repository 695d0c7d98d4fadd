"""Decoded CF variables back to their packed form, where that leads to exactly the same values."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["repacked"]

_SLAB_SAMPLES = 1 << 22
_ERRORS = (ValueError, TypeError, OverflowError)


def repacked(name: str, variable: xr.Variable) -> xr.Variable | None:
    """Return the packed form of a decoded variable, if it leads back to exactly this one.

    Parameters
    ----------
    name : str
    variable : Variable
        Read once, slab by slab, if it is not in memory.

    Returns
    -------
    Variable or None
        As lazy as ``variable``. ``None`` where values were not packed, or where packing
        them again would change one.
    """
    try:
        if not _was_packed(variable):
            return None
        if not all(_leads_back(name, part) for part in _slabs(variable)):
            return None
        stored = _encoded(name, variable)
    except _ERRORS:
        return None
    stored.encoding = dict(variable.encoding)
    return stored


def _was_packed(variable: xr.Variable) -> bool:
    target = variable.encoding.get("dtype")
    if variable.dtype.kind != "f" or variable.ndim < 2 or target is None:
        return False
    return np.dtype(target).kind in "iu"


def _encoded(name: str, variable: xr.Variable) -> xr.Variable:
    if variable._in_memory or variable.chunks is not None:
        return xr.conventions.encode_cf_variable(variable, name=name)
    first = {dim: slice(0, 1) for dim in variable.dims}
    form = xr.conventions.encode_cf_variable(variable.isel(first), name=name)
    lazy = indexing.LazilyIndexedArray(_PackedArray(name, variable, form.dtype))
    return xr.Variable(variable.dims, lazy, form.attrs)


class _PackedArray(BackendArray):
    """The packed form of a variable that is read from somewhere, packed as it is read."""

    def __init__(self, name: str, variable: xr.Variable, dtype: np.dtype[Any]) -> None:
        self._name, self._variable = name, variable
        self.shape, self.dtype = variable.shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        part = self._variable[key]
        return np.asarray(xr.conventions.encode_cf_variable(part, name=self._name).values)


def _slabs(variable: xr.Variable) -> Iterator[xr.Variable]:
    """Cut a variable along its first dim, and load each part."""
    row = math.prod(variable.shape[1:])
    step = max(1, _SLAB_SAMPLES // max(1, row))
    for start in range(0, variable.shape[0], step):
        yield variable[start : start + step].copy(deep=False).load()


def _leads_back(name: str, part: xr.Variable) -> bool:
    stored = xr.conventions.encode_cf_variable(part, name=name)
    again = xr.conventions.decode_cf_variable(name, stored)
    return again.dtype == part.dtype and _same(np.asarray(again), np.asarray(part))


def _same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if not np.array_equal(first, second, equal_nan=True):
        return False
    # Equal is not identical: -0.0 == 0.0, and packing keeps no sign of zero.
    valid = ~np.isnan(first)
    return bool(np.array_equal(np.signbit(first[valid]), np.signbit(second[valid])))
