"""Arrays coded without loss: windows (time, band, y, x) without a base, and sidecars.

Values become small unsigned integers (``forms``), which are predicted along the axes
that pay (``predictors``), and coded by whichever coder is the smallest.
"""

import lzma
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .forms import find_form, forward, inverse, read_form, write_form
from .framing import join_varints, pack, split_varints, unpack
from .integers import decode_ints, encode_ints
from .predictors import axis_subsets, difference, undo_difference

__all__ = ["decode_lossless", "encode_lossless"]

# First byte of coded integers. Numbers never change their meaning once released.
_PREDICTED, _LZMA, _PALETTE, _RISING, _FALLING = range(5)
_MAX_AXES = 4
_MAX_SPECIALS = 16
_SPECIAL_KINDS = "fmM"


def encode_lossless(values: NDArray[Any]) -> bytes:
    """Code an array of any plain dtype so that every bit comes back.

    Parameters
    ----------
    values : ndarray
        Any shape and byte order; bool, numbers, dates, fixed strings or records.

    Raises
    ------
    TypeError
        If the array holds objects.
    """
    if values.dtype.hasobject:
        raise TypeError(f"an array of {values.dtype} holds objects, not plain values")
    if values.nbytes == 0:
        return b""
    plain = _as_numbers(values)
    classes, specials = _find_specials(plain)
    filled = _fill(plain, classes)
    form = find_form(filled)
    parts = [write_form(form), _encode_codes(forward(filled, form))]
    if specials.size:
        parts += [specials.tobytes(), _encode_codes(classes)]
    return pack(parts)


def decode_lossless(payload: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``encode_lossless``.

    Raises
    ------
    ValueError
        If the payload is damaged, or not of this shape and dtype.
    """
    if dtype.hasobject:
        raise ValueError(f"a lossless array of plain values is not of {dtype}")
    if math.prod(shape) * dtype.itemsize == 0 and not payload:
        return np.zeros(shape, dtype)
    numbers, full = _number_dtype(dtype), _number_shape(shape, dtype)
    parts = unpack(payload)
    if len(parts) not in (2, 4) or math.prod(full) == 0:
        raise ValueError(f"{len(parts)} parts do not make an array of {shape} {dtype}")
    form = read_form(parts[0])
    codes = _decode_codes(parts[1], full, np.dtype(f"u{form.width}"))
    plain = inverse(codes, form, numbers)
    if len(parts) == 4:
        _put_specials(plain, parts[2], _decode_codes(parts[3], full, np.dtype(np.uint8)))
    return np.ascontiguousarray(plain).view(dtype).reshape(shape)


def _number_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what the numbers of an item are: itself, two floats, or bytes."""
    if dtype.kind in "buifmM" and dtype.itemsize <= 8:
        return dtype
    if dtype.kind == "c" and dtype.itemsize <= 16:
        return np.dtype(f"{dtype.byteorder}f{dtype.itemsize // 2}")
    if dtype.kind == "U":
        return np.dtype(f"{dtype.byteorder}u4")
    return np.dtype(np.uint8)


def _number_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    count = dtype.itemsize // _number_dtype(dtype).itemsize
    return (shape or (1,)) if count == 1 else (*shape, count)


def _as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    numbers, shape = _number_dtype(values.dtype), _number_shape(values.shape, values.dtype)
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat.view(numbers).reshape(shape)


def _find_specials(values: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Number the values that no integer form holds: NaN by payload, infinities, -0.0, NaT."""
    classes = np.zeros(values.shape, np.uint8)
    if values.dtype.kind not in _SPECIAL_KINDS:
        return classes, values.reshape(-1)[:0]
    odd = ~np.isfinite(values)
    if values.dtype.kind == "f":
        odd |= (values == 0) & np.signbit(values)
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    patterns = np.unique(bits[odd])
    if patterns.size > _MAX_SPECIALS:
        return classes, values.reshape(-1)[:0]
    for number, pattern in enumerate(patterns, start=1):
        classes[bits == pattern] = number
    return classes, patterns


def _put_specials(values: NDArray[Any], data: bytes, classes: NDArray[np.uint8]) -> None:
    size = values.dtype.itemsize
    if (
        values.dtype.kind not in _SPECIAL_KINDS
        or len(data) % size
        or classes.max() > len(data) // size
    ):
        raise ValueError(f"special values are damaged: {len(data)} bytes")
    bits = values.view(f"u{size}")
    for number, pattern in enumerate(np.frombuffer(data, bits.dtype), start=1):
        bits[classes == number] = pattern


def _fill(values: NDArray[Any], classes: NDArray[np.uint8]) -> NDArray[Any]:
    """Put the valid value before (in C order) under the specials: it costs least."""
    valid = classes.reshape(-1) == 0
    if valid.all():
        return values
    if not valid.any():
        return np.zeros_like(values)
    source = np.maximum.accumulate(np.where(valid, np.arange(valid.size), -1))
    source[source < 0] = np.argmax(valid)
    return values.reshape(-1)[source].reshape(values.shape)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop axes of length 1 and merge the leading ones, so that few remain to try."""
    long = [size for size in shape if size > 1]
    head = math.prod(long[: max(0, len(long) - _MAX_AXES + 1)])
    return tuple(long) if len(long) <= _MAX_AXES else (head, *long[1 - _MAX_AXES :])


def _encode_codes(codes: NDArray[Any]) -> bytes:
    """Code unsigned integers."""
    codes = codes.reshape(_squeezed(codes.shape))
    for kind in (_RISING, _FALLING):
        if codes.ndim == 1 and (codes == _ramp(codes.size, kind, codes.dtype)).all():
            return bytes([kind])
    palette = _palette(codes)
    if palette is not None:
        indices = np.searchsorted(palette, codes).astype(np.uint8)
        steps = np.diff(palette.astype(np.uint64)).astype(np.int64)
        head = join_varints([palette.size, int(palette[0])])
        parts = [head, encode_ints(steps), _encode_codes(indices)]
        return bytes([_PALETTE]) + pack(parts)
    predicted = [_predict(codes, axes) for axes in _best_axes(codes)]
    best = min(predicted, key=len)
    # LZ finds repeats that statistics do not; on noise it is slow and finds nothing.
    if len(best) * 4 < codes.nbytes or codes.nbytes < 1 << 14:
        best = min(best, _lzma(codes), key=len)
    return best


def _decode_codes(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
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
    elif kind in (_RISING, _FALLING) and len(squeezed) == 1:
        codes = _ramp(squeezed[0], kind, dtype)
    else:
        raise ValueError(f"coded integers are damaged: coding {kind}")
    return codes.reshape(shape)


def _ramp(size: int, kind: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what regular coordinates are once offset and step are taken out."""
    rising = np.arange(size).astype(dtype)
    return rising if kind == _RISING else rising[::-1]


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
    indices = _decode_codes(parts[2], shape, np.dtype(np.uint8))
    if indices.size and indices.max() >= count:
        raise ValueError(f"colour {indices.max()} is not in a palette of {count}")
    codes: NDArray[Any] = palette[indices]
    return codes


def _best_axes(codes: NDArray[Any]) -> list[tuple[int, ...]]:
    """Rank the sets of axes on a crop from the middle; return the best two."""
    limits = (16, 16, 96, 96)[-codes.ndim :] if codes.ndim > 1 else (1 << 16,)
    crop = codes[tuple(map(_middle, codes.shape, limits))]
    subsets = axis_subsets(codes.shape)
    subsets.sort(key=lambda axes: len(_predict(crop, axes)))
    return subsets[: 1 if crop.size == codes.size else 2]


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
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "pb": 0, "dict_size": dictionary}]
