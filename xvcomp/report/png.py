"""Small pictures without any imaging library: a palette PNG of an array, as a data URI."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ..previews.colours import DIVERGING, SEQUENTIAL, Colours, table

__all__ = ["DIVERGING", "SEQUENTIAL", "data_uri", "gradient_css"]

_GAP = (190, 190, 190)


def _palette(colours: Colours) -> NDArray[np.uint8]:
    """Return 256 colours: the first for gaps, then the map."""
    return np.vstack([np.array([_GAP], np.uint8), table(colours, 255)])


def data_uri(values: NDArray[np.floating], low: float, high: float, colours: Colours) -> str:
    """Draw a frame.

    Parameters
    ----------
    values : ndarray of float, shape (y, x)
        NaN is a gap, drawn grey.
    low, high : float
        Values of the first and the last colour; what lies beyond saturates.
    colours : Colours
        ``SEQUENTIAL`` or ``DIVERGING``.
    """
    width = high - low if high > low else 1.0
    scaled = np.nan_to_num((values - low) / width, nan=0.0, posinf=1.0, neginf=0.0)
    codes = (1 + np.rint(254 * np.clip(scaled, 0, 1))).astype(np.uint8)
    codes[np.isnan(values)] = 0
    png = _png(codes, _palette(colours))
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png(codes: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    height, width = codes.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.zeros((height, width + 1), np.uint8)  # a leading 0 a row: no filter
    rows[:, 1:] = codes
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gradient_css(colours: Colours) -> str:
    """Return the map as a CSS gradient, for a colour bar."""
    stops = ", ".join(f"rgb({r},{g},{b})" for r, g, b in colours)
    return f"linear-gradient(to right, {stops})"
