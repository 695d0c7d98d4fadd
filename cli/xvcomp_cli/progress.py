"""Progress of long work, drawn on stderr when a person is watching."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from xvcomp import results

__all__ = ["ProgressBar"]


class _Rate(ProgressColumn):
    """How fast it goes, in the unit of the stage."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "frames")
        return Text("" if speed is None else f"{speed:,.0f} {unit}/s", style="progress.data.speed")


class ProgressBar:
    """A context whose ``update`` takes the library's progress; silent without a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        shown = sys.stderr.isatty() and not quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=Console(stderr=True),
            transient=True,
            disable=not shown,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, progress: results.Progress) -> None:
        """Show one step: each stage has its own line."""
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bar.add_task(
                progress.stage, total=progress.total, unit=progress.unit, detail=""
            )
        self._bar.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total or progress.done,
            unit=progress.unit,
            detail=progress.detail,
        )
