"""What a batch is made of: cubes to make, what came of each, and the whole of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = ["BatchProgress", "BatchResult", "CubeResult", "FailureKind", "Item", "Task"]

FailureKind = Literal[
    "input", "target", "encoder", "promise", "crash", "memory", "time", "lost", "disk", "internal"
]
"""Why a cube could not be made.

``input``: it cannot be read, or is no cube; ``target``: out of reach; ``encoder``: an
encoder gave up; ``promise``: the finished file did not keep it; ``crash``: the encoding
process died; ``memory``, ``time``: it took more than it may; ``lost``: its workers
vanished, which is tried again at the next start; ``disk``: nothing can be written, which
stops the batch; ``internal``: an error in xvcomp.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A cube that is to be made: its name in the result, and where it comes from."""

    id: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a Dask worker has to know of a job; the rest is for the process that does it.

    Parameters
    ----------
    key, id, source : str
        As in `CubeResult`.
    folder : str
        Where the file ``<key>.mp4`` is left.
    """

    key: str
    id: str
    source: str
    folder: str

    @property
    def path(self) -> Path:
        """The cube file."""
        return Path(self.folder) / f"{self.key}.mp4"

    def failed(self, kind: FailureKind, reason: str) -> "CubeResult":
        """Return the result of a failure."""
        text = " ".join(reason.split())
        return CubeResult(key=self.key, id=self.id, source=self.source, kind=kind, reason=text)


@dataclass(frozen=True, kw_only=True, slots=True)
class CubeResult:
    """One cube as it was measured on the finished file, or why there is none.

    Parameters
    ----------
    key : str
        Stands for the source's content, the options and the version of xvcomp.
    id, source : str
    sha256 : str
        Of the cube file.
    nbytes, raw_nbytes, source_nbytes : int
        Of the cube file, of the arrays in memory, and of the source where it lies
        (0 when not known).
    ratio : float
        ``raw_nbytes`` over ``nbytes``.
    bpppb, psnr_db, max_error : float
        The PSNR of the quality set that came back worst, the largest error of any lossy
        variable; NaN where nothing is lossy.
    seconds : float
        Of encoding and verification.
    notes : tuple of str
    kind, reason : str or None
        What went wrong, and a sentence; ``None`` for a cube that was made.
    """

    key: str
    id: str
    source: str
    sha256: str = ""
    nbytes: int = 0
    raw_nbytes: int = 0
    source_nbytes: int = 0
    ratio: float = math.nan
    bpppb: float = math.nan
    psnr_db: float = math.nan
    max_error: float = math.nan
    seconds: float = math.nan
    notes: tuple[str, ...] = ()
    kind: FailureKind | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        # JSON holds "inf" and "nan" as strings.
        for name in ("ratio", "bpppb", "psnr_db", "max_error", "seconds"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "notes", tuple(self.notes))
        if self.kind is not None and self.kind not in get_args(FailureKind):
            raise ValueError(f"no kind of failure {self.kind!r}")

    @property
    def failed(self) -> bool:
        """Whether there is no file."""
        return self.kind is not None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON (infinite values as they are)."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Parameters
    ----------
    stage : {"list", "check", "encode", "assemble", "report"}
    done, failed, total : int
        Cubes; ``done`` holds those that were there already, ``failed`` is apart from it.
    fresh : int
        Cubes made or failed since this start.
    raw_nbytes, nbytes : int
        Of all done cubes: in memory, and as files.
    seconds : float
        Since the first cube was at work, or else since this start.
    latest : CubeResult or None
        The cube that the update is about.
    """

    stage: str
    done: int = 0
    failed: int = 0
    total: int = 0
    fresh: int = 0
    raw_nbytes: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    latest: CubeResult | None = None

    @property
    def cubes_per_second(self) -> float:
        """Rate since this start; 0 while nothing is known."""
        return self.fresh / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest will take at the rate so far."""
        left = self.total - self.done - self.failed
        return left / self.cubes_per_second if self.fresh else None

    @property
    def ratio(self) -> float:
        """How many times smaller the files are than the arrays."""
        return self.raw_nbytes / self.nbytes if self.nbytes else math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult:
    """A finished batch.

    Parameters
    ----------
    out : Path
        The folder of cube files, or the dataset.
    files : tuple of Path
        The dataset or its parts; empty for a folder.
    cubes : tuple of CubeResult
        All that were asked for, failed ones included, by id.
    made : int
        Cubes encoded since this start; the others were there already.
    seconds : float
        Since this start.
    report_html, report_json : Path
    context : Mapping
        Versions, workers, options.
    """

    out: Path
    files: tuple[Path, ...]
    cubes: tuple[CubeResult, ...]
    made: int
    seconds: float
    report_html: Path
    report_json: Path
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> tuple[CubeResult, ...]:
        """The cubes that were made."""
        return tuple(cube for cube in self.cubes if not cube.failed)

    @property
    def failures(self) -> tuple[CubeResult, ...]:
        """The cubes that could not be made."""
        return tuple(cube for cube in self.cubes if cube.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON (infinite values as they are)."""
        raw, nbytes = sum(c.raw_nbytes for c in self.done), sum(c.nbytes for c in self.done)
        return {
            "schema": 1,
            "out": str(self.out),
            "files": [path.name for path in self.files],
            "cubes_done": len(self.done),
            "cubes_failed": len(self.failures),
            "made": self.made,
            "seconds": self.seconds,
            "raw_nbytes": raw,
            "nbytes": nbytes,
            "ratio": raw / nbytes if nbytes else math.nan,
            "context": dict(self.context),
            "failures": [
                {"id": c.id, "source": c.source, "kind": c.kind, "reason": c.reason}
                for c in self.failures
            ],
            "cubes": [c.to_dict() for c in self.done],
        }
