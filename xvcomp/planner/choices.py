"""The coder's settings of one group: depth, GOP, blocks, transform and layout."""

from typing import Literal

from ..codecs.encoders import Encoders
from ..errors import PlanError
from ..memory import Memory
from ..results import Override
from ..spec import LayoutKind

__all__ = ["SHORT", "bit_depth", "block", "folds_to_try", "gop", "layout", "transform"]

_MAX_BLOCK = 2048
_BLOCK = 1024
_LEAST_BLOCK = 64
_LEAST_GOP = 8
_EVEN = 8
_FOLDS = {"balanced": (1, 4, 8, 16, 24), "best": (1, 2, 4, 8, 16, 24, 32)}
SHORT = 16
"""Frames of a series that preset best tries as one."""

_LIGHT_GOP_SAMPLES = 4_000_000
_LONGEST_GOP = 256
_GOPS = {"fast": 48, "balanced": 96, "best": 256}
_MAX_KLT_BANDS = 128


def folds_to_try(
    own: Override, preset: str, time: int, bands: int, frame_dim: str | None
) -> tuple[int, ...]:
    """Return the temporal foldings that a trial may choose from, in rising order.

    A series so short that all of its frames may become one is tried that way by ``best``.
    """
    asked = own.fold is not None or own.transform is not None or own.gop is not None
    if asked or preset == "fast" or frame_dim is None:
        return ()
    whole = (time,) if preset == "best" and 1 < time <= SHORT else ()
    folds = sorted({*_FOLDS[preset], *whole})
    return tuple(fold for fold in folds if fold * bands <= _MAX_KLT_BANDS)


def bit_depth(own: Override, codec: str, encoders: Encoders) -> tuple[int, str]:
    """Choose the bits of a code, and say why."""
    depths = encoders.depths(codec)
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
