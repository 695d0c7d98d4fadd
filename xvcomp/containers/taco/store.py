"""Where the tables of a dataset are: at the end of a ``.tacozip``, or in a ``.tacocat``."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import ContainerError
from ..abc import ByteRange
from ..source import BufferSource, LocalSource, RangeSource, SliceSource, Source, open_source
from .layout import (
    COLLECTION_NAME,
    HEADER_NBYTES,
    Index,
    index_place,
    level_name,
    unpack_header,
)
from .publish import CAT_INDEX_NAME, CAT_NAME

__all__ = ["CatStore", "Store", "ZipStore", "open_store"]

_WHOLE = 1 << 19
"""Tables up to this size are read whole: half a MiB saves a request."""


class Store(ABC):
    """A dataset's tables, its description and its index, read when asked for."""

    name: str

    @abstractmethod
    def table(self, level: int) -> RangeSource | None:
        """Return the table of a level, if there is one."""

    @abstractmethod
    def find(self, name: str) -> tuple[ByteRange, str] | None:
        """Look a file up in the index; returns its place and the name of its part.

        Returns ``None`` where there is no index, or nothing in it.
        """

    @abstractmethod
    def part(self, source_file: str | None) -> str:
        """Return the path or URL of the part that a row names."""

    @abstractmethod
    def open_part(self, name: str) -> RangeSource:
        """Open a part; the caller closes it."""

    @abstractmethod
    def _read_collection(self) -> bytes:
        """Return the bytes of ``COLLECTION.json``."""

    @abstractmethod
    def close(self) -> None:
        """Give the files back. Safe to call twice."""

    @cached_property
    def collection(self) -> Mapping[str, Any]:
        """What ``COLLECTION.json`` says."""
        try:
            found = json.loads(self._read_collection())
        except (ValueError, RecursionError) as error:
            raise ContainerError(f"{self.name} is damaged: {COLLECTION_NAME}: {error}") from error
        if not isinstance(found, dict):
            raise ContainerError(f"{self.name} is damaged: {COLLECTION_NAME} is no object")
        return found

    def _whole(self, source: RangeSource) -> RangeSource:
        """Fetch a small table at once, for a request costs more than its bytes."""
        if not source.is_remote or source.nbytes > _WHOLE:
            return source
        return BufferSource(source.read(0, source.nbytes), source.name)


class ZipStore(Store):
    """The tables of a ``.tacozip``.

    Raises
    ------
    ContainerError
        If it is none, or is damaged or cut short.
    """

    def __init__(self, source: RangeSource, storage_options: Mapping[str, Any] | None) -> None:
        self.name, self._source, self._options = source.name, source, storage_options
        head = source.read(0, min(HEADER_NBYTES, source.nbytes))
        self._tables = unpack_header(head, source.nbytes, source.name)

    def table(self, level: int) -> RangeSource | None:
        """Return the table of a level, if there is one."""
        if level >= len(self._tables) - 1:
            return None
        return self._whole(self._slice(self._tables[level]))

    def _slice(self, place: ByteRange) -> SliceSource:
        return SliceSource(self._source, place.offset, place.nbytes)

    def find(self, name: str) -> tuple[ByteRange, str] | None:
        """Look a file up in the index."""
        place = index_place(self._tables)
        found = None if place is None else _find(self._slice(place), name)
        return None if found is None else (found[0], self.name)

    def part(self, source_file: str | None) -> str:
        """Return the name of the file itself."""
        return self.name

    def open_part(self, name: str) -> RangeSource:
        """Open the file once more, if that is cheap; others have nothing to close."""
        if isinstance(self._source, LocalSource):
            return open_source(name, self._options)
        return self._source

    def _read_collection(self) -> bytes:
        place = self._tables[-1]
        return self._source.read(place.offset, place.nbytes)

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        self._source.close()


class CatStore(Store):
    """The tables of a dataset of parts, in the folder ``.tacocat`` beside them.

    Parameters
    ----------
    name : str
        Path or URL of the folder of the parts.
    """

    def __init__(self, name: str, storage_options: Mapping[str, Any] | None) -> None:
        self.name, self._options = name, storage_options
        self._tables: dict[int, RangeSource | None] = {}
        # Elsewhere it costs a request, and shows when the table is read.
        if "://" not in name and not (Path(name) / CAT_NAME).is_dir():
            raise ContainerError(
                f"{name} is a folder without {CAT_NAME}: give that of a dataset of parts, "
                "or a .tacozip"
            )

    def table(self, level: int) -> RangeSource | None:
        """Return the table of a level, if there is one."""
        if level not in self._tables:
            found = self._open(f"{CAT_NAME}/{Path(level_name(level)).name}")
            self._tables[level] = None if found is None else self._whole(found)
        return self._tables[level]

    def _open(self, name: str) -> RangeSource | None:
        try:
            return open_source(f"{self.name}/{name}", self._options)
        except FileNotFoundError:
            return None

    def find(self, name: str) -> tuple[ByteRange, str] | None:
        """Look a file up in the index."""
        index = self._open(f"{CAT_NAME}/{CAT_INDEX_NAME}")
        if index is None:
            return None
        found = _find(index, name)
        index.close()
        if found is None:
            return None
        place, number = found
        try:
            return place, self.part(self.collection["taco:sources"]["files"][number])
        except (KeyError, IndexError, TypeError) as error:
            raise ContainerError(
                f"{self.name} is damaged: {COLLECTION_NAME} does not name part {number}"
            ) from error

    def part(self, source_file: str | None) -> str:
        """Return the path or URL of the part that a row names.

        Raises
        ------
        ContainerError
            If that is not the plain name of a file beside ``.tacocat``.
        """
        if (
            not isinstance(source_file, str)
            or not source_file
            or Path(source_file).name != source_file
        ):
            raise ContainerError(f"{self.name} is damaged: {source_file!r} is no name of a part")
        return f"{self.name}/{source_file}"

    def open_part(self, name: str) -> RangeSource:
        """Open a part."""
        return open_source(name, self._options)

    def _read_collection(self) -> bytes:
        found = self._open(f"{CAT_NAME}/{COLLECTION_NAME}")
        if found is None:
            raise ContainerError(f"{self.name} has no {CAT_NAME}/{COLLECTION_NAME}")
        try:
            return found.read(0, found.nbytes)
        finally:
            found.close()

    def close(self) -> None:
        """Give the files back. Safe to call twice."""
        for table in self._tables.values():
            if table is not None:
                table.close()


def _find(source: RangeSource, name: str) -> tuple[ByteRange, int] | None:
    """Read the window of an index that would hold a file."""
    index = Index(source.nbytes)
    window = index.window(name)
    return index.find(name, source.read(window.offset, window.nbytes))


def open_store(source: Source, storage_options: Mapping[str, Any] | None = None) -> Store:
    """Open a ``.tacozip``, a ``.tacocat`` or the folder around it, by path or URL.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ContainerError
        If it is no TACO dataset, or is damaged.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if "://" not in name and not Path(name).exists():
            raise FileNotFoundError(2, "no such file or folder", name)
        bare = name.split("?", 1)[0].rstrip("/")
        if not bare.endswith((".tacozip", ".zip")) and ("://" in name or Path(name).is_dir()):
            folder = bare.removesuffix(CAT_NAME).rstrip("/")
            return CatStore(folder or ("/" if bare.startswith("/") else "."), storage_options)
    opened = open_source(source, storage_options)
    try:
        return ZipStore(opened, storage_options)
    except BaseException:
        if opened is not source:
            opened.close()
        raise
