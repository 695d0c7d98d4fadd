"""What long operations tell: progress while they run, and typed results at the end."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, Literal

from .spec import LayoutKind, Preset, Target

__all__ = [
    "GroupReport",
    "OnProgress",
    "Options",
    "Override",
    "Progress",
    "PromiseReport",
    "Report",
    "VariableReport",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """One step of long work.

    Parameters
    ----------
    stage : str
        ``plan``, ``encode``, ``verify``, ``decode`` ...
    done, total : int
        In ``unit`` (frames unless said otherwise); ``total`` may be 0 when unknown.
    detail : str
        What is being worked on, in plain words, such as ``B02-B12: trial 2, 44.8 dB``.
    """

    stage: str
    done: int
    total: int
    unit: str = "frames"
    detail: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """What a user decided for one variable or one group; ``None`` leaves it to the planner.

    ``codec`` is an encoder's name, or ``auto`` (as ``None``), ``software`` or ``hardware``.
    ``tile`` is the largest height and width of a spatial block, in coded pixels.
    """

    target: Target | None = None
    codec: str | None = None
    preset: Preset | None = None
    bit_depth: int | None = None
    gop: int | None = None
    fold: int | None = None
    layout: LayoutKind | None = None
    transform: Literal["klt", "none"] | None = None
    tile: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Everything a user can say about an encoding. The defaults leave it to the planner.

    Parameters
    ----------
    target : Target or None
        ``None`` is ``Psnr(50)``.
    variables : tuple of str or None
        Only these data variables (and the coordinates) are written; ``None`` is all.
    lossy, lossless : tuple of str
        Variables that are to be coded so, whatever they look like.
    per_variable : bool
        Each variable is its own quality set.
    defaults : Override
        Choices for every group (``target`` is not used here).
    by_variable : Mapping[str, Override]
        Choices for single variables; a variable with its own choice is its own group.
    groups : Mapping[str, tuple of str] or None
        The user's own grouping, by group name.
    by_group : Mapping[str, Override]
        Choices for the groups of ``groups``, by group name.
    memory : int or None
        Bytes that encoding may take at its peak (`memory.Memory`).
    ignore : Mapping[str, tuple of int or str]
        Values, or names of CF flags, by the mask variable that holds them: such samples are
        filled, cost almost nothing, and count in no quality or size target's measure.
    optional : bool
        Names in ``lossy``, ``lossless``, ``by_variable`` and ``groups`` that do not occur
        in the cube are left out, instead of refused. All may be patterns (``*mask*``).
    """

    target: Target | None = None
    preset: Preset = "balanced"
    variables: tuple[str, ...] | None = None
    lossy: tuple[str, ...] = ()
    lossless: tuple[str, ...] = ()
    per_variable: bool = False
    defaults: Override = field(default_factory=Override)
    by_variable: Mapping[str, Override] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] | None = None
    by_group: Mapping[str, Override] = field(default_factory=dict)
    memory: int | None = None
    ignore: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableReport:
    """Measured errors of one variable, in unpacked units, over its valid samples."""

    name: str
    psnr_db: float
    peak: float
    rmse: float
    max_error: float
    valid_fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupReport:
    """What one group cost and how well it came back.

    ``psnr_db`` is infinite for a group without error, NaN for one without valid samples.
    ``nbytes`` counts the group's tracks and packets, ``raw_nbytes`` its arrays in memory
    (0 when not known).
    """

    name: str
    variables: tuple[str, ...]
    quality_set: str
    lossless: bool
    codec: str
    preset: Preset
    quantizer: int | None
    bit_depth: int | None
    layout: LayoutKind | None
    components: int
    shape: tuple[int, int, int, int]
    nbytes: int
    bpppb: float
    psnr_db: float
    peak: float
    rmse: float
    max_error: float
    encodes: int
    encode_seconds: float
    decode_seconds: float
    raw_nbytes: int = 0
    by_variable: tuple[VariableReport, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromiseReport:
    """What a file promises for a variable, and whether that holds against its original.

    Parameters
    ----------
    variable : str
        Empty for a promise on the size of the whole file.
    target : Target
        ``Lossless()`` for all that is kept to the bit, whatever was asked for.
    kept : bool
    found : float
        What was measured, in the target's own measure: dB, SSIM, bpppb, ratio, the largest
        error (unpacked units; relative to the sample if pointwise), or samples that differ.
    problem : str
        What is wrong, in words; empty if kept.
    """

    variable: str
    target: Target
    kept: bool
    found: float
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The result of an encoding, measured by decoding the finished file.

    ``set_psnr_db`` holds the PSNR of each quality set, ``set_peak`` its peak.
    ``ratio`` is the arrays' size in memory over the file's size. ``promises`` is empty where
    there was no original to hold them against.
    """

    path: str
    target: Target
    nbytes: int
    raw_nbytes: int
    ratio: float
    bpppb: float
    sidecar_nbytes: int
    overhead_nbytes: int
    groups: tuple[GroupReport, ...]
    set_psnr_db: Mapping[str, float]
    set_peak: Mapping[str, float]
    encode_seconds: float
    verify_seconds: float
    notes: tuple[str, ...] = ()
    promises: tuple[PromiseReport, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON (infinite values as they are)."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Show numbers and a few frames in notebooks."""
        # By name, for the pictures are drawn by layers above this one.
        previews = import_module("xvcomp.previews")
        return str(previews.report_html(self))
