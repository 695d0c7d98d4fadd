"""Corrections of integers to within a bound of the values, and of any numbers to the bit.

Each ``correct_*`` runs in the encoder, its ``apply_*`` in both encoder and decoder.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import from_ordered, from_signed, ordered_dtype, to_ordered, to_signed

__all__ = [
    "apply_bits",
    "apply_integer",
    "correct_bits",
    "correct_integer",
    "integer_step",
]


def integer_step(bound: float) -> int:
    """Return the widest step whose rounding keeps integers within ``bound``.

    Parameters
    ----------
    bound : float
        Largest error allowed, in stored units, at least 0.

    Returns
    -------
    int
        ``2 * floor(bound) + 1``; 1 is lossless. At most 2**53 - 1, so that a float holds it.

    Examples
    --------
    >>> integer_step(2.7)
    5
    """
    if not bound >= 0:
        raise ValueError(f"an error bound must be at least 0, got {bound!r}")
    return 2 * int(min(bound, 2**52 - 1)) + 1


def correct_integer(stored: NDArray[Any], base: NDArray[Any], step: int) -> NDArray[np.int64]:
    """Return ``round((stored - base) / step)``, exact at the extremes of every dtype.

    Parameters
    ----------
    stored, base : ndarray of one integer dtype, any shape
    step : int
        At least 1. With 1 the differences are modular, and the result exact.

    Raises
    ------
    ValueError
        If dtypes or shapes differ, or the step is not positive.
    """
    _check_integers(stored, base, step)
    if step == 1:
        difference = _unsigned(stored) - _unsigned(base)
        return to_signed(difference)
    below = stored < base
    magnitude = _distance(stored, base, below)
    quotient, rest = np.divmod(magnitude, np.uint64(step))
    k = (quotient + (rest > step // 2)).astype(np.int64)
    return np.where(below, -k, k)


def apply_integer(
    base: NDArray[Any],
    k: NDArray[np.int64],
    step: int,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
) -> NDArray[Any]:
    """Return ``base + k * step``, kept within the dtype and within [vmin, vmax].

    Notes
    -----
    For ``k`` of ``correct_integer`` the result is within ``step // 2`` of the stored
    values, if those lie in [vmin, vmax]: saturating only brings it nearer.
    """
    _check_integers(base, base, step)
    if step == 1:
        unsigned = _unsigned(base)
        moved = unsigned + from_signed(k, unsigned.dtype)
        result = moved.view(base.dtype.newbyteorder("=")).astype(base.dtype)
    else:
        result = _saturating_add(base, k, step)
    low, high = _limits(base.dtype, vmin, vmax)
    clipped: NDArray[Any] = np.clip(result, low, high).astype(base.dtype, copy=False)
    return clipped


def _check_integers(stored: NDArray[Any], base: NDArray[Any], step: int) -> None:
    if stored.dtype.kind not in "iu" or stored.dtype != base.dtype or stored.shape != base.shape:
        raise ValueError(
            f"stored and base must be integers of one dtype and shape, got {stored.dtype} "
            f"{stored.shape} and {base.dtype} {base.shape}"
        )
    if step < 1:
        raise ValueError(f"step must be at least 1, got {step}")


def _unsigned(values: NDArray[Any]) -> NDArray[Any]:
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return native.reshape(values.shape).view(f"u{values.dtype.itemsize}")


def _distance(a: NDArray[Any], b: NDArray[Any], below: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return |a - b|, which needs the unsigned dtype: int64 spans 2**64."""
    # A signed value cast to uint64 wraps, and the modular difference is right again.
    ua, ub = a.astype(np.uint64), b.astype(np.uint64)
    return np.where(below, ub - ua, ua - ub)


def _saturating_add(base: NDArray[Any], k: NDArray[np.int64], step: int) -> NDArray[Any]:
    info = np.iinfo(base.dtype)
    down = k < 0
    magnitude = np.where(down, -k, k).astype(np.uint64)
    top = np.uint64(2**64 - 1)
    fits = magnitude <= top // np.uint64(step)
    magnitude = np.where(fits, magnitude * np.uint64(step), top)
    wide = base.astype(np.uint64)
    room_up = np.uint64(info.max) - wide
    room_down = wide - np.uint64(info.min % 2**64)
    moved = np.where(down, wide - np.minimum(magnitude, room_down), 0)
    raised = wide + np.minimum(magnitude, room_up)
    return np.where(down, moved, raised).astype(base.dtype)


def _limits(dtype: np.dtype[Any], vmin: float | None, vmax: float | None) -> tuple[Any, Any]:
    info = np.iinfo(dtype)
    low = info.min if vmin is None else math.floor(_outward(vmin, -math.inf))
    high = info.max if vmax is None else math.ceil(_outward(vmax, math.inf))
    low, high = (min(max(limit, info.min), info.max) for limit in (low, high))
    return dtype.type(low), dtype.type(high)


def _outward(limit: float, direction: float) -> float:
    """Undo the rounding that a 64-bit integer may have had on its way into a float."""
    return limit if abs(limit) < 2**53 else float(math.nextafter(limit, direction))


def correct_bits(values: NDArray[Any], base: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Return the differences of bit patterns that ``apply_bits`` adds to ``base``.

    Parameters
    ----------
    values : ndarray of bool, integer, float, datetime64 or timedelta64, any shape
    base : ndarray of the same dtype and shape, optional
        Without it, the integers are the (order-preserving) bit patterns themselves.
    """
    codes = to_ordered(values)
    if base is None:
        return to_signed(codes)
    if base.dtype != values.dtype or base.shape != values.shape:
        raise ValueError(f"base must be {values.dtype} {values.shape}, got {base.dtype}")
    return to_signed(codes - to_ordered(base))


def apply_bits(
    k: NDArray[np.int64], dtype: np.dtype[Any], base: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Undo ``correct_bits``: exact, NaN payloads and -0.0 included."""
    codes = from_signed(k, ordered_dtype(dtype))
    return from_ordered(codes if base is None else codes + to_ordered(base), dtype)
