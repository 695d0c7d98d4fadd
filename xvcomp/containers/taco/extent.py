"""Where and when the samples of a dataset are, for ``COLLECTION.json``."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Extent", "pack_point", "unpack_point"]

_POINT = struct.Struct("<BIdd")


def pack_point(longitude: float, latitude: float) -> bytes:
    """Return a point as WKB, in degrees east and north."""
    return _POINT.pack(1, 1, longitude, latitude)


def unpack_point(data: object) -> tuple[float, float] | None:
    """Read a little-endian WKB point; ``None`` for anything else."""
    if not isinstance(data, bytes) or len(data) != _POINT.size or data[:5] != b"\1\1\0\0\0":
        return None
    _, _, longitude, latitude = _POINT.unpack(data)
    return longitude, latitude


@dataclass(slots=True)
class Extent:
    """The box of the centroids and the span of the times seen so far."""

    box: tuple[float, float, float, float] | None = None
    start: datetime | None = None
    end: datetime | None = None

    def add(self, columns: Mapping[str, object]) -> None:
        """Take a sample in."""
        point = unpack_point(columns.get("stac:centroid"))
        if point is not None:
            self._widen(*point, *point)
        start = _utc(columns.get("stac:time_start"))
        end = _utc(columns.get("stac:time_end")) or start
        self._stretch(start, end)

    def join(self, other: "Extent") -> None:
        """Take another extent in."""
        if other.box is not None:
            self._widen(*other.box)
        self._stretch(other.start, other.end)

    def _widen(self, west: float, south: float, east: float, north: float) -> None:
        a, b, c, d = self.box or (west, south, east, north)
        self.box = (min(a, west), min(b, south), max(c, east), max(d, north))

    def _stretch(self, start: datetime | None, end: datetime | None) -> None:
        if start is not None:
            self.start = start if self.start is None else min(self.start, start)
        if end is not None:
            self.end = end if self.end is None else max(self.end, end)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry ``extent``: what is not known is left out."""
        found: dict[str, Any] = {}
        if self.box is not None:
            found["spatial"] = list(self.box)
        if self.start is not None and self.end is not None:
            found["temporal"] = [_text(self.start), _text(self.end)]
        return found


def _utc(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat() + "Z"
