"""How fast presets encode and decode beside the published recipe, in one run, as ratios.

``python -m benchmarks.rate_distortion.speed --data DIR --out FILE [--cubes A B]``

All coders take turns on each cube, at settings of about the same PSNR. Each point runs in
a process of its own, which has loaded its libraries and encoded once before the clock
starts; the best of ``ROUNDS`` counts. xvcomp's encode time includes its trials, the
decoding of all that was written, and the comparison with the original. Decoding is all that
a user of the coder calls: for xvcomp a Dataset loaded from a file, for the recipe unscaled bands.
"""

import json
import math
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from .coder import Coder, Setting
from .cubes import RD_CUBES, Cube
from .isolate import run_isolated
from .rows import Row, measure_rows, options

__all__ = ["ratios", "timed"]

ROUNDS = 2
CODER_NAMES = ("seed", "xvcomp-fast", "xvcomp-balanced", "xvcomp-best")
SLOW = "xvcomp-best"
_CRF = 12
"""Near 45 dB on most cubes, where nothing is dominated by what never changes."""
_QUALITY_DB = 44


def _setting(coder: str) -> Setting:
    return {"crf": _CRF} if coder == "seed" else {"quality_db": _QUALITY_DB}


def timed(cube: Cube, coder: Coder, setting: Setting) -> dict[str, float]:
    """Return Msamples/s of encoding and decoding."""
    _ = cube.filled_stored  # derived once, so that no coder pays for it

    def once() -> tuple[float, float]:
        start = perf_counter()
        encoded = coder.encode(cube, setting)
        middle = perf_counter()
        (encoded.read or encoded.decode)()
        return middle - start - encoded.overhead_seconds, perf_counter() - middle

    def work() -> list[tuple[float, float]]:
        once()
        return [once() for _ in range(ROUNDS)]

    found = run_isolated(work)
    encode, decode = (min(each) for each in zip(*found, strict=True))
    return {
        "encode_msamples_per_s": cube.samples / encode / 1e6,
        "decode_msamples_per_s": cube.samples / decode / 1e6,
    }


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each coder's speed over the recipe's: the geometric mean over the cubes."""
    found = {}
    for name in CODER_NAMES[1:]:
        pairs = [(row[name], row["seed"]) for row in rows if name in row]
        if not pairs:
            continue
        found[name] = {
            key.replace("msamples_per_s", "vs_seed"): round(
                math.exp(statistics.fmean(math.log(own[key] / seed[key]) for own, seed in pairs)), 3
            )
            for key in ("encode_msamples_per_s", "decode_msamples_per_s")
        }
    return found


def _row(cube: Cube, slow: Sequence[str]) -> Row:
    from .run import CODERS

    chosen = [name for name in CODER_NAMES if name != SLOW or cube.name in slow]
    return {name: timed(cube, CODERS[name], _setting(name)) for name in chosen}


def main() -> None:
    """Measure all cubes, writing after each."""
    parser = options(__doc__)
    what = f"cubes on which {SLOW}, which takes minutes, is measured, too; default all"
    parser.add_argument("--slow-cubes", nargs="*", default=RD_CUBES, help=what)
    given = parser.parse_args()
    whole = measure_rows(
        given, lambda cube: _row(cube, given.slow_cubes), lambda rows: {"vs_seed": ratios(rows)}
    )
    print(json.dumps(whole["vs_seed"], indent=1))


if __name__ == "__main__":
    main()
