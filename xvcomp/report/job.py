"""One point of a sweep: what is needed to make it, and how it is made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from .. import api
from ..errors import XvcompError
from ..evaluation import evaluate
from ..spec import Quality
from .points import SweepPoint, Task, point_of

__all__ = ["Job", "make_point"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Everything that a worker process needs."""

    dataset: xr.Dataset
    stored: bool
    task: Task
    options: dict[str, Any]
    path: Path
    cores: tuple[int, ...]
    parent: int


def make_point(job: Job) -> SweepPoint:
    """Encode at the task's quality, and measure what came of it."""
    task = job.task
    try:
        report = api.encode(
            job.dataset,
            job.path,
            stored=job.stored,
            overwrite=True,
            target=Quality(task.quality_db),
            codec=task.codec,
            preset=task.preset,
            **job.options,
        )
        found = evaluate(job.dataset, job.path, stored=job.stored)
    except (XvcompError, OSError, MemoryError) as error:
        return SweepPoint(
            key=task.key,
            codec=task.codec,
            preset=task.preset,
            quality_db=task.quality_db,
            error=f"{type(error).__name__}: {error}",
        )
    return point_of(task, report, found)
