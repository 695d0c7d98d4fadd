"""Above what a codec can reach: steps that are predicted, or that correct a video."""

import logging
import math
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounding import PacketJob
from ..bounds import mean_correction
from ..errors import CodecError, ContainerError
from ..jobs import Job, NotInterpolated, QualitySet, step_of
from ..pipeline import EncodedGroup, Window, trial
from .common import Teller, interpolated_names, is_interpolated

__all__ = ["beyond_video", "encode_exactly", "exact_may_pay"]

_log = logging.getLogger(__name__)

OnWindow = Callable[[Window], None]

_Encode = Callable[[float, OnWindow], EncodedGroup]
"""Encodes a group at a step."""

_VIDEO_STEP = 2.0
"""Step of a video over that of its corrections: coarser ones leave them too much to say."""

_MOST_SCALING = 8.0
"""Step of wavelets over that of samples which err as much, at most."""

_SAME = 0.03
"""Logarithm of errors' ratio that the comparison can allow for by itself: 0.26 dB."""

_HOPEFUL = 1.5
"""Estimated bits of exact values over those of a video, up to which they are tried."""

_ESTIMATED = 500_000
"""Samples whose entropy is measured, unless a frame has more."""

_BITS_PER_DB = 1 / (20 * math.log10(2))
"""What a dB costs a sample at a high rate."""


def beyond_video(quality_set: QualitySet, teller: Teller) -> Callable[[float], list[EncodedGroup]]:
    """Return what encodes above all that the codec can reach.

    Nothing but predicted steps, steps that correct a video, or steps of wavelets: whichever
    was smallest for a group when it was encoded first.
    """
    if is_interpolated(quality_set.jobs):
        raise NotInterpolated(interpolated_names(quality_set.jobs))
    ways = [_Beyond(job) for job in quality_set.jobs]

    def encode(q: float) -> list[EncodedGroup]:
        teller.begin(quality_set.name, quality_set.jobs)
        for way in ways:
            way.encode(step_of(q, quality_set.peak), teller.window)
        return quality_set.encoded

    return encode


def encode_exactly(quality_set: QualitySet, teller: Teller) -> list[EncodedGroup]:
    """Keep all values of a set as they are."""
    teller.begin(quality_set.name, quality_set.jobs)
    for job in quality_set.jobs:
        packets = PacketJob.of(job.plan, job.prepared)
        job.encoded = packets.encode(None, teller.window)
        job.encodes += 1
        job.encode_seconds += job.encoded.encode_seconds
    return quality_set.encoded


def exact_may_pay(quality_set: QualitySet) -> bool:
    """Say whether exact values may well take less than what the jobs encoded last.

    Values of few levels, such as rain, cost a fine video more than themselves. Their entropy
    tells, in some frames: of the values, or of their differences along an axis.
    """
    exact = sum(_exact_bits(job) for job in quality_set.jobs)
    return exact < _HOPEFUL * 8 * sum(each.nbytes for each in quality_set.encoded)


def _exact_bits(job: Job) -> float:
    """Estimate the bits of a group's exact values, roughly and from above."""
    prepared = job.prepared
    total = 0.0
    for stored in prepared.read(prepared.windows[0]).stored:
        bands = stored.shape[1]
        # Whole frames: what is in the middle may not be at the edges.
        part = stored[:: max(1, math.ceil(stored.size / _ESTIMATED))]
        found = [part]
        if part.dtype.kind in "iu":
            # Modulo the width: what is coded instead of values has as many levels as they.
            found += [np.diff(part, axis=axis) for axis in (2, 3)]
        bits = min(_entropy(each) for each in found if each.size)
        total += bits * math.prod(prepared.data.shape) / prepared.data.shape[1] * bands
    return total


def _entropy(values: NDArray[Any]) -> float:
    """Return the bits of a value, if each were coded by itself."""
    counts = np.unique(values, return_counts=True)[1]
    return float(np.log2(values.size) - counts @ np.log2(counts) / values.size)


