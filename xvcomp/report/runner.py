"""Run the points of a sweep, each in a process of its own, and keep a journal of them."""

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xarray as xr

from ..results import OnProgress, Progress
from .job import Job
from .journal import Journal
from .points import SweepPoint, Task, command

__all__ = ["Runner", "cores_here"]


def cores_here() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """A sweep on its way."""

    dataset: xr.Dataset
    stored: bool
    folder: Path
    source: str
    options: dict[str, Any]
    jobs: int
    journal: Journal
    running: "set[subprocess.Popen[bytes]]" = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self, tasks: Sequence[Task], on_progress: OnProgress | None) -> tuple[SweepPoint, ...]:
        """Make what is not in the journal yet; return the points of all tasks, in order."""
        known = {key: p for key, p in self.journal.read().items() if self._is_whole(p)}
        found = {task.key: known[task.key] for task in tasks if task.key in known}
        self._remove_leftovers()
        for point in self._made([task for task in tasks if task.key not in found]):
            self.journal.append(point)
            found[point.key] = point
            if on_progress is not None:
                on_progress(
                    Progress(
                        stage="sweep",
                        done=len(found),
                        total=len(tasks),
                        unit="points",
                        detail=_detail(point),
                    )
                )
        commands = {task.key: command(task, self.source, self.options) for task in tasks}
        return tuple(replace(found[task.key], command=commands[task.key]) for task in tasks)

    def _is_whole(self, point: SweepPoint) -> bool:
        """Failed points are tried again, and so are those whose file is gone."""
        return point.error is None and (self.folder / point.file).is_file()

    def _remove_leftovers(self) -> None:
        """Delete what encoders that were killed have left."""
        for path in (self.folder / "cubes").glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _made(self, tasks: Sequence[Task]) -> Iterator[SweepPoint]:
        """Run the workers; yield points as they come."""
        shares: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        cores = cores_here()
        for number in range(self.jobs):
            shares.put(tuple(cores[number :: self.jobs]) or tuple(cores))
        pool = ThreadPoolExecutor(self.jobs)
        try:
            futures = [pool.submit(self._one, task, shares) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        finally:
            with self.lock:
                self.stopped.set()
                for worker in self.running:
                    worker.kill()
            pool.shutdown(cancel_futures=True)
            self._remove_leftovers()

    def _one(self, task: Task, shares: "queue.SimpleQueue[tuple[int, ...]]") -> SweepPoint:
        cores = shares.get()
        try:
            return self._work(
                Job(
                    dataset=self.dataset,
                    stored=self.stored,
                    task=task,
                    options=self.options,
                    path=self.folder / "cubes" / task.file_name,
                    cores=cores,
                    parent=os.getpid(),
                )
            )
        finally:
            shares.put(cores)

    def _work(self, job: Job) -> SweepPoint:
        """Run one worker to its end."""
        worker = self._start()
        try:
            stdout, stderr = worker.communicate(pickle.dumps(job))
        finally:
            with self.lock:
                self.running.discard(worker)
        with contextlib.suppress(ValueError, TypeError):
            return SweepPoint(**json.loads(stdout))
        lines = stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else "no message"
        return SweepPoint(
            key=job.task.key,
            codec=job.task.codec,
            preset=job.task.preset,
            quality_db=job.task.quality_db,
            error=f"the encoding process ended with code {worker.returncode}: {why}",
        )

    def _start(self) -> "subprocess.Popen[bytes]":
        """Start a process, unless the sweep has been stopped meanwhile."""
        with self.lock:
            if self.stopped.is_set():
                raise InterruptedError("the sweep was stopped")
            worker = subprocess.Popen(
                [sys.executable, "-m", "xvcomp.report.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self.running.add(worker)
            return worker


def _detail(point: SweepPoint) -> str:
    name = f"{point.codec} {point.preset} q{point.quality_db:g}"
    if point.error is not None:
        return f"{name}: {point.error}"
    return f"{name}: {point.psnr_db:.2f} dB, {point.bpppb:.4f} bpppb"
