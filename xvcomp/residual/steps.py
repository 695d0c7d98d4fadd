"""The widest steps whose rounding keeps a bound."""

import math
from typing import Any

import numpy as np

__all__ = ["float_step", "integer_step"]


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


def float_step(bound: float, largest: float, dtype: np.dtype[Any]) -> float:
    """Return the widest step for floats, or 0 if only their bits can keep the bound.

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
    Twice the bound, less the rounding of the cast to ``dtype``, so that samples which
    miss it are rare. A bound below the spacing of ``dtype`` at ``largest`` gives 0.
    """
    if not bound > 0:
        raise ValueError(f"an error bound must be positive, got {bound!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        spacing = float(np.spacing(np.abs(dtype.type(largest))))
    if not (math.isfinite(spacing) and spacing < bound and math.isfinite(2 * bound)):
        return 0.0
    return 2 * bound - spacing
