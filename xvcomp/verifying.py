"""Decode a finished file and compare it with what should be in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import masks
from ._error_stats import difference
from .bounds import breaches
from .dataset import StoredVariable
from .errors import ErrorBoundExceeded
from .ignoring import ignores
from .inputs import group_input
from .metrics import ErrorStats
from .parallel import cpu_count, map_ordered
from .pipeline import GroupInput
from .pipeline.windows import Window, windows
from .promises import Compared
from .reading import CubeFile
from .results import OnProgress, Progress
from .spec import BandGroup, Ignored, MaxError, Target

__all__ = ["check_metadata", "check_sidecar", "measure", "measure_all"]


@dataclass(frozen=True, slots=True)
class _Comparison:
    cube: CubeFile
    group: BandGroup
    data: GroupInput
    target: Target | None
    parts: Sequence[Window]

    @property
    def workers(self) -> int:
        """GOPs that may be at work at a time."""
        samples = max(math.prod(part.shape) for part in self.parts) * self.group.shape[1]
        return self.data.memory.workers(samples, cpu_count())

    def window(self, window: Window) -> list[Compared]:
        """Compare one GOP of one block."""
        threads = 1 if len(self.parts) > 1 else self.workers
        decoded = self.cube.part(self.group, window.index, window.block, threads=threads)
        return [
            self._variable(number, decoded[number], window, threads)
            for number in range(len(self.data.variables))
        ]

    def _variable(
        self, number: int, decoded: NDArray[Any], window: Window, threads: int
    ) -> Compared:
        variable = self.data.variables[number]
        stored = variable.read(window.time, window.y, window.x)
        valid = _valid(stored, variable.fill_values)
        counted = valid
        if variable.ignore is not None:
            counted = valid & ~variable.ignore(window.time, window.y, window.x)
        stats = ErrorStats.of(stored, decoded, counted, threads)
        stats = stats.scaled(variable.scale, variable.offset)
        if self.group.lossless:
            return Compared(stats=stats, changed=_changed(stored, decoded))
        gaps = _moved(stored, decoded, valid, _valid(decoded, variable.fill_values))
        if not isinstance(self.target, MaxError):
            return Compared(stats=stats, gaps=gaps)
        past, worst = self._past(self.target, number, stored, decoded, valid)
        return Compared(stats=stats, gaps=gaps, past=past, worst=worst)

    def _past(
        self,
        target: MaxError,
        number: int,
        stored: NDArray[Any],
        decoded: NDArray[Any],
        valid: NDArray[np.bool_],
    ) -> tuple[int, float]:
        """Count the samples past a bound, and find the largest relative error."""
        if not valid.any():
            return 0, 0.0
        low, high = self.group.valid_min[number], self.group.valid_max[number]
        ends = (math.nan if low is None else low, math.nan if high is None else high)
        variable = self.data.variables[number]
        truth = stored[valid].astype(np.float64)
        error = np.abs(difference(decoded[valid], stored[valid]))
        worst = 0.0
        if target.relative == "pointwise":
            unpacked = np.abs(truth * variable.scale + variable.offset)
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = error * abs(variable.scale) / unpacked
            worst = float(np.where(error == 0, 0.0, shares).max())
        return int(breaches(target, variable, ends, truth, error).sum()), worst


def _valid(values: NDArray[Any], fill_values: tuple[Any, ...]) -> NDArray[np.bool_]:
    classes = masks.classify(values, masks.specials_of(values, fill_values))
    return np.equal(classes, 0)


def _changed(stored: NDArray[Any], decoded: NDArray[Any]) -> int:
    """Count the values that did not come back bit for bit."""
    if stored.tobytes() == decoded.tobytes():
        return 0
    bits = f"u{stored.dtype.itemsize}"
    pair = (np.ascontiguousarray(each).view(bits) for each in (stored, decoded))
    return int(np.not_equal(*pair).sum())


def _moved(
    stored: NDArray[Any],
    decoded: NDArray[Any],
    valid: NDArray[np.bool_],
    decoded_valid: NDArray[np.bool_],
) -> int:
    """Count the gaps that are not where they were, or not of the same kind."""
    if valid.all() and decoded_valid.all():
        return 0
    apart = valid != decoded_valid
    same = stored == decoded
    if stored.dtype.kind == "f":
        same |= np.isnan(stored) & np.isnan(decoded)
    return int((apart | (~valid & ~same)).sum())


def measure(
    cube: CubeFile,
    group: BandGroup,
    data: GroupInput,
    on_progress: OnProgress | None = None,
    target: Target | None = None,
) -> tuple[Compared, ...]:
    """Decode a group from a file and compare it, sample by sample.

    Parameters
    ----------
    cube : CubeFile
    group : BandGroup
    data : GroupInput
    on_progress : callable, optional
    target : Target, optional
        A bound is checked on every valid sample.

    Returns
    -------
    tuple of Compared
        Per variable, over coded samples.

    Raises
    ------
    ContainerError
        If the file is damaged.
    """
    return _measured(_comparison(cube, group, data, target), on_progress)


def _comparison(
    cube: CubeFile, group: BandGroup, data: GroupInput, target: Target | None
) -> _Comparison:
    parts = windows(group.shape, group.window, group.block)
    return _Comparison(cube, group, data, target, parts)


def _measured(of: _Comparison, on_progress: OnProgress | None) -> tuple[Compared, ...]:
    found: list[list[Compared]] = []
    compared = map_ordered(of.window, of.parts, of.workers)
    for window, stats in zip(of.parts, compared, strict=True):
        found.append(stats)
        if on_progress is not None:
            on_progress(
                Progress(
                    stage="verify",
                    done=window.time.stop,
                    total=of.group.shape[0],
                    detail=of.group.name,
                )
            )
    return tuple(reduce(add, column) for column in zip(*found, strict=True))


def measure_all(
    cube: CubeFile,
    variables: Mapping[str, StoredVariable],
    on_progress: OnProgress | None = None,
    targets: Mapping[str, Target] | None = None,
    inputs: Mapping[str, GroupInput] | None = None,
) -> dict[str, tuple[Compared, ...]]:
    """Compare every group of a file with a dataset's stored variables, and with its target.

    ``inputs`` are the readers of groups for which there are some already.
    """
    wanted, known = targets or {}, inputs or {}
    groups = cube.manifest.groups
    comparisons = [
        _comparison(
            cube,
            group,
            known.get(group.name) or group_input(group, variables, None, _ignored(cube, group)),
            wanted.get(group.name),
        )
        for group in groups
    ]
    # Groups of few windows side by side, as far as all of them fit into memory.
    fitting = [each.workers // len(each.parts) for each in comparisons]
    found = map_ordered(
        lambda each: _measured(each, on_progress), comparisons, max(1, min(fitting, default=1))
    )
    return {group.name: compared for group, compared in zip(groups, found, strict=True)}


def _ignored(cube: CubeFile, group: BandGroup) -> Sequence[Ignored]:
    manifest = cube.manifest
    return manifest.ignored if ignores(group.target or manifest.target) else ()


def check_sidecar(cube: CubeFile, variables: Sequence[StoredVariable]) -> None:
    """Compare all that is not coded as video.

    Raises
    ------
    ErrorBoundExceeded
        If a value, a dtype or a shape differs.
    """
    kept = cube.sidecar()
    for each in variables:
        if each.spec.name not in kept:
            continue
        before, after = np.asarray(each.variable.values), kept[each.spec.name]
        if not _identical(before, after):
            raise ErrorBoundExceeded(f"{each.spec.name!r} did not come back as it was")


def check_metadata(cube: CubeFile, variables: Sequence[StoredVariable]) -> None:
    """Compare dims, shapes, dtypes and attributes of all variables with the file's.

    Attributes are compared where both sides are in the same form, packed or decoded.

    Raises
    ------
    ErrorBoundExceeded
        If something differs; the message names the variable.
    """
    given = {each.spec.name: each.spec for each in variables}
    for spec in cube.manifest.variables:
        other = given[spec.name]
        if (spec.dims, spec.shape) != (other.dims, other.shape):
            raise ErrorBoundExceeded(
                f"{spec.name!r} is {spec.dims} {spec.shape} in the file, "
                f"{other.dims} {other.shape} in the reference"
            )
        if spec.cf == other.cf and (spec.dtype, spec.attrs) != (other.dtype, other.attrs):
            raise ErrorBoundExceeded(
                f"{spec.name!r} has another dtype or other attributes in the file"
            )


def _identical(before: NDArray[Any], after: NDArray[Any]) -> bool:
    if before.shape != after.shape:
        return False
    if before.dtype.hasobject:
        return all(map(_same_object, before.ravel(), after.ravel()))
    little = before.astype(before.dtype.newbyteorder("<"), copy=False)
    other = after.astype(after.dtype.newbyteorder("<"), copy=False)
    return bool(little.tobytes() == other.tobytes())


def _same_object(before: Any, after: Any) -> bool:
    """Compare elements of an object array; a missing value is one whatever its name."""
    return before is after or before == after or bool(pd.isna(before) and pd.isna(after))
