"""Compare bytes under the same bounds: one row per cube, ratios to the best peer and to SZ3.

``python -m benchmarks.rate_distortion.bounds_table FILE.json ... [--coder xvcomp-balanced]``
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cubes import FRACTIONS

__all__ = ["bound_table", "ratios"]

_BOUNDED = ("sz3", "sperr", "zfp")
_LOSSLESS = ("blosc-zstd", "pcodec")
_SLACK = 1 + 1e-6

Points = Sequence[Mapping[str, Any]]


def ratios(points: Points, cube: str, coder: str) -> list[tuple[float | None, float | None]]:
    """Return (to SZ3, to the best peer) for each bound, then the same without loss.

    Of a peer's variants the smallest that keeps the bound counts. ``None`` is not measured.
    """
    own = [p for p in points if p["cube"] == cube and not p["failed"]]
    bounds = sorted({p["setting"]["bound"] for p in own if "bound" in p["setting"]}, reverse=True)
    rows = []
    for bound in bounds[: len(FRACTIONS)]:
        kept = [p for p in own if _keeps(p, bound)]
        mine = _smallest(kept, (coder,))
        rows.append(
            (_over(mine, _smallest(kept, ("sz3",))), _over(mine, _smallest(kept, _BOUNDED)))
        )
    exact = [p for p in own if "lossless" in p["setting"]]
    mine = _smallest(exact, (coder,))
    best = _over(mine, _smallest(exact, _LOSSLESS))
    return [*rows, (best, best)]


def _keeps(point: Mapping[str, Any], bound: float) -> bool:
    return point["setting"].get("bound") == bound and point["max_error"] <= bound * _SLACK


def _smallest(points: Points, coders: Sequence[str]) -> int | None:
    return min((p["nbytes"] for p in points if p["coder"] in coders), default=None)


def _over(mine: int | None, theirs: int | None) -> float | None:
    return None if mine is None or theirs is None else mine / theirs


def bound_table(points: Points, coder: str) -> str:
    """Write a Markdown table."""
    heads = [f"{fraction:.2%}" for fraction in FRACTIONS] + ["lossless"]
    lines = ["| cube | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    seen: list[float] = []
    for cube in dict.fromkeys(p["cube"] for p in points):
        row = ratios(points, cube, coder)
        seen += [best for _, best in row[:-1] if best is not None]
        cells = ["–" if best is None else f"{best:.3f}" for _, best in row]
        lines.append(f"| {cube} | " + " | ".join(cells) + " |")
    if seen:
        lines.append(f"\nBounded: mean {statistics.fmean(seen):.3f}, worst {max(seen):.3f}.")
    return "\n".join(lines)


def main() -> None:
    """Print the table of the given files."""
    parser = argparse.ArgumentParser(description="Compare bytes under error bounds.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--coder", default="xvcomp-balanced")
    arguments = parser.parse_args()
    points = [p for file in arguments.files for p in json.loads(file.read_text())["points"]]
    print(bound_table(points, arguments.coder))


if __name__ == "__main__":
    main()
