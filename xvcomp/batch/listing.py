"""Find the cubes that a batch is to make, and name them: globs, folders, URLs, lists, TACO."""

import errno
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..containers.source import is_url
from ..errors import PlanError
from ..sources import SOURCE_SUFFIXES, source_kind
from .items import Item

__all__ = ["CUBE_SUFFIXES", "dataset_of", "is_sample", "list_items"]

CUBE_SUFFIXES = (".mp4", ".m4v")
"""Cube files can be sources, too: to be encoded anew."""

_SUFFIXES = (*(s for group in SOURCE_SUFFIXES.values() for s in group), *CUBE_SUFFIXES)
_TIFFS = SOURCE_SUFFIXES["geotiff"]
_MAGIC = re.compile(r"[*?\[]")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_DEPTH = 8
_MAX_NAME = 160
"""Characters of an id: file systems take 255 bytes, and temporary names are longer."""

_DATASETS = (".tacozip", ".tacocat")
_DATASET_HINT = "a dataset is named by its .tacozip or .tacocat"


@dataclass(frozen=True, slots=True)
class _Found:
    """A source, and the name that its place below what was asked for suggests."""

    name: str
    source: str


def is_sample(source: str) -> bool:
    """Tell a sample of a dataset, ``data.tacozip::ID``."""
    return dataset_of(source) is not None


def dataset_of(source: str) -> str | None:
    """Return the dataset that a sample lies in; ``None`` for what is none."""
    archive, mark, _ = source.rpartition("::")
    return archive if mark and archive.endswith(_DATASETS) else None


def list_items(sources: Sequence[str | os.PathLike[str]]) -> tuple[Item, ...]:
    """Find all cubes, and give each an id that is its own and stays its own.

    Parameters
    ----------
    sources : sequence of str or path
        Files, Zarr stores, folders of them, globs, fsspec URLs of any of these, a
        ``.tacozip`` (each of its samples), or ``@FILE`` with one of these per line.

    Returns
    -------
    tuple of Item
        Sorted by id. What is listed twice is taken once.

    Raises
    ------
    FileNotFoundError
        If a path or pattern leads to nothing.
    PlanError
        If something is no cube, or a list contains itself.

    Notes
    -----
    An id is the path below the folder or pattern that was given, ``/`` turned to ``__``,
    without its suffix and without accents: it does not depend on what else is listed.
    Where two sources have the same, both get eight hexadecimal digits of their full path;
    ids of more than 160 characters are cut, and get those of the whole name.
    """
    found: dict[str, _Found] = {}
    for source in sources:
        for each in _expand(os.fspath(source), depth=0):
            found.setdefault(each.source, each)
    counts = Counter(each.name.lower() for each in found.values())
    items = [Item(id=_unique(each, counts), source=each.source) for each in found.values()]
    return tuple(sorted(items, key=lambda item: item.id))


def _unique(found: _Found, counts: Counter[str]) -> str:
    """Tell names apart that are the same, or would be on a disk that ignores case."""
    if counts[found.name.lower()] == 1:
        return found.name
    return _with_digits(found.name, found.source)


def _with_digits(name: str, full: str) -> str:
    return f"{name}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def _expand(source: str, depth: int) -> Iterator[_Found]:
    if source.startswith("@"):
        if depth >= _MAX_DEPTH:
            raise PlanError(f"the list {source[1:]} leads to more than {_MAX_DEPTH} others")
        for line in _lines(Path(source[1:])):
            yield from _expand(line, depth + 1)
    elif source.rstrip("/").endswith(_DATASETS):
        yield from _samples(source)
    elif is_url(source):
        yield from _remote(source)
    else:
        yield from _local(source)


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is not a list of sources in UTF-8: {error}") from error
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def _samples(source: str) -> Iterator[_Found]:
    """List a TACO's samples; each is opened in place."""
    source = source.rstrip("/")
    from ..containers.taco import open_taco

    with open_taco(source) as dataset:
        for name in (str(row["id"]) for row in dataset.rows(columns=["id"])):
            yield _Found(_name(name, suffix=False), f"{source}::{name}")


