"""What keeping a bound costs in time: bounded groups against their video alone.

::

    XVCOMP_DATA=... python -m benchmarks.access.bounded --json bounded.json

Per cube, bound and preset: a group encoded within the bound, and the video that the search
would have put under its corrections (same codec, step and GOPs) encoded without them. A
ratio of 1 is as fast as the video. Both encodings include decoding and measuring what was
written, as they do in use; ``search`` counts all that was tried before the winner, too.
Seconds are of processor time, the best of several, so that other work on the machine hardly
counts.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

import xvcomp
from xvcomp.bounding import _RATIOS, Candidate, PacketJob, best_bounded
from xvcomp.bounds import corrections
from xvcomp.choosing import span_of
from xvcomp.codecs import registry
from xvcomp.codecs.segments import split
from xvcomp.dataset import describe
from xvcomp.inputs import group_input
from xvcomp.pipeline import DecodePart, EncodedGroup, Prepared, decode_part, prepare, trial
from xvcomp.pipeline.encoded import forms_of
from xvcomp.planes import chroma_of
from xvcomp.spec import GroupPlan, MaxError

from ..output import write_json

CUBES: dict[str, tuple[tuple[str, ...], int | None]] = {
    "s2_worldcereal_be1": (("B02", "B03", "B04", "B08"), None),
    "era5_t2m_uk_hourly": (("t2m",), None),
    "ocean_globcurrent_agulhas": (("u", "v"), None),
    "seviri_hrv_5min_a": (("hrv",), 12),
    "radar_mrms_us_a": (("precip_rate",), 6),
    "s1_worldcereal_be1": (("VV", "VH"), None),
}
BOUNDS = (1e-2, 1e-3, 1e-4)
PRESETS = ("fast", "balanced")
T = TypeVar("T")


def timed(work: Callable[[], T], repeats: int) -> tuple[T, float]:
    """Return what work gives, and its best time."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        found.append(time.process_time() - started)
    return result, min(found)


def decode(prepared: Prepared, encoded: EncodedGroup) -> None:
    """Decode all windows as a reader does, in one thread."""
    group, forms = encoded.group, forms_of(prepared.data)
    for window in encoded.windows:
        streams = []
        for segment in window.segments:
            info, gops = split(bytes(segment))
            packets = [packet for gop in gops for packet in gop]
            chroma = chroma_of(group.layout.kind)
            codec = registry.get(group.codec)
            streams.append(codec.decode(packets, info, chroma=chroma, threads=1))
        part = DecodePart(
            shape=window.window.shape,
            streams=streams,
            masks=[bytes(each) for each in window.masks],
            residuals=[bytes(each) for each in window.residuals],
        )
        decode_part(group, forms, part)


def groups(name: str, preset: str) -> list[tuple[GroupPlan, Prepared]]:
    """Plan and read a cube."""
    own, frames = CUBES[name]
    source = xr.open_dataset(Path(os.environ["XVCOMP_DATA"]) / f"{name}.nc", decode_cf=False)
    cube = source[list(own)].load()
    cube = cube if frames is None else cube.isel(time=slice(frames))
    target = MaxError(0.001, relative="range")
    plan = xvcomp.plan(cube, stored=True, preset=preset, target=target)
    by_name = {each.spec.name: each for each in describe(cube, stored=True)[0]}
    found = []
    for group in plan.groups:
        data = group_input(group, by_name)
        span = span_of(group, data)
        prepared = prepare(data, span=span, block=group.block, fold=group.fold)
        # Read once, so that reading does not count.
        prepared.extremes  # noqa: B018
        found.append((group, prepared))
    return found


def again(plan: GroupPlan, prepared: Prepared, bound: MaxError, best: Candidate) -> EncodedGroup:
    """Encode the winner once more, without the search."""
    group = best.encoded.group
    ways = corrections(bound, prepared)
    if group.residual is None or group.codec != "none":
        return video(plan, prepared, bound, corrected=True)
    way = None
    if not group.lossless:
        way = next(each for each in ways if each.spec.kind == group.residual.kind)
        way = replace(way, spec=group.residual)
    return PacketJob.of(plan, prepared).encode(way, None)


def video(
    plan: GroupPlan, prepared: Prepared, bound: MaxError, *, corrected: bool = False
) -> EncodedGroup:
    """Encode the video that the search puts under corrections, with or without them."""
    way = next(each for each in corrections(bound, prepared) if each.spec.kind == "linear")
    scales = [abs(variable.scale) for variable in prepared.data.variables]
    width = min(step * scale for step, scale in zip(way.spec.steps, scales, strict=True))
    coder = "plain" if plan.preset == "fast" else "pyramid"
    wanted = replace(way, spec=replace(way.spec, coder=coder)) if corrected else None
    return trial(prepared, plan, _RATIOS[plan.preset][0] * width, correction=wanted)


def measure(plan: GroupPlan, prepared: Prepared, fraction: float, repeats: int) -> dict[str, Any]:
    bound = MaxError(fraction, relative="range")
    (found, _), search = timed(
        lambda: best_bounded(plan, prepared, bound, lambda: lambda _: None), 1
    )
    record: dict[str, Any] = {"bound": fraction, "way": found[0].what, "nbytes": found[0].nbytes}
    if not corrections(bound, prepared):
        return record | {"note": "only the exact values keep the bound"}
    bounded, encode_s = timed(lambda: again(plan, prepared, bound, found[0]), repeats)
    base, base_encode_s = timed(lambda: video(plan, prepared, bound), repeats)
    _, decode_s = timed(lambda: decode(prepared, bounded), 4 * repeats)
    _, base_decode_s = timed(lambda: decode(prepared, base), 4 * repeats)
    return record | {
        "encode_s": round(encode_s, 3), "search_s": round(search, 3),
        "decode_s": round(decode_s, 3),
        "video_encode_s": round(base_encode_s, 3), "video_decode_s": round(base_decode_s, 3),
        "video_nbytes": base.nbytes,
        "encode_ratio": round(base_encode_s / encode_s, 2),
        "search_ratio": round(base_encode_s / search, 2),
        "decode_ratio": round(base_decode_s / decode_s, 2),
    }  # fmt: skip


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cubes", nargs="+", choices=list(CUBES), default=list(CUBES))
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--bounds", nargs="+", type=float, default=list(BOUNDS))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = []
    for name in given.cubes:
        for preset in given.presets:
            for plan, prepared in groups(name, preset):
                for bound in given.bounds:
                    record = {"cube": name, "preset": preset, "codec": plan.codec}
                    record |= measure(plan, prepared, bound, given.repeats)
                    print(json.dumps(record), file=sys.stderr)
                    found.append(record)
    write_json(found, given.json)


if __name__ == "__main__":
    main()
