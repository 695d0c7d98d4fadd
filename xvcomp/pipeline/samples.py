"""Rebuilt values to samples of the stored dtype, within the range of the valid ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["VariableForm", "clip", "step_off", "to_dtype"]


@dataclass(frozen=True, slots=True)
class VariableForm:
    """What decoding must know of a variable: how many bands it has, and their dtype."""

    bands: int
    dtype: np.dtype[Any]


def clip(values: NDArray[np.float64], low: float | None, high: float | None) -> NDArray[np.float64]:
    """Limit samples to the range of the valid ones, if there are any."""
    return values if low is None or high is None else np.clip(values, low, high)


def to_dtype(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast to the stored dtype, rounding and saturating integers."""
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    rounded = np.rint(values)
    limits = np.iinfo(dtype)
    # float64 cannot hold the largest 64-bit integers: casting them would wrap around.
    high = np.nextafter(float(limits.max), 0.0) if limits.bits == 64 else float(limits.max)
    return np.clip(rounded, float(limits.min), high).astype(dtype)


def step_off(
    values: NDArray[Any], specials: NDArray[Any], low: float | None, high: float | None
) -> NDArray[Any]:
    """Move samples that came out equal to a special value to its nearest neighbour.

    Otherwise a valid sample would turn into the fill value.
    """
    if low is None or high is None:
        return values
    finite = [value for value in specials if np.isfinite(value)]
    for value in finite:
        hit = values == value
        if not hit.any():
            continue
        values = values.copy() if not values.flags.writeable else values
        values[hit] = _neighbour(value, finite, low, high)
    return values


def _neighbour(value: Any, taken: list[Any], low: float, high: float) -> Any:
    """Find the nearest value that is no special one, within the range of valid samples."""
    up = down = value
    for _ in range(len(taken) + 1):
        up, down = _next(up, True), _next(down, False)
        for candidate in (up, down):
            if low <= candidate <= high and candidate not in taken:
                return candidate
    raise ValueError(f"no valid neighbour of the fill value {value}")


def _next(value: Any, upwards: bool) -> Any:
    if value.dtype.kind == "f":
        return np.nextafter(value, value.dtype.type(np.inf if upwards else -np.inf))
    limits = np.iinfo(value.dtype)
    if value == (limits.max if upwards else limits.min):
        return value
    return value.dtype.type(int(value) + (1 if upwards else -1))
