"""What encoder settings are worth: bits at equal squared error, and processor time.

``python -m benchmarks.rate_distortion.tune --data DIR --out FILE [--cubes A B] [--only NAME]``

The streams are those that xvcomp would code: components of real cubes, in tiles. Every setting
encodes each of them at several quantiser steps, in a process of its own. Errors are measured on
the 12-bit codes, so a 10-bit encoder pays for its rounding; a decoder checks every stream.
"""

import math
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xvcomp
from xvcomp.codecs import registry
from xvcomp.codecs.abc import StreamParams
from xvcomp.codecs.segments import split
from xvcomp.codecs.software import X265

from .bdrate import bd_rate
from .cubes import Cube
from .isolate import CrashError, run_isolated
from .rows import Row, measure_rows, options

__all__ = ["SETTINGS", "Measured", "Setting", "compared", "recorded"]

_DEPTH = 12
_QUALITY_DB = 50.0
_STEPS = (0.5, 1, 2, 4, 8)
"""In units of the step that gives about ``_QUALITY_DB``."""

_CUBES = ("be1_10bands", "earthnet", "ndvi", "t2m", "s1", "modis")
_LEAST_SAMPLES = 50_000
"""Clips with which an encoder is probed are smaller."""

_MOST_SAMPLES = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Options of one encoder, on top of what a preset gives it."""

    codec: str
    preset: str = "fast"
    options: dict[str, str] = field(default_factory=dict)


def _x265(preset: str, params: str = "") -> Setting:
    options = {"preset": preset, **({"x265-params": params} if params else {})}
    return Setting(codec="libx265", options=options)


def _svtav1(preset: int, params: str = "") -> Setting:
    options = {"preset": str(preset), **({"svtav1-params": params} if params else {})}
    return Setting(codec="libsvtav1", options=options)


def _x264(preset: str, params: str = "") -> Setting:
    options = {"preset": preset, **({"x264-params": params} if params else {})}
    return Setting(codec="libx264", options=options)


_AS_IS = "ref=1:max-merge=2:b-adapt=0:bframes=3:signhide=0"
"""What presets of x265 with little search have, where ours add to it."""

_PLAIN = "rd=2:rdoq-level=0"
_THOROUGH = "rd=4:rdoq-level=2"
_MEDIUM = "rd=3:rdoq-level=0:ref=3:max-merge=3:b-adapt=2:bframes=4:rc-lookahead=20:min-cu-size=8"
_PRESETS = ("fast", "balanced", "best")
SETTINGS = {
    "x265 medium": _x265("medium", _MEDIUM),
    **{f"x265, preset {preset}": Setting(codec="libx265", preset=preset) for preset in _PRESETS},
    "x265 medium, rd 4, rdoq 2": _x265("medium", f"{_MEDIUM}:{_THOROUGH}"),
    "x265 superfast": _x265("superfast", f"{_PLAIN}:{_AS_IS}:min-cu-size=8"),
    "x265 superfast, rd 4, rdoq 2": _x265("superfast", f"{_THOROUGH}:{_AS_IS}:min-cu-size=8"),
    "x265 ultrafast": _x265("ultrafast", f"{_PLAIN}:{_AS_IS}"),
    "x265 fast without sign hiding": _x265("ultrafast", "signhide=0"),
    "x265 fast with 1 reference": _x265("ultrafast", "ref=1:max-merge=2"),
    "x265 fast with chosen B frames": _x265("ultrafast", "b-adapt=2:bframes=4:rc-lookahead=15"),
    "x265 fast with plain rounding": _x265("ultrafast", "rdoq-level=0"),
    "x265 fast with CTUs of 64": _x265("ultrafast", "ctu=64"),
    "x265 fast with CUs of 8": _x265("ultrafast", "min-cu-size=8"),
    **{
        f"SVT-AV1, preset {preset}": Setting(codec="libsvtav1", preset=preset)
        for preset in _PRESETS
    },
    "SVT-AV1 8": _svtav1(8),
    "SVT-AV1 10": _svtav1(10),
    "SVT-AV1 6 without temporal filter": _svtav1(6, "enable-tf=0"),
    "x265, preset balanced, scene cuts": Setting(
        codec="libx265", preset="balanced", options={"x265-params": "scenecut=40"}
    ),
    "x264 superfast": _x264("superfast"),
    "x264 superfast with trellis": _x264("superfast", "trellis=1:8x8dct=1"),
    "x264 veryfast": _x264("veryfast"),
    "x264 faster": _x264("faster"),
    "x264 medium": _x264("medium"),
}
"""The first is what the others are compared with; ``fast ...`` change one thing of that preset."""


class _Recorder(X265):
    """Keeps the planes that it is given to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[tuple[NDArray[np.uint16], ...], StreamParams]] = []

    def encode(self, planes: Any, params: StreamParams) -> bytes:
        """Encode, and keep."""
        if params.quantizer is not None and planes[0].size >= _LEAST_SAMPLES:
            self.kept.append((tuple(planes), params))
        return super().encode(planes, params)


Stream = tuple[tuple[NDArray[np.uint16], ...], StreamParams]


