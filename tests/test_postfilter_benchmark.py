"""The post-filter benchmark finds what a file's filter gains, and none where there is none."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.rate_distortion.cubes import Cube
from benchmarks.rate_distortion.postfilter import compared


def cube(values: np.ndarray) -> Cube:
    dataset = xr.Dataset({"t": (("time", "y", "x"), values.astype("f4"))})
    return Cube(name="made", dataset=dataset, variables=("t",))


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(12, 64, 96))


def test_the_gain_on_a_smooth_field_is_that_of_its_filter(noise):
    t, y, x = np.ogrid[:12, :64, :96]
    waves = np.sin(x / 5 + t / 9) * np.cos(y / 6) + np.sin(x / 7 + y / 4 - t / 5)
    found = compared(cube(280 + 10 * waves), 42)
    assert found["weights"] >= 13
    assert found["gain_db"] > 0.1


def test_a_file_without_a_filter_gains_nothing(noise):
    found = compared(cube(noise), 34)
    assert (found["weights"], found["classes"], found["gain_db"]) == (0, 0, 0)
