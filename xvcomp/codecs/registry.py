"""Codecs by name."""

from functools import cache
from typing import TYPE_CHECKING, Literal

from ..errors import CodecUnavailable
from .abc import Codec

if TYPE_CHECKING:
    from .pyav import PyavCodec

__all__ = ["builtin", "get", "is_builtin", "kind", "names", "register"]

_registered: dict[str, Codec] = {}


def get(name: str) -> Codec:
    """Return the codec of that name, whether or not this machine can run it.

    Raises
    ------
    CodecUnavailable
        If there is none; the message lists those that there are.
    """
    codec = _registered.get(name) or builtin().get(name)
    if codec is None:
        raise CodecUnavailable(f"no codec is called {name!r}; known: {', '.join(names())}")
    return codec


def kind(name: str) -> Literal["software", "program", "hardware"]:
    """Say what runs a codec: a library in this process, another program, or a device."""
    codec = get(name)
    if getattr(codec, "device", "cpu") == "hardware":
        return "hardware"
    return "program" if getattr(codec, "via", "PyAV") == "ffmpeg" else "software"


def names() -> tuple[str, ...]:
    """Return all names, software encoders first, then hardware, then registered ones."""
    return (*builtin(), *(n for n in _registered if n not in builtin()))


def register(codec: Codec) -> None:
    """Add a codec, or put it in the place of the one with the same name."""
    _registered[codec.name] = codec


def is_builtin(name: str) -> bool:
    """Say whether a new process would know the same codec."""
    return name in builtin() and name not in _registered


@cache
def builtin() -> "dict[str, PyavCodec]":
    """Return the codecs that come with the package."""
    from .aom import LibAom, Rav1e
    from .device import device_codecs
    from .hardware import hardware_codecs
    from .jpeg import OpenJpeg
    from .software import X264, X265, Ffv1, SvtAv1, Vp9
    from .vvc import VvEnc

    libraries: tuple[PyavCodec, ...] = (X265(), SvtAv1(), X264(), Ffv1(), Vp9())
    programs: tuple[PyavCodec, ...] = (LibAom(), Rav1e(), VvEnc(), OpenJpeg())
    devices = (*hardware_codecs(), *device_codecs())
    return {codec.name: codec for codec in (*libraries, *programs, *devices)}
