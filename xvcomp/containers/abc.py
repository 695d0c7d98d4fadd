"""The contract of a container: a manifest, video tracks and timed packets in one file.

A *track* is a video stream made of segments (the fragmented MP4s that
``Codec.encode`` returns, joined in order). A *packet* is an opaque payload at a
(frame, slot) position: validity masks, residuals, the sidecar. The manifest is a
string (JSON).

A container changes no byte of a packet, and reads any GOP of any track without
touching the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..spec import StreamInfo

__all__ = ["ByteRange", "ContainerReader", "ContainerWriter", "GopIndex"]


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Position and size of a packet in the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class GopIndex:
    """The packets of one GOP, in decoding order; the first is a keyframe."""

    packets: tuple[ByteRange, ...]


class ContainerWriter(ABC):
    """Collect tracks and packets, then write the file in one go.

    Segments are spooled to disk beside the output once they grow, so memory stays
    bounded. Nothing exists at ``path`` until ``publish`` has returned; between ``close``
    and ``publish`` the finished file lies at ``temporary``, to be verified. Leaving the
    writer's context removes what was not published.
    """

    @property
    @abstractmethod
    def temporary(self) -> Path:
        """The finished file under its hidden name, from ``close`` to ``publish``."""

    @abstractmethod
    def add_track(self, frame_duration: int = 1) -> int:
        """Announce a track, whose frames last ``frame_duration`` frames of the cube.

        Returns
        -------
        int
            Its index. Only players use the duration.
        """

    @abstractmethod
    def add_segment(self, track: int, segment: bytes) -> None:
        """Append a fragmented MP4 to a track. Segments arrive in order of time.

        Raises
        ------
        ContainerError
            If it is no such file, or one decoder cannot read it after the ones before.
        """

    @abstractmethod
    def add_packet(self, frame: int, slot: int, payload: bytes) -> None:
        """Add a timed payload. ``(frame, slot)`` is unique; any order is accepted."""

    @abstractmethod
    def close(self, manifest: str) -> int:
        """Write everything to ``temporary``, flush it, and return the size in bytes.

        Raises
        ------
        ContainerError
            If a track has no segments, or the disk fails; nothing is left behind then.
        """

    @abstractmethod
    def publish(self) -> None:
        """Give the file its name, replacing what was there in one step."""

    @abstractmethod
    def abort(self) -> None:
        """Remove everything that was not published. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()


class ContainerReader(ABC):
    """Random access to the parts of a file. Safe to share between threads."""

    manifest: str
    nbytes: int

    @property
    @abstractmethod
    def tracks(self) -> Sequence[StreamInfo]:
        """The video tracks, in the order of ``ContainerWriter.add_track``."""

    @abstractmethod
    def gops(self, track: int) -> Sequence[GopIndex]:
        """Where the GOPs of a track lie."""

    @abstractmethod
    def read_gops(self, track: int, first: int, last: int) -> list[list[bytes]]:
        """Read the packets of GOPs ``first`` to ``last - 1``, in as few reads as possible."""

    @abstractmethod
    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Read packets that may lie anywhere, in as few reads as possible."""

    @abstractmethod
    def packet_keys(self) -> Sequence[tuple[int, int]]:
        """The (frame, slot) of every timed payload, sorted."""

    @abstractmethod
    def read_packet(self, frame: int, slot: int) -> bytes:
        """Read one timed payload.

        Raises
        ------
        ContainerError
            If there is none at that position, or the file ends before it.
        """

    @abstractmethod
    def packet_place(self, frame: int, slot: int) -> ByteRange:
        """Return where a timed payload lies.

        Raises
        ------
        ContainerError
            If there is none at that position.
        """

    @abstractmethod
    def has_packet(self, frame: int, slot: int) -> bool:
        """Whether there is a timed payload at that position."""

    @abstractmethod
    def packet_nbytes(self, frame: int, slot: int) -> int:
        """Return the size of one timed payload."""

    @abstractmethod
    def close(self) -> None:
        """Give the file back. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
