"""Keep bounds on every sample: try packets and video with corrections, take the smallest.

Speed is the price of size here (``benchmarks/access/bounded.py``). A video with plain
corrections (preset ``fast``) encodes at 0.5 to 1.0 and decodes at 0.7 to 1.1 times the speed of
the video alone. What ``balanced`` finds smallest, mostly pyramids without a video, was 11 to
67 % smaller at a bound of 1 % of the range and 2 to 75 % at tighter ones. But pyramids decode
at about 5 million samples per second and core, 0.04 to 0.2 times the speed of a video, and
finding the smallest takes two to thirty times as long as one encoding of a video.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from .bounds import corrections
from .errors import CodecError, ContainerError
from .excerpts import cropped
from .pipeline import (
    Correction,
    EncodedGroup,
    Prepared,
    Window,
    encode_bounded,
    encode_lossless,
    prepare,
    trial,
)
from .replacing import or_replaced
from .spec import GroupPlan, MaxError, Preset

__all__ = ["Candidate", "PacketJob", "best_bounded"]

_log = logging.getLogger(__name__)

_LOW_RATE = 0.25
"""Bits per sample below which video under corrections may be smaller than packets alone."""
_WIDEST = 2.0**31
_SMALL = 100_000
"""Groups of so many samples are coded in every way."""
_SAMPLE = 250_000
_CROP = 64
"""What was larger on a crop of so many samples was larger on the whole, too, in 18 trials out
of 18 (six cubes of the benchmarks, three bounds each)."""
_RATIOS: Mapping[Preset, tuple[float, ...]] = {
    "fast": (4.0,),
    "balanced": (8.0,),
    "best": (4.0, 8.0, 16.0),
}
"""Video steps to try, over the width of the bound; sizes are flat around the best."""

OnWindow = Callable[[Window], None]
Begin = Callable[[], OnWindow]
"""Called before each trial; gives what is to be told of its windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One way of coding a group, as measured."""

    encoded: EncodedGroup
    what: str

    @property
    def nbytes(self) -> int:
        """Of all packets."""
        return self.encoded.nbytes


@dataclass(frozen=True, slots=True)
class PacketJob:
    """A group to be coded without video, its GOPs as long as memory allows."""

    plan: GroupPlan
    prepared: Prepared

    @classmethod
    def of(cls, plan: GroupPlan, prepared: Prepared) -> Self:
        """Cut a group that was prepared for a video anew."""
        time, bands, _, _ = prepared.data.shape
        samples = prepared.data.memory.packet_samples
        fits = max(1, samples // (bands * plan.block[0] * plan.block[1]))
        asked = plan.reasons.get("gop") == "asked for"
        span = min(time, plan.gop * plan.fold if asked else fits)
        alone = replace(plan, codec="none", transform="none", gop=span, fold=1)
        return cls(alone, prepare(prepared.data, span=span, block=plan.block))

    def encode(self, correction: Correction | None, on_window: OnWindow | None) -> EncodedGroup:
        """Encode within the limits of a correction, or without loss if there is none."""
        if correction is None:
            return encode_lossless(self.prepared, self.plan, on_window=on_window)
        return encode_bounded(self.prepared, self.plan, correction, on_window=on_window)


def best_bounded(
    plan: GroupPlan, prepared: Prepared, target: MaxError, begin: Begin
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Encode a group in every way that may be the smallest.

    Parameters
    ----------
    plan : GroupPlan
        A codec that was asked for is used, whether or not its video pays.
    prepared : Prepared
    target : MaxError
    begin : callable

    Returns
    -------
    candidates : list of Candidate
        The smallest first.
    notes : tuple of str
        What was chosen, and why.

    Raises
    ------
    CodecError
        If the codec that was asked for fails.
    """
    ways = corrections(target, prepared)
    if not ways:
        alone = PacketJob.of(plan, prepared)
        exact = Candidate(encoded=alone.encode(None, begin()), what="exact values")
        why = "the bound is finer than the values themselves"
        return [exact], (f"group {plan.name!r} is kept without loss: {why}",)
    asked = plan.reasons.get("codec") == "asked for"
    found: list[Candidate] = []
    if not (asked or plan.preset == "fast"):
        found += _packets(PacketJob.of(plan, prepared), ways, begin)
    if not found or plan.preset == "best" or _bits(found, prepared) < _LOW_RATE:
        found += _videos(plan, prepared, ways, begin, may_fail=not asked)
    if not found:
        found += _packets(PacketJob.of(plan, prepared), ways, begin)
    found.sort(key=lambda each: each.nbytes)
    return found, (_why(plan, found),)


