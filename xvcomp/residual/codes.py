"""Arrays of unsigned integers as bytes: predicted along axes, or by repeats and palettes."""

import lzma
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .framing import join_varints, pack, split_varints, unpack
from .integers import decode_ints, encode_ints
from .predictors import axis_subsets, difference, undo_difference

__all__ = ["decode_codes", "encode_codes"]

# First byte of coded integers. Numbers never change their meaning once released.
_PREDICTED, _LZMA, _PALETTE, _RISING, _FALLING, _REPEATED = range(6)
_MAX_AXES = 4
_LARGE = 1 << 20
# Bands and masks of 20 m or 60 m are often kept at 10 m.
_FACTORS = (6, 4, 3, 2)


def encode_codes(codes: NDArray[Any]) -> bytes:
    """Code an array of unsigned integers by whichever coder makes it smallest."""
    codes = codes.reshape(_squeezed(codes.shape))
    for kind in (_RISING, _FALLING):
        if codes.ndim == 1 and (codes == _ramp(codes.size, kind, codes.dtype)).all():
            return bytes([kind])
    factors = _repeats(codes)
    if max(factors) > 1:
        coarse = codes[..., :: factors[0], :: factors[1]]
        return bytes([_REPEATED, *factors]) + encode_codes(coarse)
    palette = _palette(codes)
    if palette is not None:
        indices = np.searchsorted(palette, codes).astype(np.uint8)
        steps = np.diff(palette.astype(np.uint64)).astype(np.int64)
        head = join_varints([palette.size, int(palette[0])])
        parts = [head, encode_ints(steps), encode_codes(indices)]
        return bytes([_PALETTE]) + pack(parts)
    axes = _best_axes(codes)
    best = min((_predict(codes, each) for each in axes), key=len)
    return min(best, _lzma(codes), key=len) if _repeats_itself(codes, axes[0]) else best


def _repeats_itself(codes: NDArray[Any], axes: tuple[int, ...]) -> bool:
    """Say whether LZ, which finds repeats but is slow, may do better than prediction."""
    crop = _crop(codes)
    found, predicted = len(_lzma(crop)), len(_predict(crop, axes))
    return found < (1 if codes.nbytes > _LARGE else 1.5) * predicted


def decode_codes(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``encode_codes``; raises ``ValueError`` for damaged data."""
    squeezed = _squeezed(shape)
    if not data:
        raise ValueError("the coded integers are missing: no bytes")
    kind, body = data[0], data[1:]
    if kind == _PREDICTED and body:
        codes = _unpredict(body, squeezed, dtype)
    elif kind == _LZMA:
        codes = _unlzma(body, squeezed, dtype)
    elif kind == _PALETTE and dtype.itemsize > 1:
        codes = _unpalette(body, squeezed, dtype)
    elif kind == _REPEATED and len(body) > 2 and len(squeezed) > 1:
        codes = _repeat(body, squeezed, dtype)
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


def _repeat(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    y, x = data[:2]
    if not (0 < y <= max(_FACTORS) and 0 < x <= max(_FACTORS) and y * x > 1):
        raise ValueError(f"coded integers are damaged: pixels of {y} x {x}")
    coarse = decode_codes(data[2:], (*shape[:-2], -(-shape[-2] // y), -(-shape[-1] // x)), dtype)
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


def _best_axes(codes: NDArray[Any]) -> list[tuple[int, ...]]:
    """Rank the sets of axes on a crop from the middle; return the best two."""
    crop = _crop(codes)
    subsets = axis_subsets(codes.shape)
    subsets.sort(key=lambda axes: len(_predict(crop, axes)))
    return subsets[: 1 if crop.size == codes.size else 2]


def _crop(codes: NDArray[Any]) -> NDArray[Any]:
    limits = (16, 16, 96, 96)[-codes.ndim :] if codes.ndim > 1 else (1 << 16,)
    return codes[tuple(map(_middle, codes.shape, limits))]


def _middle(size: int, keep: int) -> slice:
    start = max(0, (size - keep) // 2)
    return slice(start, start + keep)


def _predict(codes: NDArray[Any], axes: tuple[int, ...]) -> bytes:
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


def _lzma(codes: NDArray[Any]) -> bytes:
    planes = np.ascontiguousarray(codes).reshape(-1).view(np.uint8)
    # Bytes of one significance together.
    shuffled = planes.reshape(-1, codes.dtype.itemsize).T.tobytes()
    packed = lzma.compress(shuffled, format=lzma.FORMAT_RAW, filters=_filters(len(shuffled)))
    return bytes([_LZMA]) + packed


def _unlzma(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_filters(size))
    try:
        plain = decoder.decompress(data, max_length=size + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"coded integers are damaged: {error}") from None
    if len(plain) != size:
        raise ValueError(f"coded integers are damaged: {len(plain)} of {size} bytes")
    shuffled = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(shuffled.T).reshape(-1).view(dtype).reshape(shape)


def _filters(size: int) -> list[dict[str, int]]:
    # The default dictionary is 64 MiB, which takes longer to clear than arrays to code.
    dictionary = min(max(1 << 12, 1 << (size - 1).bit_length()), 1 << 24)
    preset = 6 if size > _LARGE else 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "pb": 0, "dict_size": dictionary}]
