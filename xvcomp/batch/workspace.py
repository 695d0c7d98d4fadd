"""What a batch keeps on disk: finished cubes, the journal, and what is being written.

::

    cubes/                      a folder of cubes           data.tacozip     a dataset
      NAME.mp4                                              data.tacozip.work/
      .batch/                                                 cubes/NAME.mp4
        journal.jsonl                                         journal.jsonl
        run-1a2b3c4d/           files on their way            run-1a2b3c4d/

A cube enters the journal, with its checksum, before it gets its name. Whatever kills the
batch in between, the journal names a file that is not there or has another checksum: the
cube is made again. A file that the journal does not name is none of ours.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..containers.source import is_url
from ..containers.taco.publish import CAT_NAME, refuse_existing
from ..errors import PlanError
from ..report.json_lines import JsonLines, sole_user
from .identity import sha256_of
from .items import CubeResult, Item

__all__ = ["ARCHIVE_SUFFIX", "Workspace"]

ARCHIVE_SUFFIX = ".tacozip"

_ATTEMPTS = 25
_PAUSE = 0.2
"""Seconds between attempts to remove a folder; what is left is removed at the next start."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a batch that makes ``out`` keeps its things."""

    out: Path

    @property
    def is_archive(self) -> bool:
        """Whether the cubes end up in a dataset, not a folder."""
        return self.out.name.endswith(ARCHIVE_SUFFIX)

    @property
    def state(self) -> Path:
        """The folder that holds everything but the result."""
        return (
            self.out.with_name(f"{self.out.name}.work") if self.is_archive else self.out / ".batch"
        )

    @property
    def cubes(self) -> Path:
        """The folder of finished cube files."""
        return self.state / "cubes" if self.is_archive else self.out

    @property
    def report(self) -> Path:
        """Path of the report, without its suffix."""
        return self.out.with_name(f"{self.out.name.removesuffix(ARCHIVE_SUFFIX)}.report")

    @property
    def _mark(self) -> Path:
        return self.state / "assembled"

    def holds(self, source: str) -> bool:
        """Tell whether a source lies in what this batch writes."""
        inside = (self.state,) if self.is_archive else (self.state, self.out)
        path = Path(source).absolute()
        return not is_url(source) and any(path.is_relative_to(folder) for folder in inside)

    def cube(self, name: str) -> Path:
        """Return the path of a finished cube."""
        return self.cubes / f"{name}.mp4"

    @contextmanager
    def used(self, *, overwrite: bool, parts: bool) -> Iterator[Path]:
        """Make the folders, keep others out, and give a folder for files on their way.

        Parameters
        ----------
        overwrite : bool
            Whether a dataset that is not ours may be replaced.
        parts : bool
            Whether a dataset may be cut into parts.

        Raises
        ------
        FileExistsError
            If there is a dataset already that was not made from what is here.
        FileNotFoundError, PermissionError
            If the result could not be written.
        PlanError
            If another batch is at work here.
        """
        self._check(overwrite, parts)
        self.cubes.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(exist_ok=True)
        with sole_user(self.state, "batch"):
            for left in self.state.glob("run-*"):
                shutil.rmtree(left, ignore_errors=True)
            run = self.state / f"run-{secrets.token_hex(4)}"
            run.mkdir()
            try:
                yield run
            finally:
                _remove(run)

    def _check(self, overwrite: bool, parts: bool) -> None:
        parent = self.out.parent
        if not parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder: create it first", str(parent))
        if not self.is_archive and self.out.exists() and not self.out.is_dir():
            raise PlanError(f"{self.out} is a file; name a folder, or a dataset NAME.tacozip")
        if self.is_archive and not (overwrite or self.is_ours(parts)):
            refuse_existing(self.out, parts=parts)
        writable = self.out if self.out.is_dir() else parent
        if not os.access(writable, os.W_OK):
            raise PermissionError(errno.EACCES, "the folder is not writable", str(writable))

    def is_ours(self, parts: bool) -> bool:
        """Tell whether a dataset that is there was made from what is here."""
        if not self._mark.exists():
            return False
        # A folder holds one dataset of parts: that may be another than ours of one file.
        known = self._mark.read_text(encoding="ascii") == "parts"
        return not parts or known or not (self.out.parent / CAT_NAME).exists()

    def mark_assembled(self, parts: bool) -> None:
        """Remember that the dataset that is about to appear was made from what is here."""
        self._mark.write_text("parts" if parts else "one file", encoding="ascii")

    def forget_assembled(self) -> None:
        """Take that back."""
        self._mark.unlink(missing_ok=True)

    def journaled(self) -> dict[str, CubeResult]:
        """Return all results by key; of two with the same key, the later."""
        found = {}
        for record in JsonLines(self.state / "journal.jsonl").read():
            try:
                result = CubeResult(**record)
            except (TypeError, ValueError):  # written by another version
                continue
            found[result.key] = result
        return found

    def check_free(self, items: Iterable[Item], ours: Iterable[CubeResult]) -> None:
        """Refuse to replace files that no batch has written here.

        Raises
        ------
        FileExistsError
            If there is one.
        """
        known = {result.id for result in ours}
        for item in items:
            if item.id not in known and self.cube(item.id).exists():
                raise FileExistsError(errno.EEXIST, "it exists already", str(self.cube(item.id)))

    def is_whole(self, result: CubeResult, name: str) -> bool:
        """Check a finished cube against the journal, byte for byte."""
        path = self.cube(name)
        if result.failed or result.id != name or not path.is_file():
            return False
        return path.stat().st_size == result.nbytes and sha256_of(path) == result.sha256

    def keep(self, result: CubeResult, made: Path) -> None:
        """Write a result to the journal, and give the cube its name."""
        self.note(result)
        os.replace(made, self.cube(result.id))

    def note(self, result: CubeResult) -> None:
        """Write a result to the journal."""
        JsonLines(self.state / "journal.jsonl").append(result.to_dict())

    def remove(self) -> None:
        """Remove everything but the result."""
        shutil.rmtree(self.state, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove a folder into which a worker that was given up may still be writing."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
