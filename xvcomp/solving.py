"""Meet the targets of a plan: encode each quality set as finely as was asked for, no finer."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .errors import PlanError, TargetError
from .metrics import ErrorStats
from .pipeline import EncodedGroup, Prepared, Window, encode_lossless, trial
from .results import OnProgress, Progress
from .search import Goal, Point, Update, search
from .spec import Bpppb, GroupPlan, Psnr, Quality, Ratio, Target

__all__ = ["NOMINAL_DB", "PSNR_WINDOW_DB", "SIZE_WINDOW", "Job", "QualitySet", "solve", "step_of"]

NOMINAL_DB = 20 * math.log10(math.sqrt(12))
"""PSNR of rounding to steps as wide as the peak: uniform errors have a variance of 1/12."""

PSNR_WINDOW_DB = 0.25
SIZE_WINDOW = 0.95


def step_of(quality_db: float, peak: float) -> float:
    """Return the quantiser step of a nominal quality: its rounding error gives ``quality_db``."""
    return float(peak * 10 ** ((NOMINAL_DB - quality_db) / 20))


@dataclass(kw_only=True, slots=True)
class Job:
    """One group on its way: what is planned, what was read, what was encoded last."""

    plan: GroupPlan
    prepared: Prepared
    encoded: EncodedGroup | None = None
    encodes: int = 0
    encode_seconds: float = 0.0

    @property
    def multiplicity(self) -> int:
        """Samples of the variable that each coded sample stands for."""
        return self.plan.repeat[0] * self.plan.repeat[1]

    def encode(self, step: float, on_window: Callable[[Window], None] | None) -> EncodedGroup:
        """Encode at a step of the quality set.

        Where a coded sample stands for several, its error counts as often: the same
        gain per bit is then reached with a finer step.
        """
        own = step / math.sqrt(self.multiplicity)
        self.encoded = trial(self.prepared, self.plan, own, on_window=on_window)
        self.encodes += 1
        self.encode_seconds += self.encoded.encode_seconds
        return self.encoded


@dataclass(frozen=True, kw_only=True, slots=True)
class QualitySet:
    """Lossy groups that share a target and a peak."""

    name: str
    target: Target
    jobs: tuple[Job, ...]

    @property
    def peak(self) -> float:
        """The user's peak, or the range of all valid samples, in unpacked units."""
        if isinstance(self.target, Psnr) and self.target.peak is not None:
            return self.target.peak
        low, high = math.inf, -math.inf
        for job in self.jobs:
            for number, variable in enumerate(job.prepared.data.variables):
                ends = [
                    value * variable.scale + variable.offset
                    for value in (
                        job.prepared.valid_min[number],
                        job.prepared.valid_max[number],
                    )
                    if not math.isnan(value)
                ]
                low, high = min([low, *ends]), max([high, *ends])
        return high - low if high > low else 1.0

    def stats(self, encoded: Sequence[EncodedGroup]) -> ErrorStats:
        """Add up the errors of all variables of the set."""
        total: ErrorStats | None = None
        for job, each in zip(self.jobs, encoded, strict=True):
            for stats in each.stats:
                counted = stats.times(job.multiplicity)
                total = counted if total is None else total + counted
        assert total is not None  # a set has at least one group with one variable
        return total


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
    on_progress: OnProgress | None = None,
) -> list[EncodedGroup]:
    """Encode all groups so that every target holds.

    Parameters
    ----------
    jobs : sequence of Job
    target : Target
        Of the file; groups may have their own.
    file_size : callable
        Size in bytes of the file that some encoded groups make.
    samples, raw_nbytes : int
        Of all coded variables; for targets that speak of the file's size.

    Raises
    ------
    TargetError
        If a target is out of reach.
    """
    teller = _Teller(on_progress)
    for job in jobs:
        if job.plan.lossless:
            job.encoded = encode_lossless(job.prepared, job.plan)
            job.encodes += 1
    sets = quality_sets([job for job in jobs if not job.plan.lossless])
    of_size = [each for each in sets if isinstance(each.target, Bpppb | Ratio)]
    for each in sets:
        if each not in of_size:
            _solve_set(each, teller)
    if of_size:
        _solve_size(of_size, jobs, target, file_size, samples, raw_nbytes, teller)
    return [job.encoded for job in jobs if job.encoded is not None]


def quality_sets(jobs: Sequence[Job]) -> list[QualitySet]:
    names = dict.fromkeys(job.plan.quality_set for job in jobs)
    sets = []
    for name in names:
        members = tuple(job for job in jobs if job.plan.quality_set == name)
        sets.append(QualitySet(name=name, target=members[0].plan.target, jobs=members))
    return sets


def _solve_set(quality_set: QualitySet, teller: _Teller) -> None:
    target = quality_set.target
    match target:
        case Quality(db=db):
            _encode_set(quality_set, db, teller)
        case Psnr(db=db):
            _solve_psnr(quality_set, db, teller)
        case _:
            raise PlanError(f"target {target!r} is not supported yet")


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
    # Nominal and real quality part at low rates, where the codec drops what is small.
    start = db - 0.08 * max(0.0, 50.0 - db)
    _keep(quality_set.jobs, search(evaluate, goal, start=start, slope=0.95))


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
    start = 30.0 + 6.0 * math.log2(max(budget * 8 / samples, 0.01) / 0.1)
    try:
        _keep(chosen, search(evaluate, goal, start=start, slope=0.25))
    except TargetError as error:
        best = error.best.value if isinstance(error.best, Point) else math.nan
        raise TargetError(
            f"a file of {budget} bytes is out of reach: the smallest has about "
            f"{round(budget * 2**best)} bytes; ask for more, or write fewer variables",
            best=error.best,
        ) from None


def _budget(target: Target, samples: int, raw_nbytes: int) -> int:
    match target:
        case Bpppb(bits=bits):
            return max(1, int(bits * samples / 8))
        case Ratio(ratio=ratio):
            return max(1, int(raw_nbytes / ratio))
    raise PlanError(f"target {target!r} speaks of no size")
