"""What an error bound means for stored samples, and how it becomes a quantiser."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import PlanError
from .pipeline import Correction, Prepared, VariableInput
from .residual import float_step, integer_step
from .spec import MaxError, ResidualSpec

__all__ = ["SLACK", "allowed_error", "breaches", "corrections", "mean_correction"]

SLACK = 1 + 4 * float(np.finfo(np.float64).eps)
"""Neither 0.0003 nor 0.0001 is exact in binary: 3 * 0.0001 counts as within 0.0003."""

_EXACT = 2.0**45
"""Larger multiples of a step lose precision in float64 arithmetic."""

_NARROW = 4.0
"""Largest over smallest magnitude up to which an absolute bound is tried for a relative one."""


def allowed_error(target: MaxError, variable: VariableInput, low: float, high: float) -> float:
    """Return the largest error of any stored sample that keeps a bound.

    Parameters
    ----------
    target : MaxError
        In unpacked units, or relative. One that is relative to each sample allows what it
        allows the smallest.
    variable : VariableInput
    low, high : float
        Extremes of the valid stored samples; NaN without any.

    Returns
    -------
    float
        For integers the largest integer whose unpacked size keeps the bound.
    """
    scale = abs(variable.scale)
    bound = target.value
    if target.relative == "range":
        bound *= (high - low) * scale if high > low else 0.0
    elif target.relative == "pointwise" and not variable.offset:
        return bound * _smallest(low, high)
    elif target.relative == "pointwise":
        bound *= _smallest(*_unpacked(variable, low, high))
    if variable.dtype.kind in "iu" and not math.isnan(bound):
        return float(_whole_bound(bound, scale))
    return bound if scale == 1.0 else math.nextafter(bound / scale, 0.0)


def breaches(
    target: MaxError,
    variable: VariableInput,
    ends: tuple[float, float],
    truth: NDArray[np.float64],
    error: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell which samples break a bound.

    Parameters
    ----------
    target : MaxError
    variable : VariableInput
    ends : (float, float)
        Extremes of the valid stored samples.
    truth, error : ndarray of float64, same shape
        Stored values, and magnitudes of their errors.
    """
    if target.relative != "pointwise":
        return np.asarray(~(error <= allowed_error(target, variable, *ends)))
    if not variable.offset:
        return np.asarray(~(error <= target.value * np.abs(truth)))
    unpacked = np.abs(truth * variable.scale + variable.offset)
    return np.asarray(~(error * abs(variable.scale) <= target.value * SLACK * unpacked))


def _unpacked(variable: VariableInput, low: float, high: float) -> tuple[float, float]:
    """Return the extremes that a reader sees."""
    one, other = (end * variable.scale + variable.offset for end in (low, high))
    return min(one, other), max(one, other)


def _whole_bound(bound: float, scale: float) -> int:
    """Return the largest n for which n * scale <= bound, both rounded as floats are."""
    whole = int(min(bound / scale, 2.0**52)) + 1
    while whole > 0 and whole * scale > bound * SLACK:
        whole -= 1
    return whole


def corrections(target: MaxError, prepared: Prepared) -> list[Correction]:
    """List the ways of keeping a bound; none if only the exact values keep it.

    Parameters
    ----------
    target : MaxError
    prepared : Prepared
        The variables, and their extremes.

    Raises
    ------
    PlanError
        If a bound is relative to each sample, and values with an offset come near zero.
    """
    variables = prepared.data.variables
    ends = list(zip(prepared.valid_min, prepared.valid_max, strict=True))
    limits = [allowed_error(target, v, *end) for v, end in zip(variables, ends, strict=True)]
    if target.relative != "pointwise":
        return _listed(_linear(prepared, limits))
    if any(variable.offset for variable in variables):
        # Logarithms are of stored values, which are not what a reader sees then.
        _refuse_zeros(prepared)
        return _listed(_linear(prepared, limits))
    narrow = all(_ratio(*end) <= _NARROW for end in ends)
    return _listed(
        _logarithmic(prepared, [target.value] * len(ends)),
        _linear(prepared, limits) if narrow else None,
    )


