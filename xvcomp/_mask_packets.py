"""Mask packets: the classes of one window as bytes, exactly and in as few as possible."""

import bz2
import itertools
import lzma
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_SPECIALS", "pack", "unpack"]

MAX_SPECIALS = 250
"""Most special values that one array may have."""

Mask = NDArray[np.uint8]

# Kinds of frames in a packet; smaller numbers are the class of a uniform frame.
_LIKE_PREVIOUS_BAND, _LIKE_PREVIOUS_FRAME, _CODED = 253, 254, 255

# The first byte of a packet: XOR axes (1 time, 2 y, 4 x), 8 pack along x, 16 order the
# frames by band, and 32 times the compressor.
_DEFLATE, _BZIP2, _LZMA = range(3)
_LZMA_FILTERS: list[dict[str, Any]] = [
    # A fixed dictionary: decoding allocates this much, whatever the packet says.
    {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}
]
_TRIAL_SAMPLES = 1 << 21


def pack(classes: Mask) -> bytes:
    """Compress the mask of one window, exactly.

    Parameters
    ----------
    classes : ndarray of uint8, shape (time, band, y, x)
        At most ``MAX_SPECIALS``.

    Returns
    -------
    bytes
        Empty when every sample is valid.

    Raises
    ------
    ValueError
        If the shape or a class is not allowed.

    Notes
    -----
    Equal bands are stored once; uniform and repeated frames take a symbol each. The
    rest are bit planes, differenced by XOR along some of (time, y, x), packed eight
    rows (or columns) to a byte and compressed; the smallest of the combinations wins.
    On cloud, coast and radar masks eight rows to a byte save 2-40 % over eight columns.
    """
    if classes.ndim != 4 or classes.dtype != np.uint8:
        raise ValueError(f"need 4-D uint8 classes, got {classes.dtype} of {classes.shape}")
    if classes.size and classes.max() > MAX_SPECIALS:
        raise ValueError(f"class {classes.max()} is over the largest allowed, {MAX_SPECIALS}")
    if not classes.any():
        return b""
    bands, distinct = _distinct_bands(classes)
    kinds = _frame_kinds(distinct)
    n_planes = int(classes.max()).bit_length()
    head = bytes([n_planes]) + bands.astype(_band_dtype(len(bands))).tobytes() + kinds.tobytes()
    coded = kinds == _CODED
    planes = _to_planes(distinct.swapaxes(0, 1)[coded.T], n_planes)
    packets = [_smallest_packet(head, planes, 16)]
    if coded.any() and distinct.shape[1] > 1:
        packets.append(_smallest_packet(head, _to_planes(distinct[coded], n_planes), 0))
    return min(packets, key=len)


def unpack(payload: bytes, shape: tuple[int, int, int, int]) -> Mask:
    """Invert ``pack``.

    Parameters
    ----------
    payload : bytes
    shape : tuple of int
        (time, band, y, x) of the window.

    Returns
    -------
    ndarray of uint8, shape ``shape``

    Raises
    ------
    ValueError
        If the payload is damaged or belongs to another shape. Memory stays within a
        few times that of the result.
    """
    if not payload or 0 in shape:
        return np.zeros(shape, np.uint8)
    time, n_bands, height, width = shape
    body = _decompress(payload, _longest_body(shape))
    n_planes, bands, kinds, used = _parse_head(body, time, n_bands)
    coded = kinds == _CODED
    planes = _unpack_planes(body[used:], payload[0], (n_planes * int(coded.sum()), height, width))
    frames = _from_planes(planes, n_planes)
    distinct = np.empty((*kinds.shape, height, width), np.uint8)
    if payload[0] & 16:
        distinct.swapaxes(0, 1)[coded.T] = frames
    else:
        distinct[coded] = frames
    _restore_frames(distinct, kinds)
    return distinct[:, bands]


def _band_dtype(n_bands: int) -> np.dtype[Any]:
    """Integers just wide enough for the index of a band."""
    return np.dtype("u1") if n_bands <= 256 else np.dtype("<u4")


def _distinct_bands(classes: Mask) -> tuple[NDArray[np.intp], Mask]:
    """Split into the distinct bands (time, distinct, y, x), and which of them each band is."""
    seen: dict[bytes, int] = {}
    bands = [
        seen.setdefault(classes[:, band].tobytes(), len(seen)) for band in range(classes.shape[1])
    ]
    firsts = [bands.index(k) for k in range(len(seen))]
    return np.array(bands), classes[:, firsts]


def _frame_kinds(distinct: Mask) -> Mask:
    """Say of each (time, distinct) frame whether it needs bits of its own."""
    kinds = np.full(distinct.shape[:2], _CODED, np.uint8)
    kinds[:, 1:][(distinct[:, 1:] == distinct[:, :-1]).all(axis=(2, 3))] = _LIKE_PREVIOUS_BAND
    kinds[1:][(distinct[1:] == distinct[:-1]).all(axis=(2, 3))] = _LIKE_PREVIOUS_FRAME
    lowest = distinct.min(axis=(2, 3))
    return np.where(lowest == distinct.max(axis=(2, 3)), lowest, kinds)


def _restore_frames(distinct: Mask, kinds: Mask) -> None:
    """Write the frames that need no bits of their own, in place."""
    for (t, band), kind in np.ndenumerate(kinds):
        if kind == _LIKE_PREVIOUS_FRAME:
            distinct[t, band] = distinct[t - 1, band]
        elif kind == _LIKE_PREVIOUS_BAND:
            distinct[t, band] = distinct[t, band - 1]
        elif kind != _CODED:
            distinct[t, band] = kind


