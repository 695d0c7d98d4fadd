"""The parts of a coded group, one GOP of one block each: find, fetch, check and decode them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .codecs import registry
from .codecs.hwdecode import decode_on_device
from .containers.abc import ByteRange, ContainerReader
from .errors import ContainerError
from .pipeline import DecodePart, VariableForm, decode_part
from .pipeline.windows import block_slices
from .planes import chroma_of
from .spec import BandGroup, Planes

__all__ = ["GroupParts", "Part", "batches"]

_BATCH_NBYTES = 1 << 25
"""Bytes that are fetched at once: many GOPs cost one request, but bounded memory."""


@dataclass(frozen=True, slots=True)
class Part:
    """One GOP of one spatial block: what is decoded together."""

    gop: int
    block: int


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the packets of a part lie: video by stream, then the mask, then the correction."""

    streams: tuple[tuple[ByteRange, ...], ...]
    payloads: tuple[ByteRange | None, ByteRange | None]

    def ranges(self) -> list[ByteRange]:
        video = [place for stream in self.streams for place in stream]
        return video + [place for place in self.payloads if place is not None]

    @property
    def nbytes(self) -> int:
        return sum(place.nbytes for place in self.ranges())


@dataclass(frozen=True, slots=True)
class GroupParts:
    """The parts of one group of an open file."""

    reader: ContainerReader
    group: BandGroup
    forms: tuple[VariableForm, ...]
    hwaccel: str | None = None

    @property
    def blocks(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each block."""
        return block_slices(self.group.shape[2], self.group.shape[3], self.group.block)

    def frames(self, part: Part) -> slice:
        """Return the frames of the variables that a part covers."""
        start = part.gop * self.group.window
        return slice(start, min(start + self.group.window, self.group.shape[0]))

    def nbytes(self, part: Part) -> int:
        """Return the size of a part's packets."""
        return self._places(part).nbytes

    def fetch(self, parts: Sequence[Part]) -> list[list[bytes]]:
        """Read the packets of parts, in as few requests as possible."""
        places = [self._places(part).ranges() for part in parts]
        found = iter(self.reader.read_ranges([place for each in places for place in each]))
        return [[next(found) for _ in each] for each in places]

    def decode(
        self, part: Part, packets: Sequence[bytes], *, threads: int = 1
    ) -> list[NDArray[Any]]:
        """Decode what `fetch` returned for a part: all variables of the group.

        Raises
        ------
        ContainerError
            If a checksum does not match, or the stream is not what the manifest says.
        """
        places = self._places(part)
        rest = iter(packets)
        streams = [[next(rest) for _ in stream] for stream in places.streams]
        payloads = [self._payload(kind, place, rest) for kind, place in enumerate(places.payloads)]
        ys, xs = self.blocks[part.block]
        frames = self.frames(part)
        whole = DecodePart(
            shape=(frames.stop - frames.start, ys.stop - ys.start, xs.stop - xs.start),
            streams=[
                self._stream(part, number, stream, threads) for number, stream in enumerate(streams)
            ],
            masks=self._checked(part, 0, payloads[0]),
            residuals=self._checked(part, 1, payloads[1]),
            threads=threads,
        )
        return decode_part(self.group, self.forms, whole)

    def _tracks(self, block: int) -> range:
        if self.group.layout is None:
            return range(0)
        per_block = self.group.checksums.shape[0] // len(self.blocks)
        first = self.group.first_track + block * per_block
        return range(first, first + per_block)

    def _places(self, part: Part) -> _Places:
        return _Places(
            tuple(self._gop(track, part.gop) for track in self._tracks(part.block)),
            (self._payload_place(part, 0), self._payload_place(part, 1)),
        )

    def _gop(self, track: int, gop: int) -> tuple[ByteRange, ...]:
        gops = self.reader.gops(track)
        if len(gops) != self.group.n_gops:
            raise ContainerError(
                f"track {track} has {len(gops)} GOPs, the manifest says {self.group.n_gops}"
            )
        return gops[gop].packets

    def _payload_place(self, part: Part, kind: int) -> ByteRange | None:
        if (self.group.mask, self.group.residual)[kind] is None:
            return None
        frame, slot = part.gop * self.group.window, self.group.slot + 2 * part.block + kind
        # An empty payload (all samples valid) has no packet, and the checksum of nothing.
        empty = self.group.packet_checksums.numpy()[part.block, kind, part.gop] == 0
        if empty and not self.reader.has_packet(frame, slot):
            return None
        return self.reader.packet_place(frame, slot)

    def _payload(
        self, kind: int, place: ByteRange | None, rest: Iterator[bytes]
    ) -> tuple[bytes, ...]:
        """Take a mask (kind 0) or a residual from fetched packets."""
        if (self.group.mask, self.group.residual)[kind] is None:
            return ()
        return (b"",) if place is None else (next(rest),)

    def _stream(self, part: Part, number: int, packets: Sequence[bytes], threads: int) -> Planes:
        group = self.group
        assert group.layout is not None  # only groups with a layout have tracks
        track = self._tracks(part.block)[number]
        expected = group.checksums.numpy()[track - group.first_track, part.gop]
        _check_sum(packets, int(expected), f"track {track}, GOP {part.gop}")
        info, chroma = self.reader.tracks[track], chroma_of(group.layout.kind)
        planes = None
        if self.hwaccel is not None:
            planes = decode_on_device(packets, info, chroma=chroma, hwaccel=self.hwaccel)
        if planes is None:
            codec = registry.get(group.codec)
            planes = codec.decode(packets, info, chroma=chroma, threads=threads)
        frames = min(group.gop, group.n_stream_frames - part.gop * group.gop)
        if len(planes[0]) != frames:
            raise ContainerError(
                f"track {track}, GOP {part.gop} decodes to {len(planes[0])} frames, not {frames}"
            )
        return planes

    def _checked(self, part: Part, kind: int, payloads: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if payloads:
            expected = self.group.packet_checksums.numpy()[part.block, kind, part.gop]
            name = ("mask", "residual")[kind]
            what = f"{name} packet of group {self.group.name!r}, GOP {part.gop}"
            _check_sum(payloads, int(expected), what)
        return payloads


def _check_sum(packets: Sequence[bytes], expected: int, what: str) -> None:
    value = 0
    for packet in packets:
        value = zlib.crc32(packet, value)
    if value != expected:
        raise ContainerError(f"{what} is damaged: its checksum does not match")


def batches(parts: Sequence[Part], source: GroupParts) -> Iterator[list[Part]]:
    """Cut a list of parts into runs that are worth fetching at once."""
    batch: list[Part] = []
    nbytes = 0
    for part in parts:
        size = source.nbytes(part)
        if batch and nbytes + size > _BATCH_NBYTES:
            yield batch
            batch, nbytes = [], 0
        batch.append(part)
        nbytes += size
    if batch:
        yield batch
