"""One Matroska file of xarrayvideo -> its tag and its codes, as xarrayvideo decodes them."""

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ContainerError
from .tag import PIXEL_FORMATS, VideoTag

__all__ = ["TAG", "read_tag", "read_video"]

TAG = "XARRAY"
_MAX_NBYTES = 1 << 35
"""Of one file's frames, decoded: a tiny file can name frames of any size."""


def read_tag(path: str | os.PathLike[str]) -> VideoTag:
    """Read what a file says of itself, without decoding it.

    Raises
    ------
    ContainerError
        If it is no file of xarrayvideo.
    """
    with _opened(path) as container:
        return _tag(container, path)


def read_video(path: str | os.PathLike[str]) -> tuple[VideoTag, NDArray[Any]]:
    """Decode a file.

    Returns
    -------
    VideoTag
    ndarray of uint8 or uint16, shape (frames, columns, rows, channels)
        Codes. The order of axes is that of xarrayvideo: pictures are turned.

    Raises
    ------
    ContainerError
        If it is damaged, or not what its tag says.
    """
    import av

    with _opened(path) as container:
        tag = _tag(container, path)
        if not container.streams.video:
            raise ContainerError(f"{path} has no video")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        codes = _room(tag, stream, path)
        try:
            count = _fill(codes, container, stream, tag)
        except (av.FFmpegError, ValueError) as error:
            raise ContainerError(f"{path} cannot be decoded: {error}") from error
    if count != tag.frames:
        held = "more" if count > tag.frames else str(count)
        raise ContainerError(f"{path} holds {held} frames, its tag says {tag.frames}")
    return tag, np.moveaxis(codes, (0, 1, 2, 3), (0, 3, 2, 1))


def _opened(path: str | os.PathLike[str]) -> Any:
    import av

    try:
        return av.open(os.fspath(path))
    except av.FFmpegError as error:
        raise ContainerError(f"{path} is not a video: {error}") from error


def _tag(container: Any, path: str | os.PathLike[str]) -> VideoTag:
    text = container.metadata.get(TAG)
    if text is None:
        raise ContainerError(f"{path} has no tag {TAG}: xarrayvideo did not write it")
    try:
        return VideoTag.parse(text)
    except ContainerError as error:
        raise ContainerError(f"{path}: {error}") from error


def _room(tag: VideoTag, stream: Any, path: str | os.PathLike[str]) -> NDArray[Any]:
    """Make an array for (frame, channel, row, column), of a size that can be."""
    planes, bits = PIXEL_FORMATS[tag.pix_fmt]
    shape = (tag.frames, len(planes), stream.height, stream.width)
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > _MAX_NBYTES:
        raise ContainerError(
            f"{path} would take {nbytes} bytes decoded; {_MAX_NBYTES} is the limit"
        )
    return np.empty(shape, dtype)


def _fill(codes: NDArray[Any], container: Any, stream: Any, tag: VideoTag) -> int:
    """Decode into an array, channels in the order of the tag's bands; return how many frames."""
    # Planes come as written; the writer had reordered channels so that players show colours.
    colours = len(PIXEL_FORMATS[tag.pix_fmt][0]) == 3
    places = [tag.channel_order.index(c) for c in "rgb"] if colours else [0]
    number = 0
    for frame in container.decode(stream):
        if number == len(codes):
            return number + 1
        converted = frame.reformat(format=tag.pix_fmt)
        for channel, place in enumerate(places):
            codes[number, channel] = _plane(converted.planes[place], codes.dtype)
        number += 1
    return number


def _plane(plane: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return rows[:, : plane.width]
