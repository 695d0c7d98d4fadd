"""What fast, balanced and best mean to each encoder, and what a quantiser is worth.

All settings aim at the smallest squared error for the bits: constant quantisers, no
psychovisual decisions, no adaptive quantisation, no scene cuts, closed GOPs.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

from ..spec import Preset
from .abc import StreamParams

__all__ = [
    "av1_steps",
    "ffv1_options",
    "hevc_steps",
    "join",
    "svtav1_options",
    "vp9_options",
    "vp9_steps",
    "x264_options",
    "x264_steps",
    "x265_options",
]

X265: dict[Preset, tuple[str, dict[str, str]]] = {
    "fast": ("superfast", {}),
    "balanced": ("superfast", {"rd": "4", "rdoq-level": "2"}),
    "best": ("slow", {}),
}
X264: dict[Preset, str] = {"fast": "veryfast", "balanced": "medium", "best": "veryslow"}
SVTAV1: dict[Preset, int] = {"fast": 8, "balanced": 6, "best": 3}
VP9: dict[Preset, int] = {"fast": 5, "balanced": 3, "best": 1}

# Presets 7 and above return garbage at fine quantisers (preset 8 was seen to below
# CRF 6, preset 10 below CRF 13), so fine quantisers use the last sound preset.
_SVTAV1_SOUND_PRESET = 6
_SVTAV1_FAST_FROM_CRF = 20


def x265_options(params: StreamParams, height: int, width: int) -> dict[str, str]:
    """Options of libx265; constant QP switches AQ and CU-tree off by itself."""
    preset, extra = X265[params.preset]
    gop = str(params.gop)
    inner = {
        "keyint": gop,
        "min-keyint": gop,
        "scenecut": "0",
        "open-gop": "0",
        "ctu": str(x265_ctu(height, width)),
        "psy-rd": "0",
        "psy-rdoq": "0",
        "aq-mode": "0",
        "info": "0",
        "log-level": "none",
        **extra,
    }
    if params.quantizer is None:
        inner["lossless"] = "1"
    else:
        inner["qp"] = str(params.quantizer)
    if params.threads:
        inner["pools"] = str(params.threads)
        if params.threads == 1:
            inner["frame-threads"] = "1"
    return _merge({"preset": preset, "x265-params": join(inner)}, params.options)


def x265_ctu(height: int, width: int) -> int:
    """Return a CTU size with at least two CTUs in a row, and one no higher than needed.

    x265 4.2 writes garbage frames, at random, when a row is a single CTU.
    """
    return next((ctu for ctu in (64, 32) if width > ctu and height >= ctu), 16)


def x264_options(params: StreamParams) -> dict[str, str]:
    """Options of libx264; QP 0 is its lossless mode."""
    gop = str(params.gop)
    inner = {"keyint": gop, "min-keyint": gop, "scenecut": "0", "open-gop": "0"}
    inner |= {"psy": "0", "aq-mode": "0"}
    options = {"preset": X264[params.preset], "qp": str(params.quantizer or 0)}
    return _merge({**options, "x264-params": join(inner)}, params.options)


def svtav1_options(params: StreamParams) -> dict[str, str]:
    """Options of libsvtav1; its quantiser is four times the CRF."""
    inner = {"tune": "1", "aq-mode": "0", "scd": "0"}
    crf = (params.quantizer or 0) / 4
    if params.quantizer is None:
        inner["lossless"] = "1"
    elif crf % 1:
        inner["crf"] = f"{crf:.2f}"
    preset = SVTAV1[params.preset]
    if crf < _SVTAV1_FAST_FROM_CRF:
        preset = min(preset, _SVTAV1_SOUND_PRESET)
    if params.threads:
        inner["lp"] = str(params.threads)
    options = {"preset": str(preset), "g": str(params.gop), "crf": str(round(crf))}
    return _merge({**options, "svtav1-params": join(inner)}, params.options)


def vp9_options(params: StreamParams) -> dict[str, str]:
    """Options of libvpx-vp9."""
    gop = str(params.gop)
    options = {"g": gop, "keyint_min": gop, "deadline": "good", "aq-mode": "0", "row-mt": "1"}
    options["cpu-used"] = str(VP9[params.preset])
    if params.quantizer is None:
        options["lossless"] = "1"
    else:
        options |= {"crf": str(params.quantizer), "b": "0"}
    return _merge(options, params.options)


def ffv1_options(params: StreamParams) -> dict[str, str]:
    """Options of ffv1, version 3.

    Without checksums in the slices: FFmpeg paints over a slice whose checksum is wrong
    instead of failing, and the file has checksums of its own.
    """
    options = {"level": "3", "coder": "1", "slicecrc": "0", "g": str(params.gop)}
    options |= {"context": "1" if params.preset == "best" else "0"}
    return _merge(options, params.options)


def hevc_steps(bit_depth: int, lowest: int = 0, highest: int = 51) -> dict[int, float]:
    """Map HEVC's QP to the step, in codes, whose rounding makes the same error.

    QP counts from the 8-bit scale: ``QP' = QP + 6 (bit_depth - 8)``. On noise the
    error is that of a step 1.4 to 1.9 times the nominal one (dead zone, B frames).
    """
    offset = 6 * (bit_depth - 8) - 4
    return {qp: 1.6 * math.exp2((qp + offset) / 6) for qp in range(lowest, highest + 1)}


def x264_steps(bit_depth: int) -> dict[int, float]:
    """Map the QP of libx264, which counts from the scale of its own depth, to steps."""
    highest = 51 + 6 * (bit_depth - 8)
    return {qp: 1.22 * math.exp2((qp - 4) / 6) for qp in range(1, highest + 1)}


# (CRF, effective step of 10-bit codes, of 8-bit codes), measured on noise.
_AV1_ANCHORS = (
    (0.25, 1.55, 1.28),
    (1, 1.86, 1.34),
    (2, 2.47, 1.55),
    (4, 4.37, 2.01),
    (8, 8.89, 3.12),
    (12, 13.8, 4.15),
    (16, 18.8, 5.22),
    (24, 28.5, 7.25),
    (32, 47.8, 12.2),
    (40, 82.8, 20.8),
    (50, 170.0, 42.3),
    (60, 365.0, 88.9),
    (63, 570.0, 130.0),
)
# (CRF, effective step of 8-bit codes), measured on noise.
_VP9_ANCHORS = ((1, 1.45), (4, 2.87), (16, 8.13), (24, 11.7), (32, 19.7), (48, 59.4), (63, 204.0))


def av1_steps(bit_depth: int) -> dict[int, float]:
    """Map four times the CRF of SVT-AV1 to steps; finer than CRF 1 makes no odds at 8 bits."""
    column = 2 if bit_depth == 8 else 1
    anchors = [(4 * row[0], row[column]) for row in _AV1_ANCHORS]
    return _interpolate(anchors, range(4 if bit_depth == 8 else 1, 253))


def vp9_steps(bit_depth: int) -> dict[int, float]:
    """Map the CRF of libvpx-vp9 to steps."""
    scale = 2.0 ** (bit_depth - 8)
    return _interpolate([(crf, step * scale) for crf, step in _VP9_ANCHORS], range(1, 64))


def _interpolate(anchors: list[tuple[float, float]], at: range) -> dict[int, float]:
    """Interpolate geometrically, so that the steps grow strictly."""
    steps = {}
    for q in at:
        (q0, s0), (q1, s1) = next(p for p in pairwise(anchors) if q <= p[1][0])
        steps[q] = s0 * (s1 / s0) ** ((q - q0) / (q1 - q0))
    return steps


def join(options: Mapping[str, str]) -> str:
    """Write options the way x264, x265 and SVT-AV1 read them."""
    return ":".join(f"{key}={value}" for key, value in options.items())


def _merge(options: dict[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Let the user's options win; encoder strings (``x265-params``) are appended."""
    merged = dict(options)
    for key, value in given.items():
        appended = key.endswith("-params") and key in merged
        merged[key] = f"{merged[key]}:{value}" if appended else value
    return merged
