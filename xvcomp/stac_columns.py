"""Where and when a cube is, read from its CF, rioxarray or GDAL metadata, as STAC columns."""

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from .containers.taco.extent import pack_point

__all__ = ["stac_columns"]

_IRREGULAR = 0.01
"""Steps of a regular axis differ by less than this share: coordinates are often rounded."""

_MIN_RADIUS = 1e6
"""Metres; a smaller Earth was given in km, which no reader of a CRS expects."""

_KNOWN = 64
"""Projections to remember: the cubes of a dataset share a few, and pyproj is slow."""

_DEGREES = {
    "x": ("longitude", "degrees_east", "degree_east", "degrees_E"),
    "y": ("latitude", "degrees_north", "degree_north", "degrees_N"),
}


def stac_columns(
    dataset: xr.Dataset, *, y_dim: str | None, x_dim: str | None, frame_dim: str | None
) -> dict[str, object]:
    """Describe a cube's grid and time span.

    Parameters
    ----------
    dataset : xarray.Dataset
        Decoded.
    y_dim, x_dim, frame_dim : str or None
        The dims of the grid and of time to describe.

    Returns
    -------
    dict
        As far as the metadata tell: ``stac:crs`` (``EPSG:<n>``, or WKT), ``stac:geotransform``
        (6 numbers, as GDAL orders them), ``stac:centroid`` (WKB, degrees east and north), and
        ``stac:time_start``, ``stac:time_middle``, ``stac:time_end`` (UTC).
    """
    found: dict[str, object] = {}
    crs = _crs(dataset, y_dim, x_dim)
    transform = _geotransform(dataset, y_dim, x_dim)
    if crs is not None:
        found["stac:crs"] = crs
    if transform is not None and y_dim is not None and x_dim is not None:
        found["stac:geotransform"] = transform
        rows, columns = dataset.sizes[y_dim], dataset.sizes[x_dim]
        center = (transform[0] + transform[1] * columns / 2, transform[3] + transform[5] * rows / 2)
        point = None if crs is None else _to_degrees(crs, *center)
    else:
        point = None
    point = point or _middle_of_swath(dataset, y_dim, x_dim)
    if point is not None:
        found["stac:centroid"] = pack_point(*point)
    return found | _times(dataset, frame_dim)


def _axis(dataset: xr.Dataset, dim: str | None) -> xr.Variable | None:
    """Return the coordinate along a dim, if it has one of numbers."""
    if dim is None or dim not in dataset.variables:
        return None
    found = dataset.variables[dim]
    return found if found.dims == (dim,) and found.dtype.kind in "iuf" else None


def _geotransform(dataset: xr.Dataset, y_dim: str | None, x_dim: str | None) -> list[float] | None:
    """Return GDAL's six numbers.

    Coordinates count before the ``GeoTransform`` of a grid mapping, which crops leave behind
    as it was.
    """
    x, y = _steps(_axis(dataset, x_dim)), _steps(_axis(dataset, y_dim))
    if x is not None and y is not None:
        return [x[0] - x[1] / 2, x[1], 0.0, y[0] - y[1] / 2, 0.0, y[1]]
    if _axis(dataset, x_dim) is not None or _axis(dataset, y_dim) is not None:
        return None
    text = _grid_mapping(dataset).get("GeoTransform")
    try:
        numbers = [float(each) for each in str(text).replace(",", " ").split()]
    except ValueError:
        return None
    return numbers if len(numbers) == 6 and np.isfinite(numbers).all() else None


def _steps(axis: xr.Variable | None) -> tuple[float, float] | None:
    """Return the first value and the step of a regular axis, in metres where it is in km."""
    if axis is None or axis.size < 2:
        return None
    values = np.asarray(axis.values, np.float64)
    values = values * 1000 if axis.attrs.get("units") in ("km", "kilometers") else values
    step = (values[-1] - values[0]) / (values.size - 1)
    differences = np.diff(values)
    if not np.isfinite(step) or step == 0 or np.abs(differences / step - 1).max() > _IRREGULAR:
        return None
    return float(values[0]), float(step)


def _grid_mapping(dataset: xr.Dataset) -> Mapping[str, Any]:
    """Return the attributes of the variable that describes the projection."""
    named = [
        each
        for variable in dataset.variables.values()
        for each in (variable.attrs.get("grid_mapping"), variable.encoding.get("grid_mapping"))
    ]
    for name in [*named, dataset.attrs.get("grid_mapping"), "spatial_ref", "crs"]:
        # CF also allows "crs: x y", for which the first word will do.
        first = str(name).split(":")[0].strip()
        if name and first in dataset.variables:
            return dataset.variables[first].attrs
    return {}


