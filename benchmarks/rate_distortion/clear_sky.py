"""PSNR of clear samples at a file size, with the cloud classes of a Sentinel-2 cube ignored.

``python -m benchmarks.rate_distortion.clear_sky --data DIR --out FILE [--preset NAME]``

The cube is the ten bands of be1. Beside them, without loss and counted, the file keeps either
a map of clear and cloudy samples (``mask``) or the whole scene classification (``classes``).
Rates are bits per sample of the ten bands, all bytes of the file counted; the peak is
reflectance 1.0, and only clear, valid samples enter.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xvcomp

from .cubes import Cube, load_cube
from .ours import XVCOMP_PRESETS
from .points import run_record

__all__ = ["clear_psnr_db", "with_classes", "with_mask"]

_RATES = (0.1, 0.2, 0.5, 1.0)
_CLOUDY = (3, 8, 9, 10, 11)
"""Shadows, clouds of medium and high probability, cirrus, snow."""


def clear_psnr_db(
    reference: NDArray[np.float64],
    decoded: NDArray[np.float64],
    counted: NDArray[np.bool_],
    peak: float,
) -> float:
    """Return the PSNR, in dB, over the samples that are counted."""
    error = (reference - decoded)[counted]
    return 10 * math.log10(peak**2 / float(np.mean(np.square(error))))


def with_classes(dataset: xr.Dataset, classes: xr.DataArray) -> tuple[xr.Dataset, dict[str, Any]]:
    """Add the classification, and say what of it is to be ignored."""
    # By position: coordinates that were decoded would not match those that were not.
    return dataset.assign(SCL=(classes.dims, classes.values)), {"SCL": _CLOUDY}


def with_mask(dataset: xr.Dataset, classes: xr.DataArray) -> tuple[xr.Dataset, dict[str, Any]]:
    """Add a map of what is cloudy, and say that this is to be ignored."""
    flags = {"flag_values": np.array([0, 1], "u1"), "flag_meanings": "clear cloudy"}
    cloudy = np.isin(classes.values, _CLOUDY).astype("u1")
    return dataset.assign(cloudy=(classes.dims, cloudy, flags)), {"cloudy": (1,)}


def _measured(cube: Cube, classes: xr.DataArray, keeps: str, rate: float, preset: str) -> Any:
    add = with_mask if keeps == "mask" else with_classes
    dataset, ignored = add(cube.dataset, classes)
    bands = len(cube.variables)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        # The library counts the samples of all coded variables, the map among them.
        target = xvcomp.Bpppb(rate * bands / (bands + 1))
        xvcomp.encode(dataset, path, stored=True, target=target, preset=preset, ignore=ignored)
        nbytes = path.stat().st_size
        with xvcomp.open(path, decode_cf=False) as decoded:
            back = cube.from_dataset(decoded.load())
    clear = ~np.isin(classes.values, _CLOUDY)[:, None]
    db = clear_psnr_db(cube.reference, back, cube.valid & clear, cube.peak)
    return {"asked": rate, "bpppb": round(8 * nbytes / cube.samples, 4), "psnr_db": round(db, 2)}


def main() -> None:
    """Measure all rates, writing after each kind of map."""
    from .run import data_folder

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the cubes; default $XVCOMP_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=XVCOMP_PRESETS, default="best")
    given = parser.parse_args()
    folder = data_folder(given.data)
    cube = load_cube(folder, "be1_10bands")
    with xr.open_dataset(folder / "s2_worldcereal_be1.nc", decode_cf=False) as source:
        classes = source["SCL"].load()
    whole: dict[str, Any] = {"run": run_record(sys.argv[1:]), "preset": given.preset}
    for keeps in ("mask", "classes"):
        whole[keeps] = [_measured(cube, classes, keeps, r, given.preset) for r in _RATES]
        print(keeps, whole[keeps], flush=True)
        given.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
