"""Single samples that are kept as they are, because no multiple of a step will do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import from_ordered, from_signed, ordered_dtype, to_ordered, to_signed
from .framing import join_varints, pack, split_varints, unpack
from .integers import decode_ints, encode_ints

__all__ = ["decode_exceptions", "encode_exceptions"]


def encode_exceptions(values: NDArray[Any], where: NDArray[np.bool_]) -> bytes:
    """Write the chosen samples: where they are, and their exact bits; nothing if none."""
    positions = np.flatnonzero(where)
    if positions.size == 0:
        return b""
    gaps = np.diff(positions, prepend=-1) - 1
    exact = to_signed(to_ordered(values.reshape(-1)[positions]))
    return pack([join_varints([positions.size]), encode_ints(gaps), encode_ints(exact)])


def decode_exceptions(payload: bytes, values: NDArray[Any]) -> None:
    """Put the exceptions into an array of the same shape and dtype, in place.

    Raises
    ------
    ValueError
        If the payload is damaged or was made for another shape.
    """
    if not payload:
        return
    parts = unpack(payload)
    if len(parts) != 3:
        raise ValueError(f"exceptions have 3 parts, got {len(parts)}")
    (count,), _ = split_varints(parts[0], 1)
    if not 0 < count <= values.size:
        raise ValueError(f"{count} exceptions among {values.size} samples")
    gaps = decode_ints(parts[1], (count,))
    if gaps.min() < 0 or gaps.max() >= values.size or gaps.sum() + count > values.size:
        raise ValueError("the positions of the exceptions are damaged")
    codes = from_signed(decode_ints(parts[2], (count,)), ordered_dtype(values.dtype))
    values.reshape(-1)[np.cumsum(gaps + 1) - 1] = from_ordered(codes, values.dtype)
