"""Where a preview or a page is written: never over a source, never half of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import PlanError

__all__ = ["check_output", "published"]


def check_output(out: str | os.PathLike[str], *, overwrite: bool, sources: tuple[Any, ...]) -> Path:
    """Refuse a place that cannot be written, before any work is done.

    Parameters
    ----------
    out : path
    overwrite : bool
        Something may be there already.
    sources : tuple
        What is read, as far as it is a path: it must not be ``out``.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If there is something already, or no such folder.
    PlanError
        If it is one of the sources.
    """
    path = Path(out)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name or overwrite it")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.absolute().parent}: make it first")
    for source in sources:
        named = isinstance(source, str | os.PathLike) and os.path.exists(source)
        if named and path.exists() and os.path.samefile(source, path):
            raise PlanError(f"{path} is what is to be drawn: writing there would destroy it")
    return path


@contextlib.contextmanager
def published(path: Path) -> Iterator[Path]:
    """Give a hidden name to write to; the file gets its own when all went well."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield hidden
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
