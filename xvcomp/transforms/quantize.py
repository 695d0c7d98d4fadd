"""Components to integer codes and back, with one step for all components."""

import numpy as np
from numpy.typing import NDArray

from ..spec import Quantization
from . import per_band

__all__ = ["SQUARED_STEPS_PER_BIT", "dequantize", "fit", "quantize", "smallest_step"]

SQUARED_STEPS_PER_BIT = 0.115
"""What a bit takes off the sum of squared errors at a high rate, in units of step**2."""


def smallest_step(low: NDArray[np.float64], high: NDArray[np.float64], bit_depth: int) -> float:
    """Return the finest common step at which every component fits into the codes.

    Parameters
    ----------
    low, high : ndarray of float64, shape (component,)
        Extremes of each component.
    bit_depth : int
    """
    # Two codes less than there are: rounding at both ends must not saturate.
    widest = float((high - low).max())
    return widest / (2**bit_depth - 3) if widest > 0 else 1.0


def fit(
    low: NDArray[np.float64], high: NDArray[np.float64], bit_depth: int, step: float
) -> Quantization:
    """Place each component's range within the codes.

    A zero component goes to mid-grey where its range allows it, so that neighbouring
    tiles meet without an edge that would cost bits.
    """
    middle, max_code = 2 ** (bit_depth - 1), 2**bit_depth - 1
    least = np.ceil(-low / step)
    most = np.floor(max_code - high / step)
    offsets = np.clip(middle, np.minimum(least, most), np.maximum(least, most))
    return Quantization(
        bit_depth=bit_depth, step=step, offsets=tuple(int(offset) for offset in offsets)
    )


def quantize(components: NDArray[np.float64], q: Quantization) -> NDArray[np.uint16]:
    """Round components to codes.

    Parameters
    ----------
    components : ndarray of float64, shape (time, component, y, x)
        Values outside the codes' range saturate.
    q : Quantization

    Raises
    ------
    ValueError
        If there is a NaN; fill gaps first.
    """
    if np.isnan(components.min(initial=np.inf)):
        raise ValueError("components hold NaN; fill gaps before quantizing")
    codes = components / q.step
    per_band.apply(np.add, codes, np.array(q.offsets, dtype=np.float64))
    np.rint(codes, out=codes)
    np.clip(codes, 0, q.max_code, out=codes)
    return codes.astype(np.uint16)


def dequantize(codes: NDArray[np.generic], q: Quantization) -> NDArray[np.float64]:
    """Return codes minus their offsets, exactly; the step is applied by ``klt.inverse``."""
    levels = codes.astype(np.float64)
    per_band.apply(np.subtract, levels, np.array(q.offsets, dtype=np.float64))
    return levels
