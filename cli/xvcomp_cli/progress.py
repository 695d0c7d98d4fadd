"""Progress of long work, drawn on stderr when a person is watching."""

import sys
import threading
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

__all__ = ["Bar", "ProgressBar"]


class _Count(ProgressColumn):
    """How much is done, where it is known how much there is."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} {task.fields['unit']}")


class _Rate(ProgressColumn):
    """How fast it goes, in the unit of the stage."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None or task.total is None:
            return Text()
        return Text(f"{speed:,.0f} {task.fields['unit']}/s", style="progress.data.speed")


class Bar:
    """A bar on stderr while a context is open; silent without a terminal.

    Parameters
    ----------
    columns : ProgressColumn
        What stands behind the spinner, the description and the bar.
    quiet : bool
    """

    def __init__(self, *columns: ProgressColumn, quiet: bool) -> None:
        self._watched = sys.stderr.isatty() and not quiet
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=Console(stderr=True),
            transient=True,
            disable=not self._watched,
        )
        self._stage = ""
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # Stopped without having been seen, some versions of rich print an empty line.
        if self._watched:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watched:
            self._bar.stop()


class ProgressBar(Bar):
    """A bar whose ``update`` takes the library's progress."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(
            _Count(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            quiet=quiet,
        )
        self._lock = threading.Lock()

    def update(self, progress: results.Progress) -> None:
        """Show one step. May be called from any thread."""
        with self._lock:
            if progress.stage != self._stage or self._task is None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._stage = progress.stage
                self._task = self._bar.add_task(progress.stage, unit="", detail="", total=None)
            self._bar.update(self._task, total=progress.total or None, completed=progress.done,
                             unit=progress.unit, detail=progress.detail)  # fmt: skip
