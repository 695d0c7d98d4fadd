"""What each preset costs and gives: a table from the measured curves and speeds.

``python -m benchmarks.presets --out benchmarks/results/presets.json``

Reads the committed results of ``rate_distortion.run`` (curves of the presets and of the
published recipe) and of ``rate_distortion.speed``; measures nothing itself.
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .rate_distortion.bdrate import bd_rate
from .rate_distortion.cubes import RD_CUBES
from .rate_distortion.points import Results
from .rate_distortion.tables import SEED, curve

__all__ = ["presets_table"]

RESULTS = Path(__file__).parent / "rate_distortion" / "results"
PRESETS = ("fast", "balanced", "best")


def _bd_rates(results: Results, preset: str) -> dict[str, float]:
    found = {}
    for cube in RD_CUBES:
        own, seed = curve(results, cube, (f"xvcomp-{preset}",)), curve(results, cube, SEED)
        if len(own) < 4 or len(seed) < 4:
            continue
        rate = bd_rate(seed, own)
        if np.isfinite(rate):
            found[cube] = round(rate, 2)
    return found


def _speeds(speed: dict[str, Any], preset: str) -> dict[str, float]:
    own = [row[f"xvcomp-{preset}"] for row in speed["rows"] if f"xvcomp-{preset}" in row]
    mean = {
        key: round(math.exp(statistics.fmean(math.log(each[key]) for each in own)), 2)
        for key in ("encode_msamples_per_s", "decode_msamples_per_s")
    }
    return {"speed_cubes": len(own), **mean, **speed["vs_seed"][f"xvcomp-{preset}"]}


def presets_table(folder: Path) -> dict[str, Any]:
    """Return, per preset, BD-rates against the recipe's best front in percent, and speeds."""
    results = Results.read(
        folder / "baselines.json", *(folder / f"xvcomp_{preset}.json" for preset in PRESETS)
    )
    speed_file = folder / "speed.json"
    speed = json.loads(speed_file.read_text(encoding="utf-8")) if speed_file.exists() else None
    table = {}
    for preset in PRESETS:
        rates = _bd_rates(results, preset)
        row: dict[str, Any] = {
            "bd_rate_mean": round(statistics.fmean(rates.values()), 2),
            "bd_rate": rates,
        }
        table[preset] = row | (_speeds(speed, preset) if speed else {})
    return table


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    whole = {
        "command": " ".join(["python -m benchmarks.presets", *sys.argv[1:]]),
        "from": ["baselines.json", *(f"xvcomp_{p}.json" for p in PRESETS), "speed.json"],
        "presets": presets_table(given.results),
    }
    given.out.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(whole["presets"], indent=1))


if __name__ == "__main__":
    main()
