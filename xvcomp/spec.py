"""The typed, versioned format: what a plan and a manifest say, and their JSON.

Everything here is a frozen dataclass. ``Manifest.to_json`` and
``Manifest.from_json`` are exact inverses: floats keep every bit, numpy-typed and
nested attributes keep their types. A file of a newer ``format_version`` is refused;
older ones open for ever.
"""

import itertools
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ManifestError

__all__ = [
    "FORMAT_VERSION",
    "Array",
    "BandGroup",
    "Bpppb",
    "Chroma",
    "GroupPlan",
    "Ignored",
    "Interpolation",
    "Klt",
    "Layout",
    "LayoutKind",
    "Lossless",
    "Manifest",
    "MaskSpec",
    "MaxError",
    "Plan",
    "Planes",
    "PostFilter",
    "Preset",
    "Psnr",
    "Quality",
    "Quantization",
    "Ratio",
    "ResidualSpec",
    "SidecarEntry",
    "Ssim",
    "StreamInfo",
    "Target",
    "VariableSpec",
]

FORMAT_VERSION = 1

Chroma = Literal["gray", "420", "444"]
Preset = Literal["fast", "balanced", "best"]
LayoutKind = Literal["tiled", "yuv444", "yuv420", "gray"]
Planes = tuple[NDArray[np.uint16], ...]
"""One array of shape (time, height, width) per plane: one for ``gray``, three otherwise.

For ``420`` the chroma planes have ``ceil(height / 2)`` rows and ``ceil(width / 2)``
columns. Values are codes in ``[0, 2**bit_depth - 1]``.
"""