def _local(source: str) -> Iterator[_Found]:
    path = Path(source)
    if path.exists():
        yield from _path(path)
        return
    if not _MAGIC.search(source):
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", source)
    base = _base(source)
    matches = sorted(Path(p) for p in _glob(source))
    if not matches:
        raise FileNotFoundError(errno.ENOENT, "nothing matches this pattern", source)
    for match in matches:
        for each in _path(match):
            yield _Found(_name(os.path.relpath(each.source, base)), each.source)


def _glob(pattern: str) -> list[str]:
    from glob import glob

    return glob(pattern, recursive=True)


def _base(pattern: str) -> str:
    """Return the folder that no part of a pattern can change."""
    parts = PurePosixPath(pattern).parts
    fixed = parts[: next(i for i, part in enumerate(parts) if _MAGIC.search(part))]
    return str(PurePosixPath(*fixed)) if fixed else "."


def _path(path: Path) -> Iterator[_Found]:
    """Yield a file or store as it is, or what lies in a folder of them."""
    if path.is_dir() and not _is_one_cube(path):
        inside = sorted(_walk(path))
        if not inside:
            raise PlanError(f"there is no cube in the folder {path}; {_DATASET_HINT}")
        for each in inside:
            yield _Found(_name(str(each.relative_to(path))), str(each))
        return
    if path.suffix.lower() not in CUBE_SUFFIXES:
        source_kind(str(path))
    yield _Found(_name(path.name), str(path))


def _is_one_cube(path: Path) -> bool:
    try:
        source_kind(str(path))
    except PlanError:
        return path.suffix.lower() == ".zarr"
    return True


def _walk(folder: Path) -> Iterator[Path]:
    """Find files and stores by suffix; folders of GeoTIFFs are one cube each."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from [path] if _is_one_cube(path) else _walk(path)
        elif path.name.lower().endswith(_SUFFIXES) and path.suffix.lower() not in _TIFFS:
            yield path


def _remote(source: str) -> Iterator[_Found]:
    filesystem, path = _filesystem(source)
    if _MAGIC.search(path):
        base = _base(path)
        matches = sorted(set(map(str, filesystem.glob(path))))
    elif path.rstrip("/").lower().endswith(_SUFFIXES):
        yield _Found(_name(path.rstrip("/").rsplit("/", 1)[-1]), source)
        return
    else:
        base = path.rstrip("/")
        matches = sorted({_store(p) for p in filesystem.find(path) if _is_cube(p)})
    if not matches:
        raise FileNotFoundError(errno.ENOENT, f"no cube is there; {_DATASET_HINT}", source)
    for match in matches:
        below = match[len(base) :].lstrip("/") if match.startswith(base) else match
        yield _Found(_name(below), filesystem.unstrip_protocol(match))


def _filesystem(source: str) -> tuple[Any, str]:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise PlanError(f"cannot read {source}: {error}") from error
    # What a hub or store listed for an earlier batch in this process may have changed.
    filesystem.invalidate_cache()
    return filesystem, str(path)


def _is_cube(path: str) -> bool:
    return ".zarr/" in path.lower() or path.lower().endswith(_SUFFIXES)


def _store(path: str) -> str:
    """Return the Zarr store that a file lies in, or the file."""
    found = re.match(r".*?\.zarr(?=/)", path, flags=re.IGNORECASE)
    return found[0] if found else path


def _name(below: str, *, suffix: bool = True) -> str:
    """Make an id of a path below what was asked for."""
    parts: Iterable[str] = below.replace(os.sep, "/").strip("/").split("/")
    text = "__".join(part for part in parts if part not in ("", ".", ".."))
    if suffix:
        known = [s for s in _SUFFIXES if text.lower().endswith(s) and len(text) > len(s)]
        text = text[: -len(max(known, key=len))] if known else text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    name = _UNSAFE.sub("_", plain).lstrip("_.") or "cube"
    return name if len(name) <= _MAX_NAME else _with_digits(name[: _MAX_NAME - 9], text)
