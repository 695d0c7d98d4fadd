"""VVC by the ffmpeg program with VVenC (FFmpeg 7.1 or newer); PyAV decodes it.

Written from the documentation of FFmpeg and VVenC; no build that has it was at hand.
"""

from collections.abc import Mapping, Sequence

from ..spec import Chroma, Preset
from . import settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .ffmpeg_cli import CliCodec

__all__ = ["VvEnc"]

_SPEED: dict[Preset, str] = {"fast": "faster", "balanced": "fast", "best": "medium"}


class VvEnc(CliCodec):
    """VVC, 10 bits, 4:2:0."""

    carriage = "mp4"
    depths = (10,)
    min_size = (16, 16)
    probe_size = (64, 96)
    tries_lossless = False
    chromas = ("gray", "420")

    def __init__(self) -> None:
        super().__init__("libvvenc")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """4:2:0; gray has constant chroma."""
        return [planar("420", bit_depth)] if chroma != "444" else []

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 1 to 63, on the scale of HEVC."""
        return settings.hevc_steps(bit_depth, lowest=1, highest=63)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Constant QP, no perceptual adaptation, keyframes where they are wanted."""
        options = {
            "preset": _SPEED[params.preset],
            "qp": str(params.quantizer),
            "qpa": "0",
            "g": str(params.gop),
            "movflags": "frag_keyframe+empty_moov",
            "vvenc-params": "decodingrefreshtype=idr:picreordering=0:poc0idr=1",
        }
        return settings.merge(options, params.options)
