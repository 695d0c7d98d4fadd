"""Packets of a stream back to planes, with FFmpeg's decoders through PyAV."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import CodecError, CodecUnavailable
from ..spec import Chroma, Planes, StreamInfo
from ._frames import allocate_planes, read_frame

__all__ = ["decode_packets", "why"]

_BIT_EXACT = 1 << 23
"""FFmpeg's AV_CODEC_FLAG_BITEXACT."""
_SPARE = 256
"""Pixels by which coded frames may exceed what is shown of them."""
# A file names the decoder that its writer happened to have.
_SAME_FORMAT: tuple[tuple[str, ...], ...] = (("libdav1d", "libaom-av1", "av1"),)


def decode_packets(
    packets: Sequence[bytes],
    info: StreamInfo,
    *,
    chroma: Chroma,
    threads: int = 1,
    hwaccel: str | None = None,
) -> Planes:
    """Decode the packets of whole GOPs with FFmpeg, whatever encoder wrote them.

    Parameters
    ----------
    packets : sequence of bytes
        In decoding order, from a keyframe to the end of a GOP.
    info : StreamInfo
    chroma : {"gray", "420", "444"}
        Planes to return; ``gray`` drops the chroma of a stream that has one.
    threads : int
        0 leaves it to the decoder.
    hwaccel : str or None
        Decode on such a device, or fail; see `hwdecode` for whether that can be trusted.

    Raises
    ------
    CodecUnavailable
        If this build of FFmpeg cannot decode the format.
    CodecError
        If a packet cannot be decoded, or frames are missing or damaged.

    Notes
    -----
    Decoders hide some kinds of damage. What FFmpeg reports, a wrong number of frames
    and frames marked as damaged are errors here; the checksums of the file find the rest.
    """
    import av

    planes = allocate_planes(chroma, len(packets), info.height, info.width)
    n_frames = 0
    try:
        for frame in _decoded(_open_decoder(info, threads, hwaccel), packets):
            if n_frames < len(packets):
                read_frame(frame, planes, n_frames, info.pix_fmt)
            n_frames += 1
    except av.FFmpegError as error:
        raise CodecError(f"{info.decoder} cannot decode the stream: {why(error)}") from error
    if n_frames != len(packets):
        raise CodecError(f"{info.decoder} returned {n_frames} frames of {len(packets)} packets")
    return planes


def _decoded(context: Any, packets: Sequence[bytes]) -> Iterator[Any]:
    """Feed packets, then flush; frames come in display order."""
    import av

    for index, data in enumerate(packets):
        if not data:
            # FFmpeg takes an empty packet for the end of the stream.
            raise CodecError(f"packet {index} is empty")
        # Filled, not wrapped: a wrapped buffer is freed by the decoder's own threads, which
        # wait for the interpreter's lock while closing the decoder holds it (a deadlock).
        packet = av.Packet(len(data))
        packet.update(data)
        yield from context.decode(packet)
    yield from context.decode(None)


def _open_decoder(info: StreamInfo, threads: int, hwaccel: str | None = None) -> Any:
    import av

    same = next((names for names in _SAME_FORMAT if info.decoder in names), (info.decoder,))
    # Devices are driven by FFmpeg's own decoders, never by a library's.
    same = same[-1:] if hwaccel else same
    for name in same:
        try:
            context: Any = av.CodecContext.create(name, "r", hwaccel=_device(hwaccel))
        except av.codec.codec.UnknownCodecError:
            continue
        context.extradata = info.extradata or None
        context.width, context.height = info.width, info.height
        context.thread_count = threads
        context.thread_type = "AUTO"
        if name == "jpeg2000":
            # Otherwise the irreversible wavelet is undone in floating point.
            context.flags |= _BIT_EXACT
        # Without this, H.264 and HEVC paint over errors and return a wrong frame.
        context.options = {
            "err_detect": "crccheck+bitstream+buffer+explode",
            # A stream may claim other frames than its track does, such as gigabytes of black.
            "max_pixels": str((info.width + _SPARE) * (info.height + _SPARE)),
        }
        return context
    raise CodecUnavailable(f"this build of FFmpeg has no decoder {' or '.join(same)}")


def _device(hwaccel: str | None) -> Any:
    if hwaccel is None:
        return None
    from av.codec.hwaccel import HWAccel

    try:
        return HWAccel(hwaccel, allow_software_fallback=False)
    except (RuntimeError, ValueError) as error:
        raise CodecUnavailable(f"there is no device for hwaccel {hwaccel!r}: {error}") from error


def why(error: Any) -> str:
    """Say what FFmpeg said, and its last log line where logging is on."""
    log = getattr(error, "log", None)
    return f"{error.strerror}; {log[2].strip()}" if log else str(error.strerror)
