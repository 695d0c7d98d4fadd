"""Whether targets are met, and how many encodes that takes: PSNR and bpppb over real cubes.

``XVCOMP_DATA=folder python -m benchmarks.promises --out promises.json [--cubes A B]
[--preset P] [--psnr 35 45] [--bpppb 0.1] [--again]``

Every number is taken from the verified file. What is in the output file already, for the
same cube, target, preset and version, is kept; ``--again`` measures it once more.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import xvcomp
from xvcomp.sources import open_source

__all__ = ["Outcome", "measure", "psnr_status", "size_status", "summary"]

PSNR_DB = (35.0, 45.0, 55.0)
BPPPB = (0.05, 0.1, 0.5, 1.0)
PSNR_WINDOW_DB = 0.25
SIZE_WINDOW = 0.95
_PACKAGES = ("av", "numpy", "xarray", "pcodec")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One target on one cube.

    ``status`` is ``hit`` (inside the window), ``above`` (the promise holds, but the file
    is better or smaller than it had to be), ``lossless`` (the same, without any error: nothing
    better exists), ``below`` (the promise is broken) or ``unreachable`` (refused by name).
    ``reached`` is per quality set for PSNR, and one number for bpppb.
    """

    cube: str
    kind: str
    target: float
    preset: str
    version: str
    status: str
    reached: dict[str, float] = field(default_factory=dict)
    encodes: int = 0
    seconds: float = 0.0
    bpppb: float = math.nan
    message: str = ""

    @property
    def key(self) -> tuple[str, str, float, str, str]:
        """What makes two outcomes the same measurement."""
        return self.cube, self.kind, self.target, self.preset, self.version


def psnr_status(reached: Iterable[float], target: float) -> str:
    """Compare the PSNR of all quality sets with the window ``[target, target + 0.25]``."""
    values = list(reached)
    if any(value < target for value in values):
        return "below"
    return "hit" if all(value <= target + PSNR_WINDOW_DB for value in values) else "above"


def size_status(bpppb: float, target: float) -> str:
    """Compare a size with the window ``[0.95 target, target]``."""
    if bpppb > target:
        return "below"
    return "hit" if bpppb >= SIZE_WINDOW * target else "above"


def measure(path: Path, kind: str, target: float, preset: str) -> Outcome:
    """Encode a cube to a target, and read the result off the report."""
    chosen = xvcomp.Psnr(target) if kind == "psnr" else xvcomp.Bpppb(target)
    common: dict[str, Any] = {
        "cube": path.stem,
        "kind": kind,
        "target": target,
        "preset": preset,
        "version": xvcomp.__version__,
    }
    started = perf_counter()
    with open_source(path) as source, tempfile.TemporaryDirectory() as folder:
        try:
            report = xvcomp.encode(
                source, Path(folder) / "cube.mp4", stored=True, target=chosen, preset=preset
            )
        except xvcomp.TargetError as error:
            seconds = perf_counter() - started
            return Outcome(**common, status="unreachable", seconds=seconds, message=str(error))
    if kind == "psnr":
        reached = dict(report.set_psnr_db)
        status = psnr_status(reached.values(), target)
    else:
        reached = {"file": report.bpppb}
        status = size_status(report.bpppb, target)
    if status == "above" and all(group.lossless for group in report.groups):
        status = "lossless"
    return Outcome(
        **common,
        status=status,
        reached=reached,
        encodes=max((g.encodes for g in report.groups if not g.lossless), default=0),
        seconds=perf_counter() - started,
        bpppb=report.bpppb,
    )


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Count hits, and take the median of encodes of what was reachable with an error."""
    ends = ("unreachable", "lossless")
    reachable = [each for each in outcomes if each.status not in ends]
    return {
        "measured": len(outcomes),
        "lossless": sum(each.status == "lossless" for each in outcomes),
        "reachable": len(reachable),
        "hits": sum(each.status == "hit" for each in reachable),
        "broken": sum(each.status == "below" for each in reachable),
        "median_encodes": statistics.median(e.encodes for e in reachable) if reachable else None,
        "most_encodes": max((each.encodes for each in reachable), default=None),
        "seconds": sum(each.seconds for each in outcomes),
    }


def _read(path: Path) -> list[Outcome]:
    if not path.exists():
        return []
    return [_outcome(row) for row in json.loads(path.read_text())["outcomes"]]


def _outcome(row: dict[str, Any]) -> Outcome:
    """Strict JSON holds infinite numbers as strings."""
    reached = {name: float(value) for name, value in row["reached"].items()}
    return Outcome(**(row | {"reached": reached, "bpppb": float(row["bpppb"])}))


def _write(path: Path, outcomes: Sequence[Outcome]) -> None:
    whole = {
        "command": " ".join(["python -m benchmarks.promises", *sys.argv[1:]]),
        "versions": {name: version(name) for name in ("xvcomp", *_PACKAGES)},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "windows": {"psnr_db": PSNR_WINDOW_DB, "bpppb": SIZE_WINDOW},
        "summary": summary(outcomes),
        "outcomes": [_plain(asdict(each)) for each in outcomes],
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _line(each: Outcome) -> str:
    reached = ", ".join(f"{value:.4g}" for value in each.reached.values()) or each.message[:60]
    return (
        f"{each.cube:28s} {each.kind:5s} {each.target:6g} {each.status:11s} "
        f"{each.encodes:3d} encodes {each.seconds:7.1f} s  {reached}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("XVCOMP_DATA"))
    parser.add_argument("--cubes", nargs="*", help="names without .nc [default: all]")
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    parser.add_argument("--psnr", nargs="*", type=float, default=PSNR_DB)
    parser.add_argument("--bpppb", nargs="*", type=float, default=BPPPB)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    if given.data is None:
        parser.error("set XVCOMP_DATA to a folder of cubes, or give --data")
    return given


def main() -> None:
    """Measure what is missing, and print a table."""
    given = _arguments()
    names = given.cubes or sorted(path.stem for path in Path(given.data).glob("*.nc"))
    targets = [("psnr", t) for t in given.psnr] + [("bpppb", t) for t in given.bpppb]
    found = {each.key: each for each in _read(given.out)}
    for name in names:
        for kind, target in targets:
            key = (name, kind, target, given.preset, xvcomp.__version__)
            if key not in found or given.again:
                found[key] = measure(Path(given.data) / f"{name}.nc", kind, target, given.preset)
                _write(given.out, list(found.values()))
            print(_line(found[key]), flush=True)
    for key, value in summary(list(found.values())).items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
