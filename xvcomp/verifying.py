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
from .bounds import allowed_error
from .dataset import StoredVariable
from .errors import ErrorBoundExceeded
from .inputs import group_input
from .metrics import ErrorStats
from .pipeline import GroupInput
from .pipeline.parallel import cpu_count, map_ordered
from .pipeline.windows import Window, windows
from .reading import CubeFile
from .results import OnProgress, Progress, Report
from .spec import BandGroup, Bpppb, MaxError, Psnr, Ratio, Target

__all__ = ["check_metadata", "check_promises", "check_sidecar", "measure", "measure_all"]


@dataclass(frozen=True, slots=True)
class _Comparison:
    cube: CubeFile
    group: BandGroup
    data: GroupInput
    target: Target | None = None

    def window(self, window: Window) -> list[ErrorStats]:
        """Compare one GOP of one block."""
        decoded = self.cube.part(self.group, window.index, window.block)
        return [
            self._variable(number, decoded[number], window)
            for number in range(len(self.data.variables))
        ]

    def _variable(self, number: int, decoded: NDArray[Any], window: Window) -> ErrorStats:
        variable = self.data.variables[number]
        stored = variable.read(window.time, window.y, window.x)
        if self.group.lossless and stored.tobytes() != decoded.tobytes():
            raise ErrorBoundExceeded(f"{variable.name!r} was to be lossless, and is not")
        valid = _valid(stored, variable.fill_values)
        if not _same_gaps(stored, decoded, valid, _valid(decoded, variable.fill_values)):
            raise ErrorBoundExceeded(
                f"{variable.name!r}: missing values did not come back where they were"
            )
        counted = valid
        if variable.ignore is not None:
            counted = valid & ~variable.ignore(window.time, window.y, window.x)
        if isinstance(self.target, MaxError):
            self._check_bound(self.target, number, stored, decoded, valid)
        return ErrorStats.of(stored, decoded, counted).scaled(variable.scale, variable.offset)

    def _check_bound(
        self,
        target: MaxError,
        number: int,
        stored: NDArray[Any],
        decoded: NDArray[Any],
        valid: NDArray[np.bool_],
    ) -> None:
        if self.group.lossless or not valid.any():
            return
        low, high = self.group.valid_min[number], self.group.valid_max[number]
        if low is None or high is None:
            raise ErrorBoundExceeded(f"group {self.group.name!r} knows no valid samples")
        variable = self.data.variables[number]
        allowed = allowed_error(target, variable, low, high)
        truth = stored[valid].astype(np.float64)
        error = np.abs(truth - decoded[valid].astype(np.float64))
        pointwise = target.relative == "pointwise"
        if not (error <= (allowed * np.abs(truth) if pointwise else allowed)).all():
            raise ErrorBoundExceeded(
                f"{variable.name!r} is off by up to {error.max():g} in stored units; "
                f"promised: {target.value:g} ({target.relative})"
            )


def _valid(values: NDArray[Any], fill_values: tuple[Any, ...]) -> NDArray[np.bool_]:
    classes = masks.classify(values, masks.specials_of(values, fill_values))
    return np.equal(classes, 0)


def _same_gaps(
    stored: NDArray[Any],
    decoded: NDArray[Any],
    valid: NDArray[np.bool_],
    decoded_valid: NDArray[np.bool_],
) -> bool:
    if not np.array_equal(valid, decoded_valid):
        return False
    return bool(np.array_equal(stored[~valid], decoded[~valid], equal_nan=stored.dtype.kind == "f"))


def measure(
    cube: CubeFile,
    group: BandGroup,
    data: GroupInput,
    on_progress: OnProgress | None = None,
    target: Target | None = None,
) -> tuple[ErrorStats, ...]:
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
    tuple of ErrorStats
        Per variable, in unpacked units, over coded samples.

    Raises
    ------
    ErrorBoundExceeded
        If a gap moved, a lossless value changed, or a bound is broken.
    ContainerError
        If the file is damaged.
    """
    comparison = _Comparison(cube, group, data, target)
    parts = windows(group.shape, group.window, group.block)
    found: list[list[ErrorStats]] = []
    samples = max(math.prod(part.shape) for part in parts) * group.shape[1]
    workers = data.memory.workers(samples, cpu_count())
    for window, stats in zip(parts, map_ordered(comparison.window, parts, workers), strict=True):
        found.append(stats)
        if on_progress is not None:
            on_progress(
                Progress(
                    stage="verify",
                    done=window.time.stop,
                    total=group.shape[0],
                    detail=group.name,
                )
            )
    return tuple(reduce(add, column) for column in zip(*found, strict=True))


def measure_all(
    cube: CubeFile,
    variables: Mapping[str, StoredVariable],
    on_progress: OnProgress | None = None,
    targets: Mapping[str, Target] | None = None,
    inputs: Mapping[str, GroupInput] | None = None,
) -> dict[str, tuple[ErrorStats, ...]]:
    """Compare every group of a file with a dataset's stored variables, and with its target.

    ``inputs`` are the readers of groups for which there are some already.
    """
    wanted, known = targets or {}, inputs or {}
    return {
        group.name: measure(
            cube,
            group,
            known.get(group.name) or group_input(group, variables),
            on_progress,
            wanted.get(group.name),
        )
        for group in cube.manifest.groups
    }


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


def check_promises(report: Report, targets: Mapping[str, Target]) -> None:
    """Compare what a finished file holds with what was asked for.

    Parameters
    ----------
    report : Report
        Measured on the finished file.
    targets : Mapping[str, Target]
        Per group.

    Raises
    ------
    ErrorBoundExceeded
        If a target is missed.
    """
    for group in report.groups:
        target = targets[group.name]
        reached = report.set_psnr_db.get(group.quality_set)
        if isinstance(target, Psnr) and reached is not None and reached < target.db:
            raise ErrorBoundExceeded(
                f"group {group.name!r} has {reached:.2f} dB in the finished file, "
                f"{target.db} were promised"
            )
    if isinstance(report.target, Bpppb) and report.bpppb > report.target.bits:
        raise ErrorBoundExceeded(
            f"the file has {report.bpppb:.4f} bpppb, {report.target.bits} were promised"
        )
    if isinstance(report.target, Ratio) and report.ratio < report.target.ratio:
        raise ErrorBoundExceeded(
            f"the file is {report.ratio:.1f} times smaller, {report.target.ratio} were promised"
        )
