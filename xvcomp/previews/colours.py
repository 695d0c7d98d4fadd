"""Colour maps as small tables, and numbers painted with them."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIVERGING", "GREENS", "SEQUENTIAL", "Colours", "paint", "table"]

Colours = tuple[tuple[int, int, int], ...]
"""Colours at equal distances; between them is interpolated."""

# Viridis, a blue-white-red map, and one from bare soil to dense vegetation.
SEQUENTIAL: Colours = (
    (68, 1, 84), (72, 40, 120), (62, 73, 137), (49, 104, 142), (38, 130, 142),
    (31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37),
)  # fmt: skip
DIVERGING: Colours = (
    (5, 48, 97), (67, 147, 195), (209, 229, 240), (250, 250, 250), (253, 219, 199),
    (214, 96, 77), (103, 0, 31),
)  # fmt: skip
GREENS: Colours = (
    (64, 78, 120), (165, 140, 110), (222, 205, 160), (196, 214, 120), (120, 182, 74),
    (48, 140, 58), (8, 92, 44), (0, 50, 26),
)  # fmt: skip


def table(colours: Colours, n: int = 256) -> NDArray[np.uint8]:
    """Return a map as ``n`` colours, shape (n, 3)."""
    anchors = np.array(colours, np.float64)
    at = np.linspace(0, len(colours) - 1, n)
    channels = [np.interp(at, np.arange(len(colours)), anchors[:, k]) for k in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def paint(shares: NDArray[np.floating], colours: Colours | None) -> NDArray[np.uint8]:
    """Turn numbers into colours.

    Parameters
    ----------
    shares : ndarray of float, shape (..., y, x), or (..., y, x, 3) without ``colours``
        0 is the first colour (or black), 1 the last; what lies beyond saturates, NaN is 0.
    colours : Colours or None
        ``None``: the last axis is red, green and blue already.

    Returns
    -------
    ndarray of uint8, shape (..., y, x, 3)
    """
    clipped = np.clip(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    codes = np.rint(255 * clipped).astype(np.uint8)
    painted: NDArray[np.uint8] = codes if colours is None else table(colours)[codes]
    return painted
