"""The only place where masks, transforms, planes, codecs and corrections are put together."""

from .correct import Correction
from .encode import trial
from .encoded import EncodedGroup
from .packets import encode_bounded, encode_lossless
from .prepare import Prepared, prepare
from .reconstruct import DecodePart, VariableForm, decode_part
from .windows import GroupInput, Reader, VariableInput, Window

__all__ = [
    "Correction",
    "DecodePart",
    "EncodedGroup",
    "GroupInput",
    "Prepared",
    "Reader",
    "VariableForm",
    "VariableInput",
    "Window",
    "decode_part",
    "encode_bounded",
    "encode_lossless",
    "prepare",
    "trial",
]
