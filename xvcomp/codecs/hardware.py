"""Hardware encoders: NVENC, Quick Sync, AMF, VideoToolbox and VA-API.

Written from FFmpeg's description of their options, without a device to try them on.
Nothing is believed before ``capabilities.probe`` has encoded and decoded with one on
the machine at hand. They are lossy here and need 4:2:0: gray travels with constant
chroma, which costs almost nothing. VA-API takes frames in the device's memory only,
which is not done here: its codecs are listed, and say so when probed.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from ..spec import Chroma, Preset
from . import settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .pyav import PyavCodec

__all__ = ["HardwareCodec", "hardware_codecs"]

Standard = Literal["h264", "hevc", "av1"]
Family = Literal["nvenc", "qsv", "amf", "videotoolbox", "vaapi"]

_SEMI_PLANAR = {
    8: Carrier(pix_fmt="nv12", bits=8, chroma="420", interleaved=True),
    # p010 keeps its 10 bits at the top of the 16.
    10: Carrier(pix_fmt="p010le", bits=10, chroma="420", interleaved=True, shift=6),
}
_SPEED: dict[Family, dict[Preset, dict[str, str]]] = {
    "nvenc": {
        "fast": {"preset": "p1"},
        "balanced": {"preset": "p4"},
        "best": {"preset": "p7", "tune": "hq"},
    },
    "qsv": {
        "fast": {"preset": "veryfast"},
        "balanced": {"preset": "medium"},
        "best": {"preset": "veryslow"},
    },
    "amf": {
        "fast": {"quality": "speed"},
        "balanced": {"quality": "balanced"},
        "best": {"quality": "quality"},
    },
    "videotoolbox": {"fast": {"realtime": "1"}, "balanced": {}, "best": {}},
    "vaapi": {
        "fast": {"compression_level": "7"},
        "balanced": {"compression_level": "4"},
        "best": {"compression_level": "1"},
    },
}


class HardwareCodec(PyavCodec):
    """An encoder on a graphics or media device.

    Parameters
    ----------
    standard : {"h264", "hevc", "av1"}
    family : {"nvenc", "qsv", "amf", "videotoolbox", "vaapi"}
    """

    device = "hardware"
    tries_lossless = False
    # NVENC's smallest H.264 frame is 145 x 49; others want multiples of 16.
    min_size = (64, 160)
    max_size = (4096, 4096)
    probe_size: ClassVar[tuple[int, int]] = (128, 256)

    def __init__(self, standard: Standard, family: Family) -> None:
        super().__init__(f"{standard}_{family}")
        self.standard = standard
        self.family = family
        self.depths = (8,) if standard == "h264" else (8, 10)

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Semi-planar 4:2:0, which every device takes; planar 4:4:4 where listed."""
        if chroma == "444":
            return [planar("444", 8)] if bit_depth == 8 else []
        return [_SEMI_PLANAR[bit_depth]] if bit_depth in _SEMI_PLANAR else []

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 1 to 51; for AV1 the quantiser index, 1 to 255, as four times SVT-AV1's CRF."""
        if self.standard != "av1":
            return settings.hevc_steps(bit_depth, lowest=1)
        return settings.av1_steps(bit_depth)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Constant QP of all frame types, closed GOPs, no adaptive quantisation."""
        qp = str(params.quantizer)
        by_family = {
            "nvenc": {"rc": "constqp", "qp": qp, "forced-idr": "1", "no-scenecut": "1"},
            "qsv": {
                "global_quality": qp,
                "flags": "+qscale",
                "adaptive_i": "0",
                "async_depth": "1",
            },
            "amf": {"rc": "cqp", "qp_i": qp, "qp_p": qp, "qp_b": qp},
            "videotoolbox": {"global_quality": qp, "flags": "+qscale", "allow_sw": "0"},
            "vaapi": {"rc_mode": "CQP", "qp": qp},
        }
        options = {"g": str(params.gop), **_SPEED[self.family][params.preset]}
        return {**options, **by_family[self.family], **params.options}


def hardware_codecs() -> list[HardwareCodec]:
    """Return one codec for each hardware encoder that FFmpeg can be built with."""
    families: tuple[Family, ...] = ("nvenc", "qsv", "amf", "vaapi", "videotoolbox")
    standards: tuple[Standard, ...] = ("hevc", "av1", "h264")
    return [
        HardwareCodec(standard, family)
        for family in families
        for standard in standards
        if (standard, family) != ("av1", "videotoolbox")
    ]
