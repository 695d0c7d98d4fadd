"""Take one encoder run apart: its stream header and its packets, GOP by GOP."""

import io
from typing import Any

from ..errors import CodecError
from ..spec import StreamInfo

__all__ = ["split"]

# Otherwise FFmpeg takes every frame of JPEG 2000 for a keyframe, whatever the file says.
_AS_WRITTEN = {"fflags": "nofillin"}


def split(segment: bytes) -> tuple[StreamInfo, list[list[bytes]]]:
    """List the packets of a fragmented MP4 in decoding order.

    Returns
    -------
    info : StreamInfo
    gops : list of list of bytes
        Each begins with a keyframe.

    Raises
    ------
    CodecError
        If the segment does not hold one video stream that starts with a keyframe.
    """
    import av

    gops: list[list[bytes]] = []
    try:
        container: Any = av.open(io.BytesIO(segment), options=_AS_WRITTEN)
        with container:
            stream = container.streams.video[0]
            context = stream.codec_context
            info = StreamInfo(
                decoder=context.name,
                width=context.width,
                height=context.height,
                pix_fmt=str(context.pix_fmt),
                extradata=bytes(context.extradata or b""),
            )
            for packet in container.demux(stream):
                # Flush packets are empty; a missing dts does not tell them from real ones.
                if packet.size == 0:
                    continue
                if packet.is_keyframe:
                    gops.append([])
                gops[-1].append(bytes(packet))
    except (av.error.FFmpegError, IndexError) as error:
        raise CodecError(f"the encoder returned a stream that cannot be read: {error}") from error
    return info, gops
