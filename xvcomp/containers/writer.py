"""Write a cube file: spool packets as they come, then lay them out in one pass."""

import contextlib
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import ContainerError
from .abc import ContainerWriter
from .movie import FILE_TYPE, FRAMES_PER_SECOND, PACKET_ENTRY, TICKS, Movie, Track, pack_movie
from .samples import Samples
from .segment import Segment, decoder_config, read_segment

__all__ = ["Mp4Writer"]

_SPOOL_NBYTES = 64 * 2**20
_HEADER_ATTEMPTS = 64
_MAX_SAMPLE_NBYTES = 2**32 - 1


@dataclass(slots=True)
class _Chunk:
    """Packets that stay together, and where they lie in the spool and in the file."""

    position: int
    sizes: list[int]
    time: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        return sum(self.sizes)


@dataclass(slots=True)
class _VideoTrack:
    """A track while it grows; one chunk per GOP."""

    frame_duration: int
    first: Segment | None = None
    shifts: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    chunks: list[_Chunk] = field(default_factory=list)

    def append(self, segment: Segment, position: int) -> None:
        """Take over the segment's index; its packets lie at ``position`` of the spool."""
        base = len(self.shifts)
        self.shifts += [shown - i for i, shown in enumerate(segment.display)]
        starts = segment.keyframes
        for start, end in zip(starts, (*starts[1:], len(segment.packets)), strict=True):
            sizes = [len(packet) for packet in segment.packets[start:end]]
            chunk = _Chunk(position, sizes, (base + start) * self.frame_duration)
            self.chunks.append(chunk)
            self.keyframes.append(base + start)
            position += chunk.nbytes

    def table(self) -> Track:
        """Return the track as the header wants it, once chunks have their places."""
        if self.first is None:
            raise ContainerError("a track has no segments")
        return Track(
            kind=b"vide",
            name=f"{self.first.decoder} {self.first.pix_fmt}",
            sample_entry=self.first.sample_entry,
            timescale=FRAMES_PER_SECOND,
            samples=Samples(
                durations=np.full(len(self.shifts), self.frame_duration),
                shifts=np.array(self.shifts) * self.frame_duration,
                keyframes=np.array(self.keyframes),
                **_chunk_tables(self.chunks),
            ),
        )


def _chunk_tables(chunks: list[_Chunk]) -> dict[str, np.ndarray]:
    return {
        "sizes": np.array([size for chunk in chunks for size in chunk.sizes], np.int64),
        "chunk_lengths": np.array([len(chunk.sizes) for chunk in chunks], np.int64),
        "chunk_offsets": np.array([chunk.offset for chunk in chunks], np.int64),
    }


def _packet_table(packets: dict[tuple[int, int], _Chunk]) -> Track:
    """Return the track of the timed packets: time says frame and slot."""
    keys = sorted(packets)
    times = np.array([frame * TICKS + slot for frame, slot in keys], np.int64)
    samples = Samples(
        durations=np.diff(times, append=times[-1] + 1),
        shifts=np.zeros(len(keys), np.int64),
        keyframes=np.arange(len(keys)),
        **_chunk_tables([packets[key] for key in keys]),
    )
    return Track(
        kind=b"meta",
        name="xvcomp packets",
        sample_entry=PACKET_ENTRY,
        timescale=FRAMES_PER_SECOND * TICKS,
        samples=samples,
        start=int(times[0]),
    )


