"""Spread jobs over a Dask cluster, and take their results as they come."""

import itertools
import logging
import pickle
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import PlanError, XvcompError
from .items import CubeResult
from .job import Job
from .worker import Limits, work

__all__ = ["connected", "spread", "thread_count"]

_AHEAD = 2
"""Jobs per thread that are handed out; more would only take memory."""
_WAIT_SECONDS = 60.0
_TO_COME = ("lost", "pending")
"""States of a future whose worker went before its result was fetched: it is made again."""


@contextmanager
def connected(scheduler: str | None, workers: int, scratch: Path) -> Iterator[Any]:
    """Give a client of a cluster: an existing one, or one of processes on this machine.

    Parameters
    ----------
    scheduler : str or None
        Address such as ``tcp://10.0.0.1:8786``.
    workers : int
        Processes of a cluster of our own.
    scratch : Path
        Where a cluster of our own may write.

    Raises
    ------
    PlanError
        If Dask is not installed, or no worker answers at the address.
    """
    distributed = _distributed()
    if scheduler is not None:
        with _existing(distributed.Client, scheduler) as client:
            yield client
        return
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            # The workers only watch; the processes that encode are limited by `work`.
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
            local_directory=str(scratch),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _distributed() -> Any:
    """Import Dask, which has no types."""
    return import_module("distributed")


@contextmanager
def _existing(make_client: Any, scheduler: str) -> Iterator[Any]:
    try:
        client = make_client(scheduler, timeout=_WAIT_SECONDS)
        client.wait_for_workers(1, timeout=_WAIT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise PlanError(f"no Dask worker answers at {scheduler}: {error}") from error
    with client:
        yield client


def thread_count(client: Any) -> int:
    """Return how many cubes a cluster makes at a time."""
    return max(1, int(sum(client.nthreads().values())))


def spread(client: Any, jobs: Iterable[Job], limits: Limits) -> Iterator[CubeResult]:
    """Make cubes on a cluster; yield results as they come.

    Raises
    ------
    XvcompError
        If the scheduler is lost.
    """
    run = secrets.token_hex(4)
    waiting = iter(jobs)
    at_work: dict[str, Job] = {}

    def submit(job: Job) -> Any:
        name = f"xvcomp-{run}-{job.key}"
        at_work[name] = job
        return client.submit(work, job.task, pickle.dumps(job), limits, key=name, pure=False)

    ahead = _AHEAD * thread_count(client)
    futures = [submit(job) for job in itertools.islice(waiting, ahead)]
    coming = _distributed().as_completed(futures)
    try:
        for future in coming:
            if future.status in _TO_COME:
                coming.add(future)
                continue
            yield _result(future, at_work.pop(future.key))
            following = next(waiting, None)
            if following is not None:
                coming.add(submit(following))
    finally:
        if at_work and client.status == "running":
            client.cancel(_futures(client, at_work))


def _futures(client: Any, names: Iterable[str]) -> list[Any]:
    return [_distributed().Future(name, client) for name in names]


def _result(future: Any, job: Job) -> CubeResult:
    if future.status == "finished":
        found: CubeResult = future.result()
        return found
    if future.status == "cancelled":
        raise XvcompError(
            f"the Dask scheduler was lost while {job.id!r} was at work; start the same command "
            "again: it goes on from here"
        )
    error = future.exception()
    if isinstance(error, _distributed().KilledWorker):
        return job.failed("lost", f"the workers that it was given to were lost: {error}")
    return job.failed("internal", f"{type(error).__name__}: {error}")
