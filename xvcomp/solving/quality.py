"""Meet targets that speak of quality: PSNR and SSIM."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence

from ..choosing import reaches_further
from ..errors import CodecError, ContainerError, PlanError, TargetError
from ..jobs import NotInterpolated, QualitySet
from ..pipeline import EncodedGroup
from ..presearch import presearched
from ..search import Goal, Point, search
from ..spec import Ssim
from .beyond import beyond_video, encode_exactly, exact_may_pay
from .common import (
    PSNR_DB_PER_DB,
    PSNR_WINDOW_DB,
    Candidate,
    Teller,
    encode_set,
    interpolated_names,
    is_asked_for,
    is_below_qp_0,
    is_interpolated,
    keep,
    point,
    psnr_goal,
    psnr_of,
    take,
)

__all__ = ["SsimOf", "solve_psnr", "solve_ssim"]

_log = logging.getLogger(__name__)

SsimOf = Callable[[Sequence[EncodedGroup]], Mapping[str, float]]

_REFINEMENTS = 5
"""Encodings that may follow where the quality jumped over the window."""

_HIGH_RATE = 1.5
"""Bits per sample from which predicted steps may be smaller than a video.

Measured: 2 % on hourly temperatures at 1.8, 18 to 30 % on a noisy NDVI at 2 to 4; a
Sentinel-2 crop needs more than 2.1, ocean currents more than 1.9.
"""

_HIGH_DB = 60.0
"""PSNR from which wavelets may be smaller than a video at lower rates, too.

Measured: members of an ensemble are from 61 dB on and not at 60, winds of few dates at 67 and
not at 65.
"""


def solve_psnr(quality_set: QualitySet, db: float, teller: Teller) -> None:
    """Encode a set so that its PSNR reaches ``db``, and hardly more.

    Raises
    ------
    TargetError
        If the codec that the user asked for cannot.
    """

    def evaluate(q: float, counts: Sequence[int] | None = None) -> Candidate:
        encoded = encode_set(quality_set, q, teller, counts)
        value = quality_set.stats(encoded).psnr_db(quality_set.peak)
        return point([quality_set], q, value, encoded)

    goal = psnr_goal(db, quality_set.peak)
    start = presearched([quality_set], goal, quality_set.start, PSNR_DB_PER_DB, psnr_of)
    try:
        found = keep(quality_set.jobs, search(evaluate, goal, start=start, slope=PSNR_DB_PER_DB))
        _refine(quality_set, found, goal, evaluate)
    except TargetError:
        if is_interpolated(quality_set.jobs):
            raise NotInterpolated(interpolated_names(quality_set.jobs)) from None
        if is_asked_for(quality_set.jobs):
            raise
        _search_beyond_video(quality_set, goal, teller)
    else:
        if is_asked_for(quality_set.jobs) or is_interpolated(quality_set.jobs):
            return
        if _might_do_without(quality_set, db):
            _or_beyond_video(quality_set, goal, teller)
        if quality_set.stats(quality_set.encoded).sum_squares > 0:
            _or_exact(quality_set, teller)


def _or_exact(quality_set: QualitySet, teller: Teller) -> None:
    """Keep all values as they are where that takes less."""
    if not exact_may_pay(quality_set):
        return
    found = quality_set.encoded
    try:
        exact = encode_exactly(quality_set, teller)
    except (CodecError, ContainerError) as error:
        _log.warning("quality set %r is not kept exactly: %s", quality_set.name, error)
        exact = found
    if _nbytes(found) <= _nbytes(exact):
        take(quality_set.jobs, found)


def _might_do_without(quality_set: QualitySet, db: float) -> bool:
    """Say whether steps of samples or of wavelets may be smaller than this video."""
    jobs = quality_set.jobs
    samples = sum(math.prod(job.prepared.data.shape) for job in jobs)
    bits = 8 * _nbytes(quality_set.encoded) / samples
    is_thorough = all(job.plan.preset == "best" for job in jobs)
    further = is_below_qp_0(quality_set.encoded) or any(reaches_further(job.plan) for job in jobs)
    return further or (is_thorough and (bits >= _HIGH_RATE or db >= _HIGH_DB))


def _or_beyond_video(quality_set: QualitySet, goal: Goal, teller: Teller) -> None:
    """Do without a codec that got so far alone, if what others would need is smaller."""
    video = quality_set.encoded
    try:
        _search_beyond_video(quality_set, goal, teller)
    except (CodecError, ContainerError, TargetError) as error:
        _log.warning("quality set %r stays video: %s", quality_set.name, error)
        take(quality_set.jobs, video)
        return
    if _nbytes(video) <= _nbytes(quality_set.encoded):
        take(quality_set.jobs, video)


def _nbytes(encoded: Sequence[EncodedGroup]) -> int:
    return sum(each.nbytes for each in encoded)


def _search_beyond_video(quality_set: QualitySet, goal: Goal, teller: Teller) -> None:
    encode = beyond_video(quality_set, teller)

    def evaluate(q: float) -> Candidate:
        encoded = encode(q)
        value = quality_set.stats(encoded).psnr_db(quality_set.peak)
        finest = all(each.group.lossless for each in encoded)
        return Point(q=q, value=value, payload=encoded, finest=finest)

    keep(quality_set.jobs, search(evaluate, goal, start=goal.aim))


def _refine(
    quality_set: QualitySet,
    found: Candidate,
    goal: Goal,
    evaluate: Callable[[float, Sequence[int]], Candidate],
) -> None:
    """Search once more where the quality jumped because a component comes or goes.

    With the components held, or one more, a coarser step leads into the window.
    """
    for more in (0, 1):
        if goal.inside(found.value):
            return
        counts = [_components(each) + more for each in found.payload]
        start = found.q - 0.6 * (found.value - goal.aim)
        updates = search(
            lambda q, counts=counts: evaluate(q, counts),  # type: ignore[misc]
            goal,
            start=start,
            slope=0.6,
            max_evaluations=_REFINEMENTS,
        )
        try:
            again = list(updates)[-1].point
        except TargetError:
            again = found
        found = min(again, found, key=lambda each: each.value)
    take(quality_set.jobs, found.payload)


def _components(encoded: EncodedGroup) -> int:
    return 1 if encoded.group.klt is None else encoded.group.klt.n_components


def solve_ssim(quality_set: QualitySet, ssim_of: SsimOf | None, teller: Teller) -> None:
    """Search on -10 log10(1 - SSIM), in which quality is about linear."""
    assert isinstance(quality_set.target, Ssim)  # only such sets come here
    if ssim_of is None:
        raise PlanError("an SSIM cannot be aimed at here: ask for a PSNR")

    def evaluate(q: float) -> Candidate:
        encoded = encode_set(quality_set, q, teller)
        worst = min(ssim_of(encoded).values())
        return point([quality_set], q, _ssim_db(worst), encoded)

    low = _ssim_db(quality_set.target.value)
    goal = Goal(low=low, high=low + PSNR_WINDOW_DB, promise="at_least", what="SSIM in dB")
    try:
        keep(quality_set.jobs, search(evaluate, goal, start=35.0 + low, slope=0.8))
    except TargetError:
        if is_interpolated(quality_set.jobs):
            raise NotInterpolated(interpolated_names(quality_set.jobs)) from None
        raise


def _ssim_db(ssim: float) -> float:
    return math.inf if ssim >= 1 else -10 * math.log10(1 - ssim)
