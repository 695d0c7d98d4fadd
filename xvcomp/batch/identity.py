"""What stands for a cube in the journal: its source's content, the options, the version."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..containers.source import is_url
from ..local_copies import version_of
from ..report.journal import key_of
from ..results import Options
from ..version import __version__
from .listing import dataset_of

__all__ = ["key", "sha256_of"]

_END = 1 << 16


def key(source: str, options: Options, extra: dict[str, Any]) -> str:
    """Return what stands for a cube file: the same key is the same file.

    Parameters
    ----------
    source : str
    options : Options
    extra : dict
        Whatever else decides what is written.

    Raises
    ------
    OSError
        If the source cannot be looked at.

    Notes
    -----
    A source is known by its path, size, time of change and a checksum of its first and
    last 64 KiB; a folder by the sizes and times of its files; over a network by what the
    store says (an ETag, a checksum). It is not read as a whole: a change in the middle of
    a file that keeps its size and time is missed.
    """
    choices = asdict(options) | extra
    return key_of(_content(source), __version__, choices)


def _content(source: str) -> str:
    """Sum up what can be known of a source without reading it as a whole."""
    known = dataset_of(source) or source
    if is_url(known):
        text = repr((source, _remote(known)))
    else:
        text = repr((str(Path(source).absolute()), list(_local(Path(known)))))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _local(path: Path) -> Iterator[tuple[object, ...]]:
    """Yield a file with its ends, or all files of a folder, with size and time of change."""
    if not path.is_dir():
        found = path.stat()
        yield path.name, found.st_size, found.st_mtime_ns, _sum_of_ends(path)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            found = os.stat(os.path.join(folder, name))
            yield (
                os.path.relpath(os.path.join(folder, name), path),
                found.st_size,
                found.st_mtime_ns,
            )


def _sum_of_ends(path: Path) -> str:
    """Return a checksum of a file's first and last bytes: formats keep their tables there."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(file.tell(), file.seek(0, os.SEEK_END) - _END))
        digest.update(file.read(_END))
    return digest.hexdigest()


def _remote(url: str) -> list[Any]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url)
    if not filesystem.isdir(path):
        return _told(filesystem.info(path))
    inside = filesystem.find(path, detail=True)
    return [[name, *_told(inside[name])] for name in sorted(inside)]


def _told(info: dict[str, Any]) -> list[str]:
    return [str(info.get("size")), *version_of(info)]


def sha256_of(path: Path) -> str:
    """Return a file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
