"""Hardware encoders by the ffmpeg program: VA-API and Vulkan, which PyAV's wheels lack.

Written from FFmpeg's documentation, without a device to try them on; probing decides.
Frames are uploaded as NV12 or P010. ``XVCOMP_VAAPI_DEVICE`` names another render node than
``/dev/dri/renderD128``.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from ..errors import CodecUnavailable
from ..spec import Chroma, Preset
from . import settings
from ._frames import Carrier
from .abc import StreamParams
from .ffmpeg_cli import CliCodec
from .hardware import SEMI_PLANAR, Standard

__all__ = ["DeviceCodec", "device_codecs"]

Interface = Literal["vaapi", "vulkan"]

_STANDARDS: tuple[Standard, ...] = ("hevc", "av1", "h264")
_LEVEL: dict[Preset, str] = {"fast": "7", "balanced": "4", "best": "1"}


class DeviceCodec(CliCodec):
    """An encoder that takes frames in the device's memory only.

    Parameters
    ----------
    standard : {"h264", "hevc", "av1"}
    interface : {"vaapi", "vulkan"}
    """

    device = "hardware"
    tries_lossless = False
    min_size = (128, 192)
    max_size = (4096, 4096)
    probe_size: ClassVar[tuple[int, int]] = (128, 256)
    chromas = ("gray", "420")

    def __init__(self, standard: Standard, interface: Interface) -> None:
        super().__init__(f"{standard}_{interface}")
        self.standard = standard
        self.interface = interface
        self.depths = (8,) if standard == "h264" else (8, 10)

    def missing(self) -> str | None:
        """Say which part is missing; a VA-API device is a file."""
        reason = super().missing()
        if reason is None and self.interface == "vaapi" and not Path(_render_node()).exists():
            return (
                f"there is no VA-API device {_render_node()}: install the driver of an Intel or "
                "AMD GPU, or name its render node in XVCOMP_VAAPI_DEVICE"
            )
        return reason

    def listed_formats(self) -> frozenset[str]:
        """Return what may be uploaded: the encoder itself lists the device's format alone."""
        if self.interface not in super().listed_formats():
            raise CodecUnavailable(f"{self.name} of {self.program().path} takes no device frames")
        return frozenset(SEMI_PLANAR[depth].pix_fmt for depth in self.depths)

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """NV12 and P010."""
        usable = chroma != "444" and bit_depth in self.depths
        return [SEMI_PLANAR[bit_depth]] if usable else []

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 1 to 51, for AV1 the quantiser index."""
        if self.standard == "av1":
            return settings.av1_steps(bit_depth)
        return settings.hevc_steps(bit_depth, lowest=1)

    def before_input(self) -> Mapping[str, str]:
        """Open the device."""
        if self.interface == "vaapi":
            return {"vaapi_device": _render_node()}
        return {"init_hw_device": "vulkan=gpu", "filter_hw_device": "gpu"}

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """Upload frames; constant QP, closed GOPs, no B frames."""
        quantizer = "global_quality" if self.standard == "av1" else "qp"
        options = {
            "vf": "hwupload",
            "g": str(params.gop),
            "bf": "0",
            quantizer: str(params.quantizer),
        }
        if self.interface == "vaapi":
            options |= {"rc_mode": "CQP", "compression_level": _LEVEL[params.preset]}
        else:
            options |= {"rc_mode": "cqp", "qp": str(params.quantizer)}
        return settings.merge(options, params.options)


def _render_node() -> str:
    return os.environ.get("XVCOMP_VAAPI_DEVICE", "/dev/dri/renderD128")


def device_codecs() -> list[DeviceCodec]:
    """Return one codec for each standard and interface."""
    interfaces: tuple[Interface, ...] = ("vaapi", "vulkan")
    return [DeviceCodec(standard, i) for i in interfaces for standard in _STANDARDS]
