"""Remote files on the local disk for a while, in a cache that does not outgrow its limit.

Some readers (NetCDF, GRIB) need a file. ``local_copy`` fetches one by byte ranges, goes on
where an interrupted download stopped, and lets processes share what is there::

    <cache>/<key>/<name>         complete
    <cache>/<key>/<name>.part    what has come so far
    <cache>/<key>/nbytes         how large it will be; its time says when it was used last
    <cache>/locks/<key>          held while the file is fetched (alone) or used (together)
"""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .containers.source import FsspecSource, RangeSource
from .errors import PlanError
from .memory import parse_nbytes

__all__ = [
    "DEFAULT_CACHE_NBYTES",
    "default_cache_dir",
    "default_cache_nbytes",
    "local_copy",
    "version_of",
]

DEFAULT_CACHE_NBYTES = 20_000_000_000
_CHUNK = 8 << 20
_PATIENCE = 600.0
_POLL = 0.1
_LOG = logging.getLogger(__name__)
# What filesystems call the thing that changes when a file's content does.
_VERSIONS = (
    "ETag", "etag", "Content-MD5", "Digest", "md5Hash", "md5", "checksum", "Last-Modified",
    "LastModified", "last_modified", "mtime", "modified", "updated", "created", "version_id",
    "generation", "sha", "blob_id", "lfs", "xet_hash",
)  # fmt: skip


