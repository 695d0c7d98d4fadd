"""The software encoders: x265, x264, SVT-AV1, VP9 and FFV1."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..spec import Chroma, Planes, Preset
from . import finer, settings
from ._frames import Carrier, planar
from .abc import StreamParams
from .pyav import PyavCodec

__all__ = ["X264", "X265", "Ffv1", "SvtAv1", "Vp9"]


class X265(PyavCodec):
    """HEVC: the best at 12 bits and high quality.

    Notes
    -----
    A row of a single CTU comes out as garbage (x265 4.2), and the smallest CTU is 16
    wide: narrower frames than 17 are refused.
    """

    min_size = (16, 17)

    def __init__(self) -> None:
        super().__init__("libx265")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Gray, 4:2:0 and 4:4:4 of the same depth."""
        return [planar(chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 0 to 46, at 12 bits from -6 (see ``finer``).

        From 50 on some frames come out 10 dB worse for no bit saved; coarse codes do better.
        """
        lowest = finer.FINEST if bit_depth == 12 else 0
        return settings.hevc_steps(bit_depth, lowest, highest=46)

    def worthwhile(self, bit_depth: int, preset: Preset) -> Mapping[int, float]:
        """Negative QPs only where x265 looks for the best of each."""
        steps = self.quantizers(bit_depth)
        return {qp: step for qp, step in steps.items() if qp >= 0 or preset == "best"}

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """See ``settings.x265_options``."""
        return settings.x265_options(params, height, width)

    def run(
        self, planes: Planes, carrier: Carrier, params: StreamParams
    ) -> tuple[bytes, list[bool]]:
        """Run x265 with the Lagrange factors of its quantiser; each depth has tables of its own."""
        if params.bit_depth != 12:
            return super().run(planes, carrier, params)
        with finer.lagrange.using(finer.split_qp(params.quantizer or 0)[1]):
            return super().run(planes, carrier, params)


class X264(PyavCodec):
    """H.264, 8 and 10 bits: fast, and old players open it."""

    depths = (8, 10)

    def __init__(self) -> None:
        super().__init__("libx264")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Gray, 4:2:0 and 4:4:4 of the same depth."""
        return [planar(chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """QP 1 to 51 at 8 bits, to 63 at 10; QP 0 is lossless, thus none of these."""
        return settings.x264_steps(bit_depth)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """See ``settings.x264_options``."""
        return settings.x264_options(params)


_SVTAV1_NARROW = 64


class SvtAv1(PyavCodec):
    """AV1, 8 and 10 bits: the best at low rates. It knows 4:2:0 only, which carries gray."""

    min_size = (4, 4)
    depths = (8, 10)

    def __init__(self) -> None:
        super().__init__("libsvtav1")

    def prepare(self) -> None:
        """Keep SVT-AV1, which writes to stderr itself, from doing so; errors stay."""
        os.environ.setdefault("SVT_LOG", "1")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """4:2:0, and whatever else a later build lists."""
        carried: tuple[Chroma, ...] = ("gray", "420") if chroma == "gray" else (chroma,)
        return [planar(c, bit_depth) for c in carried]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """Four times the CRF, 1 to 240: AV1's scale has quarter steps.

        CRF 63 is as erratic as it is coarse; coarse codes do better.
        """
        return {q: step for q, step in settings.av1_steps(bit_depth).items() if q <= 240}

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """See ``settings.svtav1_options``."""
        # SVT-AV1 4.1 hangs for ever on frames such as 24 x 120 with two threads or more.
        narrow = min(height, width) < _SVTAV1_NARROW
        return settings.svtav1_options(replace(params, threads=1) if narrow else params)


class Vp9(PyavCodec):
    """VP9, 8 bits, more where the build allows."""

    def __init__(self) -> None:
        super().__init__("libvpx-vp9")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """Gray goes into 4:2:0: VP9 has no monochrome."""
        return [planar("420" if chroma == "gray" else chroma, bit_depth)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """CRF 1 to 63."""
        return settings.vp9_steps(bit_depth)

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """See ``settings.vp9_options``."""
        return settings.vp9_options(params)


class Ffv1(PyavCodec):
    """FFV1, lossless, 8 to 16 bits."""

    # A column of one sample is refused once it is long enough to be cut in slices.
    min_size = (4, 4)
    depths = (8, 9, 10, 11, 12, 13, 14, 15, 16)
    max_size = (16384, 16384)

    def __init__(self) -> None:
        super().__init__("ffv1")

    def carriers(self, chroma: Chroma, bit_depth: int) -> Sequence[Carrier]:
        """The same depth or the next one that the build lists (11 bits travel as 12)."""
        return [planar(chroma, bits) for bits in range(bit_depth, 17)]

    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """None: it is lossless only."""
        return {}

    def options(self, params: StreamParams, height: int, width: int) -> dict[str, str]:
        """See ``settings.ffv1_options``."""
        return settings.ffv1_options(params, height, width)
