"""The header of an MP4 (``moov``): the manifest and the tables of its tracks.

The header may be compressed (``cmov``, QuickTime's own scheme, not ISO's): that makes it
a third of its size, and gives it a checksum. The tests read it with FFmpeg; VLC and
GStreamer have code for it.

References
----------
ISO/IEC 14496-12:2022; QuickTime File Format Specification, "Compressed Movie
Resources" and "Metadata".
"""

import struct
import zlib
from dataclasses import dataclass

from .boxes import box, children, find, full_box, require
from .samples import Samples, pack_samples, unpack_samples

__all__ = [
    "BRAND",
    "FILE_TYPE",
    "FRAMES_PER_SECOND",
    "MANIFEST_KEY",
    "PACKET_ENTRY",
    "TICKS",
    "Movie",
    "Track",
    "pack_movie",
    "unpack_movie",
]

MANIFEST_KEY = "xvcomp"
FRAMES_PER_SECOND = 10
TICKS = 4096
"""Ticks of the movie in one frame; a timed packet's slot is counted in them."""
BRAND = b"xvcp"
FILE_TYPE = box(b"ftyp", b"iso6", bytes(4), b"iso6", b"mp41", BRAND)
PACKET_ENTRY = box(b"mett", bytes(6), struct.pack(">H", 1), b"\0application/x-xvcomp\0")
"""Timed metadata (ISO/IEC 14496-12, 12.3) of a MIME type of our own."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_DATA_INFO = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
_MEDIA_HEADER = {b"vide": full_box(b"vmhd", 0, 1, bytes(8)), b"meta": full_box(b"nmhd", 0, 0)}
_UNDETERMINED = 0x55C4  # Language "und", five bits a letter.


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One track: ``vide`` holds video, ``meta`` timed packets.

    Parameters
    ----------
    kind : {b"vide", b"meta"}
        Handler of the track.
    name : str
        Free text; xvcomp writes ``decoder pix_fmt``, which no box of the format says.
    sample_entry : bytes
        The box in ``stsd``: codec, frame size, decoder configuration.
    timescale : int
        Ticks in a second.
    start : int
        Ticks of the movie before the first sample.
    """

    kind: bytes
    name: str
    sample_entry: bytes
    timescale: int
    samples: Samples
    start: int = 0

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels; zero for timed packets."""
        if self.kind != b"vide":
            return 0, 0
        width, height = struct.unpack_from(">HH", self.sample_entry, 32)
        return width, height


@dataclass(frozen=True, kw_only=True, slots=True)
class Movie:
    """Everything that a header says. ``timescale`` is in ticks per second."""

    manifest: str
    timescale: int
    tracks: tuple[Track, ...]


def _durations(kind: bytes, flags: int, form: str, *values: int, tail: bytes = b"") -> bytes:
    """Make a box whose times are 32 bits wide, or 64 if one of them needs it.

    In ``form``, ``t`` stands for a time; creation and modification are left at zero,
    so that equal input gives equal files.
    """
    wide = any(value >= 2**32 for value in values)
    layout = ">" + form.replace("t", "Q" if wide else "I")
    return full_box(kind, int(wide), flags, struct.pack(layout, *values), tail)


def _pack_manifest(manifest: str) -> bytes:
    handler = full_box(b"hdlr", 0, 0, struct.pack(">I4s13x", 0, b"mdta"))
    key = box(b"mdta", MANIFEST_KEY.encode())
    text = box(b"data", struct.pack(">II", 1, 0), manifest.encode())
    item = box(struct.pack(">I", 1), text)
    keys = full_box(b"keys", 0, 0, struct.pack(">I", 1), key)
    return full_box(b"meta", 0, 0, handler, keys, box(b"ilst", item))


def _pack_edit(start: int, duration: int) -> bytes:
    """Let the track start later than the movie."""
    if start == 0:
        return b""
    rows = struct.pack(">QqIQqI", start, -1, 0x10000, duration, 0, 0x10000)
    return box(b"edts", full_box(b"elst", 1, 0, struct.pack(">I", 2), rows))


def _pack_track(number: int, track: Track, timescale: int) -> bytes:
    length = int(track.samples.durations.sum())
    duration = length * timescale // track.timescale
    width, height = track.frame_size
    size = struct.pack(">II", width << 16, height << 16)
    head = _durations(
        b"tkhd",
        3,
        "ttIIt",
        0,
        0,
        number,
        0,
        track.start + duration,
        tail=bytes(16) + _MATRIX + size,
    )
    stsd = full_box(b"stsd", 0, 0, struct.pack(">I", 1), track.sample_entry)
    stbl = box(b"stbl", stsd, pack_samples(track.samples))
    media = box(
        b"mdia",
        _durations(
            b"mdhd",
            0,
            "ttIt",
            0,
            0,
            track.timescale,
            length,
            tail=struct.pack(">HH", _UNDETERMINED, 0),
        ),
        full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, track.kind), track.name.encode() + b"\0"),
        box(b"minf", _MEDIA_HEADER[track.kind], _DATA_INFO, stbl),
    )
    return box(b"trak", head, _pack_edit(track.start, duration), media)


def pack_movie(movie: Movie, *, compress: bool) -> bytes:
    """Return the ``moov`` box."""
    ends = [
        track.start + int(track.samples.durations.sum()) * movie.timescale // track.timescale
        for track in movie.tracks
    ]
    head = _durations(
        b"mvhd",
        0,
        "ttIt",
        *(0, 0, movie.timescale, max(ends, default=0)),
        tail=struct.pack(">IH10x", 0x10000, 0x100)
        + _MATRIX
        + bytes(24)
        + struct.pack(">I", len(movie.tracks) + 1),
    )
    tracks = [_pack_track(i, track, movie.timescale) for i, track in enumerate(movie.tracks, 1)]
    plain = box(b"moov", head, _pack_manifest(movie.manifest), *tracks)
    if not compress:
        return plain
    packed = struct.pack(">I", len(plain)) + zlib.compress(plain, 9)
    return box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed)))


def _inflate(cmov: memoryview) -> memoryview:
    if bytes(require(cmov, b"dcom")) != b"zlib":
        raise ValueError("the header is compressed in an unknown way")
    packed = require(cmov, b"cmvd")
    (nbytes,) = struct.unpack_from(">I", packed)
    # Deflate reaches 1032:1 at most; a larger claim is damage.
    if not 8 <= nbytes <= 1032 * len(packed):
        raise ValueError(f"a compressed header of {len(packed)} bytes claims {nbytes}")
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed[4:], nbytes)
    # The checksum comes after the last byte, so it is only read when there is room left.
    plain += inflater.decompress(inflater.unconsumed_tail, 1)
    if not inflater.eof or len(plain) != nbytes:
        raise ValueError("the compressed header is incomplete")
    return require(memoryview(plain), b"moov")


def _unpack_manifest(moov: memoryview) -> str | None:
    meta = find(moov, b"meta")
    if meta is None:
        return None
    keys = [bytes(payload) for _, payload in children(require(meta[4:], b"keys")[8:])]
    if MANIFEST_KEY.encode() not in keys:
        return None
    number = struct.pack(">I", 1 + keys.index(MANIFEST_KEY.encode()))
    return bytes(require(meta[4:], b"ilst", number, b"data")[8:]).decode()


def _unpack_start(trak: memoryview) -> int:
    elst = find(trak, b"edts", b"elst")
    if elst is None or struct.unpack_from(">I", elst, 4) == (0,):
        return 0
    start, media_time = struct.unpack_from(">Qq" if elst[0] else ">Ii", elst, 8)
    return int(start) if media_time == -1 else 0


def _unpack_track(trak: memoryview, nbytes_file: int) -> Track:
    media = require(trak, b"mdia")
    handler = require(media, b"hdlr")
    header = require(media, b"mdhd")
    stbl = require(media, b"minf", b"stbl")
    stsd = require(stbl, b"stsd")[8:]
    (entry_nbytes,) = struct.unpack_from(">I", stsd)
    return Track(
        kind=bytes(handler[8:12]),
        name=bytes(handler[24:]).rstrip(b"\0").decode(),
        sample_entry=bytes(stsd[:entry_nbytes]),
        timescale=struct.unpack_from(">I", header, 20 if header[0] else 12)[0],
        samples=unpack_samples(stbl, nbytes_file),
        start=_unpack_start(trak),
    )


def unpack_movie(moov: memoryview, nbytes_file: int) -> Movie | None:
    """Read the payload of a ``moov`` box; ``None`` if it has no manifest.

    Raises
    ------
    ValueError, struct.error, zlib.error
        If the header is damaged.
    """
    if (cmov := find(moov, b"cmov")) is not None:
        moov = _inflate(cmov)
    manifest = _unpack_manifest(moov)
    if manifest is None:
        return None
    header = require(moov, b"mvhd")
    tracks = [_unpack_track(data, nbytes_file) for kind, data in children(moov) if kind == b"trak"]
    return Movie(
        manifest=manifest,
        timescale=struct.unpack_from(">I", header, 20 if header[0] else 12)[0],
        tracks=tuple(tracks),
    )
