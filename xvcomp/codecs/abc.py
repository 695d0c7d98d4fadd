"""The contract of a codec: planes of one stream in, packets of one stream out, and back.

A codec knows nothing of bands, time or quality. It gets planes of unsigned
integers and a native quantiser, and must give back, after decoding,

* the same number of frames, of the same size, in the same order;
* frame ``i`` decodable from the group of pictures (GOP) that holds it alone:
  every ``gop``-th frame, and only those, is a keyframe that nothing refers across;
* the exact samples when ``quantizer`` is ``None`` (lossless), for codecs whose
  capabilities say that they can.

``encode`` returns one fragmented MP4 with a single video track. Such files join
packet by packet, so that a stream may be made of several encoder runs.

Nothing here is trusted: the callers decode what they wrote and compare.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..spec import Chroma, Planes, Preset, StreamInfo

__all__ = ["Capabilities", "Codec", "StreamParams"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamParams:
    """What one encoder run is asked to do.

    Parameters
    ----------
    chroma : {"gray", "420", "444"}
        Planes of a frame. A codec without gray carries it in 4:2:0 with constant
        chroma, and drops the chroma again when decoding.
    bit_depth : int
        Bits per sample, 8 to 16.
    quantizer : int or None
        The codec's own constant quantiser (``Codec.quantizers``); ``None`` is lossless.
    preset : {"fast", "balanced", "best"}
    gop : int
        Frames from one keyframe to the next.
    threads : int
        Threads that the encoder may use; 0 leaves it to the encoder.
    mixed : bool
        Frames hold many small components of unlike kinds, as those of folded time: quick
        presets had better not save on small blocks.
    options : Mapping[str, str]
        Options of the encoder itself, for experts and for tuning scripts.
    """

    chroma: Chroma = "gray"
    bit_depth: int
    quantizer: int | None
    preset: Preset = "balanced"
    gop: int
    threads: int = 0
    mixed: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a codec was seen to do on this machine.

    Parameters
    ----------
    formats : tuple of (chroma, bit_depth)
        Combinations that encoded and decoded correctly.
    pix_fmts : tuple of str
        FFmpeg's pixel formats in which these travel to the encoder.
    lossless : tuple of (chroma, bit_depth)
        Combinations that also came back bit for bit with ``quantizer=None``.
    min_size, max_size : (int, int)
        Smallest and largest (height, width).
    odd_sizes : tuple of chroma
        Those that take odd heights and widths; the others need even ones.
    align : int
        Heights and widths must be multiples of this, where odd ones are not taken.
    device : {"cpu", "hardware"}
    via : {"PyAV", "ffmpeg"}
        Who drives the encoder: FFmpeg's libraries in this process, or the ffmpeg program.
    reads_anywhere : bool
        Whether PyAV decodes its streams; if not, readers need the ffmpeg program, too.
    reason : str or None
        Why the codec cannot be used here; ``None`` when it can.
    """

    formats: tuple[tuple[Chroma, int], ...] = ()
    lossless: tuple[tuple[Chroma, int], ...] = ()
    min_size: tuple[int, int] = (1, 1)
    max_size: tuple[int, int] = (8192, 8192)
    odd_sizes: tuple[Chroma, ...] = ()
    align: int = 2
    device: str = "cpu"
    via: str = "PyAV"
    reads_anywhere: bool = True
    pix_fmts: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def usable(self) -> bool:
        """Whether at least one format works."""
        return self.reason is None and bool(self.formats)


class Codec(ABC):
    """Encode and decode single streams. Stateless and safe to share between threads."""

    name: str
    """Name of the encoder, such as ``libx265``."""

    @abstractmethod
    def probe(self) -> Capabilities:
        """Try the codec on this machine, and say what worked."""

    @abstractmethod
    def quantizers(self, bit_depth: int) -> Mapping[int, float]:
        """Map native quantisers to the width of their step, in units of one code.

        The widths need not be exact, for the search measures; but a wider step must
        mean fewer bits and a larger error. Negative ones are beyond what the encoder was made
        for: frames that come out wrong are coded with others instead.
        """

    def worthwhile(self, bit_depth: int, preset: Preset) -> Mapping[int, float]:
        """Return the quantisers that pay for their bits at a preset; by default all."""
        return self.quantizers(bit_depth)

    @abstractmethod
    def encode(self, planes: Planes, params: StreamParams) -> bytes:
        """Encode frames to one fragmented MP4 with a single track.

        Raises
        ------
        CodecUnavailable
            If the machine, the chroma, the depth or the size is not supported.
        CodecError
            If the encoder fails.
        """

    @abstractmethod
    def decode(
        self, packets: Sequence[bytes], info: StreamInfo, *, chroma: Chroma, threads: int = 1
    ) -> Planes:
        """Decode the packets of whole GOPs, in the order of the file.

        Returns
        -------
        Planes
            All frames in display order; the planes of ``chroma`` only.

        Raises
        ------
        CodecError
            If a packet cannot be decoded, or frames are missing.
        """
