"""Planes of one stream to compressed bytes, and back, by the codecs of this machine."""

from .abc import Capabilities, Codec, StreamParams
from .capabilities import all_capabilities, probe
from .decoding import decode_packets
from .encoders import Encoders
from .registry import get, names, register
from .segments import split

__all__ = [
    "Capabilities",
    "Codec",
    "Encoders",
    "StreamParams",
    "all_capabilities",
    "decode_packets",
    "get",
    "names",
    "probe",
    "register",
    "split",
]
