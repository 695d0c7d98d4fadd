"""Arrays of unsigned integers as bytes: predicted along axes, or by repeats and palettes."""

import lzma
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .framing import join_varints, pack, split_varints, unpack, unzigzag, zigzag
from .integers import Search, decode_ints, encode_ints, pco_decode, pco_encode
from .predictors import axis_subsets, difference, undo_difference
from .pyramid import decode_pyramid, encode_pyramid

__all__ = ["decode_codes", "decode_lattice", "encode_codes", "encode_lattice"]

_Coder = Callable[[NDArray[Any], NDArray[np.bool_] | None], bytes]

# First byte of coded integers. Numbers never change their meaning once released.
_PREDICTED, _LZMA, _PALETTE, _RISING, _FALLING, _REPEATED, _PYRAMID, _SEARCHED, _BIT_PLANES = range(
    9
)
_MAX_AXES = 4
_LARGE = 1 << 20
_SAMPLE = 1 << 18
_FINALISTS = 2
_LEAST_PYRAMID = 1 << 12
# Bands and masks of 20 m or 60 m are often kept at 10 m.
_FACTORS = (6, 4, 3, 2)


def encode_codes(codes: NDArray[Any], *, valid: NDArray[np.bool_] | None = None) -> bytes:
    """Code an array of unsigned integers by whichever coder makes it smallest.

    Parameters
    ----------
    codes : ndarray of unsigned integers
    valid : ndarray of bool, same shape, optional
        The others may come back as anything.
    """
    shape = _squeezed(codes.shape)
    codes = codes.reshape(shape)
    valid = None if valid is None or valid.all() else valid.reshape(shape)
    for kind in (_RISING, _FALLING):
        if codes.ndim == 1 and (codes == _ramp(codes.size, kind, codes.dtype)).all():
            return bytes([kind])
    factors = _repeats(codes)
    if max(factors) > 1:
        coarse = codes[..., :: factors[0], :: factors[1]]
        kept = None if valid is None else valid[..., :: factors[0], :: factors[1]]
        return bytes([_REPEATED, *factors]) + encode_codes(coarse, valid=kept)
    palette = _palette(codes)
    if palette is not None:
        indices = np.searchsorted(palette, codes).astype(np.uint8)
        steps = np.diff(palette.astype(np.uint64)).astype(np.int64)
        head = join_varints([palette.size, int(palette[0])])
        parts = [head, encode_ints(steps), encode_codes(indices)]
        return bytes([_PALETTE]) + pack(parts)
    return _smallest(codes, valid)


def encode_lattice(k: NDArray[np.int64], *, valid: NDArray[np.bool_] | None = None) -> bytes:
    """Code integers that repeat themselves, spanning less than 2**32.

    Parameters
    ----------
    k : ndarray of int64
    valid : ndarray of bool, same shape, optional
        The others may come back as anything.
    """
    low, high = int(k.min()), int(k.max())
    dtype = np.dtype(np.uint16 if high - low < 1 << 16 else np.uint32)
    head = join_varints([zigzag(low), dtype.itemsize])
    return pack([head, encode_codes((k - low).astype(dtype), valid=valid)])


