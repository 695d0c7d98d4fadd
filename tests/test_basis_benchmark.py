"""The benchmark of the turned basis finds its gain where bands differ by frequency, or none."""

import numpy as np
import xarray as xr
from test_rotating import field

from benchmarks.rate_distortion.basis import compared
from benchmarks.rate_distortion.cubes import Cube


def _cube(values: np.ndarray) -> Cube:
    dataset = xr.Dataset({"u": (("time", "level", "y", "x"), values.astype("f4"))})
    return Cube(name="made", dataset=dataset, variables=("u",))


def test_bands_that_share_only_large_waves_take_fewer_bits():
    found = compared(_cube(field(shape=(4, 96, 96))), "fast")
    assert found["bd_rate_percent"] < -1
    assert len(found["turned"]) == len(found["plain"]) == 5


def test_a_single_band_gains_nothing():
    found = compared(_cube(field(shape=(4, 96, 96))[:, :1]), "fast")
    assert found["bd_rate_percent"] == 0
