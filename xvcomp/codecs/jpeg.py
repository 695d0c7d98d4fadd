"""JPEG 2000 by the ffmpeg program: every frame alone, 8 to 16 bits."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import CodecError
from ..spec import Chroma, Planes, StreamInfo
from . import settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .decoding import decode_packets
from .ffmpeg_cli import CliCodec

__all__ = ["OpenJpeg"]

_SIZ = b"\xff\x4f\xff\x51"
_DEPTH_AT = 42
# Decoded with integers, as it must be to give the same everywhere, the 9/7 wavelet errs by
# up to 8 codes at 16 bits; the reversible one by none.
_DEEPEST_IRREVERSIBLE = 12


class OpenJpeg(CliCodec):
    """JPEG 2000 by OpenJPEG.

    Notes
    -----
    The wrapper in FFmpeg offers rates, no quantiser: a rate follows the content, a step
    does not. So the wavelet's own step of one code is used as it is, and how coarse it is
    in the user's units is left to how codes are scaled.
    """

    intra = True
    # FFmpeg undoes the wavelet wrongly, with integers, in frames of 8 x 8 and less.
    min_size = (16, 16)
    depths = (8, 10, 12, 16)

    def __init__(self) -> None:
        super().__init__("libopenjpeg")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Gray, 4:2:0 and 4:4:4 of the same depth."""
        return [planar(chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """The one step of the irreversible wavelet, together with the rounding of codes."""
        return {1: 1.5 if bit_depth <= _DEEPEST_IRREVERSIBLE else 1.0}

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """A bare codestream: the 9/7 wavelet, or the reversible 5/3 for lossless."""
        exact = params.quantizer is None or params.bit_depth > _DEEPEST_IRREVERSIBLE
        irreversible = "0" if exact else "1"
        # Small frames have no room for the default of six resolutions.
        levels = max(1, min(6, min(height, width).bit_length() - 3))
        options = {"format:v": "j2k", "irreversible": irreversible, "numresolution": str(levels)}
        return settings.merge(options, params.options)

    def decode(
        self, packets: Sequence[bytes], info: StreamInfo, *, chroma: Chroma, threads: int = 1
    ) -> Planes:
        """Decode packets, and take back the scaling to 16 bits.

        FFmpeg's decoder returns gray of 9 to 15 bits as 16, scaled up.
        """
        planes = decode_packets(packets, info, chroma=chroma, threads=threads)
        shift = _format_bits(info.pix_fmt) - _codestream_bits(packets[0])
        return tuple(plane >> np.uint16(shift) for plane in planes) if shift else planes


def _codestream_bits(packet: bytes) -> int:
    """Read the depth of the first component from the header of a codestream."""
    start = packet.find(_SIZ)
    if start < 0 or len(packet) <= start + _DEPTH_AT:
        raise CodecError("a packet holds no JPEG 2000 codestream")
    (coded,) = struct.unpack_from("B", packet, start + _DEPTH_AT)
    return (int(coded) & 0x7F) + 1


def _format_bits(pix_fmt: str) -> int:
    import av

    return int(av.VideoFormat(pix_fmt, 16, 16).components[0].bits)
