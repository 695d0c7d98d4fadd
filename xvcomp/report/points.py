"""What a sweep is made of: points, and the front of those that none beats."""

import csv
import io
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..evaluation import Evaluation
from ..results import Report
from ..spec import Preset

__all__ = ["Sweep", "SweepPoint", "Task", "command", "pareto", "point_of"]

_FLAGS = {
    "variables": "--vars",
    "lossy": "--lossy",
    "lossless": "--lossless-vars",
    "bit_depth": "--bits",
    "gop": "--gop",
    "layout": "--layout",
    "fold": "--fold",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One encoding that is to be made. ``key`` stands for the cube, the options and the version."""

    key: str
    codec: str
    preset: Preset
    quality_db: float

    @property
    def file_name(self) -> str:
        """Name of the cube file that it makes."""
        return f"{self.codec}-{self.preset}-{self.quality_db:g}-{self.key[:12]}.mp4"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPoint:
    """One encoding as it was measured on the finished file.

    Parameters
    ----------
    key : str
        Stands for the cube's content, the options and the version.
    codec, preset : str
    quality_db : float
        The nominal quality that was asked for.
    nbytes, ratio, bpppb
        Of the whole file.
    psnr_db : float
        Of the quality set that came back worst; ``sets`` has them all.
    ssim : float
        Of the lossy group that came back worst.
    max_error : float
        Largest of any lossy variable, in its own units.
    encode_seconds, decode_seconds : float
        On the cores of one job.
    file : str
        The cube file, relative to the sweep's folder.
    command : str
        What makes this file on the command line.
    groups : tuple of Mapping
        As in `Evaluation.to_dict`.
    error : str or None
        Why there is no file; all numbers are then NaN.
    """

    key: str
    codec: str
    preset: str
    quality_db: float
    nbytes: int = 0
    ratio: float = math.nan
    bpppb: float = math.nan
    psnr_db: float = math.nan
    ssim: float = math.nan
    max_error: float = math.nan
    encode_seconds: float = math.nan
    decode_seconds: float = math.nan
    sets: Mapping[str, float] = field(default_factory=dict)
    file: str = ""
    command: str = ""
    groups: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None

    def __post_init__(self) -> None:
        # JSON holds "inf" and "nan" as strings.
        for name in _NUMBERS:
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "sets", {k: float(v) for k, v in self.sets.items()})
        object.__setattr__(self, "groups", tuple(self.groups))


_NUMBERS = (
    "quality_db", "ratio", "bpppb", "psnr_db", "ssim", "max_error", "encode_seconds",
    "decode_seconds",
)  # fmt: skip
_COLUMNS = ("codec", "preset", "quality_db", "nbytes", *_NUMBERS[1:], "file", "command", "error")


def point_of(task: Task, report: Report, found: Evaluation) -> SweepPoint:
    """Sum up an encoding and its evaluation."""
    lossy = [group for group in found.groups if not group.exact]
    return SweepPoint(
        key=task.key,
        codec=task.codec,
        preset=task.preset,
        quality_db=task.quality_db,
        nbytes=report.nbytes,
        ratio=report.ratio,
        bpppb=report.bpppb,
        psnr_db=min(report.set_psnr_db.values(), default=math.nan),
        ssim=min((group.ssim for group in lossy), default=math.nan),
        max_error=max((group.max_error for group in lossy), default=math.nan),
        encode_seconds=report.encode_seconds,
        decode_seconds=sum(group.decode_seconds for group in report.groups),
        sets=dict(report.set_psnr_db),
        file=f"cubes/{task.file_name}",
        groups=tuple(found.to_dict()["groups"]),
    )


def command(task: Task, source: str, options: Mapping[str, Any]) -> str:
    """Write the command that makes a point."""
    made = f"{task.codec}-{task.preset}-{task.quality_db:g}.mp4"
    words = ["xvcomp", "encode", source, made, "--codec", task.codec]
    words += ["--preset", task.preset, "--quality", f"{task.quality_db:g}"]
    for name, value in options.items():
        if name in _FLAGS and value is not None:
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            words += [_FLAGS[name], ",".join(map(str, value)) if listed else str(value)]
    words += ["--per-variable"] if options.get("per_variable") else []
    words += ["--no-klt"] if options.get("transform") == "none" else []
    return shlex.join(words)


def pareto(points: Iterable[SweepPoint]) -> tuple[SweepPoint, ...]:
    """Return the points that none beats in both bpppb and PSNR, by rising bpppb."""
    usable = [p for p in points if not (math.isnan(p.bpppb) or math.isnan(p.psnr_db))]
    best, front = -math.inf, []
    for point in sorted(usable, key=lambda p: (p.bpppb, -p.psnr_db)):
        if point.psnr_db > best:
            best = point.psnr_db
            front.append(point)
    return tuple(front)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """All points of a sweep.

    Parameters
    ----------
    source : str
        Name of the cube, as it stands in the commands.
    folder : Path
        Holds ``points.jsonl`` (the journal), ``sweep.json``, ``sweep.csv``,
        ``report.html`` and the cube files.
    points : tuple of SweepPoint
        By codec, preset and quality; those with ``error`` have no numbers.
    context : Mapping
        Versions, cores per job, the cube's dims and sizes.
    """

    source: str
    folder: Path
    points: tuple[SweepPoint, ...]
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def front(self) -> tuple[SweepPoint, ...]:
        """The points that no other beats in both bpppb and PSNR."""
        return pareto(self.points)

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON (infinite values as they are)."""
        return {
            "schema": 1,
            "source": self.source,
            "context": dict(self.context),
            "points": [asdict(point) for point in self.points],
            "front": [point.key for point in self.front],
        }

    def to_csv(self) -> str:
        """Return one line per point."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in self.points)
        return text.getvalue()

    def to_pandas(self) -> Any:
        """Return a table with one row per point.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(f"to_pandas needs pandas: pip install pandas ({error})") from error
        rows = [{name: getattr(point, name) for name in _COLUMNS} for point in self.points]
        return pd.DataFrame(rows, columns=list(_COLUMNS))
