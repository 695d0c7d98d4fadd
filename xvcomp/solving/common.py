"""What all searches share: encode a set, tell of it, and keep the answer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

from ..jobs import Job, QualitySet, step_of
from ..parallel import map_ordered
from ..pipeline import EncodedGroup, Window
from ..presearch import ValueOf
from ..results import OnProgress, Progress
from ..search import Goal, Point, Update

__all__ = [
    "PSNR_DB_PER_DB",
    "PSNR_WINDOW_DB",
    "SIZE_GOAL",
    "SIZE_OCTAVES_PER_DB",
    "SIZE_WINDOW",
    "Candidate",
    "Teller",
    "encode_set",
    "interpolated_names",
    "is_asked_for",
    "is_below_qp_0",
    "is_interpolated",
    "keep",
    "point",
    "psnr_goal",
    "psnr_of",
    "size_over",
    "take",
]

PSNR_WINDOW_DB = 0.25
PSNR_DB_PER_DB = 0.95
"""Expected change of a PSNR per decibel of nominal quality."""

SIZE_WINDOW = 0.95
SIZE_OCTAVES_PER_DB = 0.25
"""Expected change of a size per decibel of nominal quality."""

SIZE_GOAL = Goal(
    low=math.log2(SIZE_WINDOW), high=0.0, promise="at_most", what="log2 of size over budget"
)

Candidate = Point[list[EncodedGroup]]
"""Encoded groups at some quality."""


@dataclass(slots=True)
class Teller:
    """Turns finished windows into progress updates."""

    on_progress: OnProgress | None
    detail: str = ""
    done: int = 0
    total: int = 0
    trials: dict[str, int] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def begin(self, name: str, jobs: Sequence[Job]) -> None:
        """Start another encoding of some jobs."""
        self.trials[name] = self.trials.get(name, 0) + 1
        self.detail = f"{name or 'all'}: trial {self.trials[name]}"
        self.done = 0
        self.total = sum(_frames(window) for job in jobs for window in job.prepared.windows)

    def window(self, window: Window) -> None:
        """Tell that a window is done."""
        with self.lock:
            # An encoding may have to begin again.
            self.done = min(self.done + _frames(window), self.total)
            if self.on_progress is not None:
                self.on_progress(
                    Progress(stage="encode", done=self.done, total=self.total, detail=self.detail)
                )


def _frames(window: Window) -> int:
    return int(window.time.stop - window.time.start)


def encode_set(
    quality_set: QualitySet, q: float, teller: Teller, counts: Sequence[int] | None = None
) -> list[EncodedGroup]:
    """Encode a set at a nominal quality, with at least ``counts`` components per group."""
    teller.begin(quality_set.name, quality_set.jobs)
    step = step_of(q, quality_set.peak)
    least = counts or [1] * len(quality_set.jobs)

    def encode(numbered: tuple[Job, int]) -> EncodedGroup:
        job, count = numbered
        return job.encode(step, teller.window, count)

    pairs = zip(quality_set.jobs, least, strict=True)
    return list(map_ordered(encode, pairs, _at_a_time(quality_set.jobs)))


def psnr_goal(db: float, peak: float) -> Goal:
    """Return the goal of a PSNR that reaches ``db``, and hardly more."""
    what = f"PSNR in dB (peak {peak:g})"
    return Goal(low=db, high=db + PSNR_WINDOW_DB, promise="at_least", what=what)


def psnr_of(sets: Sequence[QualitySet], _share: float) -> float:
    """Measure the PSNR of one set's samples, in dB, for `presearched`."""
    return sets[0].stats(sets[0].encoded).psnr_db(sets[0].peak)


def size_over(budget: float) -> ValueOf:
    """Return what measures samples' bytes, scaled up to the whole: log2 of them over a budget."""

    def measure(sets: Sequence[QualitySet], share: float) -> float:
        nbytes = sum(encoded.nbytes for each in sets for encoded in each.encoded)
        return math.log2(max(1, nbytes) / share / budget)

    return measure


def _at_a_time(jobs: Sequence[Job]) -> int:
    """Return how many groups may be at work, so that all their windows do fit together."""
    windows = max(len(job.prepared.windows) for job in jobs)
    return max(1, min(job.prepared.workers for job in jobs) // windows)


def point(
    sets: Sequence[QualitySet], q: float, value: float, encoded: list[EncodedGroup]
) -> Candidate:
    """Make a point; above what all codecs can do it stands where they could do no more."""
    ceilings = [each.ceiling(each.encoded) for each in sets]
    known = [each for each in ceilings if each is not None]
    if len(known) < len(sets):
        return Point(q=q, value=value, payload=encoded)
    return Point(q=min(q, max(known)), value=value, payload=encoded, finest=True)


def is_below_qp_0(encoded_groups: Sequence[EncodedGroup]) -> bool:
    """Say whether a video is so fine that steps which are predicted may well be smaller."""
    return any((each.group.quantizer or 0) < 0 for each in encoded_groups)


def is_asked_for(jobs: Sequence[Job]) -> bool:
    """Say whether the user chose the codec, so that no other way may replace it."""
    return any(job.plan.reasons.get("codec") == "asked for" for job in jobs)


def is_interpolated(jobs: Sequence[Job]) -> bool:
    """Say whether any of the groups is coded on a coarser grid."""
    return bool(interpolated_names(jobs))


def interpolated_names(jobs: Sequence[Job]) -> list[str]:
    """Return the variables of groups that are coded on a coarser grid."""
    coarse = [job.plan for job in jobs if job.plan.interpolation is not None]
    return [name for plan in coarse for name in plan.variables]


def keep(jobs: Sequence[Job], updates: Iterator[Update[list[EncodedGroup]]]) -> Candidate:
    """Run a search, and keep what its answer was made of."""
    answer = list(updates)[-1].point
    take(jobs, answer.payload)
    return answer


def take(jobs: Sequence[Job], encoded_groups: Sequence[EncodedGroup]) -> None:
    """Let each job keep its encoding."""
    for job, encoded in zip(jobs, encoded_groups, strict=True):
        job.encoded = encoded