def decode_lattice(
    data: bytes, shape: tuple[int, ...], *, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Undo ``encode_lattice``; raises ``ValueError`` for damaged data."""
    parts = unpack(data)
    if len(parts) != 2:
        raise ValueError(f"a lattice has 2 parts, got {len(parts)}")
    (low, width), _ = split_varints(parts[0], 2)
    if width not in (2, 4):
        raise ValueError(f"a lattice is damaged: integers of {width} bytes")
    codes = decode_codes(parts[1], shape, np.dtype(f"u{width}"), valid=valid)
    return codes.astype(np.int64) + unzigzag(low)


def _smallest(codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    """Rank all coders on a part of the data, and let the best of them code the whole."""
    part = _slab(codes)
    known = None if valid is None else valid[part]
    sample = [(coder(codes[part], known), coder) for coder in _coders(codes)]
    if codes[part].size == codes.size:
        return min((payload for payload, _ in sample), key=len)
    sample.sort(key=lambda each: len(each[0]))
    return min((coder(codes, valid) for _, coder in sample[:_FINALISTS]), key=len)


def _coders(codes: NDArray[Any]) -> list[_Coder]:
    """List the coders worth trying."""
    found: list[_Coder] = [partial(_predict, axes) for axes in axis_subsets(codes.shape)]
    found.append(_lzma)
    if codes.dtype.itemsize > 1:
        found += [partial(_searched, kind) for kind in ("auto", "lookback")]
    else:
        found.append(_bit_planes)
    if codes.ndim > 1 and codes.size >= _LEAST_PYRAMID and codes.dtype.itemsize <= 4:
        found.append(_pyramid)
    return found


def _slab(codes: NDArray[Any]) -> tuple[slice, ...]:
    """Choose a run of whole frames from the middle, or of rows from a large one."""
    wanted, slices = _SAMPLE, []
    for axis, size in enumerate(codes.shape):
        inner = math.prod(codes.shape[axis + 1 :])
        keep = min(size, max(1, wanted // max(1, inner)))
        start = (size - keep) // 2
        slices.append(slice(start, start + keep))
        wanted = max(1, wanted // keep)
    return tuple(slices)


def decode_codes(
    data: bytes,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Undo ``encode_codes``; raises ``ValueError`` for damaged data."""
    squeezed = _squeezed(shape)
    if not data:
        raise ValueError("the coded integers are missing: no bytes")
    kind, body = data[0], data[1:]
    if kind == _PREDICTED and body:
        codes = _unpredict(body, squeezed, dtype)
    elif kind == _LZMA:
        codes = _unlzma(body, squeezed, dtype)
    elif kind == _BIT_PLANES and body:
        codes = _unbit_planes(body, squeezed, dtype)
    elif kind == _SEARCHED and dtype.itemsize > 1:
        codes = pco_decode(body, math.prod(squeezed), dtype).reshape(squeezed)
    elif kind == _PALETTE and dtype.itemsize > 1:
        codes = _unpalette(body, squeezed, dtype)
    elif kind == _REPEATED and len(body) > 2 and len(squeezed) > 1:
        codes = _repeat(body, squeezed, dtype, valid)
    elif kind == _PYRAMID and len(squeezed) > 1:
        codes = _unpyramid(body, squeezed, dtype, valid)
    elif kind in (_RISING, _FALLING) and len(squeezed) == 1:
        codes = _ramp(squeezed[0], kind, dtype)
    else:
        raise ValueError(f"coded integers are damaged: coding {kind}")
    return codes.reshape(shape)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop axes of length 1 and merge the leading ones, so that few remain to try."""
    long = [size for size in shape if size > 1]
    head = math.prod(long[: max(0, len(long) - _MAX_AXES + 1)])
    return tuple(long) if len(long) <= _MAX_AXES else (head, *long[1 - _MAX_AXES :])


def _ramp(size: int, kind: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what regular coordinates are once offset and step are taken out."""
    rising = np.arange(size).astype(dtype)
    return rising if kind == _RISING else rising[::-1]


def _repeats(codes: NDArray[Any]) -> tuple[int, int]:
    """Return how often each pixel is repeated along the last two axes."""
    if codes.ndim < 2:
        return 1, 1
    y, x = (_repeat_of(codes, axis) for axis in (codes.ndim - 2, codes.ndim - 1))
    return y, x


def _repeat_of(codes: NDArray[Any], axis: int) -> int:
    moved = np.moveaxis(codes, axis, 0)
    for factor in _FACTORS:
        firsts = moved[::factor]
        later = (moved[shift::factor] for shift in range(1, factor))
        if all((part == firsts[: len(part)]).all() for part in later) and len(firsts) > 1:
            return factor
    return 1


def _repeat(
    data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], valid: NDArray[np.bool_] | None
) -> NDArray[Any]:
    y, x = data[:2]
    if not (0 < y <= max(_FACTORS) and 0 < x <= max(_FACTORS) and y * x > 1):
        raise ValueError(f"coded integers are damaged: pixels of {y} x {x}")
    size = (*shape[:-2], -(-shape[-2] // y), -(-shape[-1] // x))
    kept = None if valid is None else valid.reshape(shape)[..., ::y, ::x]
    coarse = decode_codes(data[2:], size, dtype, valid=kept)
    fine = coarse.repeat(y, axis=-2).repeat(x, axis=-1)
    return fine[..., : shape[-2], : shape[-1]]


def _palette(codes: NDArray[Any]) -> NDArray[Any] | None:
    """Return the distinct values, where they are few though large."""
    if codes.dtype.itemsize == 1 or codes.size < 1024:
        return None
    flat = codes.reshape(-1)
    if np.unique(flat[:: max(1, flat.size // 4096)]).size > 256:
        return None
    distinct = np.unique(flat)
    return distinct if distinct.size <= 256 else None


def _unpalette(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    parts = unpack(data)
    if len(parts) != 3:
        raise ValueError(f"a palette has 3 parts, got {len(parts)}")
    (count, first), _ = split_varints(parts[0], 2)
    if not 0 < count <= 256:
        raise ValueError(f"a palette has 1 to 256 colours, got {count}")
    steps = decode_ints(parts[1], (count - 1,)).astype(np.uint64)
    palette = np.cumsum(np.concatenate([np.array([first], np.uint64), steps])).astype(dtype)
    indices = decode_codes(parts[2], shape, np.dtype(np.uint8))
    if indices.size and indices.max() >= count:
        raise ValueError(f"colour {indices.max()} is not in a palette of {count}")
    codes: NDArray[Any] = palette[indices]
    return codes


def _predict(axes: tuple[int, ...], codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    residuals = difference(codes, axes)
    signed = residuals.view(f"i{codes.dtype.itemsize}") if axes else residuals
    flags = sum(1 << axis for axis in axes)
    return bytes([_PREDICTED, flags]) + encode_ints(signed)


def _unpredict(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    flags = data[0]
    if flags >> len(shape):
        raise ValueError(f"coded integers are damaged: axes {flags:b} of {len(shape)}")
    axes = tuple(axis for axis in range(len(shape)) if flags >> axis & 1)
    return undo_difference(decode_ints(data[1:], shape).astype(dtype), axes)


def _as_cube(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Read the axes of an array as (time, band, y, x)."""
    time, band, y, x = ((1, 1, *shape), (shape[0], 1, *shape[1:]), shape)[len(shape) - 2]
    return time, band, y, x


def _pyramid(codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    shape = _as_cube(codes.shape)
    kept = None if valid is None else valid.reshape(shape)
    values = codes.reshape(shape).astype(np.float64)
    steps, rounded = [1.0] * shape[1], [True] * shape[1]
    return bytes([_PYRAMID]) + encode_pyramid(values, steps, rounded=rounded, valid=kept)[0]


def _unpyramid(
    data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], valid: NDArray[np.bool_] | None
) -> NDArray[Any]:
    cube = _as_cube(shape)
    kept = None if valid is None or valid.all() else valid.reshape(cube)
    steps, rounded = [1.0] * cube[1], [True] * cube[1]
    values = decode_pyramid(data, cube, steps, rounded=rounded, valid=kept)
    top = float(np.iinfo(dtype).max) if dtype.itemsize <= 4 else 2.0**32
    return np.clip(np.nan_to_num(values), 0, top).astype(dtype)


def _searched(kind: Search, codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    """Let pcodec look for structure, such as values that return after a while."""
    return bytes([_SEARCHED]) + pco_encode(codes.reshape(-1), level=12, search=kind)


def _bit_planes(codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    """Compress bit by bit: good for few classes in large patches."""
    count = max(1, int(codes.max()).bit_length())
    planes = [np.packbits((codes >> bit & 1).astype(np.uint8)) for bit in range(count)]
    return bytes([_BIT_PLANES, count]) + _compress(np.concatenate(planes).tobytes())


def _unbit_planes(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    count, size = data[0], math.prod(shape)
    if not 0 < count <= 8 * dtype.itemsize:
        raise ValueError(f"coded integers are damaged: {count} bits in {dtype}")
    packed = _decompress(data[1:], count * -(-size // 8))
    planes = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(count, -1), axis=1, count=size)
    codes = np.zeros(size, dtype)
    for bit, plane in enumerate(planes):
        codes |= plane.astype(dtype) << dtype.type(bit)
    return codes.reshape(shape)


def _lzma(codes: NDArray[Any], valid: NDArray[np.bool_] | None) -> bytes:
    planes = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    # Bytes of one significance together.
    shuffled = planes.reshape(-1, codes.dtype.itemsize).T.tobytes()
    return bytes([_LZMA]) + _compress(shuffled)


def _unlzma(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    plain = _decompress(data, math.prod(shape) * dtype.itemsize)
    shuffled = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(shuffled.T).reshape(-1).view(dtype).reshape(shape)


def _compress(plain: bytes) -> bytes:
    return lzma.compress(plain, format=lzma.FORMAT_RAW, filters=_filters(len(plain)))


def _decompress(data: bytes, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_filters(size))
    try:
        plain = decoder.decompress(data, max_length=size + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"coded integers are damaged: {error}") from None
    if len(plain) != size:
        raise ValueError(f"coded integers are damaged: {len(plain)} of {size} bytes")
    return plain


def _filters(size: int) -> list[dict[str, int]]:
    # The default dictionary is 64 MiB, which takes longer to clear than arrays to code.
    dictionary = min(max(1 << 12, 1 << (size - 1).bit_length()), 1 << 24)
    preset = 6 if size > _LARGE else 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "pb": 0, "dict_size": dictionary}]
