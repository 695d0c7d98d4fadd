"""Several payloads in one packet, and the variable-length integers that sizes are in."""

from collections.abc import Iterable, Sequence

__all__ = ["join_varints", "pack", "split_varints", "unpack", "unzigzag", "zigzag"]

_MAX_VARINT_BYTES = 10


def pack(payloads: Sequence[bytes]) -> bytes:
    """Join payloads: their number and sizes as varints, then the payloads themselves.

    Examples
    --------
    >>> unpack(pack([b"ab", b"", b"c"]))
    [b'ab', b'', b'c']
    """
    sizes = join_varints([len(payloads), *(len(payload) for payload in payloads)])
    return sizes + b"".join(payloads)


def unpack(data: bytes) -> list[bytes]:
    """Undo ``pack``.

    Raises
    ------
    ValueError
        If the sizes do not add up to the data.
    """
    (count,), rest = split_varints(data, 1)
    if count > len(rest):
        raise ValueError(f"a packet of {len(data)} bytes cannot hold {count} payloads")
    sizes, rest = split_varints(rest, count)
    if sum(sizes) != len(rest):
        raise ValueError(f"payloads of {sum(sizes)} bytes do not fill {len(rest)} bytes")
    payloads, start = [], 0
    for size in sizes:
        payloads.append(rest[start : start + size])
        start += size
    return payloads


def join_varints(values: Iterable[int]) -> bytes:
    """Write non-negative integers, seven bits a byte, low bits first."""
    out = bytearray()
    for value in values:
        left = value
        while left > 0x7F:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out)


def split_varints(data: bytes, count: int) -> tuple[list[int], bytes]:
    """Read ``count`` integers; returns them and the bytes that follow.

    Raises
    ------
    ValueError
        If the data ends early, or an integer has more than 64 bits.
    """
    values, position = [], 0
    for _ in range(count):
        value, start = 0, position
        while True:
            if position >= len(data) or position - start >= _MAX_VARINT_BYTES:
                raise ValueError(f"damaged integer at byte {start} of {len(data)}")
            byte = data[position]
            value |= (byte & 0x7F) << 7 * (position - start)
            position += 1
            if byte < 0x80:
                break
        if value >> 64:
            raise ValueError(f"damaged integer at byte {start}: {value} needs over 64 bits")
        values.append(value)
    return values, data[position:]


def zigzag(value: int) -> int:
    """Map 0, -1, 1, -2 ... to 0, 1, 2, 3 ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(code: int) -> int:
    """Undo ``zigzag``."""
    return code >> 1 if not code & 1 else -((code + 1) >> 1)