def _why(plan: GroupPlan, found: Sequence[Candidate]) -> str:
    sizes = ", ".join(f"{each.what} {each.nbytes} bytes" for each in found)
    return f"group {plan.name!r}: {sizes}"


def _bits(found: Sequence[Candidate], prepared: Prepared) -> float:
    best = min((each.nbytes for each in found), default=math.inf)
    return 8 * best / math.prod(prepared.data.shape)


def _packets(job: PacketJob, ways: Sequence[Correction], begin: Begin) -> Iterator[Candidate]:
    for way in ways:
        encoded = job.encode(way, begin())
        yield Candidate(encoded=encoded, what=f"{way.spec.kind} steps without video")
    for other, what in _others(job, ways[0]):
        yield Candidate(encoded=job.encode(other, begin()), what=what)


def _others(job: PacketJob, way: Correction) -> list[tuple[Correction | None, str]]:
    """List the other codings that may be smaller: values that are coarse or repeat themselves."""
    named: list[tuple[Correction | None, str]] = [(None, "exact values")]
    if _spans(job.prepared, way):
        named.insert(0, (_on_lattice(way), "steps that repeat"))
    if math.prod(job.prepared.data.shape) <= _SMALL:
        return named
    crop = _cropped_job(job)
    most = crop.encode(way, None).nbytes
    return [each for each in named if crop.encode(each[0], None).nbytes < most]


def _on_lattice(way: Correction) -> Correction:
    return replace(way, spec=replace(way.spec, coder="lattice"))


def _cropped_job(job: PacketJob) -> PacketJob:
    data = job.prepared.data
    time, bands, height, width = data.shape
    frames = max(1, _SAMPLE // (bands * min(height, _CROP) * min(width, _CROP)))
    crop = cropped(data, min(time, frames), _CROP, _CROP)
    block = crop.shape[2:]
    return PacketJob(replace(job.plan, block=block), prepare(crop, span=job.plan.gop, block=block))


def _spans(prepared: Prepared, way: Correction) -> bool:
    """Say whether all multiples of the steps fit into 32 bits."""
    if way.spec.kind != "linear":
        return False
    spans = zip(prepared.valid_min, prepared.valid_max, way.spec.steps, strict=True)
    return not any((high - low) / step > _WIDEST for low, high, step in spans)


def _videos(
    plan: GroupPlan,
    prepared: Prepared,
    ways: Sequence[Correction],
    begin: Begin,
    *,
    may_fail: bool,
) -> Iterator[Candidate]:
    for way in ways:
        if way.spec.kind == "linear":
            try:
                yield or_replaced(plan, partial(_best_video, prepared, way, begin))[1]
            except (CodecError, ContainerError) as error:
                if not may_fail:
                    raise
                _log.warning("%s cannot code group %r: %s", plan.codec, plan.name, error)


def _best_video(prepared: Prepared, way: Correction, begin: Begin, plan: GroupPlan) -> Candidate:
    """Find the step of the video at which video and corrections together are smallest."""
    spec = replace(way.spec, coder="plain" if plan.preset == "fast" else "pyramid")
    wanted = replace(way, spec=spec)
    scales = [abs(variable.scale) for variable in prepared.data.variables]
    width = min(step * scale for step, scale in zip(way.spec.steps, scales, strict=True))
    sample = prepared.windows[:: max(1, len(prepared.windows) // 2)][:2]
    whole = len(sample) == len(prepared.windows)

    def attempt(ratio: float, only: Sequence[Window] | None) -> EncodedGroup:
        step = ratio * width
        return trial(prepared, plan, step, correction=wanted, only=only, on_window=begin())

    ratios = _RATIOS[plan.preset]
    whole = whole or len(ratios) == 1
    tried = {ratio: attempt(ratio, None if whole else sample) for ratio in ratios}
    best = min(tried, key=lambda ratio: tried[ratio].nbytes)
    encoded = tried[best] if whole else attempt(best, None)
    return Candidate(encoded=encoded, what=f"{plan.codec} at {best:g} times the bound, corrected")