def default_cache_dir() -> Path:
    """Return ``XVCOMP_CACHE``, or a folder among the user's caches."""
    own = os.environ.get("XVCOMP_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "xvcomp"


def version_of(info: Mapping[str, Any]) -> list[str]:
    """Return what a filesystem says of a file (``fs.info``) that changes with its content."""
    return [f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None]


def default_cache_nbytes() -> int:
    """Return ``XVCOMP_CACHE_SIZE``, such as ``100GB``, or 20 GB.

    Raises
    ------
    PlanError
        If it is no size.
    """
    own = os.environ.get("XVCOMP_CACHE_SIZE")
    return parse_nbytes(own) if own else DEFAULT_CACHE_NBYTES


@contextlib.contextmanager
def local_copy(
    url: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
    max_nbytes: int | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    patience_seconds: float = _PATIENCE,
) -> Iterator[Path]:
    """Give the path of a local copy of a remote file, for as long as the context lasts.

    Parameters
    ----------
    url : str or path
        Anything that fsspec opens as a file; a local path is given back as it is.
    cache_dir : path or None
        ``None`` is `default_cache_dir`.
    max_nbytes : int or None
        All copies together, those under way included; ``None`` is `default_cache_nbytes`.
        Copies that are not in use make room, the least recently used first.
    storage_options : Mapping, optional
        Handed to fsspec.
    patience_seconds : float
        How long to wait for room while all copies are in use.

    Raises
    ------
    FileNotFoundError, ContainerError
        If it is not there, or cannot be read.
    PlanError
        If it alone is larger than ``max_nbytes``.
    OSError
        If no room was made in time, or the disk is full.

    Notes
    -----
    The copy belongs to a version of the file (its size and ETag, or what its server has
    instead): when the file changes, it is fetched anew.
    """
    name = os.fspath(url)
    if "://" not in name and "::" not in name:
        yield Path(name)
        return
    _forget_listings(name, storage_options)
    source = FsspecSource(name, storage_options)
    limit = default_cache_nbytes() if max_nbytes is None else max_nbytes
    if source.nbytes > limit:
        raise PlanError(
            f"{name} has {source.nbytes} bytes, the cache may hold {limit}; "
            "XVCOMP_CACHE_SIZE, such as 100GB, allows more"
        )
    entry = _Entry.of(source, name, Path(cache_dir or default_cache_dir()), storage_options)
    with contextlib.ExitStack() as stack:
        yield _held(stack, entry, source, limit, patience_seconds)


def _forget_listings(url: str, options: Mapping[str, Any] | None) -> None:
    """Make a file system ask its server again: what it remembers may be an older version."""
    import fsspec

    with contextlib.suppress(Exception):  # told by whoever opens it
        fsspec.core.url_to_fs(url, **(options or {}))[0].invalidate_cache()


def _held(
    stack: contextlib.ExitStack,
    entry: "_Entry",
    source: RangeSource,
    max_nbytes: int,
    patience_seconds: float,
) -> Path:
    """Fetch unless it is there, and keep the copy from being removed."""
    while True:
        with contextlib.ExitStack() as attempt:
            attempt.enter_context(_locked(entry.lock, exclusive=False))
            if entry.path.exists():
                os.utime(entry.folder / "nbytes")
                stack.enter_context(attempt.pop_all())
                return entry.path
        # Between these two locks someone may fetch it, or remove it again: look once more.
        with _locked(entry.lock, exclusive=True):
            if not entry.path.exists():
                _make_room(entry, source.nbytes, max_nbytes, patience_seconds)
                _fetch(source, entry.path)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the copy of one version of one file lies."""

    cache: Path
    key: str
    name: str

    @classmethod
    def of(
        cls, source: RangeSource, url: str, cache: Path, options: Mapping[str, Any] | None
    ) -> "_Entry":
        import fsspec

        fs, path = fsspec.core.url_to_fs(url, **(options or {}))
        info = fs.info(path)
        text = "\n".join([url, str(source.nbytes), *version_of(info)])
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        # The suffix tells readers what it is; the rest of a URL may be no file name.
        tail = path.rstrip("/").rsplit("/", 1)[-1].split("?")[0]
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in tail)[-100:]
        return cls(cache, key, name.strip(".") or "file")

    @property
    def folder(self) -> Path:
        return self.cache / self.key

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def lock(self) -> Path:
        return self.cache / "locks" / self.key


def _fetch(source: RangeSource, path: Path) -> None:
    """Append what is missing to what has come, then give it its name."""
    part = path.with_name(path.name + ".part")
    with part.open("ab") as file:
        offset = file.tell()
        if offset > source.nbytes:
            file.truncate(0)
            offset = 0
        if offset:
            _LOG.info("%s: going on at byte %d of %d", source.name, offset, source.nbytes)
        while offset < source.nbytes:
            data = source.read(offset, min(_CHUNK, source.nbytes - offset))
            file.write(data)
            offset += len(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _make_room(entry: _Entry, nbytes: int, max_nbytes: int, patience_seconds: float) -> None:
    """Remove what is not in use until the new file fits, and book its place."""
    until = time.monotonic() + patience_seconds
    while True:
        with _locked(entry.cache / "locks" / "all", exclusive=True):
            if _evict(entry, max_nbytes - nbytes):
                entry.folder.mkdir(parents=True, exist_ok=True)
                (entry.folder / "nbytes").write_text(str(nbytes), encoding="ascii")
                return
        if time.monotonic() > until:
            raise OSError(
                errno.ENOSPC,
                f"no room for {nbytes} bytes: all of the cache's {max_nbytes} are in use",
                str(entry.cache),
            )
        time.sleep(_POLL)


def _evict(entry: _Entry, allowed: int) -> bool:
    """Bring the other entries down to ``allowed`` bytes; tell whether that was possible."""
    found = []
    for each in entry.cache.glob("*/nbytes"):
        with contextlib.suppress(OSError, ValueError):
            if each.parent.name != entry.key:
                found.append((each.stat().st_mtime, int(each.read_text("ascii")), each.parent))
    total = sum(nbytes for _, nbytes, _ in found)
    for _, nbytes, folder in sorted(found):
        if total <= allowed:
            break
        with contextlib.suppress(BlockingIOError):
            with _locked(entry.cache / "locks" / folder.name, exclusive=True, wait=False):
                shutil.rmtree(folder)
            total -= nbytes
    return total <= allowed


@contextlib.contextmanager
def _locked(path: Path, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
    """Hold a lock that ends with the process, whatever ends that."""
    if sys.platform == "win32":
        raise PlanError("copies of remote files need file locks that Windows does not have")
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
