"""The coder's settings of one group: codec, depth, GOP, blocks, transform and layout."""

from collections.abc import Mapping, Sequence
from typing import Literal

from ..errors import PlanError
from ..memory import Memory
from ..results import Override
from ..spec import Bpppb, LayoutKind, Psnr, Quality, Ratio, Target

__all__ = ["bit_depth", "block", "codec", "gop", "layout", "transform"]

_MAX_BLOCK = 2048
_BLOCK = 1024
_LEAST_BLOCK = 64
_LEAST_GOP = 8
_EVEN = 8
_CODECS = ("libx265", "libsvtav1")
_FOLDS = {"balanced": (1, 4, 8, 16, 24), "best": (1, 2, 4, 8, 16, 24, 32)}
_LIGHT_GOP_SAMPLES = 4_000_000
_LONGEST_GOP = 256
_GOPS = {"fast": 48, "balanced": 96, "best": 256}
_MAX_KLT_BANDS = 128


def codec(own: Override, target: Target, codecs: Mapping[str, Sequence[int]]) -> tuple[str, str]:
    """Choose the codec, and say why."""
    if own.codec is not None:
        if own.codec not in codecs:
            raise PlanError(
                f"codec {own.codec!r} cannot be used here; usable: {', '.join(sorted(codecs))} "
                "(see `xvcomp codecs`)"
            )
        return own.codec, "asked for"
    if not codecs:
        raise PlanError("no video codec works on this machine: see `xvcomp codecs`")
    low = _is_low_rate(target)
    preferred = ["libsvtav1", "libx265"] if low else ["libx265", "libsvtav1"]
    for name in [*preferred, "libx264", *sorted(codecs)]:
        if name in codecs:
            why = "AV1 is ahead at low rates" if low else "12 bits reach high quality"
            return name, why if name == preferred[0] else "the best of those that work here"
    raise PlanError("no video codec works on this machine: see `xvcomp codecs`")


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


def codecs_to_try(
    own: Override, preset: str, codecs: Mapping[str, Sequence[int]]
) -> tuple[tuple[str, int], ...]:
    """Return codecs, with their depths, that a trial may choose from."""
    if own.codec is not None or own.bit_depth is not None or preset == "fast":
        return ()
    return tuple(
        (name, max(depth for depth in codecs[name] if depth <= 12))
        for name in _CODECS
        if name in codecs
    )


def folds_to_try(own: Override, preset: str, bands: int, frame_dim: str | None) -> tuple[int, ...]:
    """Return the temporal foldings that a trial may choose from, in rising order."""
    asked = own.fold is not None or own.transform is not None or own.gop is not None
    if asked or preset == "fast" or frame_dim is None:
        return ()
    return tuple(fold for fold in _FOLDS[preset] if fold * bands <= _MAX_KLT_BANDS)


def bit_depth(own: Override, codec: str, codecs: Mapping[str, Sequence[int]]) -> tuple[int, str]:
    """Choose the bits of a code, and say why."""
    depths = codecs[codec]
    if own.bit_depth is not None:
        if own.bit_depth not in depths:
            raise PlanError(
                f"{codec} cannot code {own.bit_depth} bits here; it can code "
                f"{', '.join(map(str, sorted(depths)))}"
            )
        return own.bit_depth, "asked for"
    # Depths over 12 exist for lossless codecs; their frames only get larger.
    best = max((depth for depth in depths if depth <= 12), default=max(depths))
    return best, f"the deepest that {codec} codes"


def block(
    own: Override, frames: int, bands: int, size: tuple[int, int], memory: Memory
) -> tuple[int, int]:
    """Choose the spatial blocks: whole frames, unless they are very large.

    Parameters
    ----------
    frames : int
        Of the group's streams.
    bands : int
        Samples that a pixel of such a frame stands for.
    size : (int, int)
        Height and width of the group.
    """
    if own.tile is not None:
        if own.tile < _LEAST_BLOCK:
            raise PlanError(f"a tile has at least {_LEAST_BLOCK} pixels a side, got {own.tile}")
        return _evenly(size[0], own.tile), _evenly(size[1], own.tile)
    side = _BLOCK if max(size) > _MAX_BLOCK else max(size)
    # Shorter GOPs than this cost more bits than smaller blocks do.
    least = min(frames, _LEAST_GOP) * bands
    while side > 2 * _LEAST_BLOCK and least * _area(size, side) > memory.window_samples:
        side = -(-side // 2)
    return _evenly(size[0], side), _evenly(size[1], side)


def _area(size: tuple[int, int], side: int) -> int:
    return min(size[0], side) * min(size[1], side)


def _evenly(length: int, most: int) -> int:
    """Cut a side into equal parts: a last one of few pixels would waste a track."""
    if length <= most:
        return length
    even = -(-length // -(-length // most))
    return min(most, -(-even // _EVEN) * _EVEN)


def gop(
    own: Override,
    preset: str,
    time: int,
    bands: int,
    block: tuple[int, int],
    fold: int,
    memory: Memory,
) -> tuple[int, str]:
    """Choose the frames of a GOP, and say why."""
    frames = -(-time // fold)
    if own.gop is not None:
        if own.gop < 1:
            raise PlanError(f"a GOP has at least 1 frame, got {own.gop}")
        return min(own.gop, frames), "asked for"
    fits = max(1, memory.window_samples // (bands * fold * block[0] * block[1]))
    # Small frames decode fast: longer GOPs then cost little time and save bits.
    light = _LIGHT_GOP_SAMPLES // (bands * fold * block[0] * block[1])
    longest = max(_GOPS[preset], min(light, _LONGEST_GOP))
    if fits < min(frames, longest):
        return fits, "as many frames as fit into memory at a time"
    if frames <= longest:
        return frames, "the cube is short: one GOP"
    # Equal GOPs: a short last one would pay for a keyframe of its own.
    return -(-frames // -(-frames // longest)), f"preset {preset}: up to {longest} frames"


def transform(own: Override, bands: int) -> tuple[Literal["klt", "none"], str]:
    """Choose the transform over bands, and say why."""
    if own.transform is not None:
        return own.transform, "asked for"
    if bands == 1:
        return "none", "one band"
    if bands > _MAX_KLT_BANDS:
        return "none", f"{bands} bands: the matrix would cost too much"
    return "klt", f"decorrelates {bands} bands"


def layout(own: Override) -> tuple[LayoutKind, str]:
    """Choose where components lie in frames, and say why."""
    if own.layout is not None:
        return own.layout, "asked for"
    return "tiled", "one stream, one index, no chroma limits"