def _refuse_zeros(prepared: Prepared) -> None:
    ends = zip(prepared.valid_min, prepared.valid_max, strict=True)
    for variable, (low, high) in zip(prepared.data.variables, ends, strict=True):
        first, last = _unpacked(variable, low, high)
        if variable.offset and first <= 0 <= last:
            raise PlanError(
                f"{variable.name!r} has an add_offset of {variable.offset:g} and values from "
                f"{first:g} to {last:g}: a bound relative to each sample would allow those at "
                "zero no error; give an absolute one"
            )


def _listed(*found: Correction | None) -> list[Correction]:
    return [each for each in found if each is not None]


def _linear(prepared: Prepared, limits: list[float]) -> Correction | None:
    """Quantise values themselves; ``None`` if the steps would be finer than the values are."""
    variables = prepared.data.variables
    ends = zip(prepared.valid_min, prepared.valid_max, strict=True)
    steps = [_step(v, limit, *end) for v, limit, end in zip(variables, limits, ends, strict=True)]
    exact = [v.dtype.kind in "iu" and step == 1 for v, step in zip(variables, steps, strict=True)]
    if min(steps) <= 0 or all(exact):
        return None
    spec = ResidualSpec(kind="linear", steps=tuple(steps))
    return Correction(spec=spec, limits=tuple(limits))


def _step(variable: VariableInput, limit: float, low: float, high: float) -> float:
    """Return the widest step for a variable, or 0."""
    # One value, or none: clipping to the range gives it back, whatever was coded.
    if not low < high:
        return 1.0
    largest = max(abs(low), abs(high))
    if variable.dtype.kind in "iu":
        return float(integer_step(limit)) if largest < _EXACT else 0.0
    step = float_step(limit, largest, variable.dtype) if limit > 0 else 0.0
    return step if step * _EXACT > largest else 0.0


def _logarithmic(prepared: Prepared, limits: list[float]) -> Correction | None:
    """Quantise logarithms of magnitudes: the same relative error everywhere."""
    steps = []
    for variable, limit in zip(prepared.data.variables, limits, strict=True):
        floats = variable.dtype.kind == "f"
        # The cast to the stored dtype rounds once more.
        room = limit - (float(np.finfo(variable.dtype).eps) if floats else 0.0)
        steps.append(2 * math.log2(1 + room) if room > 0 else 0.0)
    if min(steps) <= 1 / _EXACT:
        return None
    return Correction(spec=ResidualSpec(kind="log", steps=tuple(steps)), limits=tuple(limits))


def _smallest(low: float, high: float) -> float:
    """Return the smallest magnitude in a range of values."""
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high))


def _ratio(low: float, high: float) -> float:
    smallest = _smallest(low, high)
    return max(abs(low), abs(high)) / smallest if smallest else math.inf


def mean_correction(
    step: float, prepared: Prepared, coder: Literal["pyramid", "wavelets"] = "pyramid"
) -> Correction | None:
    """Quantise all variables to one step in unpacked units, for the sake of the mean error.

    ``None`` where only the exact values are fine enough.
    """
    variables = prepared.data.variables
    widths = []
    for variable, low, high in zip(variables, prepared.valid_min, prepared.valid_max, strict=True):
        own = step / abs(variable.scale)
        whole = variable.dtype.kind in "iu"
        usable = own * _EXACT > max(abs(low), abs(high)) if low < high else True
        widths.append(max(1.0, math.floor(own)) if whole else own if usable else 0.0)
    exact = [v.dtype.kind in "iu" and w == 1 for v, w in zip(variables, widths, strict=True)]
    if min(widths) <= 0 or all(exact):
        return None
    if coder == "wavelets":
        # Samples are rounded to integers afterwards, whatever the step of coefficients.
        widths = [step / abs(variable.scale) for variable in variables]
    spec = ResidualSpec(kind="linear", coder=coder, steps=tuple(widths))
    return Correction(spec=spec, limits=(math.inf,) * len(variables))