class Mp4Writer(ContainerWriter):
    """Write one MP4.

    Parameters
    ----------
    path : path or None
        Where the file is to be. ``None``: nowhere, for ``to_bytes``.
    compress_header : bool
        Deflate the header, as QuickTime does. Players built on FFmpeg read that; it is
        no part of the ISO standard, so choose ``False`` for players that follow it only.

    Raises
    ------
    ContainerError
        If the folder does not exist, or is not writable.

    Notes
    -----
    Until ``close`` there is no file under any name; ``close`` makes ``temporary``, which
    the caller may verify before ``publish`` gives it its name. Used as a context, the
    writer removes whatever was not published.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, compress_header: bool = True):
        self._path = None if path is None else Path(path).absolute()
        if self._path is not None:
            _check_target(self._path)
        folder = None if self._path is None else str(self._path.parent)
        # On most systems this file never has a name, so that nothing can stay behind.
        self._spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=_SPOOL_NBYTES, dir=folder
        )
        self._compress = compress_header
        self._temporary: Path | None = None
        self._tracks: list[_VideoTrack] = []
        self._packets: dict[tuple[int, int], _Chunk] = {}

    @property
    def temporary(self) -> Path:
        """The finished file under its hidden name, from ``close`` to ``publish``."""
        if self._temporary is None:
            raise ContainerError("there is no file yet: close the writer first")
        return self._temporary

    def add_track(self, frame_duration: int = 1) -> int:
        """Announce a track; returns its index."""
        if frame_duration < 1:
            raise ValueError(f"frame_duration must be at least 1, got {frame_duration}")
        self._tracks.append(_VideoTrack(frame_duration))
        return len(self._tracks) - 1

    def add_segment(self, track: int, segment: bytes) -> None:
        """Append a fragmented MP4 to a track. Segments arrive in order of time."""
        parsed, state = read_segment(segment), self._tracks[track]
        first = state.first or parsed
        if (parsed.decoder, parsed.pix_fmt) != (first.decoder, first.pix_fmt):
            raise ContainerError(
                f"track {track} is {first.decoder} {first.pix_fmt}; "
                f"a segment of {parsed.decoder} {parsed.pix_fmt} cannot follow"
            )
        if parsed.sample_entry != first.sample_entry:
            raise ContainerError(
                f"track {track}: the segments' headers differ (frame size, or parameters of the "
                "encoder), so one decoder cannot read them"
            )
        position = self._append(*parsed.packets)
        state.append(parsed, position)
        state.first = first

    def description(self, track: int) -> bytes:
        """Return what readers will know as ``StreamInfo.description``."""
        first = self._tracks[track].first
        if first is None:
            raise ContainerError(f"track {track} has no segments")
        config = decoder_config(first.sample_entry)
        return f"{first.decoder} {first.pix_fmt}".encode() + config

    def add_packet(self, frame: int, slot: int, payload: bytes) -> None:
        """Add a timed payload. ``(frame, slot)`` is unique; any order is accepted."""
        if frame < 0 or not 0 <= slot < TICKS:
            raise ValueError(f"frame must be >= 0, slot 0 to {TICKS - 1}, got {frame}, {slot}")
        if (frame, slot) in self._packets:
            raise ValueError(f"there is a packet at frame {frame}, slot {slot} already")
        position = self._append(payload)
        # The packet at frame 0, slot 0 is what a reader needs first.
        time = frame if frame or slot else -1
        self._packets[frame, slot] = _Chunk(position, [len(payload)], time)

    def _append(self, *payloads: bytes) -> int:
        if max(map(len, payloads)) > _MAX_SAMPLE_NBYTES:
            raise ContainerError("a packet is over the 4 GiB that the format allows")
        with self._failing_cleanly():
            position = self._spool.seek(0, os.SEEK_END)
            for payload in payloads:
                self._spool.write(payload)
        return position

    def close(self, manifest: str) -> int:
        """Write the file under its hidden name, flush it, and return its size in bytes."""
        if self._path is None:
            raise ContainerError("this writer has no path: use to_bytes")
        if self._temporary is not None:
            raise ContainerError("the writer is closed already")
        name = f".{self._path.name}.xvcomp-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        with self._failing_cleanly():
            self._temporary = self._path.with_name(name)
            with self._temporary.open("xb") as file:
                for part in self._parts(manifest):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
                nbytes = file.tell()
            self._spool.close()
        return nbytes

    def publish(self) -> None:
        """Give the file its name, replacing what was there."""
        if self._path is None:
            raise ContainerError("this writer has no path")
        with self._failing_cleanly():
            self.temporary.replace(self._path)
        self._temporary = None
        _sync_folder(self._path.parent)

    def to_bytes(self, manifest: str) -> bytes:
        """Return the whole file, and end the writer."""
        with self._failing_cleanly():
            return b"".join(self._parts(manifest))

    def abort(self) -> None:
        """Remove everything that was written but what was published. Safe to call twice."""
        self._spool.close()
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None

    @contextlib.contextmanager
    def _failing_cleanly(self) -> Iterator[None]:
        try:
            yield
        except ContainerError:
            self.abort()
            raise
        except OSError as error:
            self.abort()
            reason = f"cannot write {self._path}: {error.strerror or error}"
            raise ContainerError(error.errno, reason) from error
        except BaseException:
            self.abort()
            raise

    def _parts(self, manifest: str) -> Iterator[bytes]:
        """Yield the file from its first byte to its last, GOP by GOP."""
        # A stable sort: at equal times, tracks come first, in order, then packets by slot.
        chunks = [chunk for track in self._tracks for chunk in track.chunks]
        chunks += [self._packets[key] for key in sorted(self._packets)]
        chunks.sort(key=lambda chunk: chunk.time)
        yield self._header(manifest, chunks)
        for chunk in chunks:
            self._spool.seek(chunk.position)
            yield _read_exactly(self._spool, chunk.nbytes)

    def _header(self, manifest: str, chunks: list[_Chunk]) -> bytes:
        """Return all that comes before the first packet.

        The header holds positions that depend on its own length, which, compressed,
        depends on them: try until it fits, and pad when it never does.
        """
        nbytes_data = sum(chunk.nbytes for chunk in chunks)
        if nbytes_data > 2**32 - 9:
            mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + nbytes_data)
        else:
            mdat = struct.pack(">I4s", 8 + nbytes_data, b"mdat")
        nbytes = slack = 0
        for attempt in range(_HEADER_ATTEMPTS):
            start = FILE_TYPE + self._movie(manifest, chunks, nbytes)
            padding = nbytes - len(start) - len(mdat)
            if padding == 0:
                return start + mdat
            if padding >= 8 and slack:
                return start + struct.pack(">I4s", padding, b"free") + bytes(padding - 8) + mdat
            # Lengths that chase each other never meet; a box of padding catches them.
            slack = attempt if attempt >= 8 else 0
            nbytes = len(start) + len(mdat) + slack
        raise ContainerError("the header does not settle")

    def _movie(self, manifest: str, chunks: list[_Chunk], nbytes_header: int) -> bytes:
        offset = nbytes_header
        for chunk in chunks:
            chunk.offset = offset
            offset += chunk.nbytes
        tracks = [track.table() for track in self._tracks]
        if self._packets:
            tracks.append(_packet_table(self._packets))
        movie = Movie(manifest=manifest, timescale=FRAMES_PER_SECOND * TICKS, tracks=tuple(tracks))
        try:
            return pack_movie(movie, compress=self._compress)
        except ValueError as error:
            raise ContainerError(f"the cube does not fit into an MP4: {error}") from error


def _check_target(path: Path) -> None:
    if not path.parent.is_dir():
        raise ContainerError(f"cannot write {path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise ContainerError(f"cannot write {path}: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise ContainerError(f"cannot write {path}: no permission to write in {path.parent}")


def _read_exactly(file: IO[bytes], nbytes: int) -> bytes:
    data = file.read(nbytes)
    if len(data) != nbytes:
        raise ContainerError(f"the temporary file lost {nbytes - len(data)} bytes")
    return data


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets folders be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
