"""Which variables may lose precision, which may not, and which are no video at all."""

from ..errors import PlanError
from ..results import Options, Override
from ..spec import Lossless, Target
from .facts import VariableFacts, frame_axes
from .overrides import own_choice

__all__ = ["role"]

_UNIT_LIKE = ("units", "scale_factor", "add_offset", "standard_name")
_FLAG_LIKE = ("flag_values", "flag_masks", "flag_meanings")
_CLASS_NAMES = ("mask", "class", "flag", "quality", "qa", "scl", "label", "category", "landcover")

_FEW_VALUES = 16
_MANY_VALUES = 64
_SMALL = 1 << 15
"""Bytes below which a variable is not worth a video: a track's own overhead would eat it."""


def role(each: VariableFacts, options: Options, target: Target, nbytes: int) -> tuple[str, str]:
    """Return lossy, lossless or sidecar, and the reason.

    ``nbytes`` is the size of all variables of the same shape, which may share a video.
    """
    axes = frame_axes(each.dims, each.shape)
    numeric = each.dtype.kind in "iufb"
    forced = each.name in options.lossy
    if forced and (axes is None or each.dtype.kind not in "iuf" or each.is_coord):
        raise PlanError(
            f"{each.name!r} cannot be lossy: it is {_what(each)}; only numeric data "
            "variables with two image dims can"
        )
    if each.is_coord:
        return "sidecar", "coordinate"
    if not numeric or each.dtype.itemsize > 8:
        return "sidecar", f"dtype {each.dtype} is not numeric"
    if axes is None or 0 in each.shape:
        return "sidecar", "no image dims" if axes is None else "empty"
    if not forced and axes[0] is None:
        return "sidecar", "static field"
    if not forced and nbytes < _SMALL:
        return "sidecar", f"only {nbytes} bytes"
    return _lossy_or_not(each, options, target, forced)


def _what(each: VariableFacts) -> str:
    if each.is_coord:
        return "a coordinate"
    return f"of dtype {each.dtype} with dims {each.dims}"


def _lossy_or_not(
    each: VariableFacts, options: Options, target: Target, forced: bool
) -> tuple[str, str]:
    if each.name in options.lossless:
        return "lossless", "asked for"
    own = (own_choice(each.name, options) or Override()).target
    if isinstance(own or target, Lossless):
        return "lossless", "target is lossless"
    if forced or own is not None:
        return "lossy", "asked for"
    if each.dtype.kind == "b":
        return "lossless", "boolean"
    if any(key in each.attrs for key in _FLAG_LIKE):
        return "lossless", "CF flags"
    if each.dtype.kind == "f":
        return "lossy", "floating point"
    return _integer_role(each)


def _integer_role(each: VariableFacts) -> tuple[str, str]:
    if each.distinct <= _FEW_VALUES:
        return "lossless", f"integers with {each.distinct} distinct values"
    if any(key in each.attrs for key in _UNIT_LIKE):
        return "lossy", "integers with units"
    words = each.name.lower()
    if any(word in words for word in _CLASS_NAMES):
        return "lossless", "integers named like classes or flags"
    if each.distinct <= _MANY_VALUES:
        return "lossless", f"integers without units, {each.distinct} distinct values"
    return "lossy", f"integers with more than {_MANY_VALUES} values look like measurements"
