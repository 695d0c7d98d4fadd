"""Which encoder codes a group: what was asked for, what works here, and what suits the target."""

from collections.abc import Sequence

from ..codecs.encoders import KINDS, NEVER, Encoders
from ..errors import PlanError
from ..results import Override
from ..spec import Bpppb, Psnr, Quality, Ratio, Target

__all__ = ["check_encoder", "choose_encoder", "encoders_to_try", "replacements"]

_TRIED = ("libx265", "libsvtav1")
_DEEP = "libaom-av1"
_DEEP_FROM_DB = 50.0
_DEEPEST = 12
_HARDWARE_ORDER = ("hevc", "av1", "h264")
_HARDWARE_CEILING_DB = 50.0
"""Ten bits and a coarsest-to-finest QP of 1: software has more to give above this."""


def choose_encoder(
    own: Override, preset: str, target: Target, encoders: Encoders
) -> tuple[str, str]:
    """Choose the encoder, and say why.

    Raises
    ------
    PlanError
        If what was asked for does not work here; the message says why, and what would help.
    """
    asked = own.codec or "auto"
    if asked == "hardware":
        return _best_hardware(encoders), "asked for"
    if asked not in KINDS:
        check_encoder(asked, encoders)
        return asked, "asked for"
    if asked == "auto" and preset == "fast" and not _is_above(target, _HARDWARE_CEILING_DB):
        found = encoders.usable(_by_standard(encoders.hardware))
        if found:
            return found[0], "hardware is fastest"
    return _software(target, encoders)


def _software(target: Target, encoders: Encoders) -> tuple[str, str]:
    low = _is_low_rate(target)
    preferred = ("libsvtav1", "libx265") if low else ("libx265", "libsvtav1")
    rest = sorted(set(encoders.software) - {*preferred, "libx264"})
    for name in (*preferred, "libx264", *rest, *encoders.programs):
        if encoders.depths(name):
            why = "AV1 is ahead at low rates" if low else "12 bits reach high quality"
            return name, why if name == preferred[0] else "the best of those that work here"
    raise PlanError("no video encoder works on this machine: see `xvcomp codecs`")


def _best_hardware(encoders: Encoders) -> str:
    found = encoders.usable(_by_standard(encoders.hardware))
    if found:
        return found[0]
    # What is needed comes first in a reason, and is the same for all of a family.
    why = dict.fromkeys(encoders.why_not(name).split(": ")[0] for name in encoders.hardware)
    raise PlanError(
        "no hardware encoder works here, and hardware was asked for; take --encoder auto or "
        f"software (`xvcomp codecs` says more): {'; '.join(why) or 'none is known'}"
    )


def check_encoder(name: str, encoders: Encoders) -> None:
    """Refuse an encoder that does not work here.

    Raises
    ------
    PlanError
        Saying why, and what would help.
    """
    if name in NEVER:
        raise PlanError(f"encoder {name!r} cannot be used anywhere: {NEVER[name]}")
    if name not in encoders.names:
        usable = ", ".join(sorted(encoders.names))
        raise PlanError(
            f"no encoder is called {name!r}; allowed: {', '.join(KINDS)}, or one of: {usable}"
        )
    if not encoders.depths(name):
        raise PlanError(
            f"encoder {name!r} cannot be used here: {encoders.why_not(name)}. "
            "Take --encoder auto, which uses what works (see `xvcomp codecs`)"
        )


def _by_standard(names: Sequence[str]) -> list[str]:
    """Put HEVC before AV1 before H.264: ten bits everywhere, then the better format."""
    order = {standard: rank for rank, standard in enumerate(_HARDWARE_ORDER)}
    return sorted(names, key=lambda name: order.get(name.split("_")[0], -1))


def _is_low_rate(target: Target) -> bool:
    match target:
        case Psnr(db=db) | Quality(db=db):
            return db < 38
        case Bpppb(bits=bits):
            return bits <= 0.15
        case Ratio(ratio=ratio):
            return ratio >= 150
        case _:
            return False


def _is_above(target: Target, ceiling_db: float) -> bool:
    return isinstance(target, Psnr | Quality) and target.db > ceiling_db


def encoders_to_try(
    own: Override, preset: str, target: Target, encoders: Encoders
) -> tuple[tuple[str, int], ...]:
    """Return encoders, with their depths, that a trial may choose from.

    libaom is slow and needs another program: only where quality comes first and the rate
    is high, where its 12 bits may pay.
    """
    if own.codec not in (None, "auto", "software") or own.bit_depth is not None or preset == "fast":
        return ()
    deep = (_DEEP,) if preset == "best" and _is_above(target, _DEEP_FROM_DB) else ()
    return _with_depth((*_TRIED, *deep), encoders)


def replacements(
    own: Override, codec: str, target: Target, encoders: Encoders
) -> tuple[tuple[str, int], ...]:
    """Return what takes the place of an encoder that fails; nothing for one asked for."""
    if own.codec not in (None, *KINDS) or own.codec == "hardware":
        return ()
    name, _ = _software(target, encoders)
    others = dict.fromkeys(each for each in (name, *_TRIED) if each != codec)
    return _with_depth(list(others), encoders)[:1]


def _with_depth(names: Sequence[str], encoders: Encoders) -> tuple[tuple[str, int], ...]:
    found = ((name, [d for d in encoders.depths(name) if d <= _DEEPEST]) for name in names)
    return tuple((name, max(depths)) for name, depths in found if depths)
