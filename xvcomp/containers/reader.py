"""Read a cube file by range, from anywhere: one or two reads to open, one per run of GOPs."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import ContainerError
from ..spec import StreamInfo
from .abc import ByteRange, ContainerReader, GopIndex
from .movie import BRAND, MANIFEST_KEY, PACKET_ENTRY, TICKS, Movie, Track, unpack_movie
from .segment import decoder_config
from .source import RangeSource, Source, open_source, read_coalesced

__all__ = ["Mp4Reader", "is_xvcomp"]

_HEAD_NBYTES = 65536
_MAX_BOXES = 64
_DAMAGE = (ValueError, KeyError, IndexError, OverflowError, MemoryError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class _GopList(Sequence[GopIndex]):
    """The GOPs of a track, made when asked for: a track may have a million packets."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> GopIndex: ...
    @overload
    def __getitem__(self, index: slice) -> list[GopIndex]: ...
    def __getitem__(self, index: int | slice) -> GopIndex | list[GopIndex]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        end = self.starts[i + 1] if i + 1 < len(self) else len(self.sizes)
        places = slice(self.starts[i], end)
        pairs = zip(self.offsets[places].tolist(), self.sizes[places].tolist(), strict=True)
        return GopIndex(tuple(ByteRange(offset, size) for offset, size in pairs))


class Mp4Reader(ContainerReader):
    """Read one MP4.

    Parameters
    ----------
    source : path, URL, bytes, seekable binary file or RangeSource
        See ``open_source``.
    storage_options : Mapping or None
        Handed to fsspec; for URLs only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ContainerError
        If it is no xvcomp file, or is damaged or cut short.
    """

    def __init__(self, source: Source, storage_options: Mapping[str, Any] | None = None) -> None:
        self._source = open_source(source, storage_options)
        self.nbytes = self._source.nbytes
        try:
            head = _read_head(self._source)
            self._load(_read_movie(self._source, head))
            # What came along when a remote file was opened costs no second request.
            self._head = head if self._source.is_remote else b""
        except BaseException as error:
            if self._source is not source:
                self._source.close()
            if not isinstance(error, _DAMAGE):
                raise
            raise ContainerError(f"{self._source.name} is damaged: {error}") from error

    def _load(self, movie: Movie) -> None:
        self.manifest = movie.manifest
        videos = [track for track in movie.tracks if track.kind == b"vide"]
        self._tracks = tuple(_stream_info(track) for track in videos)
        self._gops = tuple(_gop_list(track) for track in videos)
        self._packets: dict[tuple[int, int], ByteRange] = {}
        for track in movie.tracks:
            if track.sample_entry == PACKET_ENTRY:
                self._packets |= _packet_index(track)

    @property
    def tracks(self) -> Sequence[StreamInfo]:
        """The video tracks, in the order in which they were added."""
        return self._tracks

    def gops(self, track: int) -> Sequence[GopIndex]:
        """Where the GOPs of a track lie."""
        return self._gops[track]

    def read_gops(self, track: int, first: int, last: int) -> list[list[bytes]]:
        """Read the packets of GOPs ``first`` to ``last - 1``, in as few reads as possible."""
        if not 0 <= first <= last <= len(self._gops[track]):
            raise IndexError(
                f"track {track} has {len(self._gops[track])} GOPs, not {first} to {last - 1}"
            )
        gops = self._gops[track][first:last]
        packets = iter(self.read_ranges([r for gop in gops for r in gop.packets]))
        return [[next(packets) for _ in gop.packets] for gop in gops]

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read packets that may lie anywhere, in as few reads as possible."""
        order = sorted(range(len(ranges)), key=lambda i: ranges[i].offset)
        found = [b""] * len(ranges)
        far = []
        for i in order:
            place = ranges[i]
            if place.offset + place.nbytes <= len(self._head):
                found[i] = self._head[place.offset : place.offset + place.nbytes]
            else:
                far.append(i)
        for i, data in zip(
            far, read_coalesced(self._source, [ranges[i] for i in far]), strict=True
        ):
            found[i] = data
        return found

    def packet_keys(self) -> Sequence[tuple[int, int]]:
        """The (frame, slot) of every timed payload, sorted."""
        return list(self._packets)

    def read_packet(self, frame: int, slot: int) -> bytes:
        """Read one timed payload."""
        return self.read_ranges([self.packet_place(frame, slot)])[0]

    def packet_place(self, frame: int, slot: int) -> ByteRange:
        """Return where a timed payload lies."""
        place = self._packets.get((frame, slot))
        if place is None:
            raise ContainerError(f"{self._source.name} has no packet at frame {frame}, slot {slot}")
        return place

    def has_packet(self, frame: int, slot: int) -> bool:
        """Whether there is a timed payload at that position."""
        return (frame, slot) in self._packets

    def packet_nbytes(self, frame: int, slot: int) -> int:
        """Return the size of one timed payload."""
        return self._packets[frame, slot].nbytes

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        self._source.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Mp4Reader, (self._source,)


def is_xvcomp(source: Source, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Say whether a file calls itself a cube file; one small read, and never an error."""
    try:
        opened = open_source(source, storage_options)
    except Exception:
        return False
    try:
        head = opened.read(0, min(_HEAD_NBYTES, opened.nbytes))
    except Exception:
        return False
    finally:
        if opened is not source:
            opened.close()
    if head[4:8] != b"ftyp":
        return False
    brands = head[8 : int.from_bytes(head[:4], "big")]
    # Other tools keep the metadata when they copy a file, but not the brand.
    return BRAND in brands or MANIFEST_KEY.encode() in head


