"""Entropy coding of signed integers that are mostly small."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, standalone

from .framing import join_varints, pack, split_varints, unpack, unzigzag, zigzag

__all__ = [
    "Search",
    "decode_ints",
    "decode_narrow_ints",
    "encode_ints",
    "pco_decode",
    "pco_encode",
]

Search = Literal["none", "auto", "lookback"]
"""Differences that pcodec may try: none, between neighbours, or from earlier places."""


# First byte of a payload. Numbers never change their meaning once released.
_ZERO, _CONSTANT, _VARINTS, _PCO, _SPARSE = range(5)
_PCO_DTYPES: tuple[np.dtype[Any], ...] = (
    np.dtype(np.int16),
    np.dtype(np.int32),
    np.dtype(np.int64),
)
# pcodec's own header is about 20 bytes, which short runs do not earn back.
_MAX_VARINTS = 64


def encode_ints(k: NDArray[np.integer[Any]]) -> bytes:
    """Code integers in the smallest of several ways.

    Parameters
    ----------
    k : ndarray of integers in the range of int64, any shape

    Returns
    -------
    bytes
        One byte when all are zero.

    Examples
    --------
    >>> decode_ints(encode_ints(np.array([[3, -1]])), (1, 2))
    array([[ 3, -1]])
    """
    flat = np.asarray(k).reshape(-1)
    if flat.dtype == np.uint64:
        flat = flat.view(np.int64)
    return _encode_flat(flat)


def decode_ints(payload: bytes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Undo ``encode_ints``.

    Raises
    ------
    ValueError
        If the payload is damaged or of another shape.
    """
    return decode_narrow_ints(payload, shape).astype(np.int64, copy=False)


def decode_narrow_ints(payload: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    """Do what `decode_ints` does, in the dtype that they were coded in: fewer passes."""
    return _decode_flat(payload, math.prod(shape)).reshape(shape)


def _encode_flat(flat: NDArray[np.int64]) -> bytes:
    nonzero = np.flatnonzero(flat)
    if nonzero.size == 0:
        return bytes([_ZERO])
    if (flat == flat[0]).all():
        return bytes([_CONSTANT]) + join_varints([zigzag(int(flat[0]))])
    candidates = [_encode_dense(flat)]
    if nonzero.size * 8 < flat.size:
        candidates.append(_encode_sparse(flat, nonzero))
    return min(candidates, key=len)


def _decode_flat(payload: bytes, size: int) -> NDArray[Any]:
    if not payload:
        raise ValueError("the integers are missing: no bytes")
    kind, data = payload[0], payload[1:]
    if kind == _ZERO and not data:
        return np.zeros(size, dtype=np.int64)
    if kind == _CONSTANT:
        return np.full(size, _split_signed(data, 1)[0], dtype=np.int64)
    if kind == _VARINTS and size <= _MAX_VARINTS:
        return np.array(_split_signed(data, size), dtype=np.int64)
    if kind == _PCO:
        return pco_decode(data[1:], size, _pco_dtype(data))
    if kind == _SPARSE:
        return _decode_sparse(data, size)
    raise ValueError(f"integers are damaged: coding {kind} for {size} samples")


def _split_signed(data: bytes, count: int) -> list[int]:
    codes, rest = split_varints(data, count)
    if rest:
        raise ValueError(f"{len(rest)} bytes follow the integers")
    return [unzigzag(code) for code in codes]


def _encode_dense(flat: NDArray[np.int64]) -> bytes:
    index = _narrowest(flat)
    pco = bytes([_PCO, index]) + pco_encode(flat.astype(_PCO_DTYPES[index], copy=False))
    if flat.size > _MAX_VARINTS:
        return pco
    varints = bytes([_VARINTS]) + join_varints(zigzag(value) for value in flat.tolist())
    return min(pco, varints, key=len)


def _narrowest(flat: NDArray[np.int64]) -> int:
    low, high = int(flat.min()), int(flat.max())
    for index, dtype in enumerate(_PCO_DTYPES):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return index
    raise AssertionError("int64 holds every int64")


def _pco_dtype(data: bytes) -> np.dtype[Any]:
    if not data or data[0] >= len(_PCO_DTYPES):
        raise ValueError("integers are damaged: unknown width")
    return _PCO_DTYPES[data[0]]


def _encode_sparse(flat: NDArray[np.int64], nonzero: NDArray[np.intp]) -> bytes:
    """Code the runs of zeros and the values apart."""
    gaps = np.diff(nonzero, prepend=-1).astype(np.int64) - 1
    parts = (
        join_varints([nonzero.size]),
        _encode_dense(gaps),
        _encode_dense(flat[nonzero]),
    )
    return bytes([_SPARSE]) + pack(parts)


def _decode_sparse(data: bytes, size: int) -> NDArray[np.signedinteger[Any]]:
    parts = unpack(data)
    if len(parts) != 3:
        raise ValueError(f"sparse integers have 3 parts, got {len(parts)}")
    (count,), _ = split_varints(parts[0], 1)
    if not 0 < count <= size or {parts[1][:1], parts[2][:1]} - {b"\x02", b"\x03"}:
        raise ValueError(f"sparse integers are damaged: {count} of {size} samples")
    gaps, values = (_decode_flat(part, count) for part in parts[1:])
    if gaps.min() < 0 or gaps.max() >= size:
        raise ValueError("sparse integers are damaged: a gap is out of range")
    positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if positions[-1] >= size:
        raise ValueError(f"sparse integers are damaged: {positions[-1]} is not below {size}")
    # As narrow as its values: eight times the memory took longer than the decoding.
    flat = np.zeros(size, dtype=values.dtype)
    flat[positions] = values
    return flat


def pco_encode(flat: NDArray[Any], *, level: int = 8, search: Search = "none") -> bytes:
    """Compress a 1-D array with pcodec, which may look for structure itself."""
    deltas = {
        "none": DeltaSpec.no_op,
        "auto": DeltaSpec.auto,
        "lookback": DeltaSpec.try_lookback,
    }
    config = ChunkConfig(
        compression_level=level,
        mode_spec=ModeSpec.classic() if search == "none" else ModeSpec.auto(),
        delta_spec=deltas[search](),
    )
    return bytes(standalone.simple_compress(np.ascontiguousarray(flat), config))


def pco_decode(data: bytes, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``pco_encode``; raises ``ValueError`` unless exactly ``size`` samples come out."""
    out = np.empty(size, dtype=dtype)
    try:
        progress = standalone.simple_decompress_into(data, out)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"pcodec cannot decode {len(data)} bytes: {error}") from None
    if progress.n_processed != size or not progress.finished:
        raise ValueError(f"pcodec decoded {progress.n_processed} of {size} samples")
    return out
