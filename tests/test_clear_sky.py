"""The benchmark of clear samples counts what is clear, and ignores what is cloudy."""

import math

import numpy as np
import pytest
import xarray as xr

from benchmarks.rate_distortion.clear_sky import clear_psnr_db, with_classes, with_mask


@pytest.fixture
def classes():
    return xr.DataArray(np.array([[[4, 8], [11, 5]]], "u1"), dims=("time", "y", "x"))


def test_only_counted_samples_enter_the_psnr():
    reference = np.zeros((1, 1, 2, 2))
    decoded = np.array([[[[0.1, 9.0], [9.0, 0.1]]]])
    counted = np.array([[[[True, False], [False, True]]]])
    assert clear_psnr_db(reference, decoded, counted, 1.0) == pytest.approx(20)
    assert clear_psnr_db(reference, decoded, counted, 10.0) == pytest.approx(40)
    assert math.isfinite(clear_psnr_db(reference, decoded, ~counted, 1.0))


@pytest.mark.parametrize(
    ("add", "kept"), [(with_mask, [[[0, 1], [1, 0]]]), (with_classes, [[[4, 8], [11, 5]]])]
)
def test_what_is_kept_names_the_cloudy_samples(add, kept, classes):
    decoded = xr.Dataset(coords={"time": np.array(["2020-01-01"], "M8[ns]")})
    dataset, ignored = add(decoded, classes.assign_coords(time=[18262]))
    ((name, values),) = ignored.items()
    np.testing.assert_array_equal(dataset[name], kept)
    np.testing.assert_array_equal(np.isin(dataset[name], values), [[[False, True], [True, False]]])
