"""What makes a lossy base exact, or keeps an error bound, or does without a base.

Pure functions on arrays. What a decoder computes is elementwise arithmetic in a fixed
order, so that every machine rebuilds the same values. Every decoder raises ``ValueError``
on payloads that it did not write, and allocates nothing that the asked-for shape does not.
"""

from .codes import decode_codes, decode_lattice, encode_codes, encode_lattice
from .exceptions import decode_exceptions, encode_exceptions
from .exponential import exp2
from .framing import pack, unpack
from .integers import decode_ints, decode_narrow_ints, encode_ints
from .lossless import decode_lossless, encode_lossless
from .pyramid import decode_pyramid, encode_pyramid
from .steps import float_step, integer_step
from .subbands import decode_subbands, encode_subbands

__all__ = [
    "decode_codes",
    "decode_exceptions",
    "decode_ints",
    "decode_lattice",
    "decode_lossless",
    "decode_narrow_ints",
    "decode_pyramid",
    "decode_subbands",
    "encode_codes",
    "encode_exceptions",
    "encode_ints",
    "encode_lattice",
    "encode_lossless",
    "encode_pyramid",
    "encode_subbands",
    "exp2",
    "float_step",
    "integer_step",
    "pack",
    "unpack",
]
