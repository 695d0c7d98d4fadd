"""Codecs of zarr and numcodecs, which xarray keeps in encodings."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from .walk import finders, pack, unpack_json, unpackers

__all__: list[str] = []


def _codec_family(value: object) -> str | None:
    """Return which package a codec in an encoding comes from; imports nothing."""
    for family, module, base in (
        ("zarr", "zarr.abc.codec", "BaseCodec"),
        ("numcodecs", "numcodecs.abc", "Codec"),
    ):
        kind = getattr(sys.modules.get(module), base, None)
        if isinstance(kind, type) and isinstance(value, kind):
            return family
    return None


def _pack_codec(value: Any, path: str) -> Any:
    family = _codec_family(value)
    body = [family, pack(_config(value), path)]
    # A codec that is not registered, or whose settings do not say all, would be lost.
    try:
        back = _unpack_codec(body)
        same = type(back) is type(value) and _config(back) == _config(value)
    except ValueError:
        same = False
    if not same:
        raise TypeError(f"codec {type(value).__qualname__} at {path} cannot be kept")
    return {"$codec": body}


def _config(codec: Any) -> dict[str, Any]:
    return dict(codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config())


def _unpack_codec(body: Any) -> Any:
    family, config = body[0], unpack_json(body[1])
    try:
        if family == "numcodecs":
            return importlib.import_module("numcodecs.registry").get_codec(config)
        registry = importlib.import_module("zarr.registry")
    except ImportError:
        raise ValueError(f"this value is a codec of {family}: pip install {family}") from None
    return registry.get_codec_class(config["name"]).from_dict(config)


def _codec_packer(value: object) -> Callable[[Any, str], Any] | None:
    return _pack_codec if _codec_family(value) else None


finders.append(_codec_packer)
unpackers["$codec"] = _unpack_codec
