"""Codes in arrays <-> samples in FFmpeg's frames, without any conversion.

FFmpeg's own conversions (swscale) change ranges and colours; here planes are copied
row by row into the frame's memory and out of it, and nothing else happens.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError
from ..spec import Chroma, Planes

__all__ = [
    "Carrier",
    "allocate_planes",
    "chroma_size",
    "fill_frame",
    "planar",
    "raw_frame",
    "read_frame",
]

FULL_RANGE: Literal[2] = 2
"""FFmpeg's AVCOL_RANGE_JPEG: every code is a sample value, none is reserved."""

_CARRIED: dict[Chroma, tuple[str, str]] = {
    "gray": ("gray", "gray{}le"),
    "420": ("yuv420p", "yuv420p{}le"),
    "444": ("yuv444p", "yuv444p{}le"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrier:
    """The pixel format that carries codes, and where a code sits in a sample.

    Parameters
    ----------
    pix_fmt : str
        FFmpeg's name.
    bits : int
        Bits of a sample as the encoder counts them.
    chroma : {"gray", "420", "444"}
        What the format holds; ``420`` may carry gray, with constant chroma.
    interleaved : bool
        Whether the chroma planes share one plane, sample by sample (nv12, p010).
    shift : int
        Zero bits below each code (6 in p010).
    """

    pix_fmt: str
    bits: int
    chroma: Chroma
    interleaved: bool = False
    shift: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample in memory."""
        return np.dtype("u1" if self.bits == 8 else "<u2")


def planar(chroma: Chroma, bits: int) -> Carrier:
    """Return the planar format of FFmpeg that holds ``bits`` a sample."""
    eight, deep = _CARRIED[chroma]
    return Carrier(pix_fmt=eight if bits == 8 else deep.format(bits), bits=bits, chroma=chroma)


def chroma_size(chroma: Chroma, height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) of a chroma plane."""
    return (-(-height // 2), -(-width // 2)) if chroma == "420" else (height, width)


def allocate_planes(chroma: Chroma, n_frames: int, height: int, width: int) -> Planes:
    """Return uninitialised planes of a stream."""
    sizes = [(height, width)]
    if chroma != "gray":
        sizes += [chroma_size(chroma, height, width)] * 2
    return tuple(np.empty((n_frames, *size), np.uint16) for size in sizes)


def fill_frame(frame: Any, planes: Planes, index: int, carrier: Carrier) -> None:
    """Copy frame ``index`` of ``planes`` into ``frame``, a new ``av.VideoFrame``."""
    frame.color_range = FULL_RANGE
    _write(frame.planes[0], planes[0][index], carrier)
    if carrier.chroma == "gray":
        return
    chroma = _chroma_of(planes, index, carrier)
    if carrier.interleaved:
        _write(frame.planes[1], _interleave(chroma), carrier)
    else:
        _write(frame.planes[1], chroma[0], carrier)
        _write(frame.planes[2], chroma[1], carrier)


def _chroma_of(planes: Planes, index: int, carrier: Carrier) -> Planes:
    """Return the two chroma planes of a frame; constant ones under gray."""
    if len(planes) > 1:
        return planes[1][index], planes[2][index]
    size = chroma_size(carrier.chroma, *planes[0].shape[1:])
    middle = np.full(size, 1 << (carrier.bits - 1), np.uint16)
    return middle, middle


def _interleave(chroma: Planes) -> NDArray[np.uint16]:
    return np.stack(chroma, axis=-1).reshape(chroma[0].shape[0], -1)


def read_frame(frame: Any, planes: Planes, index: int, pix_fmt: str | None = None) -> None:
    """Copy a decoded frame to position ``index`` of ``planes``; extra chroma is dropped.

    Parameters
    ----------
    pix_fmt : str, optional
        Of the stream. Devices return frames of another, with interleaved chroma, and codes at
        the top of 16 bits.

    Raises
    ------
    CodecError
        If the frame is damaged, or has another size or another layout than ``planes``.
    """
    if frame.format.name.startswith(_FROM_DEVICES):
        return _read_interleaved(frame, planes, index, pix_fmt)
    dtype = _sample_dtype(frame.format.name)
    if frame.is_corrupt:
        raise CodecError(f"frame {index} of the stream is damaged")
    # Small frames come by the hundred thousand: each attribute is asked for once.
    sources = frame.planes
    if len(sources) < len(planes):
        raise CodecError(f"frame {index} has {len(sources)} planes, {len(planes)} were expected")
    for source, target in zip(sources, planes, strict=False):
        size = source.height, source.width
        if size != target.shape[1:]:
            raise CodecError(
                f"frame {index} has a plane of {size}, {target.shape[1:]} was expected"
            )
        target[index] = _samples(source, dtype)[:, : size[1]]
    return None


@cache
def _sample_dtype(name: str) -> np.dtype[Any]:
    """Return the type of a sample in a planar format of FFmpeg."""
    if not name.startswith(("gray", "yuv")) or name.endswith("be"):
        raise CodecError(f"the decoder returned frames of {name}; planar gray or YUV is needed")
    import av

    return np.dtype("u1" if av.VideoFormat(name).components[0].bits == 8 else "<u2")


_FROM_DEVICES = ("nv12", "p01")


def _read_interleaved(frame: Any, planes: Planes, index: int, pix_fmt: str | None) -> None:
    """Copy a device's frame: luma as it is, chroma taken apart."""
    import av

    if frame.is_corrupt:
        raise CodecError(f"frame {index} of the stream is damaged")
    found = [(plane.height, plane.width) for plane in frame.planes]
    sizes = [plane.shape[1:] for plane in planes]
    if found[: len(sizes)] != sizes[:2] or frame.format.name.endswith("be"):
        raise CodecError(f"frame {index} is {frame.format.name} of {found}, not {sizes}")
    eight = frame.format.name == "nv12"
    bits = frame.format.components[0].bits
    if pix_fmt is not None:
        bits = av.VideoFormat(pix_fmt, 16, 16).components[0].bits
    shift = np.uint16(0 if eight else 16 - bits)
    dtype = np.dtype("u1" if eight else "<u2")
    width = planes[0].shape[2]
    planes[0][index] = _samples(frame.planes[0], dtype)[:, :width] >> shift
    for number, target in enumerate(planes[1:]):
        pairs = _samples(frame.planes[1], dtype)[:, : 2 * target.shape[2]]
        target[index] = pairs[:, number::2] >> shift


def _samples(plane: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View a frame's plane, padding included: FFmpeg aligns the rows."""
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height]


def _write(plane: Any, codes: NDArray[np.uint16], carrier: Carrier) -> None:
    view = _samples(plane, carrier.dtype)[:, : codes.shape[1]]
    view[...] = codes << np.uint16(carrier.shift) if carrier.shift else codes


def raw_frame(planes: Planes, index: int, carrier: Carrier) -> bytes:
    """Return frame ``index`` as FFmpeg's rawvideo: the planes one after the other, unpadded."""
    parts = [planes[0][index]]
    if carrier.chroma != "gray":
        chroma = _chroma_of(planes, index, carrier)
        parts += [_interleave(chroma)] if carrier.interleaved else list(chroma)
    shifted = [part << np.uint16(carrier.shift) if carrier.shift else part for part in parts]
    return b"".join(part.astype(carrier.dtype).tobytes() for part in shifted)
