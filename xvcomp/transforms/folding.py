"""Temporal folding: consecutive frames become bands of one frame, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fold", "unfold"]


def fold(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Turn ``n`` consecutive frames into bands of one.

    Parameters
    ----------
    values : ndarray, shape (time, band, y, x)
    n : int
        Frames to fold. The last frame is repeated until ``n`` divides the length.

    Returns
    -------
    ndarray, shape (ceil(time / n), n * band, y, x)
        Band ``j * band + b`` of frame ``i`` is band ``b`` of frame ``i * n + j``.
    """
    if n == 1:
        return values
    time, bands, y, x = values.shape
    short = -time % n
    if short:
        values = np.concatenate([values, np.repeat(values[-1:], short, axis=0)])
    return values.reshape((time + short) // n, n * bands, y, x)


def unfold(values: NDArray[Any], n: int, time: int) -> NDArray[Any]:
    """Undo `fold`; ``time`` is the number of frames to give back."""
    if n == 1:
        return values
    frames, bands, y, x = values.shape
    return values.reshape(frames * n, bands // n, y, x)[:time]
