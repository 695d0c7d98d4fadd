"""Meet targets that speak of the size of the file."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import CodecError, ContainerError, PlanError, TargetError
from ..jobs import Job, QualitySet, start_quality
from ..pipeline import EncodedGroup
from ..presearch import presearched
from ..search import Point, search
from ..spec import Bpppb, Ratio, Target
from .beyond import beyond_video, encode_exactly, exact_may_pay
from .common import (
    SIZE_GOAL,
    SIZE_OCTAVES_PER_DB,
    SIZE_WINDOW,
    Candidate,
    Teller,
    encode_set,
    is_asked_for,
    is_below_qp_0,
    is_interpolated,
    keep,
    point,
    size_over,
    take,
)

__all__ = ["SIZE_WINDOW", "Whole", "solve_size"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Whole:
    """The file that a size speaks of.

    Parameters
    ----------
    jobs : sequence of Job
        All of the file's, those with other targets included.
    file_size : callable
        Size in bytes of the file that some encoded groups make.
    samples, raw_nbytes : int
        Of all coded variables.
    """

    jobs: Sequence[Job]
    file_size: Callable[[Sequence[EncodedGroup]], int]
    samples: int
    raw_nbytes: int

    def budget(self, target: Target) -> int:
        """Return the bytes that a target allows."""
        match target:
            case Bpppb(bits=bits):
                return max(1, int(bits * self.samples / 8))
            case Ratio(ratio=ratio):
                return max(1, int(self.raw_nbytes / ratio))
        raise PlanError(f"target {target!r} speaks of no size")

    @property
    def nbytes(self) -> int:
        """Size of the file with what the jobs encoded last."""
        return self.file_size([job.encoded for job in self.jobs if job.encoded is not None])


def solve_size(sets: Sequence[QualitySet], whole: Whole, target: Target, teller: Teller) -> None:
    """Encode the sets as finely as the file's size allows.

    Raises
    ------
    TargetError
        If the smallest file is too large.
    """
    budget = whole.budget(target)
    chosen = [job for each in sets for job in each.jobs]

    def evaluate(q: float) -> Candidate:
        encoded = [each for one in sets for each in encode_set(one, q, teller)]
        return point(sets, q, math.log2(whole.nbytes / budget), encoded)

    known = [job.start for job in chosen if job.start is not None]
    start = presearched(
        sets,
        SIZE_GOAL,
        min(known, default=start_quality(Bpppb(budget * 8 / whole.samples))),
        SIZE_OCTAVES_PER_DB,
        size_over(budget),
    )
    try:
        found = keep(chosen, search(evaluate, SIZE_GOAL, start=start, slope=SIZE_OCTAVES_PER_DB))
    except TargetError as error:
        raise _too_large(budget, error) from None
    is_short = found.finest and found.value < SIZE_GOAL.low
    if is_asked_for(chosen):
        return
    if not is_interpolated(chosen):
        if all(map(exact_may_pay, sets)) and _fits_exactly(sets, whole, budget, teller):
            return
        is_short = is_short or is_below_qp_0(found.payload)
    if is_short:
        _spend_better(sets, _finer(whole, budget, found.q, teller))


def _fits_exactly(sets: Sequence[QualitySet], whole: Whole, budget: int, teller: Teller) -> bool:
    """Keep all values as they are, if the budget allows it: those of few levels take little."""
    videos = [(each, each.encoded) for each in sets]
    try:
        for each in sets:
            encode_exactly(each, teller)
        fits = whole.nbytes <= budget
    except (CodecError, ContainerError) as error:
        _log.info("what was encoded stays: %s", error)
        fits = False
    if not fits:
        for each, video in videos:
            take(each.jobs, video)
    return fits


def _spend_better(
    sets: Sequence[QualitySet],
    search_finer: Callable[[Sequence[QualitySet]], Candidate],
) -> None:
    """Do without a video at its finest, or close to it, for the sets that gain."""
    ceiling = {each.name: (each.encoded, each.stats(each.encoded).sum_squares) for each in sets}
    trying = list(sets)
    while trying:
        try:
            search_finer(trying)
        except (CodecError, ContainerError, TargetError) as error:
            _log.info("what was encoded stays: %s", error)
            gained = []
        else:
            gained = [e for e in trying if e.stats(e.encoded).sum_squares < ceiling[e.name][1]]
        if len(gained) == len(trying):
            return
        for each in trying:
            take(each.jobs, ceiling[each.name][0])
        trying = gained


def _finer(
    whole: Whole, budget: int, start: float, teller: Teller
) -> Callable[[Sequence[QualitySet]], Candidate]:
    """Return a search that spends the budget on some sets, without video."""

    def search_finer(sets: Sequence[QualitySet]) -> Candidate:
        encoders = [beyond_video(each, teller) for each in sets]

        def evaluate(q: float) -> Candidate:
            encoded = [each for encode in encoders for each in encode(q)]
            finest = all(each.group.lossless for each in encoded)
            value = math.log2(whole.nbytes / budget)
            return Point(q=q, value=value, payload=encoded, finest=finest)

        chosen = [job for each in sets for job in each.jobs]
        return keep(chosen, search(evaluate, SIZE_GOAL, start=start, slope=SIZE_OCTAVES_PER_DB))

    return search_finer


def _too_large(budget: int, error: TargetError) -> TargetError:
    best = error.best.value if isinstance(error.best, Point) else math.nan
    return TargetError(
        f"a file of {budget} bytes is out of reach: the smallest has about "
        f"{round(budget * 2**best)} bytes; ask for more, or write fewer variables",
        best=error.best,
    )
