"""Variables that are kept exactly, small: coordinates, class maps, strings, objects.

Each array is coded by whichever coder makes it smallest, and all of them are joined to
one blob; the manifest's ``SidecarEntry`` says how each is to be read.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ramps import decode_ramp, encode_ramp
from .residual import decode_lossless, encode_lossless
from .spec import SidecarEntry
from .typed_json import pack_json, unpack_json

__all__ = ["decode_array", "decode_blob", "encode_array", "encode_blob"]

_MAX_OBJECT_BYTES = 1 << 30
_MAX_NBYTES, _MAX_EXPANSION = 1 << 30, 1 << 12


def encode_array(values: NDArray[Any]) -> tuple[bytes, str, Any]:
    """Code an array of any dtype and shape so that every bit comes back.

    Parameters
    ----------
    values : ndarray
        Numbers, dates, strings of any numpy kind, records, or objects that
        ``pack_json`` knows. Any byte order.

    Returns
    -------
    data : bytes
    coder : {"raw", "ramp", "deflate", "lossless", "objects"}
    params : object
        Plain JSON; the dtype where numpy's name for it does not say all.

    Raises
    ------
    TypeError
        If the array holds objects that cannot be kept.
    """
    if values.dtype.hasobject or values.dtype.kind == "T":
        params = None if values.dtype == np.dtype(object) else pack_json(values.dtype)
        return _encode_objects(values), "objects", params
    raw = np.ascontiguousarray(values).tobytes()
    candidates = [(raw, "raw"), (encode_lossless(values), "lossless")]
    if len(raw) < 1 << 20 or values.dtype.kind in "SUV":
        candidates.append((_deflate(raw), "deflate"))
    ramp = encode_ramp(values)
    if ramp is not None:
        candidates.append((ramp, "ramp"))
    data, coder = min(candidates, key=lambda candidate: len(candidate[0]))
    return data, coder, None


def decode_array(
    data: bytes, coder: str, params: Any, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Undo ``encode_array``; the result is the caller's to change.

    Raises
    ------
    ValueError
        If the data are damaged, of another shape or dtype, or of an unknown coder.
    """
    if coder == "objects":
        wanted = np.dtype(object) if params is None else unpack_json(params)
        return _decode_objects(data, wanted, shape)
    if dtype.hasobject:
        raise ValueError(f"coder {coder!r} makes no objects, and the dtype is {dtype}")
    size = math.prod(shape)
    if coder == "lossless":
        return decode_lossless(data, shape, dtype).copy()
    if coder == "ramp" and len(shape) == 1 and dtype.kind == "f" and size > 1:
        return decode_ramp(data, size, dtype)
    if coder == "deflate":
        data = _inflate(data, size * dtype.itemsize)
    elif coder != "raw":
        raise ValueError(f"unknown coder {coder!r} of a {len(shape)}-D array of {dtype}")
    if len(data) != size * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes do not make {shape} of {dtype}")
    # numpy has no buffers of nothing.
    return np.frombuffer(data, dtype).reshape(shape).copy() if data else np.zeros(shape, dtype)


def encode_blob(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, tuple[SidecarEntry, ...]]:
    """Join the coded arrays, in order; the entries say where each lies.

    Raises
    ------
    TypeError
        If an array holds objects that cannot be kept; the message names it.
    """
    parts, entries = [], []
    for name, values in arrays.items():
        try:
            data, coder, params = encode_array(values)
        except TypeError as error:
            raise TypeError(f"variable {name!r}: {error}") from None
        parts.append(data)
        entries.append(SidecarEntry(name=name, coder=coder, nbytes=len(data), params=params))
    return b"".join(parts), tuple(entries)


def decode_blob(
    blob: bytes,
    entries: Sequence[SidecarEntry],
    forms: Mapping[str, tuple[str, tuple[int, ...]]],
) -> dict[str, NDArray[Any]]:
    """Undo ``encode_blob``.

    Parameters
    ----------
    blob : bytes
    entries : sequence of SidecarEntry
    forms : Mapping[str, (str, tuple of int)]
        The dtype, as ``VariableSpec`` has it, and the shape of each variable.

    Raises
    ------
    ValueError
        If the blob is damaged, or an entry has no form; or if the arrays claim more than
        1 GiB and 4096 times the blob, for all of them are read at once.
    """
    _check_claims(len(blob), entries, forms)
    sizes = [entry.nbytes for entry in entries]
    if min(sizes, default=0) < 0 or sum(sizes) != len(blob):
        raise ValueError(f"entries of {sum(sizes)} bytes do not fill {len(blob)} bytes")
    arrays, start = {}, 0
    for entry in entries:
        if entry.name not in forms:
            raise ValueError(f"variable {entry.name!r} is not described")
        name, shape = forms[entry.name]
        data = blob[start : start + entry.nbytes]
        start += entry.nbytes
        try:
            arrays[entry.name] = decode_array(
                data, entry.coder, entry.params, np.dtype(name), shape
            )
        # Numbers that no array has, and dtypes that numpy reads as Python.
        except (ValueError, TypeError, OverflowError, SyntaxError, MemoryError) as error:
            raise ValueError(f"variable {entry.name!r}: {error}") from None
    return arrays


def _check_claims(
    nbytes: int, entries: Sequence[SidecarEntry], forms: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Refuse what would fill the memory out of few bytes."""
    known = [forms[entry.name] for entry in entries if entry.name in forms]
    try:
        claimed = sum(math.prod(shape) * np.dtype(name).itemsize for name, shape in known)
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"unknown dtype: {error}") from None
    if claimed > max(_MAX_NBYTES, _MAX_EXPANSION * nbytes):
        raise ValueError(f"arrays of {claimed} bytes cannot be in {nbytes} bytes")


def _encode_objects(values: NDArray[Any]) -> bytes:
    packed = pack_json(values.reshape(-1).tolist())
    return _deflate(json.dumps(packed, separators=(",", ":"), ensure_ascii=False).encode())


def _decode_objects(data: bytes, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    if not isinstance(dtype, np.dtype):
        raise ValueError(f"damaged dtype of objects: {dtype!r}")
    try:
        items = unpack_json(json.loads(_inflate(data, _MAX_OBJECT_BYTES)))
    except RecursionError:
        raise ValueError("objects are nested too deeply") from None
    size = math.prod(shape)
    if not isinstance(items, list) or len(items) != size:
        raise ValueError(f"the objects do not make an array of {shape}")
    array = np.empty(size, dtype)
    # One by one: numpy would take lists and arrays apart.
    for index, item in enumerate(items):
        array[index] = item
    return array.reshape(shape)


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"damaged data: {error}") from None
    if len(plain) > limit or not unpacker.eof:
        raise ValueError(f"damaged data: more than {limit} bytes, or cut short")
    return plain
