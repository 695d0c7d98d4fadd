"""What fast, balanced and best mean to each encoder, and what a quantiser is worth.

All settings aim at the smallest squared error for the bits: constant quantisers, no
psychovisual decisions, no adaptive quantisation, no scene cuts, closed GOPs.

BD-rate and encoding time against the first of each list, x265 on tiles of components of six
cubes, SVT-AV1 on those of a Sentinel-2 cube and on a SEVIRI crop. More settings, per cube:
``python -m benchmarks.rate_distortion.tune``.

==================================================  ===============  =============
x265, 12 bits: medium                                      0 %        1.0
superfast                                                +24 %        0.6
superfast, rd 4, rdoq-level 2                             +2 %        1.1
ultrafast                                                +28 %        0.4
... with 2 references, hidden signs, 2 B frames          +16 %        0.4
... and rdoq-level 2: *fast*                              +9 %        0.5
... and chosen B frames, SAO, CTUs of 64: *balanced*      +2 %        0.6
ultrafast, rd 4, rdoq 2, SAO, 3 references, hex           -1 %        0.9
medium, rd 4, rdoq-level 2                                -8 %        1.4
slow, rd 6, ref 5, max-merge 4 ...: *best*               -12 %        6
SVT-AV1, 10 bits: preset 6: *fast*                   0 /     0 %     1.0 /  1.0
preset 8 (returns garbage, not used)             +10.5 /  +4.0 %     0.6 /  0.8
preset 4: *balanced*                              -4.2 /  -2.0 %     1.1 /  1.7
preset 2: *best*                                  -6.0 /  -6.9 %     3.4 /  5.1
preset 6 without temporal filter                  +2.1 /  +3.2 %     0.7 /  0.8
==================================================  ===============  =============

Smallest CUs of 8 instead of 16 gain 4 % more at 1.4 times the time (12 % on sparse rain).
Changing ip/pb ratios, more B frames and deeper transform trees gained nothing. FFV1 is
smallest with one slice and the small context model (context 1: +1 to +5 %).
"""

import math
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType

from ..spec import Preset
from . import finer
from .abc import StreamParams

__all__ = [
    "av1_steps",
    "ffv1_options",
    "hevc_steps",
    "interpolate",
    "join",
    "merge",
    "svtav1_options",
    "vp9_options",
    "vp9_steps",
    "x264_options",
    "x264_steps",
    "x265_options",
]

# Ultrafast with what pays for its time. Without rdoq it would be a quarter faster and take 8 %
# more bits, but sizes then rise tenfold within 4 dB where noise begins, which no search likes.
_X265_QUICK = {"rdoq-level": "2", "signhide": "1", "bframes": "2", "ref": "2", "max-merge": "3"}
X265: dict[Preset, tuple[str, dict[str, str]]] = {
    "fast": ("ultrafast", _X265_QUICK),
    "balanced": (
        "ultrafast",
        _X265_QUICK | {"sao": "1", "b-adapt": "2", "bframes": "4", "rc-lookahead": "15"},
    ),
    "best": (
        "slow",
        {"rd": "6", "ref": "5", "max-merge": "4", "b-intra": "1", "strong-intra-smoothing": "0"},
    ),
}
_X265_LARGEST_CTU: dict[Preset, int] = {"fast": 32, "balanced": 64, "best": 64}
X264: dict[Preset, str] = {"fast": "veryfast", "balanced": "slow", "best": "veryslow"}
# Preset 8 returns garbage frames: below CRF 6 on Sentinel-2, at any CRF on flickering
# frames; preset 7 gives the same bytes as 6.
SVTAV1: dict[Preset, int] = {"fast": 6, "balanced": 4, "best": 2}
VP9: dict[Preset, int] = {"fast": 4, "balanced": 2, "best": 1}

# Slices let FFV1 use threads, and cost 1 % each at 64 x 256; large frames can afford it.
_FFV1_PIXELS_OF_A_SLICE = 2**17