def recorded(dataset: Any) -> list[Stream]:
    """Return the streams, at 12 bits, that a cube would be coded as."""
    recorder = _Recorder()
    registry.register(recorder)
    try:
        with tempfile.TemporaryDirectory() as folder:
            xvcomp.encode(
                dataset,
                Path(folder) / "cube.mp4",
                stored=True,
                target=xvcomp.Quality(_QUALITY_DB),
                preset="fast",
                codec="libx265",
            )
    finally:
        registry.register(X265())
    streams, total = [], 0
    for planes, params in recorder.kept:
        if total and total + planes[0].size > _MOST_SAMPLES:
            break
        total += planes[0].size
        streams.append((planes, params))
    return streams


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One setting at one step, over all streams of a cube."""

    bits: float
    psnr_db: float
    cpu_seconds: float
    wall_seconds: float
    decode_seconds: float


def measured(streams: Sequence[Stream], setting: Setting, factor: float) -> Measured:
    """Encode all streams at a multiple of their step, decode them, and measure."""
    codec = registry.get(setting.codec)
    depth = max(d for d in (8, 10, 12) if d <= _DEPTH and codec.quantizers(d) and _takes(codec, d))
    widths = codec.quantizers(depth)
    nbytes, squares, samples = 0, 0.0, 0
    cpu = wall = decode = 0.0
    for planes, params in streams:
        asked = params.quantizer
        assert asked is not None  # a Quality target is lossy
        step = registry.get("libx265").quantizers(_DEPTH)[asked] * factor / 2 ** (_DEPTH - depth)
        quantizer = min(widths, key=lambda q: abs(math.log(widths[q] / step)))
        own = replace(
            params,
            bit_depth=depth,
            quantizer=quantizer,
            preset=setting.preset,  # type: ignore[arg-type]
            options=setting.options,
            threads=0,
        )
        shift = _DEPTH - depth
        limit = (1 << depth) - 1
        sent = tuple(
            np.minimum((plane + (1 << shift >> 1)) >> shift, limit).astype(np.uint16)
            for plane in planes
        )
        before, start = _cpu(), perf_counter()
        segment = codec.encode(sent, own)
        wall += perf_counter() - start
        cpu += _cpu() - before
        info, gops = split(segment)
        packets = [packet for gop in gops for packet in gop]
        start = perf_counter()
        back = codec.decode(packets, info, chroma=own.chroma, threads=1)
        decode += perf_counter() - start
        nbytes += sum(map(len, packets))
        for plane, got in zip(planes, back, strict=True):
            error = plane.astype(np.float64) - got.astype(np.float64) * (1 << shift)
            squares += float(np.square(error).sum())
            samples += plane.size
    psnr_db = 10 * math.log10(samples * (2**_DEPTH - 1) ** 2 / squares)
    return Measured(
        bits=8 * nbytes / samples,
        psnr_db=psnr_db,
        cpu_seconds=cpu,
        wall_seconds=wall,
        decode_seconds=decode,
    )


def _takes(codec: Any, depth: int) -> bool:
    try:
        codec.carrier(StreamParams(bit_depth=depth, quantizer=None, gop=1))
    except xvcomp.CodecError:
        return False
    return True


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def compared(curves: dict[str, list[dict[str, float]]], first: str) -> dict[str, dict[str, float]]:
    """Return each setting's BD-rate in percent and its times over the first's.

    A setting whose curve shares nothing with the first's is left out.
    """
    reference = curves[first]
    found = {}
    for name, points in curves.items():
        try:
            rate = round(bd_rate(_front(reference), _front(points)), 1)
        except ValueError:
            continue
        found[name] = {"bd_rate": rate} | {
            key: round(_mean(points, f"{key}_seconds") / _mean(reference, f"{key}_seconds"), 2)
            for key in ("cpu", "wall", "decode")
        }
    return found


def _mean(points: Sequence[dict[str, float]], key: str) -> float:
    return statistics.fmean(point[key] for point in points)


def _front(points: Sequence[dict[str, float]]) -> list[tuple[float, float]]:
    return [(point["bits"], point["psnr_db"]) for point in points]


def _curve(streams: Sequence[Stream], setting: Setting) -> list[dict[str, float]]:
    points = []
    for factor in _STEPS:
        try:
            found = run_isolated(lambda factor=factor: measured(streams, setting, factor))  # type: ignore[misc]
        except CrashError as error:
            print(f"{setting}: {error}", file=sys.stderr)
            continue
        points.append({key: round(getattr(found, key), 4) for key in Measured.__slots__})
    return points


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Average over the cubes; settings that some cube lacks say how many they have."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row["compared"]):
        own = [row["compared"][name] for row in rows if name in row["compared"]]
        found[name] = {key: round(statistics.fmean(each[key] for each in own), 2) for key in own[0]}
        found[name]["cubes"] = len(own)
    return found


def main() -> None:
    """Measure all settings on all cubes, writing after each cube."""
    parser = options(__doc__, _CUBES)
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    given = parser.parse_args()

    def row(cube: Cube) -> Row:
        streams = recorded(cube.dataset)
        curves = {key: _curve(streams, SETTINGS[key]) for key in given.only}
        return {"compared": compared(curves, given.only[0]), "points": curves}

    whole = measure_rows(given, row, lambda rows: {"mean": _means(rows)})
    print("mean", *(f"  {key}: {each}" for key, each in whole["mean"].items()), sep="\n")


if __name__ == "__main__":
    main()
