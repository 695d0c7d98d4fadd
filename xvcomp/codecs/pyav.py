"""Codecs on top of PyAV: frames in, fragmented MP4 out, and packets back to frames.

``PyavCodec`` holds what all encoders of FFmpeg share. A subclass says which pixel
formats it tries, what its quantisers are worth, and which options a setting means;
those are in ``software`` and ``hardware``.

PyAV is imported at first use, so that ``import xvcomp.codecs`` stays light.
"""

import io
import itertools
import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import CodecError, CodecUnavailable
from ..spec import Chroma, Planes, StreamInfo
from ._frames import FULL_RANGE, Carrier, chroma_size, fill_frame
from .abc import Capabilities, Codec, StreamParams
from .decoding import decode_packets, why
from .scheduling import ordinary_priority

__all__ = ["MP4_OPTIONS", "PyavCodec", "timed"]

_log = logging.getLogger(__name__)

MP4_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


class PyavCodec(Codec):
    """An encoder of FFmpeg, driven through PyAV.

    Parameters
    ----------
    name : str
        FFmpeg's name of the encoder.
    """

    min_size: tuple[int, int] = (1, 1)
    max_size: tuple[int, int] = (8192, 8192)
    device: ClassVar[str] = "cpu"
    via: ClassVar[str] = "PyAV"
    needs: str = ""
    """What a machine must have, in words, for those that few machines have."""
    reads_anywhere: ClassVar[bool] = True
    chromas: tuple[Chroma, ...] = ("gray", "420", "444")
    depths: tuple[int, ...] = (8, 10, 12)
    """Bit depths to try; a probe says which of them work."""
    probe_size: ClassVar[tuple[int, int]] = (32, 72)
    tries_lossless: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Return the pixel formats that could carry such codes, the best first."""

    @abstractmethod
    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Translate ``params`` to FFmpeg's options of the encoder."""

    def prepare(self) -> None:
        """Do what must come before the first use of the encoder's library."""

    def stamp(self) -> str:
        """Return what changes with whatever else than this package decides what works."""
        return ""

    def missing(self) -> str | None:
        """Say without any trial why the encoder cannot be there; ``None`` if it may be."""
        import av

        if self.name in av.codec.codecs_available:
            return None
        return "PyAV's build of FFmpeg lacks this encoder"

    def probe(self) -> Capabilities:
        """Encode and decode small clips in this process; see ``Codec.probe``."""
        from .probing import probe_formats

        return probe_formats(self)

    def encode(self, planes: Planes, params: StreamParams) -> bytes:
        """Encode frames; see ``Codec.encode``. Keyframes and frames are counted."""
        _check_planes(planes, params)
        n_frames, height, width = planes[0].shape
        self._check(params, height, width)
        carrier = self.carrier(params)
        self.prepare()
        segment, keyframes = self.run(planes, carrier, params)
        expected = [i % params.gop == 0 for i in range(n_frames)]
        if keyframes != expected:
            found = [i for i, key in enumerate(keyframes) if key]
            raise CodecError(
                f"{self.name} wrote {len(keyframes)} frames with keyframes at {found[:8]}; "
                f"{n_frames} frames with a keyframe every {params.gop} were asked for"
            )
        return segment

    def run(
        self, planes: Planes, carrier: Carrier, params: StreamParams
    ) -> tuple[bytes, list[bool]]:
        """Run the encoder once; says of each packet whether it is a keyframe."""
        options = self.options(params, *planes[0].shape[1:])
        run = _Run(self.name, carrier, params, options)
        keyframes = run.encode(planes)
        return run.buffer.getvalue(), keyframes

    def listed_formats(self) -> frozenset[str]:
        """Return the pixel formats that the encoder takes, by FFmpeg's own word."""
        return _listed_formats(self.name)

    def decode(
        self, packets: Sequence[bytes], info: StreamInfo, *, chroma: Chroma, threads: int = 1
    ) -> Planes:
        """Decode packets; see ``Codec.decode``. The encoder need not be there."""
        return decode_packets(packets, info, chroma=chroma, threads=threads)

    def _check(self, params: StreamParams, height: int, width: int) -> None:
        """Refuse what would reach the encoder's undefined corners: some of them crash."""
        low, high = self.min_size, self.max_size
        if not (low[0] <= height <= high[0] and low[1] <= width <= high[1]):
            raise CodecUnavailable(
                f"{self.name} takes frames of {low[0]} x {low[1]} to {high[0]} x {high[1]} "
                f"(height x width), got {height} x {width}; pad small frames, split large ones"
            )
        known = self.quantizers(params.bit_depth)
        if params.quantizer is not None and params.quantizer not in known:
            allowed = f"{min(known)} to {max(known)}" if known else "none, it is lossless only"
            raise CodecUnavailable(
                f"{self.name} has no quantizer {params.quantizer} at {params.bit_depth} bits; "
                f"allowed: {allowed}"
            )

    def carrier(self, params: StreamParams) -> Carrier:
        """Choose the first candidate that the encoder of this build lists."""
        formats = self.listed_formats()
        for carrier in self.carriers(params.chroma, params.bit_depth):
            if carrier.pix_fmt in formats:
                return carrier
        raise CodecUnavailable(
            f"{self.name} of this build of FFmpeg cannot carry {params.chroma} "
            f"at {params.bit_depth} bits; it takes {', '.join(sorted(formats))}"
        )


