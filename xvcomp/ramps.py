"""Regular float coordinates as a formula: found only where it gives every bit back."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_ramp", "encode_ramp"]

_RECORD = struct.Struct("<Bdd")
# Finer than this, the divisor of a step would not be exact.
_SMALLEST_STEP = 1e-15
_MULTIPLY, _LINSPACE, _ACCUMULATE, _DIVIDE = range(4)


def encode_ramp(values: NDArray[Any]) -> bytes | None:
    """Return 17 bytes that ``decode_ramp`` makes the same array of, or ``None``.

    Parameters
    ----------
    values : ndarray of float16, float32 or float64, shape (n,)

    Notes
    -----
    The formulas are those that coordinates are made by: ``start + i * step``,
    ``numpy.linspace``, repeated addition and ``(first + i) / divisor``, in float64, then
    cast to the dtype. Ends and steps are tried as they are, and as the short decimals
    that they probably were.
    """
    if values.ndim != 1 or values.size < 3 or values.dtype.kind != "f" or values.dtype.itemsize > 8:
        return None
    if not _looks_regular(values.astype(np.float64)):
        return None
    for record in _candidates(values):
        data = _RECORD.pack(*record)
        if decode_ramp(data, values.size, values.dtype).tobytes() == values.tobytes():
            return data
    return None


def decode_ramp(data: bytes, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``encode_ramp``.

    Raises
    ------
    ValueError
        If the data are damaged.
    """
    if len(data) != _RECORD.size or data[0] >= len(_FORMULAS):
        raise ValueError(f"a ramp is {_RECORD.size} bytes of a known kind, got {data!r}")
    kind, start, extent = _RECORD.unpack(data)
    with np.errstate(over="ignore", invalid="ignore"):
        return _FORMULAS[kind](start, extent, size).astype(dtype)


def _multiplied(start: float, step: float, size: int) -> NDArray[np.float64]:
    product = np.arange(size, dtype=np.float64) * step
    return start + product


def _linspaced(start: float, stop: float, size: int) -> NDArray[np.float64]:
    values = _multiplied(start, (stop - start) / (size - 1), size)
    values[-1] = stop
    return values


def _accumulated(start: float, step: float, size: int) -> NDArray[np.float64]:
    terms = np.full(size, step)
    terms[0] = start
    # Sequential by definition, unlike sum.
    return np.add.accumulate(terms)


def _divided(first: float, divisor: float, size: int) -> NDArray[np.float64]:
    numerators = first + np.arange(size, dtype=np.float64)
    return numerators / divisor


_FORMULAS = (_multiplied, _linspaced, _accumulated, _divided)


def _looks_regular(values: NDArray[np.float64]) -> bool:
    if not np.isfinite(values).all() or values[0] == values[-1]:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        even = _linspaced(float(values[0]), float(values[-1]), values.size)
        # A step off by a tenth anywhere is no ramp; rounding, even of float16, is less.
        return bool(np.abs(values - even).max() < 0.1 * abs(even[1] - even[0]))


def _candidates(values: NDArray[Any]) -> Iterator[tuple[int, float, float]]:
    """List formulas, most usual first."""
    size = values.size
    ends = [_likely(values[0]), _likely(values[-1])]
    for start in ends[0]:
        for stop in ends[1]:
            yield _LINSPACE, start, stop
            step = (stop - start) / (size - 1)
            for likely in _likely_steps(step, float(values[1]) - float(values[0])):
                yield _MULTIPLY, start, likely
                yield _ACCUMULATE, start, likely
            if _SMALLEST_STEP < abs(step) < 1 and abs(start) < 1 / _SMALLEST_STEP:
                divisor = float(round(1 / step))
                yield _DIVIDE, float(round(start * divisor)), divisor


def _likely(value: Any) -> list[float]:
    """Return the value, and the decimal that a narrower float prints as."""
    return list(dict.fromkeys((float(value), float(str(value.item())), float(f"{value!s}"))))


def _likely_steps(*steps: float) -> list[float]:
    """Return the steps, and the decimals and fractions that they probably were."""
    found = []
    for step in steps:
        found += [step, *(float(f"{step:.{digits}g}") for digits in (3, 6, 9, 12, 15))]
        if _SMALLEST_STEP < abs(step) < 1:
            found.append(1 / round(1 / step))
    return list(dict.fromkeys(found))
