"""Make many cubes: what is asked for, what is there already, the rest on a Dask cluster."""

import errno
import fnmatch
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ..api import options_of
from ..codecs.capabilities import all_capabilities
from ..containers.source import is_url
from ..containers.taco.rows import import_pyarrow
from ..errors import PlanError
from ..parallel import cpu_count
from ..results import Options
from ..version import __version__
from . import cluster
from .assembling import assemble
from .identity import key
from .items import BatchProgress, BatchResult, CubeResult, Item
from .job import Job
from .listing import list_items
from .page import write_report
from .worker import Limits
from .workspace import Workspace

if TYPE_CHECKING:
    from ..containers.taco import Collection

__all__ = ["BatchOptions", "run"]

OnBatch = Callable[[BatchProgress], None]

_RETRIED = ("lost", "disk")
"""Failures that are no fault of the cube: tried again at every start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchOptions:
    """How a batch runs. `run` says what each of them means."""

    options: Options = field(default_factory=Options)
    recipes: tuple[tuple[str, Options], ...] = ()
    group: str | None = None
    dims: tuple[str, ...] = ()
    workers: int | None = None
    cube_memory: int | None = None
    cube_seconds: float | None = None
    scheduler: str | None = None
    retry_failed: bool = False
    overwrite: bool = False
    keep_work: bool = False
    part_nbytes: int | None = None
    collection: "Collection | None" = None
    columns: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def options_for(self, item: Item) -> Options:
        """Return the options of one cube: of the first pattern that fits its id or source."""
        for pattern, options in self.recipes:
            if fnmatch.fnmatchcase(item.id, pattern) or fnmatch.fnmatchcase(item.source, pattern):
                return options
        return self.options

    @property
    def worker_count(self) -> int:
        """Processes that encode, on this machine."""
        return self.workers or cpu_count()

    @property
    def limits(self) -> Limits:
        """What one cube may take; without a cluster of others, a share of this machine."""
        memory = self.cube_memory
        if memory is None and self.scheduler is None:
            memory = int(0.9 * psutil.virtual_memory().total / self.worker_count)
        return Limits(memory=memory, seconds=self.cube_seconds)


def run(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    recipe: str | os.PathLike[str] | None = None,
    recipes: Mapping[str, str | os.PathLike[str]] | None = None,
    group: str | None = None,
    dims: Sequence[str] = (),
    workers: int | None = None,
    cube_memory: int | None = None,
    cube_seconds: float | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    keep_work: bool = False,
    part_nbytes: int | None = None,
    collection: "Collection | None" = None,
    columns: Mapping[str, Mapping[str, object]] | None = None,
    on_progress: OnBatch | None = None,
    **keywords: Any,
) -> BatchResult:
    """Encode and verify many cubes on all cores or a Dask cluster.

    A batch that was interrupted, in whatever way, goes on where it was: call it again
    with the same arguments. Cubes whose source, options and version of xvcomp are those
    of a finished file are not made again. What goes wrong with one cube is recorded, and
    the others go on.

    Parameters
    ----------
    sources : sequence of str or path
        See `listing.list_items`.
    out : path
        A folder of cube files, or a dataset ``NAME.tacozip``, which is put together at
        the end from what has been gathered in ``NAME.tacozip.work``.
    recipe : path, optional
        A TOML recipe for all cubes.
    recipes : Mapping[str, path], optional
        Recipes for some: the first pattern (``*`` and ``?``) that fits a cube's id or
        source counts, instead of ``recipe``.
    group : str, optional
        Group of NetCDF files and Zarr stores.
    dims : sequence of str
        Dims that every cube must have.
    workers : int, optional
        Processes, of one thread each. Default: one per core.
    cube_memory, cube_seconds : int, float, optional
        What one cube may take. Default: a share of the memory, and no limit of time.
    scheduler : str, optional
        Address of a Dask scheduler whose workers see the same files under the same
        paths, ``out`` included.
    retry_failed : bool
        Try again what has failed before.
    overwrite : bool
        Replace a dataset, or cube files, that this batch has not made.
    keep_work : bool
        Keep what a dataset was made from.
    part_nbytes : int, optional
        Cut the dataset into parts of about this size.
    collection : Collection, optional
        What the dataset says of itself.
    columns : Mapping, optional
        Further columns of its table, by id (see `cube_columns.load_columns`).
    on_progress : callable, optional
        Called with `BatchProgress`.
    **keywords
        Fields of `Options` and `Override`, for all cubes, as in `encode`; they win over
        recipes.

    Raises
    ------
    PlanError
        If something cannot be done as asked, or another batch writes to ``out``.
    FileNotFoundError, FileExistsError, PermissionError
        If a source is missing, or the result could not be written.
    OSError
        If the disk is full: the batch stops, and goes on at the next start.

    Notes
    -----
    Workers are started by *spawn*: a script that calls this needs the usual
    ``if __name__ == "__main__":``.
    """
    asked = BatchOptions(
        options=options_of(None, recipe, **keywords),
        recipes=tuple((p, options_of(None, r, **keywords)) for p, r in (recipes or {}).items()),
        group=group,
        dims=tuple(dims),
        workers=workers,
        cube_memory=cube_memory,
        cube_seconds=cube_seconds,
        scheduler=scheduler,
        retry_failed=retry_failed,
        overwrite=overwrite,
        keep_work=keep_work,
        part_nbytes=part_nbytes,
        collection=collection,
        columns=columns or {},
    )
    if is_url(os.fspath(out)):
        raise PlanError(f"{os.fspath(out)} is a URL; a batch writes to a local or mounted folder")
    space = Workspace(Path(out).absolute())
    # A folder may hold both: what a batch has made is no source of it.
    items = [item for item in list_items(sources) if not space.holds(item.source)]
    if space.is_archive:
        # Not after hours of work.
        import_pyarrow()
    with space.used(overwrite=overwrite, parts=part_nbytes is not None) as scratch:
        batch = _Batch(asked=asked, space=space, scratch=scratch, on_progress=on_progress)
        result = batch.make(items)
    if space.is_archive and not (keep_work or result.failures):
        space.remove()
    return result


class _Batch:
    """A batch on its way."""

    def __init__(
        self, *, asked: BatchOptions, space: Workspace, scratch: Path, on_progress: OnBatch | None
    ) -> None:
        self._asked, self._space, self._scratch = asked, space, scratch
        self._on_progress = on_progress
        self._started = self._clock = time.monotonic()
        self._found: dict[str, CubeResult] = {}
        self._state = BatchProgress(stage="check")

    def make(self, items: Sequence[Item]) -> BatchResult:
        """Make what is missing, and put the result together."""
        self._state = replace(self._state, total=len(items))
        jobs = [job for job in map(self._job, items) if job is not None]
        todo = self._missing(jobs)
        if todo:
            self._encode(todo)
        cubes = tuple(self._found[item.id] for item in items)
        done = [cube for cube in cubes if not cube.failed]
        files: tuple[Path, ...] = ()
        if self._space.is_archive and done:
            self._tell("assemble")
            asked = self._asked
            files = assemble(
                self._space,
                done,
                asked.collection,
                asked.part_nbytes,
                asked.columns,
                overwrite=asked.overwrite,
            )
        self._tell("report")
        return self._report(cubes, files)

    def _job(self, item: Item) -> Job | None:
        """Plan one cube; a source that has gone is a failure like others."""
        asked = self._asked
        options = asked.options_for(item)
        job = Job(
            key="",
            id=item.id,
            source=item.source,
            folder=str(self._scratch),
            options=options,
            group=asked.group,
            dims=asked.dims,
        )
        try:
            found = key(item.source, options, {"group": asked.group, "dims": asked.dims})
        except OSError as error:
            reason = f"cannot read {item.source}: {error.strerror or error}"
            self._add(job.failed("input", reason), fresh=False)
            return None
        return replace(job, key=found)

    def _missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the cubes that have to be made; take over those that are there."""
        known = self._space.journaled()
        if not self._asked.overwrite:
            items = [Item(id=job.id, source=job.source) for job in jobs]
            self._space.check_free(items, known.values())
        missing = []
        for job in jobs:
            before = known.get(job.key)
            if before is not None and self._stands(before, job):
                self._add(before, fresh=False)
            else:
                missing.append(job)
        return missing

    def _stands(self, before: CubeResult, job: Job) -> bool:
        if before.failed:
            again = self._asked.retry_failed or before.kind in _RETRIED or before.id != job.id
            return not again
        return self._space.is_whole(before, job.id)

    def _encode(self, jobs: Sequence[Job]) -> None:
        # Asked for once, here: children of many workers would all ask at the same time.
        all_capabilities()
        asked = self._asked
        count = min(asked.worker_count, len(jobs))
        with cluster.connected(asked.scheduler, count, self._scratch / "dask") as client:
            self._state = replace(self._state, stage="encode")
            self._clock = time.monotonic()
            self._tell("encode")
            for result in cluster.spread(client, jobs, asked.limits):
                self._take(result)

    def _take(self, result: CubeResult) -> None:
        """Keep what came of one cube; stop when nothing can be written any more."""
        if result.kind == "disk":
            raise OSError(
                errno.ENOSPC, f"{result.reason}; the same command goes on from here, once it can"
            )
        if result.failed:
            self._space.note(result)
        else:
            self._space.keep(result, self._scratch / f"{result.key}.mp4")
        self._add(result, fresh=True)

    def _add(self, result: CubeResult, *, fresh: bool) -> None:
        state = self._state
        self._found[result.id] = result
        self._state = replace(
            state,
            done=state.done + (not result.failed),
            failed=state.failed + result.failed,
            fresh=state.fresh + fresh,
            raw_nbytes=state.raw_nbytes + result.raw_nbytes,
            nbytes=state.nbytes + result.nbytes,
            latest=result,
        )
        self._tell(state.stage)

    def _tell(self, stage: str) -> None:
        if self._on_progress is not None:
            seconds = time.monotonic() - self._clock
            self._on_progress(replace(self._state, stage=stage, seconds=seconds))

    def _report(self, cubes: tuple[CubeResult, ...], files: tuple[Path, ...]) -> BatchResult:
        base = self._space.report
        result = BatchResult(
            out=self._space.out,
            files=files,
            cubes=cubes,
            made=self._state.fresh,
            seconds=time.monotonic() - self._started,
            report_html=base.with_name(f"{base.name}.html"),
            report_json=base.with_name(f"{base.name}.json"),
            context={
                "xvcomp": __version__,
                "python": platform.python_version(),
                "machine": platform.machine(),
                "workers": self._asked.scheduler or self._asked.worker_count,
            },
        )
        write_report(result, self._space, group=self._asked.group, scratch=self._scratch / "look")
        return result
