"""Look at a sample of every variable, so that the planner can decide."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from . import masks
from .dataset import StoredVariable, coded_dtype
from .detecting import fits, interpolation_of
from .planner import VariableFacts, frame_axes
from .spec import Interpolation

__all__ = ["Looks", "survey"]

_SAMPLE_FRAMES = 12
_SAMPLE_POINTS = 20_000
_FRAMES_LOOKED_AT = 4
_GLANCES = (1 << 12, 1 << 16)
_MANY = 256
"""More than the planner tells apart."""
_FACTORS = (6, 5, 4, 3, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """What to look for: variables that were ``repeated`` or ``interpolated`` from coarser grids.

    Those that are named in ``full`` are taken for fields of the full grid.
    """

    repeated: bool = True
    interpolated: bool = True
    full: frozenset[str] = frozenset()


def survey(variables: Sequence[StoredVariable], looks: Looks | None = None) -> list[VariableFacts]:
    """Describe the variables of a cube by a few of their frames.

    Parameters
    ----------
    variables : sequence of StoredVariable
    looks : Looks, optional
    """
    looked = [_facts(each, looks or Looks()) for each in variables]
    grids: dict[tuple[Any, ...], dict[str, _Frames]] = {}
    for facts, frames in looked:
        if frames is not None:
            grids.setdefault((facts.dims, facts.shape), {})[facts.name] = frames
    fields: dict[str, Interpolation] = {}
    for grid in grids.values():
        fields |= _interpolations(grid)
    return [replace(facts, interpolation=fields.get(facts.name)) for facts, _ in looked]


_Frames = tuple[NDArray[np.float64], NDArray[np.bool_]]


def _interpolations(frames: dict[str, _Frames]) -> dict[str, Interpolation]:
    """Find how variables of one size were interpolated, as much alike as possible.

    Variables of different grids are not coded together, which costs more than a grid gains.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        own = {name: interpolation_of(*each) for name, each in frames.items()}
        agreeing = {
            field: [n for n, each in frames.items() if own[n] == field or fits(field, *each)]
            for field in set(own.values())
            if field is not None
        }
    found: dict[str, Interpolation] = {}
    for field in sorted(
        agreeing, key=lambda each: (-len(agreeing[each]), agreeing[each], each.edges)
    ):
        for name in agreeing[field]:
            found.setdefault(name, field)
    return found


def _facts(stored: StoredVariable, looks: Looks) -> tuple[VariableFacts, _Frames | None]:
    """Describe a variable, and return the frames in which an interpolation would show."""
    spec = stored.spec
    plain = spec.dtype != "object" and np.dtype(spec.dtype).kind in "iufb"
    dtype = coded_dtype(spec) if plain else stored.variable.dtype
    basic = {
        "name": spec.name,
        "dims": spec.dims,
        "shape": spec.shape,
        "dtype": stored.variable.dtype,
        "attrs": stored.attrs if spec.cf else {**stored.attrs, **_units(stored)},
        "is_coord": spec.is_coord,
    }
    axes = frame_axes(spec.dims, spec.shape)
    if spec.is_coord or axes is None or 0 in spec.shape or not plain:
        return VariableFacts(**basic), None
    sample = _sample(stored, axes[0]).view(dtype)
    valid = masks.classify(sample, masks.specials_of(sample, stored.fill_values)) == 0
    distinct = _distinct(sample.ravel() if valid.all() else sample[valid])
    repeat = _repeat(sample, spec.dims, axes) if looks.repeated else (1, 1)
    seek = looks.interpolated and spec.name not in looks.full
    seek = seek and repeat == (1, 1) and dtype.kind in "iuf"
    some = slice(None, None, max(1, sample.size // _SAMPLE_POINTS))
    points = _masked(sample.ravel()[some], valid.ravel()[some])
    facts = VariableFacts(
        **basic,
        distinct=distinct,
        varies=distinct > 1,
        repeat=repeat,
        sample=points,
    )
    return facts, _few_frames(sample, valid, spec.dims, axes) if seek else None


def _distinct(values: NDArray[Any]) -> int:
    """Count different values; where a glance finds many, the rest is not sorted."""
    for part in _GLANCES:
        found = len(np.unique(values[:: max(1, values.size // part)]))
        if found > _MANY:
            return found
    return len(np.unique(values))


def _units(stored: StoredVariable) -> dict[str, Any]:
    """Return the units of a variable whose attributes xarray has moved to its encoding."""
    encoding = stored.variable.encoding
    return {key: encoding[key] for key in ("scale_factor", "add_offset") if key in encoding}


def _masked(sample: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(valid, sample.astype(np.float64), np.nan)


def _sample(stored: StoredVariable, frame_dim: str | None) -> NDArray[Any]:
    variable = stored.variable
    if frame_dim is not None:
        length = variable.sizes[frame_dim]
        chosen = np.unique(np.linspace(0, length - 1, _SAMPLE_FRAMES).astype(np.int64))
        variable = variable.isel({frame_dim: chosen})
    return np.ascontiguousarray(_native_endian(variable))


def _native_endian(variable: xr.Variable) -> NDArray[Any]:
    values = np.asarray(variable.values)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _few_frames(
    sample: NDArray[Any],
    valid: NDArray[np.bool_],
    dims: tuple[str, ...],
    axes: tuple[str | None, str, str],
) -> _Frames | None:
    """Return some frames and which of their samples are valid, of shape (frame, y, x).

    ``None`` where most have gaps: beside gaps a coarse grid is found slowly.
    """
    places = (dims.index(axes[1]), dims.index(axes[2]))
    moved = (np.moveaxis(each, places, (-2, -1)) for each in (sample, valid))
    frames, known = (each.reshape(-1, *each.shape[-2:]) for each in moved)
    chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES_LOOKED_AT).astype(np.int64))
    frames, known = frames[chosen], known[chosen]
    torn = known.any(axis=(1, 2)) & ~known.all(axis=(1, 2))
    if 2 * np.count_nonzero(torn) > len(chosen):
        return None
    return np.where(known, frames, 0).astype(np.float64), known


def _repeat(
    sample: NDArray[Any], dims: tuple[str, ...], axes: tuple[str | None, str, str]
) -> tuple[int, int]:
    """Find over how many rows and columns every value is repeated."""
    bits = sample.view(f"u{sample.dtype.itemsize}")
    rows = np.moveaxis(bits, dims.index(axes[1]), -1)
    columns = np.moveaxis(bits, dims.index(axes[2]), -1)
    factors = (_factor(rows), _factor(columns))
    # A constant field repeats at any factor, which says nothing of its grid.
    return (1, 1) if (sample == sample.flat[0]).all() else factors


def _factor(values: NDArray[Any]) -> int:
    length = values.shape[-1]
    # Every factor repeats the first column, and what is in the first frame, whatever its margin.
    if length < 2 or not np.array_equal(values[..., 0], values[..., 1]):
        return 1
    for factor in _FACTORS:
        if length < 2 * factor:
            continue
        if all(_repeats(each, factor) for each in (values[:1], values)):
            return factor
    return 1


def _repeats(values: NDArray[Any], factor: int) -> bool:
    firsts = np.repeat(values[..., ::factor], factor, axis=-1)[..., : values.shape[-1]]
    return np.array_equal(firsts, values)