def x265_options(params: StreamParams, height: int, width: int) -> dict[str, str]:
    """Options of libx265; constant QP switches AQ and CU-tree off by itself."""
    preset, extra = X265[params.preset]
    gop = str(params.gop)
    inner = {
        "keyint": gop,
        "min-keyint": gop,
        "scenecut": "0",
        "open-gop": "0",
        "ctu": str(x265_ctu(height, width, _X265_LARGEST_CTU[params.preset])),
        "psy-rd": "0",
        "psy-rdoq": "0",
        "aq-mode": "0",
        "info": "0",
        "log-level": "none",
        **extra,
    }
    if preset == "ultrafast":
        smallest = 8 if params.mixed else _x265_smallest_cu(height, width)
        inner["min-cu-size"] = str(smallest)
    if params.quantizer is None:
        inner["lossless"] = "1"
    else:
        qp, entry = finer.split_qp(params.quantizer)
        inner |= {"qp": str(qp), **finer.scaling(entry)}
    if params.threads:
        inner["pools"] = str(params.threads)
        # FFmpeg would pass the number on as it is, and x265 refuses more than 16.
        inner["frame-threads"] = str(min(params.threads, 4))
    return merge({"preset": preset, "x265-params": join(inner)}, params.options)


_X265_NARROW = 48


def x265_ctu(height: int, width: int, largest: int = 64) -> int:
    """Return a CTU size with at least two CTUs in a row, and one no higher than needed.

    x265 4.2 writes garbage frames, at random, when a row is a single CTU. At 12 bits it
    also writes beyond its buffers in frames of 33 to 48 pixels width, unless CTUs are small.
    """
    if width <= _X265_NARROW:
        return 16
    fits = (ctu for ctu in (64, 32) if ctu <= largest and width > ctu and height >= ctu)
    return next(fits, 16)


