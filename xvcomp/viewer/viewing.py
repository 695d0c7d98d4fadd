"""A cube file, and perhaps its original, to a page."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import PlanError
from ..previews.channels import Channel, Grid, channels_of
from ..previews.labels import frame_labels, frame_times
from ..previews.looks import bright_range, fit_look
from ..previews.opening import Lookable, opened, selected
from ..previews.output import check_output, published
from ..previews.scenes import Scene, find_rgb, is_vegetation, same_in
from ..results import OnProgress, Progress
from .budget import Budget, fit_budget
from .packing import pack_errors, pack_values
from .page import page_html

__all__ = ["View", "view"]

_MAX_NBYTES = 24_000_000
_BYTES_A_SAMPLE = 2
_MAX_VALUE = 1e150
"""Squares of larger numbers are infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The page that was written.

    Parameters
    ----------
    path : str
    nbytes : int
    fields : tuple of str
    notes : tuple of str
        What was left out to keep it small.
    """

    path: str
    nbytes: int
    fields: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, for JSON."""
        return asdict(self)


def view(
    source: Lookable,
    out: str | os.PathLike[str],
    *,
    reference: Lookable | None = None,
    variables: Sequence[str] | None = None,
    isel: Mapping[str, Any] | None = None,
    max_nbytes: int = _MAX_NBYTES,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> View:
    """Write one static page to look at a cube: frames, bands, stretch, time series, errors.

    Parameters
    ----------
    source : Dataset, DataArray, path or URL
        A cube file (also inside of a dataset), or anything that can be encoded.
    out : path
        The page, ``.html`` or ``.htm``; needs no network and no other file.
    reference : as ``source``, optional
        The original: the page then shows errors, too.
    variables : sequence of str, optional
        Only these.
    isel : Mapping, optional
        Positions along dims, as for `xarray.Dataset.isel`: a part of a large cube in full.
    max_nbytes : int
        Of samples, two bytes each, before they are compressed. What is larger is thinned
        out, and the page says so. The page is at most 4/3 of this, and 0.1 MB.
    overwrite : bool
        Replace ``out``.
    on_progress : callable, optional

    Raises
    ------
    FileExistsError
        If ``out`` exists and ``overwrite`` is false.
    PlanError
        If there is nothing to show, the reference has other fields or sizes, ``out`` is no
        page by its name, or values are beyond 1e150.
    """
    path = check_output(out, overwrite=overwrite, sources=(source, reference))
    _check_name(path)
    if max_nbytes < 10_000:
        raise PlanError(f"max_nbytes must be at least 10000, got {max_nbytes}")
    with ExitStack() as stack:
        cube = selected(stack.enter_context(opened(source)), isel)
        originals = None
        if reference is not None:
            originals = channels_of(selected(stack.enter_context(opened(reference)), isel))
        channels = _chosen(cube, variables)
        sides = 1 if originals is None else 2
        budget = fit_budget(channels, max_nbytes // (_BYTES_A_SAMPLE * sides))
        page = _page(budget, originals, _title(source), on_progress)
    with published(path, overwrite=overwrite) as hidden:
        hidden.write_text(page, encoding="utf-8")
    return View(
        path=str(path),
        nbytes=path.stat().st_size,
        fields=tuple(each.name for each in budget.channels),
        notes=budget.notes,
    )


def _check_name(path: Path) -> None:
    if path.suffix.lower() not in (".html", ".htm"):
        raise PlanError(f"a page is called .html or .htm, got {path}")


def _title(source: Lookable) -> str:
    if isinstance(source, xr.Dataset | xr.DataArray):
        return str(source.attrs.get("title") or getattr(source, "name", None) or "cube")
    return os.fspath(source).split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]


def _chosen(cube: xr.Dataset, variables: Sequence[str] | None) -> list[Channel]:
    """List fields: what moves and is measured before classes and static fields."""
    missing = [name for name in variables or () if name not in cube.data_vars]
    if missing:
        known = ", ".join(map(str, cube.data_vars))
        raise PlanError(f"there is no variable {missing[0]!r}; the cube has {known}")
    found = channels_of(cube if variables is None else cube[list(variables)])
    if not found:
        raise PlanError("there is nothing to show: no numeric variable has two image dims")
    return sorted(found, key=lambda each: (each.shape[0] == 1, each.is_classes))


def _page(
    budget: Budget,
    originals: Sequence[Channel] | None,
    title: str,
    on_progress: OnProgress | None,
) -> str:
    fields, texts = [], []
    grids: dict[tuple[Any, ...], dict[str, Any]] = {}
    for done, channel in enumerate(budget.channels, start=1):
        grid = budget.grid(channel)
        key = (channel.array.dims, channel.shape)
        about = grids.setdefault(key, _grid_facts(channel, grid) | {"number": len(grids)})
        field, packed = _field(channel, grid, originals)
        fields.append(field | {"grid": about["number"]})
        texts.append(packed)
        if on_progress is not None:
            total = len(budget.channels)
            on_progress(Progress(stage="view", done=done, total=total, unit="fields"))
    data = {
        "title": title,
        "reference": originals is not None,
        "fields": fields,
        "grids": list(grids.values()),
        "rgb": _rgb(budget.channels),
        "notes": list(budget.notes),
    }
    return page_html(data, texts, _facts(budget.channels))


def _grid_facts(channel: Channel, grid: Grid) -> dict[str, Any]:
    _, height, width = channel.shape
    rows, columns = (_axis(channel, k, grid.stride) for k in (0, 1))
    if channel.upside_down:
        rows["values"].reverse()
    return {
        "frames": len(grid.frames),
        "height": -(-height // grid.stride),
        "width": -(-width // grid.stride),
        "stride": grid.stride,
        "labels": frame_labels(channel, grid.frames),
        "times": frame_times(channel, grid.frames),
        "rows": rows,
        "columns": columns,
    }


def _axis(channel: Channel, which: int, stride: int) -> dict[str, Any]:
    """Name the rows or columns that are kept: by coordinates, or else by their positions."""
    dim = channel.array.dims[-2:][which]
    coord = channel.array.coords.get(dim)
    values, unit = np.arange(channel.array.sizes[dim], dtype=float), ""
    if coord is not None and coord.ndim == 1 and coord.dtype.kind in "iuf":
        given = coord.values.astype(float)
        if np.isfinite(given).all():
            values, unit = given, str(coord.attrs.get("units", ""))
    kept = [float(f"{value:.9g}") for value in values[::stride]]
    return {"name": str(dim), "unit": unit, "values": kept}


def _field(
    channel: Channel, grid: Grid, originals: Sequence[Channel] | None
) -> tuple[dict[str, Any], list[str]]:
    """Pack a field and, where there is an original, its errors and what was lost of it."""
    scene = Scene(label=channel.name, channels=(channel,), vegetation=is_vegetation(channel))
    values = _read(channel, grid)
    original = None if originals is None else _read(same_in(originals, scene).first, grid)
    packed = pack_values(values)
    known = values if original is None else np.where(np.isnan(values), original, values)
    sample = _few(known)
    look = fit_look(scene, frames=sample)
    field: dict[str, Any] = {
        "name": channel.name,
        "unit": channel.unit,
        "low": packed.low,
        "high": packed.high,
        "show": [look.low, look.high],
        "band": list(bright_range(sample)),
        "colours": [list(colour) for colour in look.colours or ()],
    }
    if original is None:
        return field, [packed.text]
    more, texts = _against(values, original)
    return field | more, [packed.text, *texts]


def _against(
    values: NDArray[np.float64], original: NDArray[np.float64]
) -> tuple[dict[str, Any], list[str]]:
    """Pack errors and, where there are any, the original's values that are missing now."""
    errors = values - original
    strong = np.abs(errors[np.isfinite(errors)])
    # Few errors are larger than this: they would hide the others.
    usual = float(np.percentile(strong, 99.5)) if strong.size else 0.0
    coded = pack_errors(errors)
    more: dict[str, Any] = {"limit": coded.high, "usual": usual or coded.high}
    lost = np.where(np.isnan(values), original, np.nan)
    if np.isnan(lost).all():
        return more, [coded.text]
    packed = pack_values(lost)
    return more | {"lost": [packed.low, packed.high]}, [coded.text, packed.text]


def _read(channel: Channel, grid: Grid) -> NDArray[np.float64]:
    """Read what is kept of a field; refuse what the page could not count with."""
    values = channel.read(grid)
    largest = max(np.nanmax(values, initial=0.0), -np.nanmin(values, initial=0.0))
    if largest > _MAX_VALUE:
        raise PlanError(
            f"{channel.name!r} has values up to {largest:.3g}, and a page shows none beyond "
            f"{_MAX_VALUE:g}: mask them, or choose other variables"
        )
    return values


def _few(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take some frames and pixels that stand for all."""
    frames, height, width = values.shape
    stride = max(1, max(height, width) // 128)
    return values[:: max(1, frames // 16), ::stride, ::stride]


def _rgb(channels: Sequence[Channel]) -> list[int] | None:
    """Find bands for colours."""
    scene = find_rgb(channels)
    return None if scene is None else [list(channels).index(each) for each in scene.channels]


def _facts(channels: Sequence[Channel]) -> dict[str, str]:
    shapes = {_dims(each.variable): None for each in channels}
    return {"cube": "; ".join(shapes), "fields": str(len(channels))}


def _dims(variable: xr.DataArray) -> str:
    return ", ".join(f"{dim} {size}" for dim, size in variable.sizes.items())
