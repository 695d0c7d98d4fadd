"""Datasets to stored variables and back: what a file keeps of a cube besides samples.

*Stored* is the form that is coded. For variables that a user has decoded from a packed
file it is the packed form again, provided that packing and unpacking give exactly what
the user has; for all others it is what the user has.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .errors import PlanError
from .repacking import repacked
from .spec import VariableSpec
from .typed_json import pack_json, unpack_json

__all__ = ["StoredVariable", "as_dataset", "assemble", "coded_dtype", "describe", "pack_mapping"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredVariable:
    """A variable in stored form.

    Parameters
    ----------
    spec : VariableSpec
    variable : xarray.Variable
        Stored values, perhaps lazy.
    attrs : Mapping
        CF attributes of the stored form (``scale_factor``, ``_FillValue``, ``units`` ...).
    """

    spec: VariableSpec
    variable: xr.Variable
    attrs: Mapping[str, Any]

    @property
    def scale(self) -> float:
        """Factor from stored to unpacked values."""
        return self._number("scale_factor", 1.0)

    @property
    def offset(self) -> float:
        """Unpacked value of a stored zero."""
        return self._number("add_offset", 0.0)

    def _number(self, key: str, default: float) -> float:
        """Read a packing attribute, which files in the wild get wrong."""
        if not self.spec.cf or key not in self.attrs:
            return default
        try:
            value = float(np.asarray(self.attrs[key]).item())
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or (key == "scale_factor" and value == 0):
            raise PlanError(
                f"{key} of {self.spec.name!r} is {self.attrs[key]!r}: it must be one finite "
                "number, and a scale not 0; correct or delete the attribute"
            )
        return value

    @property
    def fill_values(self) -> tuple[Any, ...]:
        """Stored values that stand for a missing sample, of the coded dtype."""
        if not self.spec.cf:
            return ()
        coded, stored = coded_dtype(self.spec), np.dtype(self.spec.dtype)
        found = []
        for key in ("_FillValue", "missing_value"):
            for value in np.atleast_1d(self.attrs.get(key, [])):
                cast = _cast_fill(value, stored, coded)
                if cast is not None and cast not in found:
                    found.append(cast)
        return tuple(found)


def _cast_fill(value: Any, stored: np.dtype[Any], coded: np.dtype[Any]) -> Any:
    """Express a fill value in the coded dtype; ``None`` if it cannot occur there."""
    if stored.kind not in "iuf" or not np.isreal(value) or isinstance(value, str):
        return None
    if np.isnan(value):
        return None
    for dtype in (stored, coded):
        if dtype.kind == "f" or np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            return np.array(value).astype(dtype).view(coded)[()]
    return None


def coded_dtype(spec: VariableSpec) -> np.dtype[Any]:
    """Return the dtype in which samples are coded: booleans as integers.

    Unsigned numbers that are kept in signed variables (``_Unsigned``, a netCDF-3
    convention) are coded as what they mean, or else they would wrap around.
    """
    dtype = np.dtype(spec.dtype).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    unsigned = str(unpack_json(spec.attrs).get("_Unsigned", "")).lower() if spec.cf else ""
    if (unsigned, dtype.kind) == ("true", "i"):
        return np.dtype(f"u{dtype.itemsize}")
    if (unsigned, dtype.kind) == ("false", "u"):
        return np.dtype(f"i{dtype.itemsize}")
    return dtype


def as_dataset(source: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Return a Dataset; a DataArray becomes its only variable, by its name or ``data``."""
    if isinstance(source, xr.DataArray):
        name = source.name if source.name is not None else "data"
        # A coordinate of the same name would swallow the array.
        return source.to_dataset(name="data" if name in source.coords else name)
    if not isinstance(source, xr.Dataset):
        raise PlanError(
            f"expected an xarray Dataset or DataArray, got {type(source).__name__}; "
            "open files with xvcomp.sources.open_source first"
        )
    return source


def describe(dataset: xr.Dataset, *, stored: bool) -> tuple[list[StoredVariable], list[str]]:
    """List the variables of a dataset in stored form, and what could not be kept.

    Parameters
    ----------
    dataset : xarray.Dataset
    stored : bool
        Values are as on disk already (opened with ``decode_cf=False``).

    Raises
    ------
    PlanError
        If something cannot be stored at all.
    """
    notes: list[str] = []
    found = []
    for name, variable in dataset.variables.items():
        _check(dataset, name, variable)
        found.append(_stored_variable(str(name), variable, name in dataset.coords, stored, notes))
    return found, notes


_WIDEST = {"f": 8, "c": 16}
"""Bytes of the largest floats and complex numbers that can be stored."""


