"""Groups on their way into a file, the sets that share a target, and steps for qualities."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from .errors import PlanError
from .metrics import ErrorStats
from .pipeline import EncodedGroup, Prepared, Window, trial
from .replacing import or_replaced
from .spec import Bpppb, GroupPlan, Psnr, Quality, Target
from .transforms import interpolating

__all__ = [
    "NOMINAL_DB",
    "Job",
    "NotInterpolated",
    "QualitySet",
    "check_interpolations",
    "quality_of",
    "quality_sets",
    "start_quality",
    "step_of",
    "with_measures",
]

NOMINAL_DB = 20 * math.log10(math.sqrt(12))
"""PSNR of rounding to steps as wide as the peak: uniform errors have a variance of 1/12."""

_MISFIT = 0.1
"""Part of the squared error that a field may differ by from what its coarse grid says of it."""


def step_of(quality_db: float, peak: float) -> float:
    """Return the quantiser step of a nominal quality: its rounding error gives ``quality_db``."""
    return float(peak * 10 ** ((NOMINAL_DB - quality_db) / 20))


def quality_of(step: float, peak: float) -> float:
    """Return the nominal quality of a quantiser step: `step_of`, inverted."""
    return NOMINAL_DB - 20 * math.log10(step / peak)


@dataclass(kw_only=True, slots=True)
class Job:
    """One group on its way: what is planned, what was read, what was encoded last.

    ``start`` is the nominal quality, in dB, that a sample expects to meet the target; only
    preset best looks for it.
    """

    plan: GroupPlan
    prepared: Prepared
    encoded: EncodedGroup | None = None
    encodes: int = 0
    encode_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    start: float | None = None

    @property
    def multiplicity(self) -> int:
        """Samples of the variable that each coded sample stands for."""
        return self.plan.repeat[0] * self.plan.repeat[1]

    def own_step(self, step: float) -> float:
        """Return the step that gives the same gain per bit as one of the quality set.

        Where a coded sample stands for several, its error counts in all of them.
        """
        field = self.plan.interpolation
        gain = self.multiplicity * (1.0 if field is None else interpolating.step_gain(field))
        return step / math.sqrt(gain)

    def encode(
        self,
        step: float,
        on_window: Callable[[Window], None] | None,
        min_components: int = 1,
    ) -> EncodedGroup:
        """Encode at a step of the quality set."""
        own = self.own_step(step)
        used, encoded = or_replaced(
            self.plan,
            lambda plan: trial(
                self.prepared, plan, own, min_components=min_components, on_window=on_window
            ),
        )
        if used is not self.plan:
            self.plan = used
            self.notes += (f"group {used.name!r}: {used.reasons['codec']}",)
        self.encoded = encoded
        self.encodes += 1
        self.encode_seconds += encoded.encode_seconds
        return encoded


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

    @property
    def start(self) -> float:
        """Nominal quality, in dB, at which a search should start."""
        found = [job.start for job in self.jobs if job.start is not None]
        return found[0] if found else start_quality(self.target)

    def ceiling(self, encoded: Sequence[EncodedGroup]) -> float | None:
        """Return the nominal quality from which on nothing changes, once it is reached."""
        finest = [
            quality_of(each.ceiling / job.own_step(1.0), self.peak)
            for job, each in zip(self.jobs, encoded, strict=True)
            if each.ceiling is not None
        ]
        return max(finest) if len(finest) == len(self.jobs) else None

    @property
    def encoded(self) -> list[EncodedGroup]:
        """What the jobs encoded last."""
        return [job.encoded for job in self.jobs if job.encoded is not None]

    def stats(self, encoded: Sequence[EncodedGroup]) -> ErrorStats:
        """Add up the errors of all variables of the set."""
        total: ErrorStats | None = None
        for job, each in zip(self.jobs, encoded, strict=True):
            for stats in each.stats:
                counted = stats.times(job.multiplicity)
                total = counted if total is None else total + counted
        assert total is not None  # a set has at least one group with one variable
        return total


class NotInterpolated(PlanError):
    """Variables that looked as if interpolated from a coarser grid are not, or not well enough."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"{', '.join(names)}: the coarser grid says too little of them")
        self.names = tuple(names)


def check_interpolations(jobs: Sequence[Job]) -> None:
    """Refuse coarser grids that add to the error of what was encoded.

    Raises
    ------
    NotInterpolated
    """
    for job in jobs:
        misfit = job.prepared.misfit
        if misfit is None or job.encoded is None:
            continue
        squares = math.fsum(stats.sum_squares for stats in job.encoded.stats)
        own = float(misfit @ np.square(job.prepared.data.weights))
        if own > _MISFIT * squares:
            raise NotInterpolated(job.plan.variables)


def quality_sets(jobs: Sequence[Job]) -> list[QualitySet]:
    """Gather the lossy groups that share a quality set, in order."""
    names = dict.fromkeys(job.plan.quality_set for job in jobs)
    sets = []
    for name in names:
        members = tuple(job for job in jobs if job.plan.quality_set == name)
        sets.append(QualitySet(name=name, target=members[0].plan.target, jobs=members))
    return sets


def with_measures(jobs: Sequence[Job]) -> list[EncodedGroup]:
    """Return what was encoded, with its promise and measured quality, for the manifest."""
    lossy = quality_sets([job for job in jobs if not job.plan.lossless])
    peaks = {job.plan.name: each.peak for each in lossy for job in each.jobs}
    found = []
    for job in jobs:
        assert job.encoded is not None  # every job has been encoded by now
        total = reduce(add, job.encoded.stats)
        peak = peaks.get(job.plan.name, total.peak_range)
        numbers = {
            "peak": peak,
            "psnr_db": total.psnr_db(peak) if peak >= 0 else math.nan,
            "rmse": total.rmse,
            "max_error": total.max_error,
        }
        finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        target = None if job.plan.lossless else job.plan.target
        group = replace(job.encoded.group, measured=finite, target=target)
        found.append(replace(job.encoded, group=group))
    return found


def start_quality(target: Target) -> float:
    """Guess the nominal quality, in dB, that will meet a target."""
    match target:
        case Psnr(db=db):
            # Nominal and real quality part at low rates, where codecs drop what is small.
            return db - 0.08 * max(0.0, 50.0 - db)
        case Quality(db=db):
            return db
        case Bpppb(bits=bits):
            return 30.0 + 6.0 * math.log2(max(bits, 0.01) / 0.1)
    return 45.0
