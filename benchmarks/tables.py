"""Rewrite the measured tables of the documents from the committed results.

::

    python -m benchmarks.tables            # rewrites README.md and pages of xvcomp/docs

A table stands between ``<!-- table: NAME -->`` and ``<!-- end: NAME -->``. Tables whose
results are not there yet are left as they are.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .rate_distortion.bdrate import bd_rate
from .rate_distortion.bounds_table import ratios
from .rate_distortion.cubes import FRACTIONS
from .rate_distortion.points import Results
from .rate_distortion.tables import SEED, curve

__all__ = ["DOCUMENTS", "TABLES", "rewritten"]

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    ROOT / "README.md",
    *(ROOT / "xvcomp" / "docs" / name for name in ("settings.md", "batch.md")),
)
ACCESS = Path("benchmarks/access/results")
RD = Path("benchmarks/rate_distortion/results")
BATCH = Path("benchmarks/batch/results/many.json")
PRESETS = Path("benchmarks/results/presets.json")

_NOTHING = "–"
_RATES = (0.1, 0.2, 0.5)
_CUBES = {
    "be1_10bands": "Sentinel-2, 10 bands, 118 dates (peak 10000)",
    "be1_4bands": "Sentinel-2, 4 bands at 10 m (peak 10000)",
    "t2m": "ERA5 2 m temperature, hourly",
    "s1": "Sentinel-1 VV, VH",
    "globcurrent": "surface currents u, v",
    "earthnet": "Sentinel-2 minicube, 4 bands (EarthNet2021)",
    "ndvi": "Sentinel-2 NDVI",
    "modis": "MODIS NDVI, EVI",
    "erai_uv": "ERA-Interim wind u, v on levels",
    "erai_z": "ERA-Interim geopotential on levels",
    "glosea4": "surface temperature, 13 members",
    "knmi": "precipitation radar, Netherlands",
    "mrms": "precipitation radar, United States",
    "seviri": "Meteosat high-resolution visible, 5 minutes",
    "seviri_hrv_5min_a": "Meteosat high-resolution visible",
    "s2_worldcereal_be1": "Sentinel-2, 4 bands at 10 m",
    "era5_t2m_uk_hourly": "ERA5 2 m temperature, hourly",
    "ocean_globcurrent_agulhas": "surface currents u, v",
}
_README_CUBES = ("be1_10bands", "t2m", "s1", "globcurrent", "earthnet", "ndvi")
_PEERS = ("sz3", "sperr", "zfp", "blosc-zstd", "pcodec")


def rd_table(root: Path) -> str | None:
    """Tell PSNR at some rates and BD-rate, against the paper's recipe."""
    files = (root / RD / "baselines.json", root / RD / "xvcomp_balanced.json")
    if not all(path.is_file() for path in files):
        return None
    results, rows = Results.read(*files), []
    for cube in _README_CUBES:
        seed, own = curve(results, cube, SEED), curve(results, cube, ("xvcomp-balanced",))
        if min(len(seed), len(own)) < 4:
            continue
        gain = f"{bd_rate(seed, own):+.0f} %"
        rows.append([_CUBES[cube], "paper's recipe", *_psnrs(seed), ""])
        rows.append(["", "xvcomp balanced", *_psnrs(own), gain])
    return _markdown(["cube", "coder", *map(str, _RATES), "BD-rate"], rows)


def _psnrs(front: Sequence[tuple[float, float]]) -> list[str]:
    rates, psnrs = np.array(front).T
    at = np.interp(np.log(_RATES), np.log(rates), psnrs, left=np.nan, right=np.nan)
    return [f"{value:.1f}" if np.isfinite(value) else _NOTHING for value in at]


def gops_table(root: Path) -> str | None:
    """Tell what a GOP length costs in rate, and what it gives a reader of one frame."""
    measured = _load(root / ACCESS / "gops.json")
    if measured is None:
        return None
    rows = []
    for cube in measured:
        size = " x ".join(map(str, cube["shape"]))
        for number, row in enumerate(cube["rows"]):
            name = f"{_CUBES[cube['cube']]}, {size}" if number == 0 else ""
            cost = f"{100 * (row['rate_vs_whole'] - 1):+.0f} %"
            rows.append([name, str(row["gop"]), cost, f"{row['frame_ms']:.1f}"])
    return _markdown(["cube (45 dB, preset fast)", "GOP", "rate", "one frame, ms"], rows)


