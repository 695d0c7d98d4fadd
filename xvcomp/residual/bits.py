"""Any array of numbers as unsigned integers of the same order and width, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_ordered", "from_signed", "ordered_dtype", "to_ordered", "to_signed"]


def ordered_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned dtype in which values of ``dtype`` are ordered.

    Raises
    ------
    TypeError
        If ``dtype`` is not made of 1, 2, 4 or 8 byte numbers.
    """
    if dtype.kind not in "buifmM" or dtype.itemsize > 8:
        raise TypeError(f"{dtype} has no order-preserving integer form")
    return np.dtype(f"u{dtype.itemsize}")


def to_ordered(values: NDArray[Any]) -> NDArray[Any]:
    """Map values to unsigned integers of the same width that sort the same way.

    Every bit pattern has its own integer: NaN payloads and -0.0 come back.

    Parameters
    ----------
    values : ndarray of bool, integer, float16/32/64, datetime64 or timedelta64
        Any shape, any byte order.
    """
    kind, unsigned = values.dtype.kind, ordered_dtype(values.dtype)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    codes: NDArray[Any] = native.view(unsigned).reshape(values.shape)
    if kind in "bu":
        return codes
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    # Negative floats are sign and magnitude: larger bits are smaller numbers.
    below = ~codes if kind == "f" else codes ^ sign
    ordered: NDArray[Any] = np.where(codes >= sign, below, codes ^ sign)
    return ordered


def from_ordered(codes: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``to_ordered``."""
    unsigned = ordered_dtype(dtype)
    native = dtype.newbyteorder("=")
    codes = np.ascontiguousarray(codes, dtype=unsigned)
    if dtype.kind not in "bu":
        sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
        flipped = np.where(codes & sign, codes ^ sign, ~codes)
        codes = flipped if dtype.kind == "f" else codes ^ sign
    return codes.view(native).astype(dtype, copy=False)


def to_signed(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Read modular differences as signed: 255 of uint8 is -1."""
    signed = np.dtype(f"i{codes.dtype.itemsize}")
    return codes.view(signed).astype(np.int64)


def from_signed(k: NDArray[np.int64], unsigned: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``to_signed``; what does not fit wraps."""
    return k.astype(unsigned)
