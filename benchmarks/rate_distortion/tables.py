"""Markdown tables from measured points."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from .bdrate import bd_rate, best_front, rate_at
from .points import Point, Results

__all__ = [
    "SEED",
    "bd_rate_table",
    "bounds_table",
    "curve",
    "equal_psnr_table",
    "psnr_table",
    "speed_table",
]

SEED = ("seed", "seed-pca")
"""The reference front is the best of the recipe with and without its PCA."""

_RATES = (0.05, 0.1, 0.2, 0.5, 1.0)
_PSNRS_DB = (35, 40, 45, 50, 55, 60, 65, 70, 75)
_NOTHING = "–"

RdPoint = tuple[float, float]


def curve(results: Results, cube: str, coders: Iterable[str]) -> list[RdPoint]:
    """Return the best front of some coders together, and of their variants, on a cube."""
    variants: dict[tuple[str, str], list[RdPoint]] = defaultdict(list)
    for point in results.of(cube, coders):
        variant = (point.coder, str(point.setting.get("shape")))
        variants[variant].append((point.bpppb, point.psnr_db))
    return best_front(variants.values())


def bd_rate_table(results: Results, coders: Sequence[str]) -> str:
    """Compare each coder with the seed's best front; the mean is over the cubes that have both."""
    cubes = _cubes(results)
    columns = {
        coder: [_bd_rate(results, cube, SEED, (coder,)) for cube in cubes] for coder in coders
    }
    columns = {coder: values for coder, values in columns.items() if np.isfinite(values).any()}
    rows = [
        [cube, *(_percent(values[i]) for values in columns.values())]
        for i, cube in enumerate(cubes)
    ]
    means = [_percent(float(np.nanmean(values))) for values in columns.values()]
    return _table(["cube", *columns], [*rows, ["**mean**", *means]])


def psnr_table(results: Results, coders: Sequence[str]) -> str:
    """Tell the PSNR in dB at given rates, for the seed's front and some coders."""
    names = {"seed front": SEED, **{coder: (coder,) for coder in coders}}
    rows = []
    for cube in _cubes(results):
        for label, members in names.items():
            front = curve(results, cube, members)
            if len(front) >= 2:
                rows.append([cube, label, *(_number(_psnr_at(front, r), ".1f") for r in _RATES)])
    return _table(["cube", "coder", *(f"{rate} bpppb" for rate in _RATES)], rows)


def equal_psnr_table(results: Results, test: str, peers: Sequence[str]) -> str:
    """Tell the worst ratio of ``test``'s bits to each peer's at equal PSNR, 35 to 75 dB."""
    rows = []
    for cube in _cubes(results):
        ours = curve(results, cube, (test,))
        rows.append([cube, *(_worst_ratio(ours, curve(results, cube, (p,))) for p in peers)])
    return _table(["cube", *(f"{test} / {peer}" for peer in peers)], rows)


def speed_table(results: Results, coders: Sequence[str]) -> str:
    """Tell Msamples/s: the geometric mean over the cubes of each cube's total speed."""
    rows = []
    for coder in coders:
        speeds = [_speeds(results.of(cube, (coder,))) for cube in _cubes(results)]
        found = np.array([pair for pair in speeds if pair])
        if found.size:
            encode, decode = np.exp(np.log(found).mean(axis=0))
            rows.append([coder, f"{encode:.1f}", f"{decode:.1f}", str(len(found))])
    return _table(["coder", "encode Msamples/s", "decode Msamples/s", "cubes"], rows)


def bounds_table(results: Results, coders: Sequence[str], test: str) -> str:
    """Tell bpppb at each bound, the smallest of a coder's variants that kept the bound.

    ``sz3`` is what SZ3 gives when it is handed the bound; ``sz3 widened`` also uses the rounding
    to the stored integers.
    """
    columns = _bound_columns(coders)
    rows = []
    for cube, bound in sorted({(p.cube, p.setting["bound"]) for p in _bounded(results)}):
        points = [p for p in _bounded(results) if (p.cube, p.setting["bound"]) == (cube, bound)]
        best = {name: _smallest(filter(keep, points)) for name, keep in columns.items()}
        ratio = best.get(test, np.nan) / best["sz3"]
        peak = points[0].peak
        sizes = [_number(value, ".3f") for value in best.values()]
        rows.append([cube, f"{float(bound) / peak:.2%}", *sizes, _number(ratio, ".2f")])
    return _table(["cube", "bound / peak", *columns, f"{test} / sz3"], rows)


def _bound_columns(coders: Sequence[str]) -> dict[str, Callable[[Point], bool]]:
    columns: dict[str, Callable[[Point], bool]] = {}
    for coder in coders:
        if coder == "sz3":
            columns["sz3"] = lambda p: p.coder == "sz3" and "widened" not in p.setting
            columns["sz3 widened"] = lambda p: p.coder == "sz3" and "widened" in p.setting
        else:
            columns[coder] = partial(_is_by, coder)
    return columns


def _is_by(coder: str, point: Point) -> bool:
    return point.coder == coder


def _bounded(results: Results) -> list[Point]:
    return [p for p in results.points.values() if "bound" in p.setting and not p.failed]


def _smallest(points: Iterable[Point]) -> float:
    """Return the smallest rate among points that kept their bound, NaN if there is none."""
    # Bounds are written with six digits, and float32 coders check them in float32.
    kept = [p.bpppb for p in points if p.max_error <= float(p.setting["bound"]) * (1 + 1e-5)]
    return min(kept, default=np.nan)


def _cubes(results: Results) -> list[str]:
    return list(dict.fromkeys(point.cube for point in results.points.values()))


def _bd_rate(results: Results, cube: str, reference: Sequence[str], test: Sequence[str]) -> float:
    """Return the BD-rate, NaN where there is nothing to compare."""
    try:
        return bd_rate(curve(results, cube, reference), curve(results, cube, test))
    except ValueError:
        return np.nan


def _psnr_at(front: Sequence[RdPoint], rate: float) -> float:
    rates, psnrs = np.array(front).T
    return float(np.interp(np.log(rate), np.log(rates), psnrs, left=np.nan, right=np.nan))


def _worst_ratio(ours: Sequence[RdPoint], theirs: Sequence[RdPoint]) -> str:
    if min(len(ours), len(theirs)) < 2:
        return _NOTHING
    ratios = {db: rate_at(ours, db) / rate_at(theirs, db) for db in _PSNRS_DB}
    shared = {db: ratio for db, ratio in ratios.items() if np.isfinite(ratio)}
    if not shared:
        return _NOTHING
    worst = max(shared, key=lambda db: shared[db])
    return f"{shared[worst]:.2f} (at {worst} dB)"


def _speeds(points: Sequence[Point]) -> tuple[float, float] | None:
    if not points:
        return None
    samples = sum(p.samples for p in points) / 1e6
    return samples / sum(p.encode_s for p in points), samples / sum(p.decode_s for p in points)


def _percent(value: float) -> str:
    return _number(value, "+.1f", " %")


def _number(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if np.isfinite(value) else _NOTHING


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
