"""Values of numpy: scalars, arrays, dtypes, and Python types that serve as dtypes."""

import base64
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .walk import finders, pack, packers, unpack_bytes, unpack_json, unpackers

__all__: list[str] = []

_DTYPE_TYPES: dict[str, type] = {
    t.__name__: t for t in (str, int, float, bool, complex, object, bytes)
}

_MAX_LISTED = 1 << 28
"""Bytes of an array that is a list in JSON; few characters may ask for gigabytes."""


def _pack_scalar(value: np.generic, path: str) -> Any:
    if isinstance(value, np.str_ | np.bytes_):
        # As arrays they would lose trailing zeros.
        plain = str.__str__(value) if isinstance(value, np.str_) else bytes(value)
        return {"$text": pack(plain, path)}
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.hasobject or not isinstance(array[()], type(value)):
        raise TypeError(f"numpy scalar {type(value).__name__} at {path} cannot be kept")
    dtype, _, data = _pack_array(array, path)["$array"]
    return {"$scalar": [dtype, data]}


def _unpack_text(body: Any) -> "np.str_ | np.bytes_":
    plain = unpack_json(body)
    return np.str_(plain) if isinstance(plain, str) else np.bytes_(plain)


def _pack_array(value: NDArray[Any], path: str) -> Any:
    dtype, shape = _pack_dtype(value.dtype, path)["$dtype"], list(value.shape)
    flat = value.reshape(-1)
    if value.dtype.hasobject or value.dtype.kind == "T":
        return {"$array": [dtype, shape, pack(flat.tolist(), path)]}
    raw = base64.b64encode(flat.tobytes()).decode("ascii")
    if value.dtype.kind in "iubf" and value.dtype.itemsize <= 8 and np.isfinite(flat).all():
        numbers = flat.tolist()
        # Numbers as they are, where base64 is not much shorter: people can read them.
        if len(str(numbers)) <= len(raw) + 16 and max(map(abs, numbers), default=0) < 1 << 63:
            return {"$array": [dtype, shape, numbers]}
    return {"$array": [dtype, shape, raw]}


def _unpack_array(body: Any) -> NDArray[Any]:
    dtype, shape, data = _unpack_dtype(body[0]), tuple(body[1]), body[2]
    size = math.prod(shape)
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"damaged shape of an array: {shape}")
    if isinstance(data, str):
        raw = unpack_bytes(data)
        if len(raw) != size * dtype.itemsize:
            raise ValueError(f"{len(raw)} bytes do not make {shape} of {dtype}")
        # A copy, for the buffer is read-only.
        return np.frombuffer(raw, dtype).reshape(shape).copy() if raw else np.zeros(shape, dtype)
    if len(data) != size:
        raise ValueError(f"{len(data)} values do not make {shape}")
    if size * dtype.itemsize > _MAX_LISTED:
        raise ValueError(f"{size} values of {dtype} are too large to be listed one by one")
    array = np.empty(size, dtype)
    for index, item in enumerate(unpack_json(data)):
        array[index] = item
    return array.reshape(shape)


def _pack_dtype(value: "np.dtype[Any]", path: str) -> Any:
    body = _dtype_body(value, path)
    if _unpack_dtype(body) != value:
        raise TypeError(f"dtype {value!r} at {path} cannot be kept")
    return {"$dtype": body}


def _dtype_body(value: Any, path: str) -> Any:
    metadata = {"metadata": pack(dict(value.metadata), path)} if value.metadata else {}
    if value.kind == "T":
        return {"string": pack(_string_options(value), path)}
    if value.names is not None:
        fields = [[name, _dtype_body(value[name], path)] for name in value.names]
        offsets = [value.fields[name][1] for name in value.names]
        body = {"fields": fields, "offsets": offsets, "itemsize": value.itemsize}
        return body | metadata | ({"align": True} if value.isalignedstruct else {})
    if value.subdtype is not None:
        base, shape = value.subdtype
        return {"base": _dtype_body(base, path), "shape": list(shape)}
    return {"name": value.str} | metadata if metadata else value.str


def _string_options(value: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"coerce": value.coerce}
    return options | ({"na_object": value.na_object} if hasattr(value, "na_object") else {})


def _unpack_dtype(body: Any) -> "np.dtype[Any]":
    if isinstance(body, str):
        return np.dtype(body)
    metadata = unpack_json(body["metadata"]) if "metadata" in body else None
    if "string" in body:
        return np.dtypes.StringDType(**unpack_json(body["string"]))
    if "base" in body:
        return np.dtype((_unpack_dtype(body["base"]), tuple(body["shape"])))
    spec: Any = body["name"] if "fields" not in body else None
    if "fields" in body:
        names, formats = zip(*body["fields"], strict=True) if body["fields"] else ((), ())
        spec = {"names": list(names), "formats": [_unpack_dtype(f) for f in formats]}
        spec |= {"offsets": body["offsets"], "itemsize": body["itemsize"]}
    options: Any = {"metadata": metadata} if metadata else {}
    dtype: np.dtype[Any] = np.dtype(spec, align=bool(body.get("align", False)), **options)
    return dtype


def _pack_type(value: type, path: str) -> Any:
    if _DTYPE_TYPES.get(value.__name__) is value:
        return {"$type": value.__name__}
    if issubclass(value, np.generic) and getattr(np, value.__name__, None) is value:
        return {"$type": f"numpy.{value.__name__}"}
    raise TypeError(f"type {value.__qualname__} at {path} cannot be kept")


def _unpack_type(body: str) -> type:
    if body in _DTYPE_TYPES:
        return _DTYPE_TYPES[body]
    found = getattr(np, body.removeprefix("numpy."), None)
    if not (
        body.startswith("numpy.") and isinstance(found, type) and issubclass(found, np.generic)
    ):
        raise ValueError(f"unknown type {body!r}")
    return found


def _by_base(value: object) -> Callable[[Any, str], Any] | None:
    if isinstance(value, np.generic):
        return _pack_scalar
    if isinstance(value, np.dtype):
        return _pack_dtype
    return _pack_type if isinstance(value, type) else None


packers[np.ndarray] = _pack_array
finders.append(_by_base)
unpackers |= {
    "$text": _unpack_text,
    "$scalar": lambda body: _unpack_array([body[0], [], body[1]])[()],
    "$array": _unpack_array,
    "$dtype": _unpack_dtype,
    "$type": _unpack_type,
}
