"""Powers of two of floats, with the same bits on every machine."""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

__all__ = ["exp2"]

_LOG_2 = 0.6931471805599453
_TERMS = tuple(accumulate(range(1, 18), lambda term, n: term * _LOG_2 / n, initial=1.0))
_LIMIT = 1100.0


def exp2(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``2**exponents`` to a few units of the last place.

    ``numpy.exp2`` may differ between machines in the last bit. This is a power series
    with its terms added one by one, which IEEE 754 fixes, and an exact scaling.

    Examples
    --------
    >>> exp2(np.array([0.0, 3.0, -1.0]))
    array([1. , 8. , 0.5])
    """
    bounded = np.clip(np.nan_to_num(exponents), -_LIMIT, _LIMIT)
    whole = np.rint(bounded)
    fraction = bounded - whole
    total = np.full(fraction.shape, _TERMS[-1])
    for term in _TERMS[-2::-1]:
        total *= fraction
        total += term
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(total, whole.astype(np.int32)))
