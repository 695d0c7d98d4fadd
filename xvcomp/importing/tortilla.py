"""TACO and tortilla files of version 1: files one after the other, and a table of them.

::

    #y or WX      tortilla or TACO
    8 bytes       where the table starts, little endian
    8 bytes       its length
    ...           the files
    table         Parquet: tortilla:id, tortilla:file_format, tortilla:offset, tortilla:length

A file of the format ``TORTILLA`` is such an archive again; offsets in it count from its
own start.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..containers.source import RangeSource, SliceSource
from ..errors import ContainerError, PlanError

__all__ = ["MAGIC", "Member", "is_tortilla", "read_members"]

MAGIC = (b"#y", b"WX")
_HEADER = struct.Struct("<2sQQ")
_MAX_TABLE = 1 << 30
_NEEDED = ("tortilla:id", "tortilla:file_format", "tortilla:offset", "tortilla:length")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, and what the table says of it."""

    id: str
    source: RangeSource
    nested: bool
    columns: Mapping[str, Any]


def is_tortilla(source: RangeSource) -> bool:
    """Tell whether a file starts like such an archive."""
    return source.nbytes >= _HEADER.size and source.read(0, 2) in MAGIC


def read_members(source: RangeSource) -> list[Member]:
    """List the files of an archive, without reading them.

    Raises
    ------
    ContainerError
        If it is no such archive, or damaged.
    PlanError
        If pyarrow is not installed.
    """
    if not is_tortilla(source):
        raise ContainerError(f"{source.name} is no TACO or tortilla file of version 1")
    _, offset, nbytes = _HEADER.unpack(source.read(0, _HEADER.size))
    if offset + nbytes > source.nbytes or not 0 < nbytes <= _MAX_TABLE:
        raise ContainerError(
            f"{source.name} is cut short or damaged: its table of {nbytes} bytes would be "
            f"at {offset}, it has {source.nbytes}"
        )
    rows = _table(source.read(offset, nbytes), source.name)
    return [_member(row, source, offset) for row in rows]


def _table(data: bytes, name: str) -> Sequence[Mapping[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise PlanError(f"{name} needs pyarrow: pip install 'xvcomp[taco]'") from error
    try:
        rows: list[Mapping[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (ArrowException, OSError, ValueError) as error:
        what = " ".join(str(error).split())
        raise ContainerError(f"the table of {name} cannot be read: {what}") from error
    missing = [key for key in _NEEDED if rows and key not in rows[0]]
    if missing:
        raise ContainerError(f"the table of {name} lacks the column {missing[0]!r}")
    return rows


def _member(row: Mapping[str, Any], source: RangeSource, table_offset: int) -> Member:
    name = str(row["tortilla:id"])
    try:
        offset, nbytes = int(row["tortilla:offset"]), int(row["tortilla:length"])
    except (TypeError, ValueError):
        offset = nbytes = -1
    if min(offset, nbytes) < 0 or offset + nbytes > table_offset:
        raise ContainerError(f"{source.name} is damaged: {name!r} would lie outside of its files")
    columns = {key: value for key, value in row.items() if key not in _NEEDED}
    nested = str(row["tortilla:file_format"]).upper() == "TORTILLA"
    return Member(name, SliceSource(source, offset, nbytes), nested, columns)
