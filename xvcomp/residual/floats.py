"""Corrections that take a lossy base of floats to within a bound of the values."""

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
    "apply_float",
    "correct_float",
    "decode_float",
    "encode_float",
    "float_step",
]

# Larger corrections are not exact in float64; such samples are kept as they are.
_MAX_K = 1 << 52


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
