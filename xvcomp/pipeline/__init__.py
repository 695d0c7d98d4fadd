"""The only place where masks, transforms, planes, codecs and corrections are put together."""

from .encode import EncodedGroup, encode_lossless, trial
from .prepare import Prepared, prepare
from .reconstruct import DecodePart, VariableForm, decode_part
from .windows import GroupInput, Reader, VariableInput, Window

__all__ = [
    "DecodePart",
    "EncodedGroup",
    "GroupInput",
    "Prepared",
    "Reader",
    "VariableForm",
    "VariableInput",
    "Window",
    "decode_part",
    "encode_lossless",
    "prepare",
    "trial",
]
