"""One measured point, and the JSON file that keeps them."""

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .coder import Setting
from .cubes import Cube

__all__ = ["Errors", "Point", "Results", "measure_errors", "run_record"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """Errors over the valid samples, unpacked; ``psnr_db`` is infinite without error."""

    psnr_db: float
    max_error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What one coder did on one cube at one setting.

    ``failed`` says why there are no figures; otherwise it is empty.
    """

    cube: str
    coder: str
    setting: Setting
    versions: dict[str, str]
    nbytes: int = 0
    bpppb: float = math.nan
    psnr_db: float = math.nan
    peak: float = math.nan
    max_error: float = math.nan
    encode_s: float = math.nan
    decode_s: float = math.nan
    samples: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    failed: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a newer measurement replaces."""
        return self.cube, self.coder, json.dumps(dict(self.setting), sort_keys=True)


def measure_errors(cube: Cube, decoded: NDArray[np.float64]) -> Errors:
    """Compare unpacked values with the cube's, in float64, over its valid samples.

    Raises
    ------
    ValueError
        If the shape differs, or a valid sample came back as NaN or infinity.
    """
    if decoded.shape != cube.reference.shape:
        raise ValueError(f"decoded shape {decoded.shape}, the cube has {cube.reference.shape}")
    error = (decoded - cube.reference)[cube.valid]
    if not np.isfinite(error).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(error))} valid samples are not finite")
    mse = float(np.square(error).mean())
    psnr_db = 10 * math.log10(cube.peak**2 / mse) if mse else math.inf
    return Errors(psnr_db=psnr_db, max_error=float(np.abs(error).max()))


@dataclass
class Results:
    """Points by key, with the commands and machines that made them."""

    points: dict[tuple[str, str, str], Point]
    runs: list[dict[str, Any]]

    @classmethod
    def read(cls, *paths: Path) -> Self:
        """Read and merge files; of equal keys the last file's wins. Absent files are empty."""
        points, runs = {}, []
        for path in filter(Path.is_file, paths):
            content = json.loads(path.read_text())
            runs += content["runs"]
            loaded = (Point(**_from_json(entry)) for entry in content["points"])
            points.update({point.key: point for point in loaded})
        return cls(points=points, runs=runs)

    def has(self, point: Point) -> bool:
        """Whether the same point was measured, and did not fail, with the same versions."""
        known = self.points.get(point.key)
        return known is not None and not known.failed and known.versions == point.versions

    def add(self, point: Point) -> None:
        """Add a point, in place of an older one."""
        self.points[point.key] = point

    def of(self, cube: str, coders: Iterable[str]) -> list[Point]:
        """Return the points of some coders on a cube that did not fail."""
        wanted = set(coders)
        return [
            point
            for point in self.points.values()
            if point.cube == cube and point.coder in wanted and not point.failed
        ]

    def write(self, path: Path) -> None:
        """Write one point a line, so that differences are readable; rename into place."""
        lines = ",\n".join(
            json.dumps(_to_json(asdict(self.points[key]))) for key in sorted(self.points)
        )
        runs = ",\n".join(json.dumps(run) for run in self.runs)
        text = f'{{"runs": [\n{runs}\n],\n"points": [\n{lines}\n]}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(path)


_FLOATS = ("bpppb", "psnr_db", "peak", "max_error", "encode_s", "decode_s")


def _to_json(entry: dict[str, Any]) -> dict[str, Any]:
    """Round to six digits; JSON has neither infinity (``"inf"``) nor NaN (null)."""
    for name in _FLOATS:
        value = entry[name]
        entry[name] = _plain(value)
    return entry


def _plain(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else float(f"{value:.6g}")


def _from_json(entry: dict[str, Any]) -> dict[str, Any]:
    for name in _FLOATS:
        entry[name] = math.nan if entry[name] is None else float(entry[name])
    return entry


def run_record(arguments: Sequence[str]) -> dict[str, Any]:
    """Describe a run: its command without the data folder, this machine, and how busy it is."""
    words = list(arguments)
    if "--data" in words:
        at = words.index("--data")
        del words[at : at + 2]
    return {
        "command": " ".join(words),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_name(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 1),
        "nice": os.nice(0),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