def _to_planes(frames: Mask, n_planes: int) -> Mask:
    """Split classes (n, y, x) into bits, shape (planes * n, y, x)."""
    bits = [(frames >> plane) & 1 for plane in range(n_planes)]
    return np.concatenate(bits).astype(np.uint8, copy=False)


def _from_planes(planes: Mask, n_planes: int) -> Mask:
    """Invert ``_to_planes``."""
    frames = planes.reshape(n_planes, -1, *planes.shape[1:])
    classes: Mask = frames[0].copy()
    for plane in range(1, n_planes):
        classes |= frames[plane] << plane
    if classes.size and classes.max() > MAX_SPECIALS:
        raise ValueError("damaged mask packet: a class is out of range")
    return classes


def _smallest_packet(head: bytes, planes: Mask, order: int) -> bytes:
    """Try every way of packing on a part of the planes; the best ones, and plain, on all."""
    modes = [order | way for way in (range(16) if planes.size else range(1))]
    frame = max(1, planes[:1].size)
    trial = planes[: max(2, _TRIAL_SAMPLES // frame)]
    ranked = sorted(modes, key=lambda mode: len(zlib.compress(_pack_planes(trial, mode), 6)))
    bodies = {mode: head + _pack_planes(planes, mode) for mode in [order, *ranked[:3]]}
    return min(
        (
            bytes([mode | method << 5]) + _compress(body, method)
            for (mode, body), method in itertools.product(bodies.items(), (_DEFLATE, _BZIP2, _LZMA))
        ),
        key=len,
    )


def _pack_planes(planes: Mask, mode: int) -> bytes:
    """Take XOR differences along the axes of ``mode``, and pack eight samples to a byte."""
    for axis in range(3):
        if mode >> axis & 1:
            before, planes = planes, planes.copy()
            np.moveaxis(planes, axis, 0)[1:] ^= np.moveaxis(before, axis, 0)[:-1]
    return np.packbits(planes, axis=2 if mode & 8 else 1).tobytes()


def _unpack_planes(packed: bytes, mode: int, shape: tuple[int, int, int]) -> Mask:
    """Invert ``_pack_planes``."""
    axis = 2 if mode & 8 else 1
    packed_shape = list(shape)
    packed_shape[axis] = -(-shape[axis] // 8)
    if len(packed) != math.prod(packed_shape):
        raise ValueError(f"damaged mask packet: {len(packed)} bytes for {shape} bits")
    lines = np.frombuffer(packed, np.uint8).reshape(packed_shape)
    planes = np.unpackbits(lines, axis=axis, count=shape[axis])
    for axis in range(3):
        if mode >> axis & 1:
            np.bitwise_xor.accumulate(planes, axis=axis, out=planes)
    return planes


def _compress(body: bytes, method: int) -> bytes:
    """Compress with the least framing that each method allows."""
    if method == _DEFLATE:
        coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return coder.compress(body) + coder.flush()
    if method == _BZIP2:
        return bz2.compress(body)
    return lzma.compress(body, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def _decompress(payload: bytes, longest: int) -> bytes:
    """Invert ``_compress``; never makes more than ``longest`` bytes and one."""
    method = payload[0] >> 5
    if method > _LZMA:
        raise ValueError(f"damaged mask packet: unknown compressor {method}")
    try:
        decoder: Any = (
            zlib.decompressobj(-zlib.MAX_WBITS)
            if method == _DEFLATE
            else bz2.BZ2Decompressor()
            if method == _BZIP2
            else lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
        )
        body: bytes = decoder.decompress(payload[1:], longest + 1)
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"damaged mask packet: {error}") from error
    if not decoder.eof or decoder.unused_data:
        raise ValueError("damaged mask packet: its length is wrong")
    return body


def _longest_body(shape: tuple[int, int, int, int]) -> int:
    """Most bytes that a mask of this shape can take before compression."""
    time, bands, height, width = shape
    frame = max(-(-height // 8) * width, height * -(-width // 8))
    return 1 + bands * _band_dtype(bands).itemsize + time * bands * (1 + 8 * frame)


def _parse_head(body: bytes, time: int, n_bands: int) -> tuple[int, NDArray[Any], Mask, int]:
    """Read the number of planes, the band table and the kinds; and how long they were."""
    dtype = _band_dtype(n_bands)
    start = 1 + n_bands * dtype.itemsize
    if len(body) < start + time:
        raise ValueError("damaged mask packet: its head is cut short")
    bands = np.frombuffer(body, dtype, n_bands, offset=1)
    n_distinct = int(bands.max()) + 1
    end = start + time * n_distinct
    if n_distinct > n_bands or len(body) < end or not 1 <= body[0] <= 8:
        raise ValueError("damaged mask packet: its band table is wrong")
    kinds = np.frombuffer(body, np.uint8, time * n_distinct, offset=start)
    kinds = kinds.reshape(time, n_distinct)
    reserved = (kinds > MAX_SPECIALS) & (kinds < _LIKE_PREVIOUS_BAND)
    orphan = (kinds[0] == _LIKE_PREVIOUS_FRAME).any() or (kinds[:, 0] == _LIKE_PREVIOUS_BAND).any()
    if reserved.any() or orphan:
        raise ValueError("damaged mask packet: its frame table is wrong")
    return body[0], bands, kinds, end
