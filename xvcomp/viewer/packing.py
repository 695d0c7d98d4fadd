"""Fields as text for a page: 16-bit codes, the differences of neighbours, deflated, base64."""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Packed", "pack_errors", "pack_values"]

_TOP = 65533
_HALF = 32767


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Codes, and what they mean.

    Parameters
    ----------
    text : str
        Base64 of a zlib stream of the high bytes, then the low bytes, of the differences
        of the codes, modulo 65536.
    low, high : float
        Of values: code 1 and code 65534. Of errors: those of code 1 and code 65535, with
        0 at 32768. Code 0 is missing.
    """

    text: str
    low: float
    high: float


def pack_values(values: NDArray[np.float64]) -> Packed:
    """Pack values; the rounding is at most half of 1/65533 of their range.

    Parameters
    ----------
    values : ndarray of float64, shape (frames, y, x)
        NaN is missing.
    """
    valid = np.isfinite(values)
    low = float(values[valid].min()) if valid.any() else 0.0
    high = float(values[valid].max()) if valid.any() else 0.0
    scale = _TOP / (high - low) if high > low else 0.0
    codes = np.zeros(values.shape, np.uint16)
    codes[valid] = 1 + np.rint((values[valid] - low) * scale).astype(np.uint16)
    return Packed(text=_pack(codes), low=low, high=high)


def pack_errors(errors: NDArray[np.float64]) -> Packed:
    """Pack errors; no error stays no error, and the rounding is 1/65534 of the largest.

    Parameters
    ----------
    errors : ndarray of float64, shape (frames, y, x)
        NaN is missing on either side.
    """
    valid = np.isfinite(errors)
    limit = float(np.abs(errors[valid]).max()) if valid.any() else 0.0
    codes = np.zeros(errors.shape, np.uint16)
    scale = _HALF / limit if limit > 0 else 0.0
    codes[valid] = (_HALF + 1 + np.rint(errors[valid] * scale).astype(np.int32)).astype(np.uint16)
    return Packed(text=_pack(codes), low=-limit, high=limit)


def _pack(codes: NDArray[np.uint16]) -> str:
    flat = codes.ravel()
    steps = np.diff(flat, prepend=np.uint16(0))  # wraps around, as the page's sum does
    planes = np.concatenate([(steps >> 8).astype(np.uint8), (steps & 0xFF).astype(np.uint8)])
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")
