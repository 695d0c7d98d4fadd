"""Take apart what ``Codec.encode`` returns: one fragmented MP4 with one video track."""

import io
import struct
from dataclasses import dataclass

from ..errors import ContainerError
from .boxes import box, children, find, require

__all__ = ["Segment", "decoder_config", "read_segment"]

_VISUAL_ENTRY = 78
_CONFIGS = (b"hvcC", b"av1C", b"avcC", b"vvcC", b"glbl")
# Otherwise FFmpeg takes every frame of JPEG 2000 for a keyframe, whatever the file says.
_AS_WRITTEN = {"fflags": "nofillin"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The packets of a few whole GOPs, in decoding order.

    Parameters
    ----------
    decoder, pix_fmt : str
        FFmpeg's names.
    sample_entry : bytes
        The box that describes the codec in an MP4, without what varies by content.
    display : tuple of int
        Place of each packet's frame in display order, from 0.
    keyframes : tuple of int
        Packets that start a GOP.
    """

    decoder: str
    pix_fmt: str
    sample_entry: bytes
    packets: tuple[bytes, ...]
    display: tuple[int, ...]
    keyframes: tuple[int, ...]


def decoder_config(sample_entry: bytes) -> bytes:
    """Return FFmpeg's ``extradata`` of a sample entry; empty when the codec has none."""
    for kind, payload in children(memoryview(sample_entry)[8 + _VISUAL_ENTRY :]):
        if kind in _CONFIGS:
            return bytes(payload)
    return b""


def _sample_entry(segment: bytes) -> bytes:
    """Copy the codec's description, but for the bit rate and the encoder's name."""
    stsd = require(memoryview(segment), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")[8:]
    kind, entry = next(children(stsd))
    fixed = bytes(entry[:42]) + bytes(32) + bytes(entry[74:_VISUAL_ENTRY])
    extras = [
        box(name, bytes(payload))
        for name, payload in children(entry[_VISUAL_ENTRY:])
        if name != b"btrt"
    ]
    return box(kind, fixed, *extras)


def _display_order(times: list[int]) -> tuple[int, ...]:
    order = sorted(times)
    if len(set(order)) != len(order):
        raise ContainerError("two frames of the segment are shown at the same time")
    rank = {time: i for i, time in enumerate(order)}
    return tuple(rank[time] for time in times)


def read_segment(segment: bytes) -> Segment:
    """Take a segment apart.

    Raises
    ------
    ContainerError
        If it is no MP4 with exactly one video track that starts with a keyframe, or its
        codec has no place in an MP4.
    """
    import av

    try:
        with av.open(io.BytesIO(segment), "r", format="mp4", options=_AS_WRITTEN) as container:
            (stream,) = container.streams.video
            context = stream.codec_context
            decoder, pix_fmt = context.name, context.pix_fmt
            extradata = context.extradata or b""
            packets = [packet for packet in container.demux(stream) if packet.size]
        entry = _sample_entry(segment)
    except (av.FFmpegError, ValueError, struct.error, StopIteration) as error:
        raise ContainerError(f"not an MP4 with one video track: {error}") from error
    times = [packet.pts for packet in packets if packet.pts is not None]
    if len(times) != len(packets):
        raise ContainerError("a packet of the segment has no time")
    if not packets or not packets[0].is_keyframe:
        raise ContainerError("the segment has no packets, or does not start with a keyframe")
    if decoder_config(entry) != extradata or find(memoryview(entry)[86:], b"esds"):
        raise ContainerError(f"the decoder configuration of {decoder} does not fit into an MP4")
    return Segment(
        decoder=decoder,
        pix_fmt=str(pix_fmt),
        sample_entry=entry,
        packets=tuple(bytes(packet) for packet in packets),
        display=_display_order(times),
        keyframes=tuple(i for i, packet in enumerate(packets) if packet.is_keyframe),
    )