def _x265_smallest_cu(height: int, width: int) -> int:
    """Return 16, which is faster, unless padding to whole CUs would add a twentieth."""
    padded = (-(-height // 16) * 16) * (-(-width // 16) * 16)
    return 16 if padded < 1.05 * height * width else 8


def x264_options(params: StreamParams) -> dict[str, str]:
    """Options of libx264; QP 0 is its lossless mode."""
    gop = str(params.gop)
    inner = {"keyint": gop, "min-keyint": gop, "scenecut": "0", "open-gop": "0"}
    inner |= {"psy": "0", "aq-mode": "0"}
    options = {"preset": X264[params.preset], "qp": str(params.quantizer or 0)}
    return merge({**options, "x264-params": join(inner)}, params.options)


def svtav1_options(params: StreamParams) -> dict[str, str]:
    """Options of libsvtav1; its quantiser is four times the CRF."""
    inner = {"tune": "1", "aq-mode": "0", "scd": "0"}
    crf = (params.quantizer or 0) / 4
    if params.quantizer is None:
        inner["lossless"] = "1"
    else:
        # Always here: FFmpeg's own option, alone, switches adaptive quantisation on again,
        # and a whole CRF then costs 30 % more bits than its neighbours.
        inner["crf"] = f"{crf:.2f}"
    if params.threads:
        inner["lp"] = str(params.threads)
    options = {"preset": str(SVTAV1[params.preset]), "g": str(params.gop), "crf": str(round(crf))}
    return merge({**options, "svtav1-params": join(inner)}, params.options)


def vp9_options(params: StreamParams) -> dict[str, str]:
    """Options of libvpx-vp9."""
    gop = str(params.gop)
    options = {"g": gop, "keyint_min": gop, "deadline": "good", "aq-mode": "0", "row-mt": "1"}
    options["cpu-used"] = str(VP9[params.preset])
    if params.quantizer is None:
        options["lossless"] = "1"
    else:
        options |= {"crf": str(params.quantizer), "b": "0"}
    return merge(options, params.options)


def ffv1_options(params: StreamParams, height: int, width: int) -> dict[str, str]:
    """Options of ffv1, version 3.

    Without checksums in the slices: FFmpeg paints over a slice whose checksum is wrong
    instead of failing, and the file has checksums of its own.
    """
    options = {"level": "3", "coder": "1", "context": "0", "slicecrc": "0"}
    options["g"] = str(params.gop)
    if height <= 288 and width <= 352:
        # Each slice costs about 1 %, and FFmpeg takes a single one up to this size only.
        options["slices"] = "1"
    return merge(options, params.options)


@cache
def hevc_steps(bit_depth: int, lowest: int = 0, highest: int = 51) -> Mapping[int, float]:
    """Map HEVC's QP to the step, in codes, whose rounding makes the same error.

    QP counts from the 8-bit scale: ``QP' = QP + 6 (bit_depth - 8)``. On noise the
    error is that of a step 1.05 to 1.4 times the nominal one (B frames have a higher QP).
    """
    offset = 6 * (bit_depth - 8) - 4
    steps = {qp: 1.2 * math.exp2((qp + offset) / 6) for qp in range(lowest, highest + 1)}
    return MappingProxyType(steps)


@cache
def x264_steps(bit_depth: int) -> Mapping[int, float]:
    """Map the QP of libx264, which counts from the scale of its own depth, to steps."""
    highest = 51 + 6 * (bit_depth - 8)
    steps = {qp: 1.22 * math.exp2((qp - 4) / 6) for qp in range(1, highest + 1)}
    return MappingProxyType(steps)


# (CRF, effective step of 10-bit codes, of 8-bit codes), measured on noise in GOPs of 16.
_AV1_ANCHORS = (
    (0.25, 1.6, 1.4),
    (1, 2.3, 1.5),
    (2, 3.1, 1.8),
    (4, 5.7, 2.4),
    (8, 12.0, 4.0),
    (12, 19.0, 5.4),
    (16, 26.0, 7.0),
    (24, 39.0, 9.9),
    (32, 66.0, 16.6),
    (40, 112.0, 28.3),
    (50, 230.0, 58.0),
    (63, 830.0, 200.0),
)
# (CRF, effective step of 8-bit codes), measured on noise.
_VP9_ANCHORS = ((1, 1.45), (4, 2.87), (16, 8.13), (24, 11.7), (32, 19.7), (48, 59.4), (63, 204.0))


@cache
def av1_steps(bit_depth: int) -> Mapping[int, float]:
    """Map four times the CRF of SVT-AV1 to steps; finer than CRF 1 makes no odds at 8 bits."""
    column = 2 if bit_depth == 8 else 1
    anchors = [(4 * row[0], row[column]) for row in _AV1_ANCHORS]
    return MappingProxyType(interpolate(anchors, range(4 if bit_depth == 8 else 1, 253)))


@cache
def vp9_steps(bit_depth: int) -> Mapping[int, float]:
    """Map the CRF of libvpx-vp9 to steps."""
    scale = 2.0 ** (bit_depth - 8)
    anchors = [(float(crf), step * scale) for crf, step in _VP9_ANCHORS]
    return MappingProxyType(interpolate(anchors, range(1, 64)))


def interpolate(anchors: list[tuple[float, float]], at: range) -> dict[int, float]:
    """Interpolate geometrically, so that the steps grow strictly."""
    steps = {}
    for q in at:
        (q0, s0), (q1, s1) = next(p for p in pairwise(anchors) if q <= p[1][0])
        steps[q] = s0 * (s1 / s0) ** ((q - q0) / (q1 - q0))
    return steps


def join(options: Mapping[str, str]) -> str:
    """Write options the way x264, x265 and SVT-AV1 read them."""
    return ":".join(f"{key}={value}" for key, value in options.items())


def merge(options: dict[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Let the user's options win; encoder strings (``x265-params``) are appended."""
    merged = dict(options)
    for key, value in given.items():
        appended = key.endswith("-params") and key in merged
        merged[key] = f"{merged[key]}:{value}" if appended else value
    return merged
