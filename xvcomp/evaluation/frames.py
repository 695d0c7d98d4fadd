"""Measure the frames of a group, window by window, on all cores."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..parallel import map_ordered
from ..pipeline.windows import Window
from ..results import OnProgress, Progress
from .grouping import Unit
from .pairs import Pair, Samples
from .tally import FrameScale, Tally, tally_frame

__all__ = ["Frame", "frame_scales", "measure_unit"]

Frame = list[Tally]
"""Tallies of one frame: one per variable, then one with the spectral angle alone."""


def frame_scales(
    units: Sequence[Unit], peak: float | None, on_progress: OnProgress | None
) -> list[FrameScale]:
    """Find the range of each quality set first, for SSIM refers to it."""
    ranges = [_range(unit, on_progress) for unit in units]
    scales = []
    for unit, own in zip(units, ranges, strict=True):
        members = [
            found
            for other, found in zip(units, ranges, strict=True)
            if not other.exact and other.quality_set == unit.quality_set
        ]
        # A lossless group belongs to a set that lossy ones make, or else it is alone.
        counted = members or [own]
        low, high = min(each[0] for each in counted), max(each[1] for each in counted)
        width = high - low if high >= low else float("nan")
        given = peak is not None and bool(members)
        scales.append(FrameScale(peak if given and peak else width, low))
    return scales


def _range(unit: Unit, on_progress: OnProgress | None) -> tuple[float, float]:
    """Return the smallest and largest valid reference sample, in unpacked units."""

    def part(window: Window) -> tuple[float, float]:
        ends = [_ends(pair, window) for pair in unit.pairs]
        return min(low for low, _ in ends), max(high for _, high in ends)

    found = [*_told(map_ordered(part, unit.windows), unit, "range", on_progress)]
    return min(low for low, _ in found), max(high for _, high in found)


def _ends(pair: Pair, window: Window) -> tuple[float, float]:
    values, valid = pair.read_reference(window)
    if not valid.any():
        return float("inf"), float("-inf")
    ends = np.array([values[valid].min(), values[valid].max()], np.float64)
    low, high = sorted(ends * pair.reference.scale + pair.reference.offset)
    return float(low), float(high)


def _told(
    parts: Iterator[Any], unit: Unit, stage: str, on_progress: OnProgress | None
) -> Iterator[Any]:
    """Pass results on, and tell how far they go."""
    for window, part in zip(unit.windows, parts, strict=True):
        yield part
        if on_progress is not None:
            frames = unit.pairs[0].shape[0]
            on_progress(
                Progress(stage=stage, done=window.time.stop, total=frames, detail=unit.name)
            )


def measure_unit(unit: Unit, scale: FrameScale, on_progress: OnProgress | None) -> list[Frame]:
    """Return the tallies of every frame."""
    frames: list[Frame] = [
        [Tally() for _ in range(len(unit.pairs) + 1)] for _ in range(unit.pairs[0].shape[0])
    ]
    parts = map_ordered(lambda window: _measure_window(unit, window, scale), unit.windows)
    told = _told(parts, unit, "evaluate", on_progress)
    for window, part in zip(unit.windows, told, strict=True):
        for position, frame in enumerate(part, start=window.time.start):
            frames[position] = [a + b for a, b in zip(frames[position], frame, strict=True)]
    return frames


def _measure_window(unit: Unit, window: Window, scale: FrameScale) -> list[Frame]:
    samples = [pair.read(window) for pair in unit.pairs]
    return [_measure_frame(unit, [_frame(s, t) for s in samples], scale)
            for t in range(window.shape[0])]  # fmt: skip


def _frame(samples: Samples, time: int) -> Samples:
    return Samples(
        reference=samples.reference[time : time + 1],
        decoded=samples.decoded[time : time + 1],
        valid=samples.valid[time : time + 1],
        decoded_valid=samples.decoded_valid[time : time + 1],
    )


def _measure_frame(unit: Unit, frame: list[Samples], scale: FrameScale) -> Frame:
    found: Frame = []
    spectra: list[tuple[NDArray[Any], ...]] = []
    for pair, samples in zip(unit.pairs, frame, strict=True):
        reference, decoded = pair.unpack(samples)
        structure = tally_frame(reference[0], decoded[0], samples.valid[0], scale)
        spectra.append((reference[0], decoded[0], samples.valid[0]))
        found.append(
            replace(
                structure,
                errors=pair.errors(_thinned(samples, unit.repeat)),
                lost=int((samples.valid & ~samples.decoded_valid).sum()),
                invented=int((~samples.valid & samples.decoded_valid).sum()),
            )
        )
    return [*found, _angle(spectra)]


def _thinned(samples: Samples, repeat: tuple[int, int]) -> Samples:
    """Keep one of every repeated sample, so that errors are counted as the encoder does."""
    if repeat == (1, 1):
        return samples
    rows, columns = (slice(None, None, each) for each in repeat)
    return Samples(
        reference=samples.reference[..., rows, columns],
        decoded=samples.decoded[..., rows, columns],
        valid=samples.valid[..., rows, columns],
        decoded_valid=samples.decoded_valid[..., rows, columns],
    )


def _angle(spectra: Sequence[tuple[NDArray[Any], ...]]) -> Tally:
    """Measure the spectral angle, where there are several bands."""
    reference, decoded, valid = (np.concatenate(side) for side in zip(*spectra, strict=True))
    if len(reference) < 2:
        return Tally()
    return Tally(angle=metrics.spectral_angle(reference, decoded, valid))
