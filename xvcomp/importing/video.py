"""One Matroska file of xarrayvideo -> its tag and its codes, as xarrayvideo decodes them."""

import os
from collections.abc import Iterator
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
        _check_size(tag, stream, path)
        try:
            frames = list(_frames(container, stream, tag))
        except av.FFmpegError as error:
            raise ContainerError(f"{path} cannot be decoded: {error}") from error
    if len(frames) != tag.frames:
        raise ContainerError(f"{path} holds {len(frames)} frames, its tag says {tag.frames}")
    planes = np.stack(frames)
    return tag, np.moveaxis(planes, (0, 1, 2, 3), (0, 3, 2, 1))


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


def _check_size(tag: VideoTag, stream: Any, path: str | os.PathLike[str]) -> None:
    planes, bits = PIXEL_FORMATS[tag.pix_fmt]
    nbytes = tag.frames * len(planes) * stream.width * stream.height * (2 if bits > 8 else 1)
    if nbytes > _MAX_NBYTES:
        raise ContainerError(
            f"{path} would take {nbytes} bytes decoded; {_MAX_NBYTES} is the limit"
        )


def _frames(container: Any, stream: Any, tag: VideoTag) -> Iterator[NDArray[Any]]:
    """Yield frames as (channel, row, column), channels in the order of the tag's bands."""
    planes, bits = PIXEL_FORMATS[tag.pix_fmt]
    # Planes come as written; the writer had reordered channels so that players show colours.
    places = [tag.channel_order.index(c) for c in "rgb"] if len(planes) == 3 else [0]
    for number, frame in enumerate(container.decode(stream)):
        if number >= tag.frames:
            raise ContainerError(
                f"{stream.name} holds more frames than the {tag.frames} of its tag"
            )
        converted = frame.reformat(format=tag.pix_fmt)
        found = [_plane(plane, bits) for plane in converted.planes]
        yield np.stack([found[place] for place in places])


def _plane(plane: Any, bits: int) -> NDArray[Any]:
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return rows[:, : plane.width].copy()
