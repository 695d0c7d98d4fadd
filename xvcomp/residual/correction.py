"""Corrections that take a lossy base to within a bound of the values, or to the bit.

Each ``correct_*`` runs in the encoder, its ``apply_*`` in both encoder and decoder.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import from_ordered, from_signed, ordered_dtype, to_ordered, to_signed
from .framing import join_varints, pack, split_varints, unpack
from .integers import decode_ints, encode_ints

__all__ = [
    "FloatCorrection",
    "apply_bits",
    "apply_float",
    "apply_integer",
    "correct_bits",
    "correct_float",
    "correct_integer",
    "decode_float",
    "encode_float",
    "float_step",
    "integer_step",
]

# Larger corrections are not exact in float64; such samples are kept as they are.
_MAX_K = 1 << 52


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


def float_step(bound: float, largest: float, dtype: np.dtype[Any]) -> float:
    """Return the step for ``correct_float``, or 0 if only ``bits`` can keep the bound.

    Parameters
    ----------
    bound : float
        Largest error allowed, positive.
    largest : float
        Largest magnitude among the values.
    dtype : dtype
        Of the values: float16, float32 or float64.

    Notes
    -----
    Twice the bound, less the rounding of the cast to ``dtype``, so that exceptions are
    rare. A bound below the spacing of ``dtype`` at ``largest`` gives 0.
    """
    if not bound > 0:
        raise ValueError(f"an error bound must be positive, got {bound!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        spacing = float(np.spacing(np.abs(dtype.type(largest))))
    if not (math.isfinite(spacing) and spacing < bound and math.isfinite(2 * bound)):
        return 0.0
    return 2 * bound - spacing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FloatCorrection:
    """What ``correct_float`` found.

    Parameters
    ----------
    k : ndarray of int64, shape of the values
        Multiples of the step.
    positions : ndarray of int64, shape (exceptions,)
        Flat positions, rising, of the samples that no multiple brings within the bound.
    exceptions : ndarray of the values' dtype, shape (exceptions,)
        The exact values there.
    """

    k: NDArray[np.int64]
    positions: NDArray[np.int64]
    exceptions: NDArray[Any]


def correct_float(
    values: NDArray[Any],
    base: NDArray[np.float64],
    step: float,
    bound: float | NDArray[np.float64],
    *,
    valid: NDArray[np.bool_] | None = None,
) -> FloatCorrection:
    """Find multiples of ``step`` that bring ``base`` within ``bound`` of the values.

    Parameters
    ----------
    values : ndarray of float16, float32 or float64, any shape
    base : ndarray of float64, same shape
        Finite.
    step : float
        Positive, from ``float_step``.
    bound : float or ndarray of float64
        Largest |error| of a sample, measured in float64 after the cast to the dtype.
    valid : ndarray of bool, optional
        Samples that are not valid get no correction and no exception.

    Returns
    -------
    FloatCorrection
        Applied by ``apply_float``, every valid sample keeps the bound: those that
        rounding would push past it are exceptions, exact to the bit.
    """
    if not (step > 0 and math.isfinite(step)) or not np.isfinite(base).all():
        raise ValueError(f"step must be positive and base finite, got step {step!r}")
    wanted = np.ones(values.shape, bool) if valid is None else valid
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = np.rint((values.astype(np.float64) - base) / step)
        usable = wanted & (np.abs(ratio) <= _MAX_K)
        k = np.where(usable, ratio, 0).astype(np.int64)
        error = np.abs(values.astype(np.float64) - _stepped(base, k, step, values.dtype))
        positions = np.flatnonzero(wanted & ~(error <= bound))
    k.reshape(-1)[positions] = 0
    return FloatCorrection(k=k, positions=positions, exceptions=values.reshape(-1)[positions])


def apply_float(
    base: NDArray[np.float64], correction: FloatCorrection, step: float
) -> NDArray[Any]:
    """Return ``base + k * step`` in the dtype of the exceptions, and the exceptions."""
    with np.errstate(over="ignore", invalid="ignore"):
        dtype = correction.exceptions.dtype
        result = _stepped(base, correction.k, step, dtype).astype(dtype)
    result.reshape(-1)[correction.positions] = correction.exceptions
    return result


def _stepped(
    base: NDArray[np.float64], k: NDArray[np.int64], step: float, dtype: np.dtype[Any]
) -> NDArray[np.float64]:
    """Rebuild in the output's precision, as float64; in two steps, so that nothing fuses."""
    product = k.astype(np.float64) * step
    total = base + product
    return total.astype(dtype).astype(np.float64)


def encode_float(correction: FloatCorrection) -> bytes:
    """Write a correction: the multiples, and the exceptions where there are any."""
    k = encode_ints(correction.k)
    if correction.positions.size == 0:
        return pack([k])
    gaps = np.diff(correction.positions, prepend=-1) - 1
    exact = to_signed(to_ordered(correction.exceptions))
    count = join_varints([correction.positions.size])
    return pack([k, count, encode_ints(gaps), encode_ints(exact)])


def decode_float(payload: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatCorrection:
    """Undo ``encode_float``.

    Raises
    ------
    ValueError
        If the payload is damaged or of another shape.
    """
    parts = unpack(payload)
    if len(parts) not in (1, 4):
        raise ValueError(f"a float correction has 1 or 4 parts, got {len(parts)}")
    k = decode_ints(parts[0], shape)
    if len(parts) == 1:
        return FloatCorrection(k=k, positions=np.empty(0, np.int64), exceptions=np.empty(0, dtype))
    (count,), _ = split_varints(parts[1], 1)
    if not 0 < count <= k.size:
        raise ValueError(f"{count} exceptions among {k.size} samples")
    gaps = decode_ints(parts[2], (count,))
    if gaps.min() < 0 or gaps.max() >= k.size or gaps.sum() + count > k.size:
        raise ValueError("the positions of the exceptions are damaged")
    codes = from_signed(decode_ints(parts[3], (count,)), ordered_dtype(dtype))
    positions = np.cumsum(gaps + 1) - 1
    return FloatCorrection(k=k, positions=positions, exceptions=from_ordered(codes, dtype))


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