def _check(dataset: xr.Dataset, name: Hashable, variable: xr.Variable) -> None:
    if not isinstance(name, str):
        raise PlanError(f"variable names must be strings, got {name!r}: rename it first")
    for dim in variable.dims:
        if not isinstance(dim, str):
            raise PlanError(f"names of dimensions must be strings, got {dim!r}: rename it first")
    if variable.dtype.kind in "fc" and variable.dtype.itemsize > _WIDEST[variable.dtype.kind]:
        raise PlanError(
            f"{name!r} is {variable.dtype}, which no file format keeps: convert it to float64"
        )
    index = dataset.xindexes.get(name)
    if index is not None and type(index).__name__ == "PandasMultiIndex":
        raise PlanError(
            f"{name!r} belongs to a MultiIndex, which no file format keeps: "
            "call .reset_index() on its dimension first"
        )
    dtype = variable.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "V":
        raise PlanError(
            f"variable {name!r} holds records ({dtype}), which cannot be kept: "
            "make a variable of each field"
        )
    if not isinstance(dtype, np.dtype):
        raise PlanError(
            f"variable {name!r} has the extension dtype {dtype}: convert it with "
            ".astype(...) to a numpy dtype first"
        )


def _stored_variable(
    name: str, variable: xr.Variable, is_coord: bool, stored: bool, notes: list[str]
) -> StoredVariable:
    packed = None if stored or is_coord else repacked(name, variable)
    form = variable if packed is None else packed
    spec = VariableSpec(
        name=name,
        dims=tuple(str(dim) for dim in variable.dims),
        shape=variable.shape,
        dtype=_dtype_name(form.dtype),
        attrs=pack_mapping(form.attrs, f"attribute of {name!r}", notes),
        encoding=pack_mapping(_portable(form.encoding), f"encoding of {name!r}", notes),
        is_coord=is_coord,
        cf=stored or packed is not None,
        decoded_dtype=None if packed is None else variable.dtype.str,
    )
    return StoredVariable(spec=spec, variable=form, attrs=dict(form.attrs))


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "object" if dtype.hasobject else dtype.str


def _portable(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out where a variable came from: a path on the writer's machine."""
    return {key: value for key, value in encoding.items() if key != "source"}


def pack_mapping(values: Mapping[Any, Any], what: str, notes: list[str]) -> Any:
    """Write attributes or encodings as typed JSON; what cannot be kept goes to the notes."""
    kept = {}
    for key, value in values.items():
        try:
            pack_json(value)
        except TypeError as error:
            notes.append(f"{what} {key!r} was not kept: {error}")
        else:
            kept[key] = value
    return pack_json(kept)


def assemble(
    variables: list[tuple[VariableSpec, Any]],
    attrs: Any,
    encoding: Any,
    *,
    decode_cf: bool | Mapping[str, Any] = True,
) -> xr.Dataset:
    """Build the Dataset from stored variables.

    Parameters
    ----------
    variables : list of (VariableSpec, array-like)
        In their order; arrays may be lazy (duck arrays of xarray's indexing).
    attrs, encoding : typed JSON
        Of the dataset.
    decode_cf : bool or Mapping
        Whether to give decoded values; a mapping holds arguments of `xarray.decode_cf`.
    """
    made = {spec.name: _variable(spec, data) for spec, data in variables}
    coords = {spec.name for spec, _ in variables if spec.is_coord}
    as_on_disk = all(spec.cf for spec, _ in variables)
    arguments = dict(decode_cf) if isinstance(decode_cf, Mapping) else {}
    if decode_cf is not False and not as_on_disk:
        for spec, _ in variables:
            if spec.cf:
                made[spec.name] = _decode(spec, made[spec.name], arguments)
    dataset = xr.Dataset(
        {name: variable for name, variable in made.items() if name not in coords},
        coords=xr.Coordinates(
            {name: variable for name, variable in made.items() if name in coords}
        ),
        attrs=unpack_json(attrs),
    )
    if decode_cf is not False and as_on_disk:
        dataset = xr.decode_cf(dataset, **arguments)
    dataset.encoding = unpack_json(encoding)
    return dataset


def _variable(spec: VariableSpec, data: Any) -> xr.Variable:
    variable = xr.Variable(spec.dims, data, attrs=unpack_json(spec.attrs), fastpath=True)
    encoding = unpack_json(spec.encoding)
    if spec.cf:
        # A packed variable has these among its attributes; xarray refuses to see them twice.
        encoding = {key: value for key, value in encoding.items() if key not in variable.attrs}
    variable.encoding = encoding
    return variable


def _decode(spec: VariableSpec, variable: xr.Variable, arguments: Mapping[str, Any]) -> xr.Variable:
    own = {key: arguments[key] for key in ("mask_and_scale",) if key in arguments}
    decoded = xr.conventions.decode_cf_variable(spec.name, variable, **own)
    if spec.decoded_dtype is not None and own.get("mask_and_scale", True) is not False:
        decoded = decoded.astype(spec.decoded_dtype, keep_attrs=True)
        decoded.encoding = unpack_json(spec.encoding)
    return decoded
