"""AV1 by the ffmpeg program: libaom, which has 12 bits and gray, and rav1e."""

from collections.abc import Mapping, Sequence

from ..spec import Chroma, Preset
from . import settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .ffmpeg_cli import CliCodec

__all__ = ["LibAom", "Rav1e"]

_AOM_SPEED: dict[Preset, str] = {"fast": "6", "balanced": "4", "best": "2"}
_RAV1E_SPEED: dict[Preset, str] = {"fast": "9", "balanced": "6", "best": "4"}

# Effective steps, in codes, measured on noise (64 x 96, 8 frames, one GOP): quantiser, and
# the steps at 8, 10 and 12 bits.
_AOM_ANCHORS = (
    (1, 1.39, 1.87, 3.93),
    (2, 1.84, 2.90, 8.19),
    (4, 2.70, 5.66, 18.8),
    (8, 4.29, 13.1, 51.6),
    (16, 7.45, 28.1, 114.0),
    (32, 17.9, 72.2, 310.0),
    (48, 53.1, 222.0, 1190.0),
    (63, 215.0, 934.0, 4000.0),
)
_RAV1E_ANCHORS = (
    (1, 1.72, 2.31, 4.60),
    (4, 2.31, 3.42, 8.05),
    (16, 6.92, 10.5, 33.7),
    (32, 10.1, 33.7, 130.0),
    (64, 19.2, 68.6, 274.0),
    (128, 52.6, 193.0, 772.0),
    (192, 168.0, 615.0, 2450.0),
    (255, 239.0, 944.0, 4060.0),
)
# libaom averages frames over time before it codes them: 12 % fewer bits at 38 dB, but at
# fine quantisers that caps quality at 47 to 56 dB where 70 are possible.
_FILTERED_FROM = 16
_COLUMN = {8: 1, 10: 2, 12: 3}


def _steps(anchors: tuple[tuple[float, ...], ...], bit_depth: int) -> dict[int, float]:
    column = [(row[0], row[_COLUMN[bit_depth]]) for row in anchors]
    return settings.interpolate(column, range(1, int(anchors[-1][0]) + 1))


class LibAom(CliCodec):
    """AV1 by libaom: slow, but 12 bits, 4:4:4 and real gray, up to about 70 dB."""

    def __init__(self) -> None:
        super().__init__("libaom-av1")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Gray, 4:2:0 and 4:4:4 of the same depth."""
        return [planar(chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """CQ level 1 to 63; level 0 is lossless."""
        return _steps(_AOM_ANCHORS, bit_depth)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Constant quality, tuned for squared error, with keyframes where they are wanted."""
        gop = str(params.gop)
        options = {
            "cpu-used": _AOM_SPEED[params.preset],
            "g": gop,
            "keyint_min": gop,
            "aq-mode": "0",
            "tune": "psnr",
            "crf": str(params.quantizer or 0),
            "b:v": "0",
        }
        if params.quantizer is None:
            options["aom-params"] = "lossless=1"
        if (params.quantizer or 0) < _FILTERED_FROM:
            options["arnr-strength"] = "0"
        return settings.merge(options, params.options)


class Rav1e(CliCodec):
    """AV1 by rav1e, 8 to 12 bits. It knows no gray, which travels in 4:2:0."""

    min_size = (16, 16)
    tries_lossless = False

    def __init__(self) -> None:
        super().__init__("librav1e")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """4:2:0 with constant chroma for gray, and 4:4:4."""
        return [planar("420" if chroma == "gray" else chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """Quantiser index 1 to 255."""
        return _steps(_RAV1E_ANCHORS, bit_depth)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Constant quantiser, tuned for squared error."""
        gop = str(params.gop)
        options = {
            "speed": _RAV1E_SPEED[params.preset],
            "g": gop,
            "keyint_min": gop,
            "qp": str(params.quantizer),
            "rav1e-params": f"tune=psnr:key_frame_interval={gop}:min_key_frame_interval={gop}",
        }
        return settings.merge(options, params.options)
