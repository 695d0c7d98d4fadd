"""Feed the pipeline from xarray variables: any dim order, lazy or not, any grid."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .dataset import StoredVariable, coded_dtype
from .errors import PlanError
from .ignoring import ignore_reader
from .memory import Memory
from .pipeline import GroupInput, VariableInput
from .spec import BandGroup, GroupPlan, Ignored, VariableSpec

__all__ = ["NotRepeated", "extra_dims", "group_input", "to_dims"]


class NotRepeated(PlanError):
    """A variable that looked as if repeated from a coarser grid is not, somewhere."""


def extra_dims(dims: tuple[str, ...], plan: GroupPlan | BandGroup) -> tuple[str, ...]:
    """Return the dims that are unrolled into bands, in their order."""
    return tuple(d for d in dims if d not in (plan.frame_dim, plan.y_dim, plan.x_dim))


def group_input(
    plan: GroupPlan | BandGroup,
    variables: Mapping[str, StoredVariable],
    memory: Memory | None = None,
    ignored: Sequence[Ignored] = (),
) -> GroupInput:
    """Make the pipeline's view of a planned group; ``ignored`` samples are left out of it."""
    memory = memory or Memory()
    members = [variables[name] for name in plan.variables]
    keep = sum(each.variable.nbytes for each in members) <= memory.keep_nbytes
    inputs = tuple(_variable_input(each, plan, keep) for each in members)
    sizes = dict(zip(members[0].spec.dims, members[0].spec.shape, strict=True))
    shape = (
        sizes[plan.frame_dim] if plan.frame_dim else 1,
        sum(each.bands for each in inputs),
        -(-sizes[str(plan.y_dim)] // plan.repeat[0]),
        -(-sizes[str(plan.x_dim)] // plan.repeat[1]),
    )
    axes = (plan.frame_dim, str(plan.y_dim), str(plan.x_dim))
    ignore = ignore_reader(axes, shape, ignored, variables, plan.repeat)
    if ignore is not None:
        inputs = tuple(replace(each, ignore=ignore) for each in inputs)
    field = plan.interpolation or None
    return GroupInput(variables=inputs, shape=shape, memory=memory, interpolation=field)


def _variable_input(
    stored: StoredVariable, plan: GroupPlan | BandGroup, keep: bool
) -> VariableInput:
    sizes = dict(zip(stored.spec.dims, stored.spec.shape, strict=True))
    extra = extra_dims(stored.spec.dims, plan)
    return VariableInput(
        name=stored.spec.name,
        bands=int(np.prod([sizes[d] for d in extra], dtype=np.int64)),
        dtype=coded_dtype(stored.spec),
        fill_values=stored.fill_values,
        scale=stored.scale,
        offset=stored.offset,
        read=_XarrayReader(stored, plan, keep),
    )


class _XarrayReader:
    """Read parts of one variable as (time, band, y, x) in its coded dtype."""

    def __init__(self, stored: StoredVariable, plan: GroupPlan | BandGroup, keep: bool) -> None:
        self._plan = plan
        self._dtype = coded_dtype(stored.spec)
        self._order = _order(stored.spec.dims, plan)
        variable = stored.variable
        if keep:
            # A copy of the wrapper: loading must not change the user's own variable.
            variable = variable.copy(deep=False).load()
        self._variable = variable

    def __call__(self, time: slice, y: slice, x: slice) -> NDArray[Any]:
        part = self._select(time, y, x)
        values = np.asarray(part.transpose(*self._order).values)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        shape = (time.stop - time.start, -1, part.sizes[self._y], part.sizes[self._x])
        bands = np.ascontiguousarray(native.reshape(shape)).view(self._dtype)
        return _undo_repeat(bands, self._plan.repeat, self._plan.name)

    @property
    def _y(self) -> str:
        return str(self._plan.y_dim)

    @property
    def _x(self) -> str:
        return str(self._plan.x_dim)

    def _select(self, time: slice, y: slice, x: slice) -> xr.Variable:
        rows, columns = self._plan.repeat
        chosen = {
            self._y: slice(y.start * rows, y.stop * rows),
            self._x: slice(x.start * columns, x.stop * columns),
        }
        if self._plan.frame_dim is not None:
            chosen[self._plan.frame_dim] = time
        return self._variable.isel(chosen)


def _order(dims: tuple[str, ...], plan: GroupPlan | BandGroup) -> tuple[str, ...]:
    frame = (plan.frame_dim,) if plan.frame_dim is not None else ()
    return (*frame, *extra_dims(dims, plan), str(plan.y_dim), str(plan.x_dim))


def _undo_repeat(values: NDArray[Any], repeat: tuple[int, int], name: str) -> NDArray[Any]:
    """Keep one sample of each repeated block, once all of them are seen to be equal."""
    if repeat == (1, 1):
        return values
    rows, columns = repeat
    native = np.ascontiguousarray(values[..., ::rows, ::columns])
    again = _repeat(native, repeat, values.shape[-2:])
    bits = f"u{values.dtype.itemsize}"
    if not np.array_equal(again.view(bits), values.view(bits)):
        raise NotRepeated(f"group {name!r} is not repeated from a coarser grid throughout")
    return native


def _repeat(values: NDArray[Any], repeat: tuple[int, int], size: tuple[int, ...]) -> NDArray[Any]:
    wide = values.repeat(repeat[0], axis=-2).repeat(repeat[1], axis=-1)
    return np.ascontiguousarray(wide[..., : size[0], : size[1]])


def to_dims(
    values: NDArray[Any], spec: VariableSpec, group: BandGroup, sizes: Mapping[str, int]
) -> NDArray[Any]:
    """Give decoded samples the dims of their variable.

    Parameters
    ----------
    values : ndarray, shape (time, band, y, x)
        On the variable's own grid, in the coded dtype.
    spec : VariableSpec
    group : BandGroup
    sizes : Mapping[str, int]
        Of the dims, as selected.
    """
    order = _order(spec.dims, group)
    shaped = values.reshape([sizes[dim] for dim in order])
    axes = [order.index(dim) for dim in spec.dims]
    stored = np.dtype(spec.dtype)
    native = np.ascontiguousarray(shaped.transpose(axes)).view(stored.newbyteorder("="))
    return native.astype(stored, copy=False)
