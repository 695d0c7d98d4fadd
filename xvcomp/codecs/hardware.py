"""Hardware encoders through PyAV: NVENC, Quick Sync, AMF and VideoToolbox.

Written from FFmpeg's and the makers' descriptions, without a device to try them on.
Nothing is believed before ``capabilities.probe`` has encoded and decoded with one on
the machine at hand. They are lossy here. Gray travels in 4:2:0 with constant chroma,
which costs almost nothing. Each run has a process of its own, for drivers crash and hang.
"""

import ctypes
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ..spec import Chroma, Planes, Preset
from . import settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .isolated import encode_in_child, in_child
from .pyav import PyavCodec

__all__ = ["SEMI_PLANAR", "HardwareCodec", "Limits", "Standard", "hardware_codecs", "limits"]

Standard = Literal["h264", "hevc", "av1"]
Family = Literal["nvenc", "qsv", "amf", "videotoolbox"]

SEMI_PLANAR = {
    8: Carrier(pix_fmt="nv12", bits=8, chroma="420", interleaved=True),
    # p010 keeps its 10 bits at the top of the 16.
    10: Carrier(pix_fmt="p010le", bits=10, chroma="420", interleaved=True, shift=6),
}
_NVENC_444 = {
    8: [planar("444", 8)],
    10: [
        Carrier(pix_fmt=name, bits=10, chroma="444", shift=6)
        for name in ("yuv444p10msble", "yuv444p16le")
    ],
}
# No B frames anywhere: HEVC on Pascal, on AMD and on most VA-API drivers has none.
_SPEED: dict[Family, dict[Preset, dict[str, str]]] = {
    "nvenc": {
        "fast": {"preset": "p1"},
        "balanced": {"preset": "p4"},
        "best": {"preset": "p7"},
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
}
_NEEDS: dict[Family, str] = {
    "nvenc": "an NVIDIA GPU that has an encoder, and NVIDIA's driver",
    "qsv": "an Intel GPU, and Intel's media driver with oneVPL",
    "amf": "an AMD GPU, and AMD's AMF runtime",
    "videotoolbox": "a Mac, and a build of FFmpeg for macOS",
}
_DRIVERS: dict[Family, str] = {
    "nvenc": "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1",
    "qsv": "render node in /dev/dri",
    "amf": "amfrt64.dll" if sys.platform == "win32" else "libamfrt64.so.1",
}
_SESSIONS = threading.BoundedSemaphore(2)
"""Consumer devices encode few streams at a time, and refuse to open one more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device is specified to take: (height, width), and depths in 4:2:0 and 4:4:4."""

    least: tuple[int, int]
    most: tuple[int, int]
    depths_420: tuple[int, ...]
    depths_444: tuple[int, ...] = ()


_LIMITS: dict[tuple[Family, Standard], Limits] = {
    # NVIDIA Video Codec SDK 12, capabilities of Pascal and later (AV1: Ada and later).
    ("nvenc", "h264"): Limits((64, 160), (4096, 4096), (8,), (8,)),
    ("nvenc", "hevc"): Limits((64, 160), (8192, 8192), (8, 10), (8, 10)),
    ("nvenc", "av1"): Limits((128, 192), (8192, 8192), (8, 10)),
    # Intel media driver's table of encoders, Gen 11 and later (AV1: Arc and later).
    ("qsv", "h264"): Limits((64, 64), (4096, 4096), (8,)),
    ("qsv", "hevc"): Limits((128, 128), (8192, 8192), (8, 10)),
    ("qsv", "av1"): Limits((128, 128), (8192, 8192), (8, 10)),
    # AMD AMF 1.4, VCN 2 and later (10-bit HEVC: VCN 2; AV1: VCN 4).
    ("amf", "h264"): Limits((128, 128), (2304, 4096), (8,)),
    ("amf", "hevc"): Limits((128, 192), (4320, 7680), (8, 10)),
    ("amf", "av1"): Limits((128, 192), (4320, 7680), (8, 10)),
    # Apple says nothing; H.264 level 5.2 and HEVC level 6 are what encoders announce.
    ("videotoolbox", "h264"): Limits((64, 64), (2304, 4096), (8,)),
    ("videotoolbox", "hevc"): Limits((64, 160), (4320, 8192), (8, 10)),
}


def limits(family: Family, standard: Standard) -> Limits:
    """Return what the makers say of an encoder."""
    return _LIMITS[family, standard]


class HardwareCodec(PyavCodec):
    """An encoder on a graphics or media device.

    Parameters
    ----------
    standard : {"h264", "hevc", "av1"}
    family : {"nvenc", "qsv", "amf", "videotoolbox"}
    """

    device = "hardware"
    tries_lossless = False
    probe_size: ClassVar[tuple[int, int]] = (128, 256)

    def __init__(self, standard: Standard, family: Family) -> None:
        super().__init__(f"{standard}_{family}")
        self.standard = standard
        self.family = family
        self.needs = _NEEDS[family]
        self.limits = limits(family, standard)
        self.depths = self.limits.depths_420
        self.min_size, self.max_size = self.limits.least, self.limits.most
        self.chromas = ("gray", "420", "444") if self.limits.depths_444 else ("gray", "420")

    def missing(self) -> str | None:
        """Look for the device's driver, which spares a process where there is none."""
        reason = super().missing()
        if reason is None and not in_child() and not _has_driver(self.family):
            return f"there is no {_DRIVERS[self.family]}"
        return reason

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Semi-planar 4:2:0, which every device takes; 4:4:4 on NVENC."""
        if chroma == "444":
            return _NVENC_444[bit_depth] if bit_depth in self.limits.depths_444 else []
        return [SEMI_PLANAR[bit_depth]] if bit_depth in self.limits.depths_420 else []

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 1 to 51; for AV1 the quantiser index, 1 to 252, as four times SVT-AV1's CRF."""
        if self.standard == "av1":
            return settings.av1_steps(bit_depth)
        return settings.hevc_steps(bit_depth, lowest=1)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Constant QP of all frame types, closed GOPs, no B frames, no adaptive quantisation."""
        options = {"g": str(params.gop), "bf": "0", **_SPEED[self.family][params.preset]}
        return {**options, **self._constant_qp(str(params.quantizer)), **params.options}

    def _constant_qp(self, qp: str) -> dict[str, str]:
        by_family: dict[Family, dict[str, str]] = {
            "nvenc": {"rc": "constqp", "qp": qp, "forced-idr": "1", "no-scenecut": "1"},
            "qsv": {
                "global_quality": qp,
                "flags": "+qscale",
                "adaptive_i": "0",
                "async_depth": "1",
            },
            "amf": {"rc": "cqp", "qp_i": qp, "qp_p": qp},
            # VideoToolbox counts quality from 1 to 100, the best, and has no QP.
            "videotoolbox": {
                "global_quality": str(round(118 * (100 - 99 * (int(qp) - 1) / 50))),
                "flags": "+qscale",
                "allow_sw": "0",
            },
        }
        return by_family[self.family]

    def run(
        self, planes: Planes, carrier: Carrier, params: StreamParams
    ) -> tuple[bytes, list[bool]]:
        """Run the encoder in a process of its own."""
        if in_child():
            return super().run(planes, carrier, params)
        with _SESSIONS:
            return encode_in_child(self.name, planes, params)


def _has_driver(family: Family) -> bool:
    if family == "videotoolbox":
        return True
    if family == "qsv":
        return sys.platform != "linux" or any(Path("/dev/dri").glob("renderD*"))
    try:
        ctypes.CDLL(_DRIVERS[family])
    except OSError:
        return False
    return True


def hardware_codecs() -> list[HardwareCodec]:
    """Return one codec for each hardware encoder that PyAV can be built with."""
    return [HardwareCodec(standard, family) for family, standard in _LIMITS]
