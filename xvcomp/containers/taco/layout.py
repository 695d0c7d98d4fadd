"""Where things lie in a ``.tacozip``: its header, and the index of its samples.

::

    TACO_HEADER                 41 bytes of ZIP, then 116: how many tables, where each lies
    DATA/<id>                   a sample of one file, or
    DATA/<id>/cube.mp4 ...      one of several, and its own table in DATA/<id>/__meta__
    METADATA/level0.parquet     the samples
    METADATA/level1.parquet     the files of samples of several
    METADATA/xvcomp.index       where each file lies, in order of a hash of its name
    COLLECTION.json
    (the archive's own list)

The index is our own. It lets one read of a few KiB find a sample among millions, where
the tables would have to be read whole; without it, they are.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import ContainerError
from ..abc import ByteRange

__all__ = [
    "COLLECTION_NAME",
    "HEADER_NAME",
    "HEADER_NBYTES",
    "INDEX_NAME",
    "INDEX_RECORD",
    "Index",
    "Record",
    "empty_header",
    "index_place",
    "level_name",
    "pack_header",
    "record_of",
    "sorted_index",
    "unpack_header",
]

HEADER_NAME = "TACO_HEADER"
COLLECTION_NAME = "COLLECTION.json"
INDEX_NAME = "METADATA/xvcomp.index"
HEADER_NBYTES = 157
"""A ZIP header with its name, and the 116 bytes that TACO puts there."""

_LOCAL_NBYTES = 30
_MAX_TABLES = 7
_PAYLOAD = struct.Struct("<B3x14Q")

Record = tuple[int, int, int, int, int]

INDEX_RECORD = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("offset", "<u8"), ("nbytes", "<u8"), ("part", "<u4")]
)


def level_name(level: int) -> str:
    """Return the name of the table of a level."""
    return f"METADATA/level{level}.parquet"


def empty_header() -> bytes:
    """Return the payload that keeps the header's place."""
    return bytes(_PAYLOAD.size)


def pack_header(tables: Sequence[ByteRange]) -> bytes:
    """Return the header's payload: the levels' tables, then ``COLLECTION.json``."""
    flat = [number for table in tables for number in (table.offset, table.nbytes)]
    return _PAYLOAD.pack(len(tables), *flat, *[0] * (2 * (_MAX_TABLES - len(tables))))


def unpack_header(head: bytes, nbytes: int, name: str) -> list[ByteRange]:
    """Read the first bytes of a ``.tacozip``.

    Parameters
    ----------
    head : bytes
        ``HEADER_NBYTES`` of them, or all there are.
    nbytes : int
        Size of the whole file.

    Raises
    ------
    ContainerError
        If they are no such header, or point outside of the file.
    """
    start = _LOCAL_NBYTES + len(HEADER_NAME)
    if head[:4] != b"PK\x03\x04" or head[_LOCAL_NBYTES:start] != HEADER_NAME.encode():
        raise ContainerError(f"{name} is not a TACO dataset: it does not start with {HEADER_NAME}")
    if len(head) < HEADER_NBYTES:
        raise ContainerError(f"{name} is cut short: it ends inside of its header")
    count, *flat = _PAYLOAD.unpack_from(head, start)
    tables = [ByteRange(*flat[2 * i : 2 * i + 2]) for i in range(min(count, _MAX_TABLES))]
    if not 2 <= count <= _MAX_TABLES:
        raise ContainerError(f"{name} is damaged: its header tells of {count} tables, not 2 to 7")
    for table in tables:
        if not table.nbytes or table.offset + table.nbytes > nbytes:
            raise ContainerError(
                f"{name} is cut short or damaged: it has {nbytes} bytes, "
                f"its header points to {table.nbytes} at {table.offset}"
            )
    return tables


def index_place(tables: Sequence[ByteRange]) -> ByteRange | None:
    """Find the index between the last table and ``COLLECTION.json``, if there is one.

    Both ends are known: members of a ZIP follow each other, after headers of known length.
    """
    last, collection = tables[-2], tables[-1]
    start = last.offset + last.nbytes + _LOCAL_NBYTES + len(INDEX_NAME)
    nbytes = collection.offset - _LOCAL_NBYTES - len(COLLECTION_NAME) - start
    return ByteRange(start, nbytes) if nbytes > 0 and nbytes % INDEX_RECORD.itemsize == 0 else None


def _key(name: str) -> tuple[int, int]:
    high, low = struct.unpack("<QQ", hashlib.blake2b(name.encode(), digest_size=16).digest())
    return high, low


def record_of(name: str, place: ByteRange, part: int = 0) -> Record:
    """Return the record of a file: ``<id>``, or ``<id>/<name>`` for one beside a cube."""
    return *_key(name), place.offset, place.nbytes, part


def sorted_index(records: Iterable[Record]) -> NDArray[np.void]:
    """Return the index of some records, as it is stored."""
    index = np.fromiter(records, dtype=INDEX_RECORD)
    return index[np.lexsort((index["low"], index["high"]))]


class Index:
    """Finds a file's record in an index of which only a window is read.

    Hashes are spread evenly, so that the place of one among ``count`` is known to within
    a few times the root of that.

    Parameters
    ----------
    nbytes : int
        Size of the whole index.
    """

    def __init__(self, nbytes: int) -> None:
        self.count = nbytes // INDEX_RECORD.itemsize

    def window(self, name: str) -> ByteRange:
        """Return the part of the index to read for a file."""
        if self.count <= _SMALL:
            return ByteRange(0, self.count * INDEX_RECORD.itemsize)
        middle, spread = _key(name)[0] * self.count >> 64, 3 * int(self.count**0.5) + 1
        first, last = max(0, middle - spread), min(self.count, middle + spread)
        return ByteRange(first * INDEX_RECORD.itemsize, (last - first) * INDEX_RECORD.itemsize)

    def find(self, name: str, window: bytes) -> tuple[ByteRange, int] | None:
        """Return where a file lies, and in which part, if the window tells."""
        records = np.frombuffer(window, INDEX_RECORD)
        high, low = _key(name)
        found = records[(records["high"] == high) & (records["low"] == low)]
        if len(found) != 1:
            return None
        return ByteRange(int(found[0]["offset"]), int(found[0]["nbytes"])), int(found[0]["part"])


_SMALL = 4096
"""Records that are read whole: 144 KiB."""
