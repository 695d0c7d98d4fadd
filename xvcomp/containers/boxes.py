"""The boxes of an ISO base media file: a length, four letters, a payload.

References
----------
ISO/IEC 14496-12:2022, section 4.2.
"""

import struct
from collections.abc import Iterator

__all__ = ["box", "children", "find", "full_box", "require"]


def box(kind: bytes, *payload: bytes) -> bytes:
    """Make a box of the four letters ``kind``."""
    nbytes = 8 + sum(map(len, payload))
    if nbytes >= 2**32:
        raise ValueError(f"a {kind.decode()} box of {nbytes} bytes is over the format's 4 GiB")
    return struct.pack(">I4s", nbytes, kind) + b"".join(payload)


def full_box(kind: bytes, version: int, flags: int, *payload: bytes) -> bytes:
    """Make a box that starts with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *payload)


def children(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and payload of the boxes that lie one after the other in ``data``.

    Raises
    ------
    ValueError
        If a box does not fit.
    """
    position = 0
    while position < len(data):
        nbytes, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if nbytes == 1:
            (nbytes,) = struct.unpack_from(">Q", data, start)
            start += 8
        if nbytes < start - position or position + nbytes > len(data):
            raise ValueError(f"box {kind!r} of {nbytes} bytes does not fit")
        yield kind, data[start : position + nbytes]
        position += nbytes


def find(data: memoryview, *path: bytes) -> memoryview | None:
    """Return the payload of the first box at ``path``, or ``None``."""
    for wanted in path:
        found = next((payload for kind, payload in children(data) if kind == wanted), None)
        if found is None:
            return None
        data = found
    return data


def require(data: memoryview, *path: bytes) -> memoryview:
    """Return the payload of the first box at ``path``.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = find(data, *path)
    if found is None:
        raise ValueError(f"box {b'/'.join(path).decode('latin-1')} is missing")
    return found
