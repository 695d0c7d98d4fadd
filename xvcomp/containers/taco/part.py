"""One ``.tacozip`` under way: a dataset, or a part of one."""

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ...errors import ContainerError
from ..abc import ByteRange
from .extent import Extent
from .layout import (
    COLLECTION_NAME,
    HEADER_NAME,
    INDEX_NAME,
    Record,
    empty_header,
    level_name,
    pack_header,
    record_of,
    sorted_index,
)
from .rows import RowSpool, write_parquet
from .sample import TacoSample
from .zip_stream import StoredZip

__all__ = ["Part", "Tables"]

_CHUNK = 1 << 22
_ROW_NBYTES = 1024
"""What a sample is reckoned to need beside its files: its rows, records and ZIP headers."""


class Tables:
    """The tables of a dataset while they grow: one of samples, one of the files in them.

    Row numbers are unique over all parts, for readers join parts on them alone.
    """

    def __init__(self, *, nested: bool) -> None:
        self.nested = nested
        self.levels = [RowSpool(), *([RowSpool()] if nested else [])]
        self._counts = [0, 0]

    def number(self, level: int) -> int:
        """Return the number of the next row of a level."""
        self._counts[level] += 1
        return self._counts[level] - 1

    def close(self) -> None:
        """Drop them. Safe to call twice."""
        for level in self.levels:
            level.close()


class Part:
    """A ``.tacozip`` under a temporary name.

    Parameters
    ----------
    folder : Path
        For files that are on their way (`scratch.scratch_for`).
    number : int
        Of the part, from 0.
    tables : Tables
        Of the dataset.
    """

    def __init__(self, folder: Path, number: int, tables: Tables) -> None:
        self.number, self.count, self.extent = number, 0, Extent()
        self.temporary = folder / f"part{number}"
        self._tables = tables
        self._records = _no_records()
        self._zip = StoredZip(self.temporary.open("xb"))
        self._zip.add(HEADER_NAME, len(empty_header()), [empty_header()])

    def nbytes_with(self, sample: TacoSample) -> int:
        """Return about how large the file would be with another sample."""
        files = sum(path.stat().st_size for path in (sample.path, *sample.side_files))
        return self._zip.position + files + (self.count + 1) * _ROW_NBYTES

    def add(self, sample: TacoSample) -> None:
        """Copy a sample's files.

        Raises
        ------
        ContainerError
            If the cube is not the one that its ``xvcomp:sha256`` names, or changes meanwhile.
        """
        number = self._tables.number(0)
        if self._tables.nested:
            kind, (place, kept) = "FOLDER", self._copy_folder(sample, number)
        else:
            kind, (place, kept) = "FILE", self._copy(f"DATA/{sample.id}", sample.path)
            self._record(sample.id, place)
        told = sample.columns.get("xvcomp:sha256")
        if told is not None and told != kept["xvcomp:sha256"]:
            raise ContainerError(f"{sample.path} has changed: its sha256 is no longer {told}")
        row = {"id": sample.id, "type": kind, **sample.columns, **kept}
        self._tables.levels[0].add(row | _internal(number, number, place), self.number)
        self.extent.add(sample.columns)
        self.count += 1

    def _copy_folder(
        self, sample: TacoSample, number: int
    ) -> tuple[ByteRange, Mapping[str, object]]:
        """Copy a cube and its side files; return where the table of these lies."""
        rows = []
        for name, path in zip(sample.names, (sample.path, *sample.side_files), strict=True):
            place, kept = self._copy(f"DATA/{sample.id}/{name}", path)
            inner = _internal(self._tables.number(1), number, place)
            rows.append({"id": name, "type": "FILE", **kept, **inner})
            self._record(f"{sample.id}/{name}", place)
            if len(rows) == 1:
                self._record(sample.id, place)
            full = rows[-1] | {"internal:relative_path": f"{sample.id}/{name}"}
            self._tables.levels[1].add(full, self.number)
        place = self._add_table(f"DATA/{sample.id}/__meta__", rows)
        return place, {key: rows[0][key] for key in ("xvcomp:nbytes", "xvcomp:sha256")}

    def _add_table(self, name: str, rows: Sequence[Mapping[str, object]]) -> ByteRange:
        spool = RowSpool()
        for row in rows:
            spool.add(row)
        try:
            return self._add_parquet(name, spool, spool.schema(), 0, tiny=True)
        finally:
            spool.close()

    def _add_parquet(
        self, name: str, spool: RowSpool, schema: Any, part: int, *, tiny: bool = False
    ) -> ByteRange:
        with tempfile.SpooledTemporaryFile(max_size=_CHUNK) as file:
            batches = (batch for _, batch in spool.batches(schema, part))
            write_parquet(file, batches, schema, tiny=tiny)
            nbytes = file.tell()
            file.seek(0)
            return self._zip.add(name, nbytes, iter(lambda: file.read(_CHUNK), b""))

    def _copy(self, name: str, path: Path) -> tuple[ByteRange, dict[str, object]]:
        digest = hashlib.sha256()

        def chunks(file: IO[bytes]) -> Iterator[bytes]:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                yield chunk

        with path.open("rb") as file:
            nbytes = os.fstat(file.fileno()).st_size
            place = self._zip.add(name, nbytes, chunks(file))
        return place, {"xvcomp:nbytes": nbytes, "xvcomp:sha256": digest.hexdigest()}

    def _record(self, name: str, place: ByteRange) -> None:
        for column, value in zip(self._records, record_of(name, place, self.number), strict=True):
            column.append(value)

    def records(self) -> Iterator[Record]:
        """Return the index records of all its files."""
        return zip(*self._records, strict=True)

    def suspend(self) -> None:
        """Close the file until `finish`."""
        self._zip.suspend()

    def finish(self, schemas: Sequence[Any], description: Mapping[str, Any]) -> None:
        """Write the tables, the index, ``COLLECTION.json`` and the archive's end.

        The file keeps its temporary name. Only after `suspend`.
        """
        self._zip.resume(self.temporary.open("r+b"))
        tables = [
            self._add_parquet(level_name(level), spool, schema, self.number)
            for level, (spool, schema) in enumerate(zip(self._tables.levels, schemas, strict=True))
        ]
        index = sorted_index(self.records()).tobytes()
        self._zip.add(INDEX_NAME, len(index), [index])
        text = json.dumps(description, ensure_ascii=False, indent=1).encode()
        tables.append(self._zip.add(COLLECTION_NAME, len(text), [text]))
        self._zip.rewrite_first(pack_header(tables))
        self._zip.finish()
        self._zip.close()

    def close(self) -> None:
        """Let the file go. Safe to call twice."""
        self._zip.close()


def _internal(number: int, parent: int, place: ByteRange) -> dict[str, object]:
    return {
        "internal:current_id": number,
        "internal:parent_id": parent,
        "internal:offset": place.offset,
        "internal:size": place.nbytes,
    }


def _no_records() -> list["array[int]"]:
    """Return empty columns of index records: 36 bytes a file."""
    return [array(code) for code in "QQQQI"]