class _Run:
    """One pass of an encoder."""

    def __init__(
        self, name: str, carrier: Carrier, params: StreamParams, options: Mapping[str, str]
    ) -> None:
        self.name, self.carrier, self.params = name, carrier, params
        self.options = dict(options)
        self.buffer = io.BytesIO()

    def encode(self, planes: Planes) -> list[bool]:
        """Encode into ``buffer``; says of each packet whether it is a keyframe."""
        import av

        try:
            with av.open(self.buffer, "w", format="mp4", options=MP4_OPTIONS) as container:
                stream = self._open(container, *planes[0].shape[1:])
                keyframes = []
                for packet in timed(list(self._packets(stream, planes))):
                    keyframes.append(bool(packet.is_keyframe))
                    container.mux(packet)
                return keyframes
        except av.FFmpegError as error:
            raise CodecError(f"{self.name} failed: {why(error)}") from error

    def _open(self, container: Any, height: int, width: int) -> Any:
        import av

        stream = container.add_stream(self.name, rate=1)
        stream.height, stream.width = height, width
        stream.pix_fmt = self.carrier.pix_fmt
        stream.options = self.options
        stream.codec_context.color_range = FULL_RANGE
        if self.params.threads:
            stream.codec_context.thread_count = self.params.threads
        try:
            with ordinary_priority():
                stream.codec_context.open()
        except av.FFmpegError as error:
            _log.debug("%s was given %s", self.name, self.options)
            raise CodecUnavailable(
                f"{self.name} does not open ({height} x {width} {self.carrier.pix_fmt}): "
                f"{why(error)}"
            ) from error
        return stream

    def _packets(self, stream: Any, planes: Planes) -> Iterator[Any]:
        import av

        n_frames, height, width = planes[0].shape
        for index in range(n_frames):
            frame = av.VideoFrame(width, height, self.carrier.pix_fmt)
            fill_frame(frame, planes, index, self.carrier)
            frame.pts = index
            yield from stream.encode(frame)
        yield from stream.encode(None)


def timed(packets: list[Any]) -> list[Any]:
    """Give packets decoding times: x265 leaves them undefined in streams of a few frames."""
    delay = max((i - packet.pts for i, packet in enumerate(packets)), default=0)
    for i, packet in enumerate(packets):
        packet.dts = i - delay
    return packets


def _listed_formats(name: str) -> frozenset[str]:
    """Ask the build which pixel formats the encoder takes."""
    import av

    try:
        formats = av.Codec(name, "w").video_formats or []
    except av.codec.codec.UnknownCodecError:
        raise CodecUnavailable(f"this build of FFmpeg has no encoder {name}") from None
    return frozenset(f.name for f in formats)


def _check_planes(planes: Planes, params: StreamParams) -> None:
    """Refuse arrays that are not what ``params`` says; encoders would read on regardless."""
    wanted = 1 if params.chroma == "gray" else 3
    if len(planes) != wanted or planes[0].ndim != 3 or 0 in planes[0].shape:
        shapes = [p.shape for p in planes]
        raise CodecError(f"{params.chroma} takes {wanted} planes of (time, y, x), got {shapes}")
    if params.gop < 1:
        raise CodecError(f"gop must be at least 1, got {params.gop}")
    n_frames, height, width = planes[0].shape
    size = chroma_size(params.chroma, height, width)
    for plane in itertools.islice(planes, 1, None):
        if plane.shape != (n_frames, *size):
            raise CodecError(f"chroma planes must be {(n_frames, *size)}, got {plane.shape}")
    for plane in planes:
        if plane.dtype != np.uint16 or int(plane.max()) >> params.bit_depth:
            raise CodecError(
                f"codes must be uint16 below {1 << params.bit_depth}, "
                f"got {plane.dtype} up to {plane.max()}"
            )
