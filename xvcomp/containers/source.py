"""Where the bytes of a file come from: a disk, memory, or anything fsspec can reach.

A source is read by range, from any thread. Local and fsspec sources can be pickled;
they open again where they arrive.
"""

import contextlib
import io
import logging
import os
import stat
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..errors import ContainerError
from .abc import ByteRange

__all__ = [
    "BufferSource",
    "FileSource",
    "FsspecSource",
    "LocalSource",
    "RangeSource",
    "SliceSource",
    "Source",
    "is_url",
    "open_source",
    "read_coalesced",
]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_WAITS = (0.1, 0.5, 2.0)
"""Seconds between attempts to read from a server."""

MAX_GAP = 65536
"""Bytes worth reading in vain to save a request: what 100 Mbit/s carry in 5 ms."""


class RangeSource(ABC):
    """Bytes that can be read at any position.

    Attributes
    ----------
    name : str
        For messages.
    nbytes : int
        Size of the whole.
    is_remote : bool
        A read costs a request: keep what came along.
    """

    name: str
    nbytes: int
    is_remote: bool = False

    @abstractmethod
    def _read(self, offset: int, nbytes: int) -> bytes:
        """Read; what is past the end is simply missing."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Read exactly ``nbytes`` bytes.

        Raises
        ------
        ContainerError
            If the source ends before that, or hands out less.
        """
        return self._checked(offset, nbytes, self._read(offset, nbytes) if nbytes else b"")

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges, at once where the source can."""
        return [self.read(wanted.offset, wanted.nbytes) for wanted in ranges]

    def close(self) -> None:
        """Give the source back. Safe to call twice."""
        return

    def _checked(self, offset: int, nbytes: int, data: bytes) -> bytes:
        if len(data) != nbytes:
            raise ContainerError(
                f"{self.name} is cut short: {len(data)} of the {nbytes} bytes at {offset} came"
            )
        return data


Source = str | os.PathLike[str] | bytes | BinaryIO | RangeSource
"""What can be opened: a path, a URL, the bytes themselves, a seekable file."""


class BufferSource(RangeSource):
    """Bytes in memory."""

    def __init__(self, data: bytes, name: str = "the buffer") -> None:
        self.name, self.nbytes, self._data = name, len(data), data

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self._data[offset : offset + nbytes])


class FileSource(RangeSource):
    """A seekable binary file that someone else opened, and will close."""

    def __init__(self, file: BinaryIO) -> None:
        self.name = str(getattr(file, "name", "the file object"))
        self._file, self._lock = file, threading.Lock()
        self.nbytes = file.seek(0, io.SEEK_END)

    def _read(self, offset: int, nbytes: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(nbytes)


class LocalSource(RangeSource):
    """A file on this machine.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ContainerError
        If it is a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = str(Path(path).absolute())
        if Path(path).is_dir():
            raise ContainerError(f"{self.name} is a folder, not an xvcomp file")
        self._lock = threading.Lock()
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115
        status = os.fstat(self._file.fileno())
        self.nbytes = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self._file.close()
            raise ContainerError(f"{self.name} is not an ordinary file")

    def _read(self, offset: int, nbytes: int) -> bytes:
        parts = []
        # One call returns 2 GiB at most, and may return less.
        while nbytes > 0 and (part := self._read_once(offset, nbytes)):
            parts.append(part)
            offset, nbytes = offset + len(part), nbytes - len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _read_once(self, offset: int, nbytes: int) -> bytes:
        if self._file.closed:
            raise ContainerError(f"{self.name} is closed")
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), nbytes, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(nbytes) or b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalSource, (self.name,)


