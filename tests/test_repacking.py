"""Decoded CF data go back to the integers they came from, lazily and only if nothing changes."""

import numpy as np
import pytest
import xarray as xr

from xvcomp.repacking import repacked


@pytest.fixture
def path(tmp_path):
    stored = np.random.default_rng(1).integers(-300, 300, (40, 12, 14)).astype("i2")
    stored[3, 2] = -999
    packing = {"scale_factor": 0.01, "add_offset": 5.0, "_FillValue": np.int16(-999)}
    ds = xr.Dataset({"v": (("time", "y", "x"), stored, packing)})
    ds.to_netcdf(tmp_path / "packed.nc")
    return tmp_path / "packed.nc"


@pytest.mark.parametrize("chunks", [None, {"time": 7}])
def test_it_stays_lazy_and_gives_the_stored_integers(path, chunks, monkeypatch):
    monkeypatch.setattr("xvcomp.repacking._SLAB_SAMPLES", 1000)
    with (
        xr.open_dataset(path, chunks=chunks) as decoded,
        xr.open_dataset(path, decode_cf=False) as raw,
    ):
        found = repacked("v", decoded.v.variable)
        assert found is not None
        assert not found._in_memory
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found[4:9, ::2, 3].values, raw.v[4:9, ::2, 3].values)
        np.testing.assert_array_equal(found.values, raw.v.values)
        assert found.attrs == raw.v.attrs


def test_one_value_that_packing_would_change_is_enough_to_keep_floats(path):
    with xr.open_dataset(path) as decoded:
        changed = decoded.load().v.copy()
    changed[39, 11, 13] += 0.001
    assert repacked("v", changed.variable) is None
    assert repacked("v", decoded.v.variable) is not None


def test_plain_floats_were_never_packed():
    plain = xr.Variable(("time", "y", "x"), np.ones((2, 3, 4)))
    assert repacked("v", plain) is None


def test_an_accessor_on_lazy_data_writes_what_the_file_holds(path, tmp_path):
    import xvcomp

    with xr.open_dataset(path) as decoded:
        decoded.video.to_mp4(tmp_path / "c.mp4", target=xvcomp.Lossless())
    with xr.open_dataset(path) as decoded:
        xr.testing.assert_identical(xvcomp.open(tmp_path / "c.mp4").load(), decoded.load())
