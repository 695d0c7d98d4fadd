"""One sample of a dataset: a cube file, what lies beside it, and its columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import PlanError

__all__ = ["CUBE_STEM", "TacoSample", "check_id"]

CUBE_STEM = "cube"
"""What the cube file is called inside a sample that has side files."""

_COLUMN = re.compile(r"[^\W\d]\w*([: ][\w .:%()/+-]*)?")
_FORBIDDEN = ("/", "\\", ":", ",", "'", '"')


@dataclass(frozen=True, kw_only=True)
class TacoSample:
    """A cube file on its way into a dataset.

    Parameters
    ----------
    id : str
        Unique in the dataset; a plain name, without slashes, colons, commas or quotes.
    path : Path
        The cube file; a text will do.
    side_files : tuple of Path
        Files that belong to it. All samples of a dataset have the same ones: a file
        ``<id>_mask.tif`` or ``<id>.json`` is called ``mask.tif`` or ``cube.json`` inside.
    columns : Mapping[str, object]
        What the table says of it: numbers, text, bool, datetimes, bytes or lists of them.

    Raises
    ------
    PlanError
        If the id or a column's name cannot be used.
    """

    id: str
    path: Path
    side_files: tuple[Path, ...] = ()
    columns: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_id(self.id)
        # Texts will do for paths.
        object.__setattr__(self, "path", Path(self.path))
        object.__setattr__(self, "side_files", tuple(Path(each) for each in self.side_files))
        for name in self.columns:
            _check_column(name)
        names = self.names
        if len(set(names)) != len(names):
            raise PlanError(f"sample {self.id!r} has two files called {_twice(names)!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """What its files are called inside the sample: the cube first."""
        return (f"{CUBE_STEM}{self.path.suffix}", *map(self._side_name, self.side_files))

    def _side_name(self, path: Path) -> str:
        """Take the sample's id away, so that all samples' files have the same names."""
        rest = path.name.removeprefix(self.id).lstrip("_-")
        return f"{CUBE_STEM}{rest}" if rest.startswith(".") else rest or path.name


def check_id(name: str) -> None:
    """Refuse ids that paths, URLs or SQL would misread.

    Raises
    ------
    PlanError
        If it is one of them.
    """
    bad = [mark for mark in _FORBIDDEN if mark in name]
    if bad:
        raise PlanError(f"the id {name!r} holds {bad[0]!r}; ids are plain names")
    if not name.strip() or name in (".", "..") or not name.isprintable():
        raise PlanError(f"{name!r} cannot be an id: it must be a name that can be printed")
    if name.startswith("__"):
        raise PlanError(f"the id {name!r} starts with '__', which TACO keeps for itself")


def _check_column(name: str) -> None:
    if name in ("id", "type") or name.startswith("internal:"):
        raise PlanError(f"a column cannot be called {name!r}: TACO keeps that name for itself")
    # Readers of SQL quote only names with a colon or a space in them.
    if not _COLUMN.fullmatch(name):
        raise PlanError(
            f"{name!r} cannot be the name of a column: give letters, digits, _, or "
            "a prefix of its own, such as my:name"
        )


def _twice(names: tuple[str, ...]) -> str:
    return next(name for name in names if names.count(name) > 1)
