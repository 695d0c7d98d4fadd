"""Streams of other programs -> the fragmented MP4 of the contract, packet by packet."""

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ..errors import CodecError
from .pyav import MP4_OPTIONS, timed

__all__ = ["to_segment"]

_NON_SYNC = 0x0101_0000
"""ISO/IEC 14496-12, 8.8.3.1: depends on other samples, and is no sync sample."""
_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_STSD_HEAD, _ENTRY_HEAD = 8, 86
_TFHD_SIZES = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4))
_TFHD_FLAGS = 0x20
_TRUN_FLAGS = 0x4


def to_segment(stream: bytes, *, name: str, gop: int, intra: bool) -> tuple[bytes, list[bool]]:
    """Copy the packets of a stream into a fragmented MP4.

    Parameters
    ----------
    stream : bytes
        One video stream in any container that FFmpeg reads.
    name : str
        What errors call the encoder.
    gop : int
        Frames from one keyframe to the next.
    intra : bool
        Every frame stands alone: every ``gop``-th one is marked as a keyframe.

    Returns
    -------
    segment : bytes
    keyframes : list of bool
        One per packet.

    Raises
    ------
    CodecError
        If there is no such stream, or it does not fit into an MP4.
    """
    import av

    buffer = io.BytesIO()
    try:
        with (
            av.open(io.BytesIO(stream)) as source,
            av.open(buffer, "w", format="mp4", options=MP4_OPTIONS) as container,
        ):
            keyframes = _copy(source, container)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise CodecError(f"{name} wrote a stream that does not fit into an MP4: {error}") from error
    if not intra:
        return buffer.getvalue(), keyframes
    return _with_gops(buffer.getbuffer(), gop), [i % gop == 0 for i in range(len(keyframes))]


def _copy(source: Any, container: Any) -> list[bool]:
    origin = source.streams.video[0]
    stream = container.add_stream_from_template(origin, opaque=True)
    packets = [packet for packet in source.demux(origin) if packet.size]
    order = {pts: i for i, pts in enumerate(sorted(packet.pts for packet in packets))}
    keyframes = []
    for packet in packets:
        packet.pts = order[packet.pts]
    for packet in timed(packets):
        keyframes.append(bool(packet.is_keyframe))
        packet.time_base, packet.duration = Fraction(1), 1
        packet.stream = stream
        container.mux(packet)
    return keyframes


def _with_gops(segment: memoryview, gop: int) -> bytes:
    """Unmark all keyframes of a JPEG 2000 track but every ``gop``-th one.

    FFmpeg's muxer takes each frame of an intra-only codec for a keyframe and gives it a
    fragment of its own, whatever the packet says.
    """
    changed = bytearray(segment)
    _name_entry(changed)
    fragments = [place for kind, place in _boxes(changed, 0, len(changed)) if kind == b"moof"]
    for index, place in enumerate(fragments):
        if index % gop:
            _unmark(changed, place)
    return bytes(changed)


def _name_entry(data: bytearray) -> None:
    """Call the track ``mjp2``, and blank the box of MPEG-4 that holds nothing but bit rates."""
    place = (0, len(data))
    for wanted in _PATH:
        place = next(found for kind, found in _boxes(data, *place) if kind == wanted)
    start = place[0] + _STSD_HEAD
    data[start + 4 : start + 8] = b"mjp2"
    for kind, (first, last) in _boxes(data, start + _ENTRY_HEAD, place[1]):
        if kind == b"esds":
            data[first - 4 : last] = b"free" + bytes(last - first)


def _unmark(data: bytearray, moof: tuple[int, int]) -> None:
    """Set the flags of a fragment's only sample: its own, and the default."""
    for kind, traf in _boxes(data, *moof):
        if kind != b"traf":
            continue
        for inner, (start, _) in _boxes(data, *traf):
            (given,) = struct.unpack_from(">I", data, start)
            if inner == b"tfhd" and given & _TFHD_FLAGS:
                before = sum(size for flag, size in _TFHD_SIZES if given & flag)
                struct.pack_into(">I", data, start + 8 + before, _NON_SYNC)
            if inner == b"trun" and given & _TRUN_FLAGS:
                # After the number of samples, and the offset of the data (flag 1).
                struct.pack_into(">I", data, start + 8 + 4 * (given & 1), _NON_SYNC)


def _boxes(data: bytearray, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the kinds of boxes, and where their payloads start and stop."""
    while start < stop:
        nbytes, kind = struct.unpack_from(">I4s", data, start)
        yield kind, (start + 8, start + nbytes)
        start += nbytes
