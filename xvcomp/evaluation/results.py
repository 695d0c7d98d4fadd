"""What an evaluation finds, as typed results, as JSON and as a pandas table.

The JSON (``Evaluation.to_dict``) is stable: keys may be added, none is renamed or
dropped without a new ``schema`` number. ``None`` stands for what is not known, such as
the bits of a group in a file that is not ours.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "SCHEMA",
    "Evaluation",
    "FileScores",
    "GroupScores",
    "IndexScores",
    "SetScores",
    "TimeScores",
    "VariableScores",
]

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scores:
    """Errors over valid samples, in unpacked units unless the name says otherwise.

    Parameters
    ----------
    psnr_db : float
        Infinite without error; -inf when a sample was lost.
    peak : float
        What PSNR and SSIM refer to: the range of the quality set, or the user's.
    rmse, mae, bias, max_error : float
        ``bias`` is the mean of decoded minus reference.
    r2 : float
        Coefficient of determination.
    ssim, dssim : float
        Mean over pixels; see `metrics.ssim_frame`.
    gradient_error : float
        RMS error of spatial differences over their RMS.
    power_spectrum_error_db : float
        Mean absolute difference of radial power spectra.
    valid_fraction : float
    n_valid : int
    n_lost : int
        Samples that are valid in the reference and missing in the decoded cube.
    n_invented : int
        Samples that are missing in the reference and valid in the decoded cube.
    """

    psnr_db: float
    peak: float
    rmse: float
    mae: float
    bias: float
    max_error: float
    r2: float
    ssim: float
    dssim: float
    gradient_error: float
    power_spectrum_error_db: float
    valid_fraction: float
    n_valid: int
    n_lost: int
    n_invented: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableScores(_Scores):
    """The errors of one variable."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeScores(_Scores):
    """The errors of one frame of a group; ``time`` is its coordinate as text, if it has one."""

    index: int
    time: str | None
    sam_rad: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupScores(_Scores):
    """The errors of variables that were coded together.

    Parameters
    ----------
    name : str
    variables : tuple of str
    quality_set : str
        Groups of one set share a peak.
    exact : bool
        Flags, classes and what was coded losslessly.
    nbytes, bpppb
        Of the group's tracks and packets; ``None`` where the file does not say.
    sam_rad : float
        Mean spectral angle between pixels, all bands of the group; NaN for one band.
    """

    name: str
    variables: tuple[str, ...]
    quality_set: str
    exact: bool
    nbytes: int | None
    bpppb: float | None
    sam_rad: float
    per_variable: tuple[VariableScores, ...]
    per_time: tuple[TimeScores, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SetScores:
    """The PSNR of a quality set, to which a PSNR target refers."""

    name: str
    psnr_db: float
    peak: float


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexScores:
    """Errors of a normalised difference index ``(a - b) / (a + b)``, in index units."""

    name: str
    a: str
    b: str
    rmse: float
    mae: float
    bias: float
    max_error: float
    n_valid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FileScores:
    """What the file costs; ``None`` where its size is not known.

    ``raw_nbytes`` is the size of the reference's arrays in memory, as they are stored.
    """

    path: str | None
    nbytes: int | None
    raw_nbytes: int
    ratio: float | None
    bpppb: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """A decoded cube against its reference.

    Parameters
    ----------
    groups : tuple of GroupScores
    sets : tuple of SetScores
    indices : tuple of IndexScores
    file : FileScores
    skipped : Mapping[str, str]
        Data variables that were not compared, with the reason.
    """

    groups: tuple[GroupScores, ...]
    sets: tuple[SetScores, ...]
    indices: tuple[IndexScores, ...]
    file: FileScores
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON (infinite values as they are)."""
        whole = asdict(self)
        groups = [_named_first(group) for group in whole["groups"]]
        return {"schema": SCHEMA} | whole | {"groups": groups}

    def to_pandas(self, level: Literal["group", "variable", "time"] = "variable") -> Any:
        """Return a table with one row per group, variable or frame.

        Parameters
        ----------
        level : {"group", "variable", "time"}
            ``time`` needs an evaluation with ``per_time=True``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If the level is not one of these.
        """
        if level not in ("group", "variable", "time"):
            raise ValueError(f"level must be 'group', 'variable' or 'time', got {level!r}")
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(f"to_pandas needs pandas: pip install pandas ({error})") from error
        return pd.DataFrame(self._rows(level))

    def _rows(self, level: str) -> list[dict[str, Any]]:
        nested = ("per_variable", "per_time")
        groups = self.to_dict()["groups"]
        if level == "group":
            return [{k: v for k, v in group.items() if k not in nested} for group in groups]
        key = "per_variable" if level == "variable" else "per_time"
        return [{"group": group["name"], **row} for group in groups for row in group[key]]


def _named_first(scores: dict[str, Any]) -> dict[str, Any]:
    """Put what identifies a group before its numbers, and the parts after them."""
    first = ("name", "variables", "quality_set", "exact", "nbytes", "bpppb")
    last = ("per_variable", "per_time")
    middle = [key for key in scores if key not in first + last]
    ordered = {key: scores[key] for key in (*first, *middle, *last)}
    parts = [{"name": each["name"], **each} for each in ordered["per_variable"]]
    times = [{"index": each["index"], **each} for each in ordered["per_time"]]
    return ordered | {"per_variable": parts, "per_time": times}