def _read_head(source: RangeSource) -> bytes:
    return source.read(0, min(_HEAD_NBYTES, source.nbytes))


def _read_movie(source: RangeSource, head: bytes) -> Movie:
    movie = unpack_movie(memoryview(_read_moov(source, head)), source.nbytes)
    if movie is None:
        raise ContainerError(
            f"{source.name} is not an xvcomp file: it is an MP4 without an "
            f"{MANIFEST_KEY!r} entry in its metadata"
        )
    _check_places(movie, source)
    return movie


def _read_moov(source: RangeSource, head: bytes) -> bytes:
    """Find the header; in files of our own making it starts in the first block."""
    if head[4:8] != b"ftyp":
        what = "it is empty" if not head else "it is no MP4"
        raise ContainerError(f"{source.name} is not an xvcomp file: {what}")
    offset = 0
    for _ in range(_MAX_BOXES):
        nbytes, kind, prefix = _box_head(source, head, offset)
        if kind == b"moov":
            start, end = offset + prefix, offset + nbytes
            known = head[start:end]
            return known + source.read(start + len(known), end - start - len(known))
        offset += nbytes
    raise ContainerError(f"{source.name} is not an xvcomp file: it has no header")


def _box_head(source: RangeSource, head: bytes, offset: int) -> tuple[int, bytes, int]:
    left = source.nbytes - offset
    if left < 8:
        raise ContainerError(f"{source.name} is cut short: it ends before its header")
    at = head[offset : offset + 16]
    if len(at) < min(16, left):
        at = source.read(offset, min(16, left))
    nbytes, kind = struct.unpack_from(">I4s", at)
    prefix = 8
    if nbytes == 1:
        (nbytes,) = struct.unpack_from(">Q", at, 8)
        prefix = 16
    if nbytes < prefix:
        raise ContainerError(f"{source.name} is damaged: box {kind!r} of {nbytes} bytes")
    if nbytes > left:
        raise ContainerError(
            f"{source.name} is cut short or damaged: "
            f"{nbytes} bytes of {kind!r} do not fit into the {left} left"
        )
    return nbytes, kind, prefix


def _check_places(movie: Movie, source: RangeSource) -> None:
    """Refuse an index that the file cannot hold, before anything is read by it."""
    for track in movie.tracks:
        samples = track.samples
        first_byte, last_byte = samples.chunk_offsets, samples.offsets() + samples.sizes
        # Chunks first: a wild offset could wrap round in the sums.
        places = np.concatenate([first_byte, last_byte])
        if first_byte.max(initial=0) > source.nbytes or places.max(initial=0) > source.nbytes:
            raise ContainerError(
                f"{source.name} is cut short or damaged: "
                f"it has {source.nbytes} bytes, its index reaches {places.max()}"
            )
        if places.min(initial=0) < 0 or (len(samples.sizes) and samples.keyframes[:1] != [0]):
            raise ContainerError(f"{source.name} is damaged: its index makes no sense")


def _stream_info(track: Track) -> StreamInfo:
    decoder, _, pix_fmt = track.name.partition(" ")
    width, height = track.frame_size
    return StreamInfo(
        decoder=decoder,
        width=width,
        height=height,
        pix_fmt=pix_fmt,
        extradata=decoder_config(track.sample_entry),
    )


def _gop_list(track: Track) -> _GopList:
    samples = track.samples
    return _GopList(samples.offsets(), samples.sizes, samples.keyframes)


def _packet_index(track: Track) -> dict[tuple[int, int], ByteRange]:
    samples = track.samples
    times = track.start + np.cumsum(samples.durations) - samples.durations
    places = zip(samples.offsets().tolist(), samples.sizes.tolist(), strict=True)
    return {
        divmod(time, TICKS): ByteRange(*place)
        for time, place in zip(times.tolist(), places, strict=True)
    }
