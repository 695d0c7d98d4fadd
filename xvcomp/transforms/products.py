"""Products of matrices, cut so that a BLAS library does each part in the thread that asks.

OpenBLAS gives larger products to threads of its own, which wait for each other by spinning.
Beside an encoder, a decoder or a second window all cores are busy: a product of 0.2 ms then
takes 4 to 16 ms, as was measured on two cores.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["gram", "grams", "multiply"]

_ALONE = 200_000
"""Multiplications of a part; OpenBLAS takes several threads from 2**18 on."""

_LEAST_COLUMNS = 8
_BLOCK = 13
"""Rows whose products with each other are one part."""

_Float = TypeVar("_Float", np.float32, np.float64)


def grams(rows: NDArray[_Float]) -> NDArray[_Float]:
    """Return the `gram` of each of many.

    Parameters
    ----------
    rows : ndarray of float, shape (n, k, m)

    Returns
    -------
    ndarray of float, shape (n, k, k)
    """
    count, size, length = rows.shape
    if size**2 * length <= _ALONE:
        return np.asarray(np.matmul(rows, rows.swapaxes(1, 2)))
    return np.stack([gram(each) for each in rows]) if count else rows[:, :, :size]


def multiply(left: NDArray[_Float], right: NDArray[_Float]) -> NDArray[_Float]:
    """Return ``left @ right``.

    Parameters
    ----------
    left : ndarray of float, shape (m, k)
    right : ndarray of float, shape (..., k, n)

    Returns
    -------
    ndarray of float, shape (..., m, n)
    """
    count = right.shape[-1]
    most = max(_LEAST_COLUMNS, _ALONE // left.size)
    if count <= most:
        return np.asarray(np.matmul(left, right))
    out = np.empty((*right.shape[:-2], len(left), count), dtype=right.dtype)
    for start in range(0, count, most):
        part = slice(start, start + most)
        np.matmul(left, right[..., part], out=out[..., part])
    return out


def gram(rows: NDArray[_Float]) -> NDArray[_Float]:
    """Return ``rows @ rows.T``.

    Parameters
    ----------
    rows : ndarray of float, shape (k, n)

    Returns
    -------
    ndarray of float, shape (k, k)
        Symmetric.
    """
    size, count = rows.shape
    if size == 1:
        # A dot product: OpenBLAS takes several threads for these from 10,000 columns on.
        return np.asarray(np.einsum("kn,ln->kl", rows, rows))
    out = np.zeros((size, size), dtype=rows.dtype)
    blocks = [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]
    most = _ALONE // min(size, _BLOCK) ** 2
    for start in range(0, count, most):
        part = rows[:, start : start + most]
        for number, one in enumerate(blocks):
            for other in blocks[: number + 1]:
                out[one, other] += part[one] @ part[other].T
    lower = np.tril(out, -1)
    return np.asarray(lower + lower.T + np.diag(np.diagonal(out)))
