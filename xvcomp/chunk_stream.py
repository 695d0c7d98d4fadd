"""The bytes of one coded array that stands alone: a short header, then the packets.

::

    b"XVC1"  crc32 of the header's JSON  length of the deflated header   (4 + 4 + 4 bytes)
    header, deflated with the words that manifests are made of
    packets: per block its video streams, its mask, its correction

The header is a `BandGroup`, as in a file's manifest, so that everything that reads files
reads this too; what a file spends on being an MP4 (about a kilobyte) is saved.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .codecs.segments import split
from .containers.abc import ByteRange, ContainerReader, GopIndex
from .errors import ContainerError
from .parts import GroupParts, Part
from .pipeline import EncodedGroup, VariableForm
from .spec import BandGroup, StreamInfo

__all__ = ["pack_stream", "unpack_stream"]

_MAGIC = b"XVC1"
_PREFIX = struct.Struct("<4sII")
_RAW_DEFLATE = -15
_MAX_HEADER = 1 << 26


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    """What comes before the packets.

    Parameters
    ----------
    dtype : str
        Of the samples.
    streams : tuple of StreamInfo
        Per track; their ``extradata`` lie before the packets.
    extradata : tuple of int
        Sizes in bytes.
    packets : tuple of tuple of int
        Sizes in bytes of each track's packets.
    payloads : tuple of (frame, slot, size)
        Masks and corrections.
    """

    group: BandGroup
    dtype: str
    streams: tuple[StreamInfo, ...]
    extradata: tuple[int, ...]
    packets: tuple[tuple[int, ...], ...]
    payloads: tuple[tuple[int, int, int], ...]


def pack_stream(encoded: EncodedGroup, dtype: np.dtype[Any]) -> bytes:
    """Write a group of one variable and one GOP as bytes that stand alone."""
    infos, sizes, body, payloads = [], [], [], []
    for window in encoded.windows:
        for segment in window.segments:
            info, gops = split(bytes(segment))
            packets = [packet for gop in gops for packet in gop]
            infos.append(info)
            sizes.append(tuple(map(len, packets)))
            body += packets
    for window in encoded.windows:
        for kind, given in enumerate((window.masks, window.residuals)):
            for gop, payload in enumerate(given):
                frame = gop * encoded.group.window
                payloads.append((frame, 2 * window.window.block + kind, len(payload)))
                body.append(bytes(payload))
    extras = [info.extradata for info in infos]
    header = _Header(
        group=replace(encoded.group, first_track=0, slot=0),
        dtype=dtype.str,
        streams=tuple(replace(info, extradata=b"") for info in infos),
        extradata=tuple(map(len, extras)),
        packets=tuple(sizes),
        payloads=tuple(payloads),
    )
    text = msgspec.json.encode(header)
    packed = _deflate(text)
    prefix = _PREFIX.pack(_MAGIC, zlib.crc32(text), len(packed))
    return b"".join([prefix, packed, *extras, *body])


def unpack_stream(data: bytes) -> NDArray[Any]:
    """Decode what `pack_stream` wrote.

    Returns
    -------
    ndarray, shape (time, band, y, x)

    Raises
    ------
    ContainerError
        If the bytes are damaged, or something else.
    """
    header, start = _read_header(data)
    group, dtype = header.group, np.dtype(header.dtype)
    reader = _StreamReader(data, header, start)
    parts = GroupParts(reader, group, (VariableForm(group.shape[1], dtype),))
    out = np.empty(group.shape, dtype=dtype)
    for gop in range(group.n_gops):
        for block, (ys, xs) in enumerate(parts.blocks):
            part = Part(gop, block)
            values = parts.decode(part, parts.fetch([part])[0])
            out[parts.frames(part), :, ys, xs] = values[0]
    return out


def _read_header(data: bytes) -> tuple[_Header, int]:
    if len(data) < _PREFIX.size or data[:4] != _MAGIC:
        raise ContainerError("these bytes are no chunk that xvcomp coded")
    _, crc, nbytes = _PREFIX.unpack_from(data)
    start = _PREFIX.size + nbytes
    inflater = zlib.decompressobj(_RAW_DEFLATE, _dictionary())
    try:
        text = inflater.decompress(data[_PREFIX.size : start], _MAX_HEADER)
        if zlib.crc32(text) != crc:
            raise ContainerError("the chunk's header is damaged: its checksum does not match")
        return msgspec.json.decode(text, type=_Header), start
    except (ValueError, zlib.error, RecursionError) as error:
        if isinstance(error, ContainerError):
            raise
        raise ContainerError(f"the chunk's header is damaged: {error}") from error


@cache
def _dictionary() -> bytes:
    return files("xvcomp").joinpath("data/manifest-v1.dict").read_bytes()


def _deflate(text: bytes) -> bytes:
    strategy = zlib.Z_DEFAULT_STRATEGY
    deflater = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9, strategy, _dictionary())
    return deflater.compress(text) + deflater.flush()


class _StreamReader(ContainerReader):
    """A stream seen as a container: its tracks have one GOP per keyframe interval."""

    def __init__(self, data: bytes, header: _Header, start: int) -> None:
        self.manifest, self.nbytes, self._data = "", len(data), data
        tracks = []
        for info, nbytes in zip(header.streams, header.extradata, strict=True):
            tracks.append(replace(info, extradata=data[start : start + nbytes]))
            start += nbytes
        self._tracks = tuple(tracks)
        self._gops = []
        for sizes in header.packets:
            ends = start + np.cumsum(sizes)
            places = [ByteRange(int(e) - n, n) for e, n in zip(ends, sizes, strict=True)]
            gop = header.group.gop
            self._gops.append(
                [GopIndex(tuple(places[i : i + gop])) for i in range(0, len(places), gop)]
            )
            start = int(ends[-1])
        self._payloads = {}
        for frame, slot, nbytes in header.payloads:
            self._payloads[frame, slot] = ByteRange(start, nbytes)
            start += nbytes
        if start != len(data):
            raise ContainerError(f"the chunk has {len(data)} bytes, its header says {start}")

    @property
    def tracks(self) -> Sequence[StreamInfo]:
        return self._tracks

    def gops(self, track: int) -> Sequence[GopIndex]:
        return self._gops[track]

    def read_gops(self, track: int, first: int, last: int) -> list[list[bytes]]:
        return [self.read_ranges(gop.packets) for gop in self._gops[track][first:last]]

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [self._data[place.offset : place.offset + place.nbytes] for place in ranges]

    def packet_keys(self) -> Sequence[tuple[int, int]]:
        return sorted(self._payloads)

    def has_packet(self, frame: int, slot: int) -> bool:
        return (frame, slot) in self._payloads

    def packet_place(self, frame: int, slot: int) -> ByteRange:
        if (frame, slot) not in self._payloads:
            raise ContainerError(f"the chunk has no packet at frame {frame}, slot {slot}")
        return self._payloads[frame, slot]

    def read_packet(self, frame: int, slot: int) -> bytes:
        return self.read_ranges([self.packet_place(frame, slot)])[0]

    def packet_nbytes(self, frame: int, slot: int) -> int:
        return self.packet_place(frame, slot).nbytes

    def close(self) -> None:
        return