def _crs(dataset: xr.Dataset, y_dim: str | None, x_dim: str | None) -> str | None:
    mapping = _grid_mapping(dataset)
    for text in (mapping.get("crs_wkt"), mapping.get("spatial_ref")):
        if isinstance(text, str) and text.strip():
            return _short(text)
    if "grid_mapping_name" in mapping and (known := _from_cf(mapping)) is not None:
        return known
    if _is_degrees(_axis(dataset, x_dim), "x") and _is_degrees(_axis(dataset, y_dim), "y"):
        return "EPSG:4326"
    for key in ("proj:code", "epsg", "proj:epsg", "crs"):
        code = re.fullmatch(r"(?:\+init=)?(?:epsg:)?(\d{4,6})", str(dataset.attrs.get(key)), re.I)
        if code is not None:
            return f"EPSG:{code[1]}"
    return None


@lru_cache(maxsize=_KNOWN)
def _short(text: str) -> str:
    """Return ``EPSG:<n>`` for what pyproj knows to be that, else the text itself."""
    with contextlib.suppress(Exception):
        import pyproj

        code = pyproj.CRS.from_user_input(text).to_epsg()
        return text if code is None else f"EPSG:{code}"
    return text


def _from_cf(mapping: Mapping[str, Any]) -> str | None:
    """Return the WKT of CF's own parameters; needs pyproj."""
    plain = {name: np.asarray(value).tolist() for name, value in mapping.items()}
    return _from_json(json.dumps(plain, default=str, sort_keys=True))


@lru_cache(maxsize=_KNOWN)
def _from_json(text: str) -> str | None:
    mapping = json.loads(text)
    radius = mapping.get("semi_major_axis", mapping.get("earth_radius", _MIN_RADIUS))
    with contextlib.suppress(Exception):
        import pyproj

        if float(radius) >= _MIN_RADIUS:
            return _short(pyproj.CRS.from_cf(mapping).to_wkt())
    return None


def _is_degrees(axis: xr.Variable | None, kind: str) -> bool:
    if axis is None:
        return False
    return bool({axis.attrs.get("standard_name"), axis.attrs.get("units")} & set(_DEGREES[kind]))


def _to_degrees(crs: str, x: float, y: float) -> tuple[float, float] | None:
    """Return longitude and latitude of a point, if it has any."""
    if crs != "EPSG:4326":
        try:
            x, y = _transformer(crs).transform(x, y)
        except Exception:
            return None
    return _on_earth(x, y)


@lru_cache(maxsize=_KNOWN)
def _transformer(crs: str) -> Any:
    import pyproj

    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True)


def _on_earth(longitude: float, latitude: float) -> tuple[float, float] | None:
    if not np.isfinite([longitude, latitude]).all() or abs(latitude) > 90 + 1e-6:
        return None
    return (longitude + 180) % 360 - 180, min(90.0, max(-90.0, latitude))


def _middle_of_swath(
    dataset: xr.Dataset, y_dim: str | None, x_dim: str | None
) -> tuple[float, float] | None:
    """Take the middle from 2-D coordinates, such as swaths and rotated grids have."""
    found = {}
    for kind in ("x", "y"):
        for variable in dataset.coords.variables.values():
            if variable.dims == (y_dim, x_dim) and _is_degrees(variable, kind):
                middle = {dim: size // 2 for dim, size in variable.sizes.items()}
                found[kind] = float(variable.isel(middle).values)
    return _on_earth(found["x"], found["y"]) if len(found) == 2 else None


def _times(dataset: xr.Dataset, frame_dim: str | None) -> dict[str, object]:
    """Return start, middle and end of the time axis, or of a time that is one number."""
    names = [name for name, each in dataset.coords.variables.items() if each.dtype.kind == "M"]
    wanted = [name for name in (frame_dim, "time", *names) if name in names]
    if not wanted:
        return {}
    times = np.asarray(dataset.coords.variables[wanted[0]].values).astype("datetime64[us]")
    times = times[~np.isnat(times)]
    if not times.size:
        return {}
    start, end = times.min(), times.max()
    stamps = {"start": start, "middle": start + (end - start) // 2, "end": end}
    return {f"stac:time_{name}": _utc(stamp) for name, stamp in stamps.items()}


def _utc(stamp: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
