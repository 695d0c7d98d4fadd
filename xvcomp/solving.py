"""Meet the targets of a plan: encode each quality set as finely as was asked for, no finer."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .bounding import PacketJob, best_bounded
from .bounds import mean_correction
from .errors import PlanError, TargetError
from .jobs import Job, QualitySet, quality_sets, start_quality, step_of
from .pipeline import EncodedGroup, Window, encode_lossless
from .presearch import presearched
from .results import OnProgress, Progress
from .search import Goal, Point, Update, search
from .spec import Bpppb, MaxError, Psnr, Quality, Ratio, Ssim, Target

__all__ = ["PSNR_WINDOW_DB", "SIZE_WINDOW", "solve"]

SsimOf = Callable[[Sequence[EncodedGroup]], Mapping[str, float]]

PSNR_WINDOW_DB = 0.25
SIZE_WINDOW = 0.95


@dataclass(slots=True)
class _Teller:
    """Turns finished windows into progress updates."""

    on_progress: OnProgress | None
    detail: str = ""
    done: int = 0
    total: int = 0
    trials: dict[str, int] = field(default_factory=dict)

    def begin(self, name: str, jobs: Sequence[Job]) -> None:
        self.trials[name] = self.trials.get(name, 0) + 1
        self.detail = f"{name or 'all'}: trial {self.trials[name]}"
        self.done = 0
        self.total = sum(_frames(window) for job in jobs for window in job.prepared.windows)

    def window(self, window: Window) -> None:
        self.done += _frames(window)
        if self.on_progress is not None:
            self.on_progress(
                Progress(stage="encode", done=self.done, total=self.total, detail=self.detail)
            )


def _frames(window: Window) -> int:
    return int(window.time.stop - window.time.start)


def solve(
    jobs: Sequence[Job],
    target: Target,
    file_size: Callable[[Sequence[EncodedGroup]], int],
    samples: int,
    raw_nbytes: int,
    ssim_of: SsimOf | None = None,
    on_progress: OnProgress | None = None,
) -> list[EncodedGroup]:
    """Encode all groups so that every target holds; each job keeps its result.

    Parameters
    ----------
    jobs : sequence of Job
    target : Target
        Of the file; groups may have their own.
    file_size : callable
        Size in bytes of the file that some encoded groups make.
    samples, raw_nbytes : int
        Of all coded variables; for targets that speak of the file's size.
    ssim_of : callable, optional
        SSIM of some encoded groups, by group name; for targets that speak of it.

    Raises
    ------
    TargetError
        If a target is out of reach.
    """
    teller = _Teller(on_progress)
    for job in jobs:
        if job.plan.lossless:
            teller.begin(job.plan.name, [job])
            job.encoded = encode_lossless(job.prepared, job.plan, on_window=teller.window)
            job.encodes += 1
            job.encode_seconds += job.encoded.encode_seconds
    sets = quality_sets([job for job in jobs if not job.plan.lossless])
    of_size = [each for each in sets if isinstance(each.target, Bpppb | Ratio)]
    for each in sets:
        if isinstance(each.target, Ssim):
            _solve_ssim(each, ssim_of, teller)
        elif each not in of_size:
            _solve_set(each, teller)
    if of_size:
        _solve_size(of_size, jobs, target, file_size, samples, raw_nbytes, teller)
    return [job.encoded for job in jobs if job.encoded is not None]


def _solve_set(quality_set: QualitySet, teller: _Teller) -> None:
    target = quality_set.target
    match target:
        case Quality(db=db):
            _encode_set(quality_set, db, teller)
        case Psnr(db=db):
            _solve_psnr(quality_set, db, teller)
        case MaxError():
            for job in quality_set.jobs:
                _solve_bound(job, teller)
        case _:
            raise PlanError(f"target {target!r} is not supported yet")


def _solve_bound(job: Job, teller: _Teller) -> None:
    target = job.plan.target
    assert isinstance(target, MaxError)  # only such jobs come here

    def begin() -> Callable[[Window], None]:
        teller.begin(job.plan.name, [job])
        return teller.window

    found, notes = best_bounded(job.plan, job.prepared, target, begin)
    job.encoded = found[0].encoded
    job.encodes += len(found)
    job.encode_seconds += sum(each.encoded.encode_seconds for each in found)
    job.notes += notes


def _encode_set(quality_set: QualitySet, q: float, teller: _Teller) -> list[EncodedGroup]:
    teller.begin(quality_set.name, quality_set.jobs)
    step = step_of(q, quality_set.peak)
    return [job.encode(step, teller.window) for job in quality_set.jobs]


def _solve_psnr(quality_set: QualitySet, db: float, teller: _Teller) -> None:
    peak = quality_set.peak

    def evaluate(q: float) -> Point[list[EncodedGroup]]:
        encoded = _encode_set(quality_set, q, teller)
        value = quality_set.stats(encoded).psnr_db(peak)
        finest = all(each.at_ceiling for each in encoded)
        return Point(q=q, value=value, payload=encoded, finest=finest)

    goal = Goal(
        low=db,
        high=db + PSNR_WINDOW_DB,
        promise="at_least",
        what=f"PSNR in dB (peak {peak:g})",
    )
    start = presearched(
        [quality_set],
        goal,
        start_quality(quality_set.target),
        0.95,
        lambda samples, _: samples[0].stats(samples[0].encoded).psnr_db(peak),
    )
    try:
        _keep(quality_set.jobs, search(evaluate, goal, start=start, slope=0.95))
    except TargetError:
        if any(job.plan.reasons.get("codec") == "asked for" for job in quality_set.jobs):
            raise
        _keep(quality_set.jobs, _search_without_video(quality_set, goal, teller))


def _solve_ssim(quality_set: QualitySet, ssim_of: SsimOf | None, teller: _Teller) -> None:
    """Search on -10 log10(1 - SSIM), in which quality is about linear."""
    assert isinstance(quality_set.target, Ssim)  # only such sets come here
    if ssim_of is None:
        raise PlanError("an SSIM cannot be aimed at here: ask for a PSNR")

    def evaluate(q: float) -> Point[list[EncodedGroup]]:
        encoded = _encode_set(quality_set, q, teller)
        worst = min(ssim_of(encoded).values())
        finest = all(each.at_ceiling for each in encoded)
        return Point(q=q, value=_ssim_db(worst), payload=encoded, finest=finest)

    low = _ssim_db(quality_set.target.value)
    goal = Goal(low=low, high=low + PSNR_WINDOW_DB, promise="at_least", what="SSIM in dB")
    _keep(quality_set.jobs, search(evaluate, goal, start=35.0 + low, slope=0.8))


def _ssim_db(ssim: float) -> float:
    return math.inf if ssim >= 1 else -10 * math.log10(1 - ssim)


def _search_without_video(
    quality_set: QualitySet, goal: Goal, teller: _Teller
) -> Iterator[Update[list[EncodedGroup]]]:
    """Search above what the codec can reach: quantise and predict, without a video."""
    jobs, peak = quality_set.jobs, quality_set.peak
    alone = [PacketJob.of(job.plan, job.prepared) for job in jobs]

    def evaluate(q: float) -> Point[list[EncodedGroup]]:
        teller.begin(quality_set.name, jobs)
        encoded = []
        for job, packets in zip(jobs, alone, strict=True):
            step = step_of(q, peak) / math.sqrt(job.multiplicity)
            encoded.append(packets.encode(mean_correction(step, job.prepared), teller.window))
            job.encodes += 1
            job.encode_seconds += encoded[-1].encode_seconds
        value = quality_set.stats(encoded).psnr_db(peak)
        finest = all(each.group.lossless for each in encoded)
        return Point(q=q, value=value, payload=encoded, finest=finest)

    return search(evaluate, goal, start=goal.aim)


def _keep(jobs: Sequence[Job], updates: Iterator[Update[list[EncodedGroup]]]) -> None:
    """Run a search, and keep what its answer was made of."""
    for update in updates:
        if update.final:
            for job, encoded in zip(jobs, update.point.payload, strict=True):
                job.encoded = encoded


def _solve_size(
    sets: Sequence[QualitySet],
    jobs: Sequence[Job],
    target: Target,
    file_size: Callable[[Sequence[EncodedGroup]], int],
    samples: int,
    raw_nbytes: int,
    teller: _Teller,
) -> None:
    budget = _budget(target, samples, raw_nbytes)
    chosen = [job for each in sets for job in each.jobs]

    def evaluate(q: float) -> Point[list[EncodedGroup]]:
        encoded = [each for one in sets for each in _encode_set(one, q, teller)]
        nbytes = file_size([job.encoded for job in jobs if job.encoded is not None])
        finest = all(each.at_ceiling for each in encoded)
        return Point(q=q, value=math.log2(nbytes / budget), payload=encoded, finest=finest)

    goal = Goal(
        low=math.log2(SIZE_WINDOW), high=0.0, promise="at_most", what="log2 of size over budget"
    )
    start = presearched(
        sets,
        goal,
        start_quality(Bpppb(budget * 8 / samples)),
        0.25,
        lambda parts, share: math.log2(_nbytes(parts) / share / budget),
    )
    try:
        _keep(chosen, search(evaluate, goal, start=start, slope=0.25))
    except TargetError as error:
        best = error.best.value if isinstance(error.best, Point) else math.nan
        raise TargetError(
            f"a file of {budget} bytes is out of reach: the smallest has about "
            f"{round(budget * 2**best)} bytes; ask for more, or write fewer variables",
            best=error.best,
        ) from None


def _nbytes(sets: Sequence[QualitySet]) -> int:
    return max(1, sum(encoded.nbytes for each in sets for encoded in each.encoded))


def _budget(target: Target, samples: int, raw_nbytes: int) -> int:
    match target:
        case Bpppb(bits=bits):
            return max(1, int(bits * samples / 8))
        case Ratio(ratio=ratio):
            return max(1, int(raw_nbytes / ratio))
    raise PlanError(f"target {target!r} speaks of no size")
