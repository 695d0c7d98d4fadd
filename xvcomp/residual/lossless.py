"""Arrays coded without loss: windows (time, band, y, x) without a base, and sidecars.

Values that no integer form holds (NaN, infinities, -0.0) are set apart; the others become
small unsigned integers (``forms``), which ``codes`` makes bytes of.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codes import decode_codes, encode_codes
from .forms import find_form, forward, inverse, read_form, write_form
from .framing import pack, unpack

__all__ = ["decode_lossless", "encode_lossless"]

_MAX_SPECIALS = 16
_SPECIAL_KINDS = "iufmM"


def encode_lossless(values: NDArray[Any], *, apart: Sequence[Any] = ()) -> bytes:
    """Code an array of any plain dtype so that every bit comes back.

    Parameters
    ----------
    values : ndarray
        Any shape and byte order; bool, numbers, dates, fixed strings or records.
    apart : sequence of numbers
        Values, such as a fill value, that say nothing of their neighbours.

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
    classes, specials = _find_specials(plain, apart)
    filled = _fill(plain, classes)
    form = find_form(filled)
    valid = classes == 0 if specials.size else None
    parts = [write_form(form), encode_codes(forward(filled, form), valid=valid)]
    if specials.size:
        parts += [specials.tobytes(), encode_codes(classes)]
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
    classes = None
    if len(parts) == 4:
        classes = decode_codes(parts[3], full, np.dtype(np.uint8))
    valid = None if classes is None else classes == 0
    codes = decode_codes(parts[1], full, np.dtype(f"u{form.width}"), valid=valid)
    plain = inverse(codes, form, numbers)
    if classes is not None:
        _put_specials(plain, parts[2], classes)
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


def _find_specials(
    values: NDArray[Any], apart: Sequence[Any]
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Number the values that no integer form holds: NaN by payload, infinities, -0.0, NaT."""
    classes = np.zeros(values.shape, np.uint8)
    if values.dtype.kind not in _SPECIAL_KINDS:
        return classes, values.reshape(-1)[:0]
    odd = ~np.isfinite(values)
    if values.dtype.kind == "f":
        odd |= (values == 0) & np.signbit(values)
    for value in apart:
        odd |= values == value
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
