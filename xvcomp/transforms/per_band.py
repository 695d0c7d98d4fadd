"""Arithmetic of arrays with one number per band, in place and without broadcasting."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["apply"]


def apply(
    operation: Callable[..., Any], values: NDArray[np.float64], numbers: NDArray[np.float64]
) -> None:
    """Do ``values[:, k] = operation(values[:, k], numbers[k])`` for every band.

    The bits are those of broadcasting, in half the time: NumPy works on vectors where one
    side is a scalar, and element by element where it is broadcast.

    Parameters
    ----------
    operation : numpy.ufunc
    values : ndarray of float64, shape (time, band, ...)
        Changed in place.
    numbers : ndarray of float64, shape (band,)
    """
    for band, number in enumerate(numbers.tolist()):
        operation(values[:, band], number, out=values[:, band])