class _Beyond:
    """One group, quantised finely."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._packets = PacketJob.of(job.plan, job.prepared)
        self._encode: _Encode | None = None

    def encode(self, step: float, on_window: OnWindow) -> None:
        """Encode at a step of the quality set, and let the job keep it."""
        job = self._job
        own = job.own_step(step)
        if mean_correction(own, job.prepared) is None:
            self._counted(self._packets.encode(None, on_window))
        elif self._encode is None:
            self._encode = self._best_way(own, on_window)
        else:
            try:
                self._counted(self._encode(own, on_window))
            except (CodecError, ContainerError) as error:
                _log.warning("group %r gets predicted steps now: %s", job.plan.name, error)
                self._encode = self._alone
                self._counted(self._alone(own, on_window))

    def _counted(self, encoded: EncodedGroup) -> EncodedGroup:
        self._job.encoded = encoded
        self._job.encodes += 1
        self._job.encode_seconds += encoded.encode_seconds
        return encoded

    def _best_way(self, own: float, on_window: OnWindow) -> _Encode:
        """Encode in all ways, keep the smallest, and return what made it."""
        job = self._job
        alone = self._counted(self._alone(own, on_window))
        found: list[tuple[EncodedGroup, _Encode]] = [(alone, self._alone)]
        wavelets = _Wavelets(job, self._packets)
        try:
            encoded = self._counted(wavelets.encode(own, on_window))
            if wavelets.rescale(encoded, alone):
                encoded = self._counted(wavelets.encode(own, on_window))
            found.append((encoded, wavelets.encode))
        except CodecError as error:
            _log.info("group %r is not coded by wavelets: %s", job.plan.name, error)
        try:
            found.append((self._counted(self._corrected(own, on_window)), self._corrected))
        except (CodecError, ContainerError) as error:
            _log.warning("%s cannot code group %r: %s", job.plan.codec, job.plan.name, error)
        job.encoded, best = min(found, key=lambda each: _cost(each[0]))
        return best

    def _alone(self, own: float, on_window: OnWindow) -> EncodedGroup:
        return self._packets.encode(mean_correction(own, self._job.prepared), on_window)

    def _corrected(self, own: float, on_window: OnWindow) -> EncodedGroup:
        """Correct a video."""
        job = self._job
        wanted = mean_correction(own, job.prepared)
        if wanted is None:
            return self._packets.encode(None, on_window)
        step = _VIDEO_STEP * own
        return trial(job.prepared, job.plan, step, correction=wanted, on_window=on_window)


class _Wavelets:
    """One group by its wavelets, at steps at which they err about as much as others do.

    Many of their coefficients are far smaller than a step, and so are those errors.
    """

    def __init__(self, job: Job, packets: PacketJob) -> None:
        self._job = job
        self._packets = packets
        self._scale = 1.0

    def encode(self, own: float, on_window: OnWindow) -> EncodedGroup:
        """Encode at the step that stands for one of samples."""
        correction = mean_correction(own * self._scale, self._job.prepared, "wavelets")
        return self._packets.encode(correction, on_window)

    def rescale(self, encoded: EncodedGroup, like: EncodedGroup) -> bool:
        """Change steps so that they err as another encoding at the same step; says whether it did.

        Parameters
        ----------
        encoded : EncodedGroup
            What `encode` made.
        like : EncodedGroup
        """
        error, wanted = (reduce(add, each.stats).sum_squares for each in (encoded, like))
        if not (error > 0 and wanted > 0):
            return False
        scale = min(max(math.sqrt(wanted / error), 1 / _MOST_SCALING), _MOST_SCALING)
        if abs(math.log(scale)) < _SAME:
            return False
        self._scale = scale
        return True


def _cost(encoded: EncodedGroup) -> float:
    """Return the bits of a group, less what they would be at another error."""
    total = reduce(add, encoded.stats)
    if not (total.n_valid and total.sum_squares > 0):
        return -math.inf
    return 8 * encoded.nbytes + total.n_valid * _BITS_PER_DB * 10 * math.log10(total.sum_squares)
