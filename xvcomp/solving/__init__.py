"""Meet the targets of a plan: encode each quality set as finely as was asked for, no finer."""

from collections.abc import Callable, Sequence

from ..bounding import best_bounded
from ..errors import PlanError
from ..jobs import Job, QualitySet, check_interpolations, quality_sets
from ..pipeline import EncodedGroup, Window, encode_lossless
from ..results import OnProgress
from ..spec import Bpppb, MaxError, Psnr, Quality, Ratio, Ssim, Target
from .common import Teller, encode_set
from .locating import located
from .quality import SsimOf, solve_psnr, solve_ssim
from .size import Whole, solve_size

__all__ = ["located", "solve"]


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
    NotInterpolated
        If a group must be coded on its full grid.
    """
    teller = Teller(on_progress)
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
            solve_ssim(each, ssim_of, teller)
        elif each not in of_size:
            _solve_set(each, teller)
    if of_size:
        whole = Whole(jobs, file_size, samples, raw_nbytes)
        solve_size(of_size, whole, target, teller)
    check_interpolations(jobs)
    return [job.encoded for job in jobs if job.encoded is not None]


def _solve_set(quality_set: QualitySet, teller: Teller) -> None:
    target = quality_set.target
    match target:
        case Quality(db=db):
            encode_set(quality_set, db, teller)
        case Psnr(db=db):
            solve_psnr(quality_set, db, teller)
        case MaxError():
            for job in quality_set.jobs:
                _solve_bound(job, teller)
        case _:
            raise PlanError(f"target {target!r} is not supported yet")


def _solve_bound(job: Job, teller: Teller) -> None:
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