def _positive(what: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{what} must be a positive number, got {value!r}")
    return float(value)


class Target:
    """What the user asks for; one of the classes below.

    Numbers become floats: ``Psnr(45)`` and ``Psnr(45.0)`` make the same file.
    """


@dataclass(frozen=True, slots=True)
class Psnr(Target):
    """At least ``db`` dB, per quality set. ``peak`` (unpacked units) defaults to its range."""

    db: float
    peak: float | None = None
    kind: Literal["psnr"] = "psnr"

    def __post_init__(self) -> None:
        object.__setattr__(self, "db", _positive("PSNR in dB", self.db))
        if self.peak is not None:
            object.__setattr__(self, "peak", _positive("peak", self.peak))


@dataclass(frozen=True, slots=True)
class Bpppb(Target):
    """At most ``bits`` bits per pixel per band, all bytes of the file counted."""

    bits: float
    kind: Literal["bpppb"] = "bpppb"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", _positive("bpppb", self.bits))


@dataclass(frozen=True, slots=True)
class Ratio(Target):
    """At least ``ratio`` times smaller than the arrays in memory."""

    ratio: float
    kind: Literal["ratio"] = "ratio"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", _positive("ratio", self.ratio))


@dataclass(frozen=True, slots=True)
class Ssim(Target):
    """A mean structural similarity of at least ``value``, below 1."""

    value: float
    kind: Literal["ssim"] = "ssim"

    def __post_init__(self) -> None:
        if not 0 < self.value < 1:
            raise ValueError(f"SSIM must lie between 0 and 1, got {self.value!r}")
        object.__setattr__(self, "value", float(self.value))


@dataclass(frozen=True, slots=True)
class MaxError(Target):
    """No valid sample is off by more than ``value``.

    ``relative`` says of what: ``absolute`` (the units a reader sees), ``range`` (of the
    variable's valid samples), or ``pointwise`` (of each sample's own magnitude).
    """

    value: float
    relative: Literal["absolute", "range", "pointwise"] = "absolute"
    kind: Literal["max_error"] = "max_error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _positive("error bound", self.value))


@dataclass(frozen=True, slots=True)
class Lossless(Target):
    """Equal, bit for bit (the payload bits of NaN aside)."""

    kind: Literal["lossless"] = "lossless"


@dataclass(frozen=True, slots=True)
class Quality(Target):
    """A nominal quality in dB: the quantiser step is ``peak * 10**((10.79 - db) / 20)``.

    That is the step whose uniform rounding error would give ``db``. No search is made.
    """

    db: float
    kind: Literal["quality"] = "quality"

    def __post_init__(self) -> None:
        if not math.isfinite(self.db):
            raise ValueError(f"quality must be a finite number of dB, got {self.db!r}")
        object.__setattr__(self, "db", float(self.db))


_TARGETS: dict[str, type[Target]] = {
    "psnr": Psnr,
    "bpppb": Bpppb,
    "ratio": Ratio,
    "ssim": Ssim,
    "max_error": MaxError,
    "lossless": Lossless,
    "quality": Quality,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """A small numpy array inside the manifest; little endian, C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def __post_init__(self) -> None:
        dtype = np.dtype(self.dtype)
        if dtype.hasobject or min(self.shape, default=0) < 0:
            raise ValueError(f"not a plain array: dtype {self.dtype!r}, shape {self.shape}")
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"{len(self.data)} bytes do not make {self.shape} of {self.dtype}")

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Copy an array of plain numbers."""
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        return cls(dtype=little.dtype.str, shape=values.shape, data=little.tobytes())

    def numpy(self) -> NDArray[Any]:
        """Return a read-only view."""
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """How codes relate to components: ``component = (code - offset) * step``.

    Parameters
    ----------
    bit_depth : int
        Bits of a code, 8 to 16.
    step : float
        Width of one code in the group's weighted units, common to all components.
    offsets : tuple of int
        Code of a zero component, one per component.
    """

    bit_depth: int
    step: float
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth must be 8 to 16, got {self.bit_depth}")
        _positive("step", self.step)

    @property
    def max_code(self) -> int:
        """Largest code."""
        return int(2**self.bit_depth - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Klt:
    """The decoder's side of the transform, exact on every machine.

    ``band = mean + (matrix @ component) / 2**shift / weight``. The matrix is of
    integers, so that the product with integer codes is exact in float64 whatever the
    order of summation (``transforms.klt``).

    Parameters
    ----------
    matrix : Array of int8 or int16, shape (bands, components)
    shift : int
        Binary point of ``matrix``.
    means : Array of float32 or float64, shape (bands,)
        In stored units.
    weights : Array of float64, shape (bands,)
        Stored units times weight gives the units in which components are orthonormal.
    """

    matrix: Array
    shift: int
    means: Array
    weights: Array

    def __post_init__(self) -> None:
        if len(self.matrix.shape) != 2 or min(self.matrix.shape) < 1:
            raise ValueError(f"matrix must be (bands, components), got {self.matrix.shape}")
        bands = (self.matrix.shape[0],)
        if self.means.shape != bands or self.weights.shape != bands:
            raise ValueError("means and weights need one value per band")
        kinds = [np.dtype(each.dtype).kind for each in (self.matrix, self.means, self.weights)]
        if kinds != ["i", "f", "f"]:
            raise ValueError(f"matrix must hold integers, means and weights floats, got {kinds}")
        if not 0 <= self.shift <= 30:
            raise ValueError(f"shift must be 0 to 30, got {self.shift}")

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.matrix.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class PostFilter:
    """What takes noise off decoded bands, exact on every machine (``transforms.post_filter``).

    Parameters
    ----------
    weights : Array of int16, shape (bands, classes, sources, 13)
        What a band takes of how neighbours of 13 kinds differ from it. ``sources`` is 1
        where bands look at themselves only, otherwise all bands; where ``bands`` is 1, all
        bands have the same weights.
    shift : int
        Binary point of ``weights``.
    thresholds : tuple of int
        The activity from which on a sample is of the next class: rising, below 2**53.
    """

    weights: Array
    shift: int
    thresholds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = self.weights.shape
        if len(shape) != 4 or min(shape) < 1 or shape[2] not in (1, shape[0]) or shape[3] != 13:
            raise ValueError(f"weights must be (bands, classes, 1 or bands, 13), got {shape}")
        if np.dtype(self.weights.dtype) != np.int16:
            raise ValueError(f"weights must be int16, got {self.weights.dtype}")
        if shape[1] > 16:
            raise ValueError(f"there are at most 16 classes, got {shape[1]}")
        ends = (-1, *self.thresholds, 1 << 53)
        rising = all(low < high for low, high in itertools.pairwise(ends))
        if len(self.thresholds) != shape[1] - 1 or not rising:
            raise ValueError(f"{shape[1]} classes cannot have thresholds of {self.thresholds}")
        if not 0 <= self.shift <= 30:
            raise ValueError(f"shift must be 0 to 30, got {self.shift}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpolation:
    """How variables were made from a coarser grid, which alone is coded.

    Row ``i`` lies at ``(2 * i + offset) / (2 * factor)`` of the coarse rows, columns alike:
    ``offset`` is ``factor + 1`` where the coarse pixels are blocks of whole pixels, for then
    the first row lies half a coarse pixel and half a row before the second coarse row.

    Parameters
    ----------
    kernel : {"linear", "cubic"}
        ``cubic`` is Keys' cubic convolution.
    factors : (int, int)
        Rows and columns to a coarse one; 1 along an axis that is not interpolated.
    offsets : (int, int)
        In half rows and columns, from 0 to ``2 * factor - 1``.
    a : float
        Keys' parameter, -0.5 or -0.75 for most software; 0 with ``linear``.
    edges : {"open", "clamp"}
        ``open``: the coarse grid goes beyond the edges as far as it takes. ``clamp``: only
        to the edges; what would lie beyond them repeats the nearest.

    References
    ----------
    R. Keys (1981), Cubic convolution interpolation for digital image processing.
    """

    kernel: Literal["linear", "cubic"]
    factors: tuple[int, int]
    offsets: tuple[int, int]
    a: float = 0.0
    edges: Literal["open", "clamp"] = "open"

    def __post_init__(self) -> None:
        if not all(1 <= factor <= 16 for factor in self.factors):
            raise ValueError(f"factors must be 1 to 16, got {self.factors}")
        pairs = zip(self.factors, self.offsets, strict=True)
        if not all(0 <= offset < 2 * factor for factor, offset in pairs):
            raise ValueError(f"offsets must be below twice the factors, got {self.offsets}")
        if not -1 <= self.a <= 0:
            raise ValueError(f"a must be -1 to 0, got {self.a}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where components lie in frames.

    Parameters
    ----------
    kind : {"tiled", "yuv444", "yuv420", "gray"}
        ``tiled``: all components side by side in one luma plane, row by row, ``columns``
        a row. ``yuv444``: three components a stream. ``yuv420``: the first at full
        resolution, the next two at half, a stream. ``gray``: one a stream.
    columns : int
        Tiles in a row; 1 unless tiled.
    align : int
        Component frames are padded at the bottom and right to a multiple of this.
    """

    kind: LayoutKind
    columns: int = 1
    align: int = 8

    def __post_init__(self) -> None:
        if self.columns < 1 or self.align < 1:
            raise ValueError("columns and align must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskSpec:
    """Which stored values are not samples, and that their positions are in packets.

    Parameters
    ----------
    specials : tuple of Array
        Per variable, the distinct invalid values (NaN, infinities, the fill value) in the
        stored dtype. Class ``k`` of a mask packet is ``specials[variable][k - 1]``.
    """

    specials: tuple[Array, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResidualSpec:
    """What the packets of a group hold, one per GOP and block: all samples, or corrections.

    Parameters
    ----------
    kind : {"bits", "linear", "log"}
        ``bits``: every stored value, to the bit. ``linear``: multiples of a step from what
        is predicted. ``log``: the same for the binary logarithm of magnitudes, with signs
        and zeros beside. Both are followed by exceptions: single samples kept as they are.
    coder : {"pyramid", "plain", "lattice", "wavelets"}
        ``pyramid`` predicts from coarse to fine, ``plain`` codes the multiples as they are,
        ``lattice`` codes them as lossless windows are. ``wavelets`` codes multiples of the
        steps in coefficients of wavelets, not in samples: only for the sake of the mean error.
        Where the group has a video, its decoded samples are subtracted first.
    steps : tuple of float
        Per variable, in stored units (``log``: in octaves); empty for ``bits``. Odd
        integers for variables of integers, but for ``wavelets``.
    """

    kind: Literal["bits", "linear", "log"]
    coder: Literal["pyramid", "plain", "lattice", "wavelets"] = "pyramid"
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for step in self.steps:
            _positive("step", step)


@dataclass(frozen=True, kw_only=True, slots=True)
class BandGroup:
    """Variables that are coded together, and all that decoding them needs.

    Parameters
    ----------
    name : str
    variables : tuple of str
        In band order. A variable's extra dims are unrolled in C order.
    frame_dim, y_dim, x_dim : str or None
        Dims of the frames; ``None`` stands for an axis of length 1 that is not there.
    shape : tuple of int
        (time, bands, y, x) as coded: after ``repeat`` was undone, before folding.
    repeat : (int, int)
        Each coded pixel stands for this many rows and columns of the variable.
    fold : int
        Consecutive frames that are coded as bands of one.
    gop : int
        Frames of the stream in a GOP (each spans ``fold`` frames of the variable).
    block : (int, int)
        Height and width of the spatial blocks, each of which has its own tracks.
    codec, preset : str
        What coded it; ``codec`` is ``none`` where packets alone carry the data.
    quantizer : int or None
        The codec's own quantiser; ``None`` is lossless.
    first_track : int
        Tracks run block by block, and stream by stream within a block.
    slot : int
        The mask packet of block ``b`` is at slot ``slot + 2 * b``, its residual at the next;
        both at the frame that starts their GOP.
    valid_min, valid_max : tuple of float
        Per variable, in stored units: decoded samples are clipped to this. ``None``
        where no sample is valid.
    checksums : Array of uint32, shape (tracks, gops)
        CRC-32 over the packets of each GOP.
    packet_checksums : Array of uint32, shape (blocks, 2, gops)
        CRC-32 of the mask and the residual packets; empty where there are none at all.
    quality_set : str
        Groups of one set share a quality target.
    measured : Mapping[str, float or None]
        What verification found: ``psnr_db``, ``peak``, ``rmse``, ``max_error``.
    target : Target or None
        What was promised for the group, where that is not the file's target.
    streams_crc32 : int or None
        CRC-32 over ``StreamInfo.description`` of its tracks, in order.
    post_filter : PostFilter or unset
        What decoded bands go through; not in the manifest where there is none.
    interpolation : Interpolation or unset
        What makes ``shape`` of coded samples; not in the manifest where there is none.
    """

    name: str
    variables: tuple[str, ...]
    frame_dim: str | None
    y_dim: str | None
    x_dim: str | None
    shape: tuple[int, int, int, int]
    repeat: tuple[int, int] = (1, 1)
    fold: int = 1
    gop: int
    block: tuple[int, int]
    codec: str
    preset: Preset
    quantizer: int | None
    quantization: Quantization | None
    klt: Klt | None
    layout: Layout | None
    mask: MaskSpec | None
    residual: ResidualSpec | None
    first_track: int
    slot: int
    valid_min: tuple[float | None, ...]
    valid_max: tuple[float | None, ...]
    checksums: Array
    packet_checksums: Array
    quality_set: str
    measured: Mapping[str, float | None] = field(default_factory=dict)
    target: Target | None = None
    streams_crc32: int | None = None
    post_filter: PostFilter | msgspec.UnsetType = msgspec.UNSET
    interpolation: Interpolation | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.repeat) < 1 or min(self.block) < 1:
            raise ValueError(f"group {self.name!r}: sizes must be at least 1")
        if self.fold < 1 or self.gop < 1:
            raise ValueError(f"group {self.name!r}: fold and gop must be at least 1")
        if not self.variables:
            raise ValueError(f"group {self.name!r} has no variables")

    @property
    def lossless(self) -> bool:
        """Whether every stored value is kept to the bit."""
        return self.residual is not None and self.residual.kind == "bits"

    @property
    def n_stream_frames(self) -> int:
        """Frames of each track."""
        return -(-self.shape[0] // self.fold)

    @property
    def n_gops(self) -> int:
        """GOPs of each track."""
        return -(-self.n_stream_frames // self.gop)

    @property
    def window(self) -> int:
        """Frames of the variable in a GOP."""
        return self.gop * self.fold


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableSpec:
    """A variable as it was given: everything but its values.

    Parameters
    ----------
    dtype : str
        Of the stored values, as numpy writes it; ``object`` for strings and the like.
    attrs, encoding : Mapping
        Tagged by ``pack_json``: types of numpy, tuples and non-finite floats survive.
    is_coord : bool
    cf : bool
        Values are as on disk (packed); opening decodes them by the CF conventions.
    decoded_dtype : str or None
        With ``cf``: the dtype that the user's own variable had after decoding.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: Any
    encoding: Any
    is_coord: bool
    cf: bool = False
    decoded_dtype: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarEntry:
    """Where a losslessly kept variable lies in the sidecar blob, and how it is coded."""

    name: str
    coder: str
    nbytes: int
    params: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """Samples that were not cared for: filled before coding, left out of quality.

    Parameters
    ----------
    variable : str
        The mask, kept without loss in the same file.
    flags : tuple of (int, int)
        Pairs of bits and value: a sample is ignored where ``mask & bits == value & bits``
        for one of them.
    """

    variable: str
    flags: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Everything in a cube file that is not a packet."""

    created_by: str
    target: Target
    attrs: Any
    encoding: Any
    dims: tuple[tuple[str, int], ...]
    variables: tuple[VariableSpec, ...]
    groups: tuple[BandGroup, ...]
    sidecar: tuple[SidecarEntry, ...]
    sidecar_crc32: int
    sidecar_data: bytes | None
    """The sidecar itself when it is small; otherwise the packet at frame 0, slot 0."""
    raw_nbytes: int
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Write the envelope: version and checksum in the clear, the body deflated."""
        body = msgspec.json.encode(self, enc_hook=_encode)
        envelope = _Envelope(self.format_version, zlib.crc32(body), _deflate(body))
        return msgspec.json.encode(envelope).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read an envelope.

        Raises
        ------
        ManifestError
            If the text is damaged, or of a newer version than this one.
        """
        try:
            envelope = msgspec.json.decode(text, type=_Envelope)
        except (*_UNREADABLE, RecursionError) as error:
            raise ManifestError(f"the manifest is not readable: {error}") from None
        version = envelope.format_version
        if version < 1:
            raise ManifestError(f"the manifest's format_version is {version}, not a version")
        if version > FORMAT_VERSION:
            raise ManifestError(
                f"the file has format version {version}, this xvcomp reads up to "
                f"{FORMAT_VERSION}: upgrade xvcomp to open it"
            )
        body = _inflate(envelope.deflate)
        if zlib.crc32(body) != envelope.crc32:
            raise ManifestError("the manifest is damaged: its checksum does not match")
        try:
            return msgspec.json.decode(body, type=cls, dec_hook=_decode)
        # numpy reads the text of some dtypes as Python, and fails as Python does.
        except (*_UNREADABLE, KeyError, TypeError, RecursionError, SyntaxError) as error:
            raise ManifestError(f"the manifest is damaged: {error}") from None


# Errors of msgspec are no ValueErrors before its version 0.21.
_UNREADABLE = (ValueError, msgspec.MsgspecError)


class _Envelope(msgspec.Struct):
    """What every version's manifest is wrapped in; a later one may add fields."""

    format_version: int
    crc32: int = 0
    deflate: bytes = b""


_MAX_MANIFEST = 1 << 28
# Some JSON takes fifty times its length in memory, and deflates to a thousandth.
_MAX_BLANK_MANIFEST, _MAX_DEFLATION = 1 << 24, 200
_RAW_DEFLATE = -15


@cache
def _dictionary() -> bytes:
    """Read the words that manifests are made of, which spare each file about 1.5 KiB.

    They are a part of format version 1 and must never change.
    """
    return files("xvcomp").joinpath("data/manifest-v1.dict").read_bytes()


def _deflate(body: bytes) -> bytes:
    strategy = zlib.Z_DEFAULT_STRATEGY
    deflater = zlib.compressobj(9, zlib.DEFLATED, _RAW_DEFLATE, 9, strategy, _dictionary())
    return deflater.compress(body) + deflater.flush()


def _inflate(data: bytes) -> bytes:
    """Decompress, but never to more than a manifest can sensibly be."""
    inflater = zlib.decompressobj(_RAW_DEFLATE, _dictionary())
    try:
        limit = min(_MAX_MANIFEST, max(_MAX_BLANK_MANIFEST, _MAX_DEFLATION * len(data)))
        body = inflater.decompress(data, limit)
    except zlib.error as error:
        raise ManifestError(f"the manifest is damaged: {error}") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise ManifestError(f"the manifest is cut short, or larger than {limit >> 20} MiB")
    return body


def _encode(value: object) -> object:
    raise NotImplementedError(f"{type(value).__name__} has no place in a manifest")


def _decode(kind: type, value: object) -> object:
    if kind is Target and isinstance(value, Mapping) and value.get("kind") in _TARGETS:
        return msgspec.convert(value, _TARGETS[value["kind"]])
    raise ValueError(f"not a {kind.__name__}: {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupPlan:
    """What is to be done with some variables, before anything was encoded.

    ``reasons`` says why, per choice (``codec``, ``layout`` ...). ``codecs`` (name and bit
    depth) and ``folds`` are what a trial may choose from; empty where it is decided.
    ``fallback`` is what takes the codec's place should it fail; empty where that would
    not be what was asked for.
    """

    name: str
    variables: tuple[str, ...]
    target: Target
    frame_dim: str | None
    y_dim: str | None
    x_dim: str | None
    transform: Literal["klt", "none"]
    layout: LayoutKind
    codec: str
    preset: Preset
    bit_depth: int
    gop: int
    fold: int = 1
    repeat: tuple[int, int] = (1, 1)
    interpolation: Interpolation | None = None
    block: tuple[int, int]
    quality_set: str
    reasons: Mapping[str, str] = field(default_factory=dict)
    codecs: tuple[tuple[str, int], ...] = ()
    folds: tuple[int, ...] = ()
    fallback: tuple[tuple[str, int], ...] = ()

    @property
    def lossless(self) -> bool:
        """Whether every sample must come back as it was."""
        return isinstance(self.target, Lossless)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The groups of a cube, and the variables that go to the sidecar, with the reason."""

    groups: tuple[GroupPlan, ...]
    sidecar: Mapping[str, str]
    target: Target


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """What a decoder needs besides packets, as read from a container's track.

    ``decoder`` is FFmpeg's decoder name, ``extradata`` its out-of-band header.
    """

    decoder: str
    width: int
    height: int
    pix_fmt: str
    extradata: bytes

    @property
    def description(self) -> bytes:
        """What, were it changed, could make other samples of the same packets."""
        return f"{self.decoder} {self.pix_fmt}".encode() + self.extradata
