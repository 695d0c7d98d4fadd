"""The correction layer: what makes a lossy base exact, or keep an error bound.

Pure functions on arrays of any shape. Elementwise arithmetic in a fixed order only, so
that every machine rebuilds the same values. Every decoder raises ``ValueError`` on
payloads that it did not write, and allocates nothing that the asked-for shape does not.
"""

from .correction import apply_bits, apply_integer, correct_bits, correct_integer, integer_step
from .floats import (
    FloatCorrection,
    apply_float,
    correct_float,
    decode_float,
    encode_float,
    float_step,
)
from .framing import pack, unpack
from .integers import decode_ints, encode_ints
from .lossless import decode_lossless, encode_lossless

__all__ = [
    "FloatCorrection",
    "apply_bits",
    "apply_float",
    "apply_integer",
    "correct_bits",
    "correct_float",
    "correct_integer",
    "decode_float",
    "decode_ints",
    "decode_lossless",
    "encode_float",
    "encode_ints",
    "encode_lossless",
    "float_step",
    "integer_step",
    "pack",
    "unpack",
]
