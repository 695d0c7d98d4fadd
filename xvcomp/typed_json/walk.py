"""Packing and unpacking of containers and Python's own scalars; the registry of tags.

``pack_json`` writes ``None``, bools, ints, finite floats, strings, lists and dicts with
plain string keys as themselves, and everything else as ``{"$tag": ...}``.
"""

import base64
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = [
    "finders",
    "pack",
    "pack_bytes",
    "pack_json",
    "packers",
    "unpack_bytes",
    "unpack_json",
    "unpackers",
]

# msgspec writes integers of up to 64 bits.
_MAX_INT = 1 << 63

# numpy reads the text of some dtypes as Python, and fails as Python does.
_DAMAGE = (
    TypeError, KeyError, IndexError, AttributeError, OverflowError, SyntaxError, MemoryError,
    struct.error,
)  # fmt: skip

Packer = Callable[[Any, str], Any]

packers: dict[type, Packer] = {}
"""By exact type: a subclass would come back as its base."""

finders: list[Callable[[object], Packer | None]] = []
"""Asked in order for the packer of a value whose type is not in ``packers``."""

unpackers: dict[str, Callable[[Any], Any]] = {}


def pack_json(value: object) -> Any:
    """Return ``value`` in plain JSON types, reversibly.

    Parameters
    ----------
    value : object
        ``None``, bool, int, float, complex, str, bytes, list, tuple, set, frozenset,
        dict (any keys), numpy scalars, arrays and dtypes, Python types that serve as
        dtypes, dates and times of Python, numpy and cftime, codecs of zarr and numcodecs.

    Raises
    ------
    TypeError
        If something has no such form; the message names its type and its path.

    Examples
    --------
    >>> pack_json({"valid_range": (0, 1.5)})
    {'valid_range': {'$tuple': [0, 1.5]}}
    """
    return pack(value, "")


def unpack_json(packed: object) -> Any:
    """Undo ``pack_json``.

    Raises
    ------
    ValueError
        If ``packed`` is damaged, or tagged by a newer version or a missing package.
    """
    if isinstance(packed, list):
        return [unpack_json(item) for item in packed]
    if not isinstance(packed, Mapping):
        return packed
    tags = [key for key in packed if key.startswith("$")]
    if not tags:
        return {key: unpack_json(item) for key, item in packed.items()}
    if len(packed) != 1 or tags[0] not in unpackers:
        raise ValueError(f"unknown tag {tags[0]!r}; known are {', '.join(sorted(unpackers))}")
    try:
        return unpackers[tags[0]](packed[tags[0]])
    except _DAMAGE as error:
        raise ValueError(f"damaged value tagged {tags[0]!r}: {error}") from None


def pack(value: object, path: str) -> Any:
    """Pack one value; ``path`` says in messages where it is."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    packer = packers.get(kind) or next(_found(value), None)
    if packer is None:
        where = f" at {path}" if path else ""
        raise TypeError(f"{kind.__module__}.{kind.__qualname__}{where} cannot be kept")
    return packer(value, path)


def _found(value: object) -> Iterator[Packer]:
    yield from filter(None, (finder(value) for finder in finders))


def _pack_int(value: int, path: str) -> Any:
    return value if abs(value) < _MAX_INT else {"$int": str(value)}


def _pack_float(value: float, path: str) -> Any:
    if math.isfinite(value):
        return value
    # JSON has no NaN and no infinities; a NaN may have a payload.
    plain = struct.pack("<d", value) == struct.pack("<d", float(str(value)))
    return {"$f": str(value) if plain else struct.pack("<d", value).hex()}


def _unpack_float(body: str) -> float:
    if len(body) < 16:
        return float(body)
    return float(struct.unpack("<d", bytes.fromhex(body))[0])


def _pack_str(value: str, path: str) -> Any:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        # Lone surrogates are no valid JSON text in most readers.
        return {"$str": pack_bytes(value.encode("utf-8", "surrogatepass"), path)["$bytes"]}
    return value


def pack_bytes(value: bytes, path: str) -> Any:
    """Pack bytes as base64."""
    return {"$bytes": base64.b64encode(value).decode("ascii")}


def unpack_bytes(body: str) -> bytes:
    """Undo the text of ``pack_bytes``."""
    return base64.b64decode(body, validate=True)


def _pack_list(value: list[Any], path: str) -> Any:
    return [pack(item, f"{path}[{index}]") for index, item in enumerate(value)]


def _pack_tuple(value: tuple[Any, ...], path: str) -> Any:
    return {"$tuple": _pack_list(list(value), path)}


def _pack_set(value: "set[Any] | frozenset[Any]", path: str) -> Any:
    items = sorted(_pack_list(list(value), path), key=repr)
    return {"$set" if isinstance(value, set) else "$frozenset": items}


def _pack_dict(value: dict[Any, Any], path: str) -> Any:
    if all(_is_plain_key(key) for key in value):
        return {key: pack(item, f"{path}[{key!r}]") for key, item in value.items()}
    pairs = [[pack(k, f"{path}.keys"), pack(v, f"{path}[{k!r}]")] for k, v in value.items()]
    return {"$dict": pairs}


def _is_plain_key(key: object) -> bool:
    return type(key) is str and not key.startswith("$") and _pack_str(key, "") is key


packers |= {
    int: _pack_int,
    float: _pack_float,
    complex: lambda v, p: {"$complex": [_pack_float(v.real, p), _pack_float(v.imag, p)]},
    str: _pack_str,
    bytes: pack_bytes,
    list: _pack_list,
    tuple: _pack_tuple,
    set: _pack_set,
    frozenset: _pack_set,
    dict: _pack_dict,
}

unpackers |= {
    "$int": int,
    "$f": _unpack_float,
    "$complex": lambda body: complex(*(unpack_json(part) for part in body)),
    "$str": lambda body: unpack_bytes(body).decode("utf-8", "surrogatepass"),
    "$bytes": unpack_bytes,
    "$tuple": lambda body: tuple(unpack_json(body)),
    "$set": lambda body: set(unpack_json(body)),
    "$frozenset": lambda body: frozenset(unpack_json(body)),
    "$dict": lambda body: {unpack_json(k): unpack_json(v) for k, v in body},
}
