"""Pictures to an ordinary video: H.264, 8 bit, 4:2:0, which plays in every browser."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError, CodecUnavailable

__all__ = ["write_movie"]

_ENCODER = "libx264"
_BT709, _LIMITED = 1, 1
"""FFmpeg's numbers of the matrix, primaries and transfer of BT.709, and of limited range."""


def write_movie(path: Path, pictures: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Write a video, with its header first so that it plays while it is loaded.

    Parameters
    ----------
    path : Path
    pictures : iterable of ndarray of uint8, shape (height, width, 3)
        All of one size, which is even.
    fps : float
        Pictures a second.

    Returns
    -------
    int
        How many pictures it holds.

    Raises
    ------
    CodecUnavailable
        If this build of FFmpeg has no x264.
    CodecError
        If encoding fails.
    """
    import av

    remaining = iter(pictures)
    first = next(remaining)
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream = _stream(file, first, fps)
            count = 0
            for picture in chain([first], remaining):
                file.mux(stream.encode(_frame(picture, count)))
                count += 1
            file.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise CodecError(f"the preview could not be encoded: {error}") from error
    return count


def _stream(file: Any, picture: NDArray[np.uint8], fps: float) -> Any:
    import av

    if _ENCODER not in av.codec.codecs_available:
        raise CodecUnavailable(f"this build of FFmpeg has no {_ENCODER}: write a .gif or .png")
    stream = file.add_stream(_ENCODER, rate=Fraction(fps).limit_denominator(1000))
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": "18", "preset": "medium", "g": "24", "profile": "high"}
    context = stream.codec_context
    context.color_range = _LIMITED
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _frame(picture: NDArray[np.uint8], index: int) -> Any:
    import av
    from av.video import reformatter

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    converted = frame.reformat(
        format="yuv420p",
        dst_colorspace=reformatter.Colorspace.ITU709,
        src_color_range=reformatter.ColorRange.JPEG,
        dst_color_range=reformatter.ColorRange.MPEG,
    )
    converted.pts = index
    return converted