def throughput_table(root: Path) -> str | None:
    """Tell decoding speeds in one thread, against the bare video decoder."""
    measured = _load(root / ACCESS / "throughput.json")
    if measured is None:
        return None
    rows = [
        [
            _CUBES[cube],
            found["codec"],
            f"{found['pipeline_msamples_per_s']:.0f}",
            f"{found['bare_msamples_per_s']:.0f}",
            f"{100 * found['pipeline_vs_bare']:.0f} %",
        ]
        for cube, found in measured.items()
    ]
    heads = ["cube", "codec", "samples, Msamples/s", "bare FFmpeg, Msamples/s", "share"]
    return _markdown(heads, rows)


def bounds_table(root: Path) -> str | None:
    """Tell bytes under the same bound, as a share of the best peer's."""
    files = [root / RD / name for name in ("bounds_peers.json", "bounds_xvcomp.json")]
    if not all(path.is_file() for path in files):
        return None
    points = [p for path in files for p in json.loads(path.read_text(encoding="utf-8"))["points"]]
    rows = []
    for cube in dict.fromkeys(p["cube"] for p in points):
        best = [peer for _, peer in ratios(points, cube, "xvcomp-balanced")]
        if len(best) == len(FRACTIONS) + 1 and any(value is not None for value in best):
            cells = [_NOTHING if value is None else f"{value:.2f}" for value in best]
            rows.append([_CUBES[cube], *cells])
    heads = [f"{100 * fraction:g} %" for fraction in FRACTIONS]
    return _markdown(["cube", *heads, "lossless"], rows)


def presets_table(root: Path) -> str | None:
    """Tell rate and speed of each preset; speeds may not be measured yet."""
    measured = _load(root / PRESETS)
    if measured is None:
        return None
    columns = {
        "speed_cubes": "speed on",
        "encode_msamples_per_s": "encode, Msamples/s",
        "encode_vs_seed": "encode / paper's recipe",
        "decode_msamples_per_s": "decode, Msamples/s",
    }
    presets = measured["presets"]
    known = {key: head for key, head in columns.items() if all(key in p for p in presets.values())}
    rows = [
        [
            preset,
            f"{found['bd_rate_mean']:+.1f} %",
            str(len(found["bd_rate"])),
            *(f"{found[key]:.2f}" if key != "speed_cubes" else str(found[key]) for key in known),
        ]
        for preset, found in presets.items()
    ]
    return _markdown(["preset", "BD-rate (mean)", "cubes", *known.values()], rows)


def batch_table(root: Path) -> str | None:
    """Tell how a batch of many small cubes went, undisturbed and killed."""
    measured = _load(root / BATCH)
    if measured is None:
        return None
    once, run = measured["undisturbed"], measured["run"]
    wrong = ("missing_after_kills", "doubled_after_kills", "different_after_kills")
    rows = [
        ["cubes", f"{measured['count']:,}, {len(measured['failures'])} of them only gaps"],
        ["cores", f"{run['cores']}, {100 * once['busy_share_mean']:.0f} % busy on average"],
        ["speed", f"{measured['cubes_per_second']:.1f} cubes/s, verified and put together"],
        ["memory of all processes", f"{once['rss_peak'] / 1e9:.2f} GB at most"],
        [
            f"after {measured['killed']['killed']} times SIGKILL",
            ", ".join(f"{len(measured[key])} {key.split('_')[0]}" for key in wrong),
        ],
    ]
    return _markdown(["what", "measured"], rows)


TABLES: Mapping[str, Callable[[Path], str | None]] = {
    "rd": rd_table,
    "gops": gops_table,
    "throughput": throughput_table,
    "bounds": bounds_table,
    "presets": presets_table,
    "batch": batch_table,
}


def rewritten(text: str, root: Path = ROOT) -> str:
    """Return a document with its tables as the results under ``root`` have them."""

    def table(found: re.Match[str]) -> str:
        made = TABLES[found["name"]](root)
        return found[0] if made is None else f"{found['start']}{made}{found['end']}"

    pattern = r"(?P<start><!-- table: (?P<name>\w+) -->\n).*?(?P<end><!-- end: (?P=name) -->)"
    return re.sub(pattern, table, text, flags=re.S)


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Rewrite the documents."""
    for path in DOCUMENTS:
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
