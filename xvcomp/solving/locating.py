"""Find out on a sample, quickly, near which quality a target will be met.

Trials between codecs hold near the step at which they were made: on a Sentinel-2 cube whose
40 dB need a nominal quality of 35, trials at 40 chose a codec that takes 30 % more bits.
"""

import math

from ..jobs import QualitySet, start_quality
from ..presearch import presearched
from ..search import Goal
from ..spec import Bpppb, Psnr, Ratio
from .common import PSNR_WINDOW_DB, SIZE_OCTAVES_PER_DB, SIZE_WINDOW

__all__ = ["located"]


def located(quality_set: QualitySet) -> float:
    """Return the nominal quality, in dB, at which trials should be made.

    Other targets than a PSNR or a size keep the first guess.
    """
    target = quality_set.target
    start = start_quality(target)
    match target:
        case Psnr(db=db):
            peak = quality_set.peak
            high = db + PSNR_WINDOW_DB
            goal = Goal(low=db, high=high, promise="at_least", what=f"PSNR in dB (peak {peak:g})")
            return presearched(
                [quality_set],
                goal,
                start,
                0.95,
                lambda samples, _: samples[0].stats(samples[0].encoded).psnr_db(peak),
                always=True,
            )
        case Bpppb() | Ratio():
            budget = _budget(quality_set)
            low = math.log2(SIZE_WINDOW)
            goal = Goal(low=low, high=0.0, promise="at_most", what="log2 of size over budget")
            return presearched(
                [quality_set],
                goal,
                start,
                SIZE_OCTAVES_PER_DB,
                lambda samples, share: math.log2(
                    max(1, sum(each.nbytes for each in samples[0].encoded)) / share / budget
                ),
                always=True,
            )
    return start


def _budget(quality_set: QualitySet) -> float:
    """Return the bytes that a size leaves for a set, if all sets take equal shares."""
    total = 0.0
    for job in quality_set.jobs:
        data = job.prepared.data
        pixels = math.prod(data.shape) / data.shape[1] * job.multiplicity
        for variable in data.variables:
            samples = pixels * variable.bands
            match quality_set.target:
                case Bpppb(bits=bits):
                    total += samples * bits / 8
                case Ratio(ratio=ratio):
                    total += samples * variable.dtype.itemsize / ratio
    return max(1.0, total)
