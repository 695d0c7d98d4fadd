"""Search on a sample first: large cubes then need fewer encodings of the whole."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from .choosing import span_of, stretch_of
from .errors import TargetError
from .excerpts import sample_of
from .jobs import Job, QualitySet, step_of
from .pipeline import prepare
from .search import Goal, Point, search
from .spec import Preset

__all__ = ["ValueOf", "presearched"]

_LARGE = 4_000_000
_SAMPLE = 600_000
_EVALUATIONS = 5


ValueOf = Callable[[Sequence[QualitySet], float], float]
"""Measures encoded samples: their sets, and the share of the whole that they are."""


def presearched(
    sets: Sequence[QualitySet],
    goal: Goal,
    start: float,
    slope: float,
    value_of: ValueOf,
    *,
    quick: bool = False,
) -> float:
    """Return a better start for a search than ``start``, if a sample can tell and pays.

    It pays for large cubes. A ``quick`` guess is made for cubes of any size.

    Parameters
    ----------
    sets : sequence of QualitySet
    goal : Goal
    start, slope : float
        As for `search.search`.
    value_of : ValueOf
        The goal's value.
    quick : bool
        Encode with quick settings: for where trials are to be made, not for an answer.
    """
    whole = sum(math.prod(job.prepared.data.shape) for each in sets for job in each.jobs)
    if whole < _LARGE and not quick:
        return start
    samples = [_sampled(each, quick=quick) for each in sets]
    part = sum(math.prod(job.prepared.data.shape) for each in samples for job in each.jobs)

    def evaluate(q: float) -> Point[None]:
        for sample, each in zip(samples, sets, strict=True):
            for job in sample.jobs:
                job.encode(step_of(q, each.peak), None)
        finest = all(
            job.encoded.ceiling is not None for s in samples for job in s.jobs if job.encoded
        )
        value = value_of(samples, part / whole)
        if math.isnan(value):
            raise TargetError("the sample has no valid values")
        return Point(q=q, value=value, payload=None, finest=finest)

    try:
        updates = search(evaluate, goal, start=start, slope=slope, max_evaluations=_EVALUATIONS)
        return list(updates)[-1].point.q
    except TargetError:
        return start


def _sampled(each: QualitySet, *, quick: bool) -> QualitySet:
    return replace(each, jobs=tuple(_sampled_job(job, quick=quick) for job in each.jobs))


def _sampled_job(job: Job, *, quick: bool) -> Job:
    data = sample_of(job.prepared.data, _SAMPLE)
    preset: Preset = "balanced" if quick else job.plan.preset
    plan = replace(job.plan, block=(data.shape[2], data.shape[3]), preset=preset)
    span = span_of(plan, data)
    prepared = prepare(data, span=span, block=plan.block, fold=plan.fold)
    prepared.stretch = stretch_of(prepared, job.prepared.span)
    return Job(plan=plan, prepared=prepared)