class FsspecSource(RangeSource):
    """A file at a URL: ``https``, ``s3``, ``hf``, ``memory``, ``zip://a.mp4::https://...``.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ContainerError
        If it is a folder, or the server does not tell its size.
    """

    is_remote = True

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        import fsspec

        self.name, self._options = url, dict(storage_options or {})
        with self._clear_errors():
            self._fs, self._path = fsspec.core.url_to_fs(url, **self._options)
        info = self._retried(lambda: self._fs.info(self._path))
        if info.get("type") == "directory":
            raise ContainerError(f"{url} is a folder, not an xvcomp file")
        if info.get("size") is None:
            raise ContainerError(f"{url} cannot be read by range: the server tells no size")
        self.nbytes = int(info["size"])
        # This one reads through an open file, which would read 5 MB ahead each time.
        self._how = {"cache_type": "none"} if "hf" in self._fs.protocol else {}

    def _read(self, offset: int, nbytes: int) -> bytes:
        def fetch() -> bytes:
            end = offset + nbytes
            data = bytes(self._fs.cat_file(self._path, start=offset, end=end, **self._how))
            part = self._cut(data, offset, nbytes)
            return self._checked(offset, min(nbytes, self.nbytes - offset), part)

        return self._retried(fetch)

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges at once."""
        if len(ranges) < 2:
            return super().read_many(ranges)
        starts = [wanted.offset for wanted in ranges]
        ends = [wanted.offset + wanted.nbytes for wanted in ranges]

        def fetch() -> list[bytes]:
            paths = [self._path] * len(ranges)
            parts = self._fs.cat_ranges(paths, starts, ends, on_error="raise", **self._how)
            return [
                self._checked(r.offset, r.nbytes, self._cut(bytes(part), r.offset, r.nbytes))
                for r, part in zip(ranges, parts, strict=True)
            ]

        return self._retried(fetch)

    def _retried(self, fetch: Callable[[], T]) -> T:
        """Ask again when a connection drops or an answer is cut short: reading is harmless."""
        for wait in _WAITS:
            try:
                with self._clear_errors():
                    return fetch()
            except (FileNotFoundError, PermissionError, IsADirectoryError):
                raise
            except OSError as error:
                _LOG.info("%s: %s; asking again in %g s", self.name, error, wait)
                time.sleep(wait)
        with self._clear_errors():
            return fetch()

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Make the errors of a filesystem's own library ours; those of the system stay."""
        try:
            yield
        except OSError:
            raise
        except ImportError as error:
            extra = "hub" if self.name.split("::")[-1].startswith("hf:") else "cloud"
            hint = f"pip install 'xvcomp[{extra}]'"
            raise ContainerError(f"{self.name} cannot be read: {error}; {hint}") from error
        except Exception as error:
            what = str(error) or type(error).__name__
            raise ContainerError(f"{self.name} cannot be read: {what}") from error

    def _cut(self, data: bytes, offset: int, nbytes: int) -> bytes:
        """Undo servers that ignore ranges and send the whole file."""
        if len(data) == self.nbytes > nbytes:
            return data[offset : offset + nbytes]
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        return FsspecSource, (self.name, self._options)


class SliceSource(RangeSource):
    """A range of another source that is a file of its own, such as a member of an archive."""

    def __init__(self, parent: RangeSource, offset: int, nbytes: int) -> None:
        if offset < 0 or nbytes < 0 or offset + nbytes > parent.nbytes:
            raise ContainerError(
                f"{parent.name} has {parent.nbytes} bytes; {nbytes} at {offset} are not in it"
            )
        self.name, self.nbytes = f"{parent.name} at byte {offset}", nbytes
        self._parent, self._offset = parent, offset
        self.is_remote = parent.is_remote

    def _read(self, offset: int, nbytes: int) -> bytes:
        return self._parent.read(self._offset + offset, max(0, min(nbytes, self.nbytes - offset)))

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read several ranges, at once where the parent can."""
        if any(wanted.offset + wanted.nbytes > self.nbytes for wanted in ranges):
            return super().read_many(ranges)
        return self._parent.read_many(
            [ByteRange(self._offset + wanted.offset, wanted.nbytes) for wanted in ranges]
        )

    def close(self) -> None:
        """Close the parent."""
        self._parent.close()


def open_source(source: Source, storage_options: Mapping[str, Any] | None = None) -> RangeSource:
    """Open a path, a URL, bytes or a seekable binary file for reading by range.

    Parameters
    ----------
    source : path, URL, bytes, binary file or RangeSource
        Also a file inside of a dataset: ``data.tacozip::cube_0001``, or
        ``/vsisubfile/<offset>_<nbytes>,<file>``.
    storage_options : Mapping or None
        Handed to fsspec; for URLs only.
    """
    if isinstance(source, RangeSource):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return BufferSource(bytes(source))
    if isinstance(source, str | os.PathLike) and _may_be_member(os.fspath(source)):
        from .taco.reader import open_member

        member = open_member(os.fspath(source), storage_options)
        if member is not None:
            return member
    if isinstance(source, str) and is_url(source):
        return FsspecSource(source, storage_options)
    if isinstance(source, str | os.PathLike):
        return LocalSource(source)
    return FileSource(source)


def is_url(name: str) -> bool:
    """Tell a URL that fsspec knows, chained or not, from a local path."""
    return "://" in name or "::" in name


def _may_be_member(name: str) -> bool:
    return "::" in name or name.startswith("/vsisubfile/")


def read_coalesced(source: RangeSource, ranges: Sequence[ByteRange]) -> list[bytes]:
    """Read ranges in as few reads as possible; neighbours share one.

    Parameters
    ----------
    ranges : sequence of ByteRange
        In order of position.
    """
    merged: list[ByteRange] = []
    owners = []
    for wanted in ranges:
        last = merged[-1] if merged else None
        if last and 0 <= wanted.offset - (last.offset + last.nbytes) <= MAX_GAP:
            merged[-1] = ByteRange(last.offset, wanted.offset + wanted.nbytes - last.offset)
        else:
            merged.append(wanted)
        owners.append(len(merged) - 1)
    parts = source.read_many(merged)
    starts = [
        wanted.offset - merged[owner].offset for wanted, owner in zip(ranges, owners, strict=True)
    ]
    return [
        parts[owner][start : start + wanted.nbytes]
        for wanted, owner, start in zip(ranges, owners, starts, strict=True)
    ]
