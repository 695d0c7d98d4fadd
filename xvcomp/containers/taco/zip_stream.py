"""Write ZIP archives of stored members in one pass, whose places are known at once.

The members' list for the end of the archive goes to a temporary file: a million of them
take no memory. Times are those of 1980, so that equal members make equal archives.
"""

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable
from typing import BinaryIO

from ...errors import ContainerError
from ..abc import ByteRange

__all__ = ["MAX_32", "StoredZip"]

MAX_32 = 0xFFFFFFFF
"""What does not fit below this needs ZIP64 (APPNOTE 4.4.8, 4.4.9 and 4.4.16)."""

_MAX_16 = 0xFFFF
_FULL = 0xFFFFFFFF
_DATE = 0x21  # 1980-01-01
_UTF8 = 0x800
_LISTS_NBYTES = 1 << 20


class StoredZip:
    """An archive under way.

    Parameters
    ----------
    file : seekable binary file
        Written from its current position onwards, and closed by `close`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = file.tell()
        self._count = 0
        self._first: tuple[str, int, int] | None = None
        self._crc_of_first = 0
        # Closed by `finish` or `close`, whichever comes first.
        self._list = tempfile.SpooledTemporaryFile(max_size=_LISTS_NBYTES)  # noqa: SIM115

    def add(self, name: str, nbytes: int, chunks: Iterable[bytes]) -> ByteRange:
        """Append a member.

        Parameters
        ----------
        nbytes : int
            What the chunks come to.

        Returns
        -------
        ByteRange
            Where its bytes lie.

        Raises
        ------
        ContainerError
            If the chunks come to another size.
        """
        start, head = self.position, _local_header(name, nbytes, 0)
        pieces = iter(chunks)
        first = next(pieces, b"")
        crc = zlib.crc32(first)
        # The checksum comes before the bytes: small members know it, of others it is mended.
        if len(first) == nbytes:
            head = _local_header(name, nbytes, crc)
        self._file.write(head)
        self._file.write(first)
        found = len(first)
        for chunk in pieces:
            crc, found = zlib.crc32(chunk, crc), found + len(chunk)
            self._file.write(chunk)
        if found != nbytes:
            raise ContainerError(f"{name} changed while it was read: {found} bytes, not {nbytes}")
        self.position = start + len(head) + nbytes
        if len(first) < nbytes:
            self._file.seek(start)
            self._file.write(_local_header(name, nbytes, crc))
            self._file.seek(self.position)
        self._note(name, nbytes, crc, start)
        return ByteRange(start + len(head), nbytes)

    def _note(self, name: str, nbytes: int, crc: int, start: int) -> None:
        """Keep what the end of the archive says of a member; of the first it may change."""
        if self._first is None:
            self._first, self._crc_of_first = (name, nbytes, start), crc
        else:
            self._list.write(_central_record(name, nbytes, crc, start))
        self._count += 1

    def rewrite_first(self, data: bytes) -> None:
        """Replace the bytes of the first member by as many others; before `finish`."""
        if self._first is None or self._first[1] != len(data):
            raise ContainerError("only a first member of the same size can be replaced")
        name, nbytes, start = self._first
        self._file.seek(start)
        self._file.write(_local_header(name, nbytes, zlib.crc32(data)) + data)
        self._file.seek(self.position)
        self._crc_of_first = zlib.crc32(data)

    def suspend(self) -> None:
        """Let the file and all else go, so that a thousand parts do not exhaust the system.

        What was kept for the end waits behind the last member.
        """
        self._file.seek(self.position)
        self._list.seek(0)
        shutil.copyfileobj(self._list, self._file)
        self._list.close()
        self._file.close()

    def resume(self, file: BinaryIO) -> None:
        """Go on after `suspend`, in the same file opened again."""
        self._file = file
        self._list = tempfile.SpooledTemporaryFile(max_size=_LISTS_NBYTES)  # noqa: SIM115
        file.seek(self.position)
        shutil.copyfileobj(file, self._list)
        file.truncate(self.position)
        file.seek(self.position)

    def finish(self) -> int:
        """Write the end of the archive; returns the archive's last position."""
        start = self.position
        if self._first is not None:
            name, nbytes, at = self._first
            self._file.write(_central_record(name, nbytes, self._crc_of_first, at))
        self._list.seek(0)
        while chunk := self._list.read(_LISTS_NBYTES):
            self._file.write(chunk)
        end = self._file.tell()
        self._file.write(_end_records(self._count, start, end - start))
        self.position = self._file.tell()
        return self.position

    def close(self) -> None:
        """Drop what was kept for the end, and close the file. Safe to call twice."""
        self._list.close()
        self._file.close()


def _encoded(name: str) -> tuple[bytes, int]:
    return name.encode(), 0 if name.isascii() else _UTF8


def _local_header(name: str, nbytes: int, crc: int) -> bytes:
    """APPNOTE 4.3.7; sizes that need 64 bits move to the extra field."""
    encoded, flags = _encoded(name)
    large = nbytes >= MAX_32
    extra = struct.pack("<HHQQ", 1, 16, nbytes, nbytes) if large else b""
    size = _FULL if large else nbytes
    head = struct.pack(
        "<4sHHHHHIIIHH", b"PK\x03\x04", 45 if large else 20, flags, 0, 0, _DATE,
        crc, size, size, len(encoded), len(extra),
    )  # fmt: skip
    return head + encoded + extra


def _central_record(name: str, nbytes: int, crc: int, start: int) -> bytes:
    """APPNOTE 4.3.12."""
    encoded, flags = _encoded(name)
    wide = [nbytes, nbytes] if nbytes >= MAX_32 else []
    wide += [start] if start >= MAX_32 else []
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size = _FULL if nbytes >= MAX_32 else nbytes
    head = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 45, 45 if wide else 20, flags, 0, 0, _DATE,
        crc, size, size, len(encoded), len(extra), 0, 0, 0, 0,
        _FULL if start >= MAX_32 else start,
    )  # fmt: skip
    return head + encoded + extra


def _end_records(count: int, start: int, nbytes: int) -> bytes:
    """APPNOTE 4.3.14 to 4.3.16."""
    wide = b""
    if count >= _MAX_16 or start >= MAX_32 or nbytes >= MAX_32:
        wide = struct.pack(
            "<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, nbytes, start
        ) + struct.pack("<4sIQI", b"PK\x06\x07", 0, start + nbytes, 1)
    few = min(count, _MAX_16)
    at = _FULL if start >= MAX_32 else start
    size = _FULL if nbytes >= MAX_32 else nbytes
    return wide + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, few, few, size, at, 0)
