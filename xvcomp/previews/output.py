"""Where a preview or a page is written: never over a source, never half of it."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import xarray as xr

from ..containers.taco.address import from_vsi, split_member
from ..errors import PlanError

__all__ = ["check_output", "published"]

_LOCAL = re.compile(r"^(?:file|local):(?://(?:localhost(?=/))?)?", re.IGNORECASE)


def check_output(out: str | os.PathLike[str], *, overwrite: bool, sources: tuple[Any, ...]) -> Path:
    """Refuse a place that cannot be written, before any work is done.

    Parameters
    ----------
    out : path
    overwrite : bool
        Something may be there already.
    sources : tuple of Dataset, DataArray, path, URL or None
        What is read: ``out`` must be none of the files that it comes from.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If there is something already, or no such folder.
    PlanError
        If it is one of the sources.
    """
    path = Path(out)
    if _is_taken(path) and not overwrite:
        raise _exists(path)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.absolute().parent}: make it first")
    if path.exists():
        for name in {name for source in sources for name in _files_of(source)}:
            if os.path.exists(name) and os.path.samefile(name, path):
                raise PlanError(f"{path} is the source; writing the preview there would destroy it")
    return path


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists already: choose another name or overwrite it")


def _is_taken(path: Path) -> bool:
    """Tell whether a name is in use, be it by a link that leads nowhere."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _files_of(source: Any) -> Iterator[str]:
    """Name what a source may be read from, as far as that is on this machine."""
    if isinstance(source, xr.Dataset):
        parts: list[Any] = [source, *source.variables.values()]
    elif isinstance(source, xr.DataArray):
        parts = [source, *source.coords.values()]
    else:
        if isinstance(source, str | os.PathLike):
            yield from _local_names(os.fspath(source))
        return
    for part in parts:
        name = part.encoding.get("source")
        if isinstance(name, str | os.PathLike):
            yield from _local_names(os.fspath(name))


def _local_names(name: str) -> Iterator[str]:
    """Take the file out of a URL, of a cube in a dataset, and of an archive of any kind."""
    member, place = split_member(name), from_vsi(name)
    wholes = [name, *([member[0]] if member else []), *([place[0]] if place else [])]
    for each in (*wholes, *name.split("::")):
        bare = _LOCAL.sub("", each)
        yield from {bare, unquote(bare)}


@contextlib.contextmanager
def published(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a hidden name to write to; the file gets its own when all went well.

    Raises
    ------
    FileExistsError
        If something has got that name meanwhile, and ``overwrite`` is false.
    """
    # Short, for the name itself may be as long as a name can be.
    hidden = path.with_name(f".preview-{secrets.token_hex(8)}.part")
    try:
        yield hidden
        if overwrite:
            os.replace(hidden, path)
        else:
            _move_to_free_name(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def _move_to_free_name(hidden: Path, path: Path) -> None:
    """Rename, but never over something; a plain rename would replace it."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # this file system has no links
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise _exists(path) from None
        os.replace(hidden, path)
