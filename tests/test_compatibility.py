"""Inputs of every make: byte orders, calendars, resolutions of time, coordinate systems."""

import numpy as np
import pytest
import xarray as xr

import xvcomp

CALENDARS = ["noleap", "all_leap", "360_day", "julian", "proleptic_gregorian", "standard"]
OPTIONS = {"target": xvcomp.Quality(40), "codec": "libx265", "preset": "fast", "lossy": ("t",)}


def _cube(times, dtype="f4"):
    y, x = np.mgrid[:16, :24]
    values = np.stack([np.sin((y + k) / 4) + np.cos(x / 5) for k in range(len(times))])
    data = (1000 * values + 3000).astype(dtype)
    coords = {"time": times, "y": np.arange(16.0), "x": np.arange(24.0)}
    return xr.Dataset({"t": (("time", "y", "x"), data, {"units": "K"})}, coords)


def _kept(cube, folder, **options):
    path = folder / "c.mp4"
    xvcomp.encode(cube, path, **(OPTIONS | options))
    xvcomp.verify(path, cube)
    return xvcomp.open(path).load()


DAYS = np.array(["2001-02-27", "2001-02-28", "2001-03-01", "2001-03-02"], "M8[D]")


@pytest.mark.parametrize("calendar", CALENDARS)
def test_dates_of_every_calendar_are_kept(tmp_path, calendar):
    cftime = pytest.importorskip("cftime")
    dates = [cftime.datetime(2001, 2, day, 6, 30, calendar=calendar) for day in (1, 2, 27, 28)]
    cube = _cube(xr.CFTimeIndex(dates))
    back = _kept(cube, tmp_path)
    assert back["time"].dt.calendar == cube["time"].dt.calendar == calendar
    assert list(back["time"].values) == dates
    assert type(back.indexes["time"]) is type(cube.indexes["time"])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_keep_their_resolution(tmp_path, unit):
    times = DAYS.astype(f"M8[{unit}]") + np.arange(4).astype(f"m8[{unit}]")
    cube = _cube(times).assign_coords(lead=("time", np.arange(4).astype(f"m8[{unit}]")))
    back = _kept(cube, tmp_path)
    for name in ("time", "lead"):
        assert back[name].dtype == cube[name].dtype
        np.testing.assert_array_equal(back[name].values, cube[name].values)


def test_missing_dates_stay_missing(tmp_path):
    cube = _cube(DAYS.astype("M8[ns]"))
    seen = cube["time"].values.copy()
    seen[2] = np.datetime64("NaT")
    cube = cube.assign_coords(seen=("time", seen))
    np.testing.assert_array_equal(_kept(cube, tmp_path)["seen"].values, seen)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">u4", "<f4"])
@pytest.mark.parametrize("lossless", [False, True])
def test_every_byte_order_comes_back(tmp_path, dtype, lossless):
    cube = _cube(np.arange(4, dtype=">i8"), dtype)
    cube = cube.assign_coords(y=cube["y"].astype(">f8"), level=("x", np.arange(24, dtype=">i2")))
    options = {"target": xvcomp.Lossless(), "lossy": ()} if lossless else {}
    back = _kept(cube, tmp_path, **options)
    assert back["t"].dtype == np.dtype(dtype)
    assert back["level"].dtype == cube["level"].dtype
    xr.testing.assert_identical(back.coords.to_dataset(), cube.coords.to_dataset())
    if lossless:
        assert back["t"].values.tobytes() == cube["t"].values.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "été", "", "x" * 300], dtype=object),
        np.array(["a", "bc", "", "d"]),
        np.array([b"a", b"\xff", b"", b"d"], dtype=object),
        np.array(["a", "b", "c", "d"], dtype="S3"),
    ],
)
def test_text_of_every_kind_comes_back(tmp_path, values):
    cube = _cube(np.arange(4))
    cube["names"] = ("time", values)
    back = _kept(cube, tmp_path)["names"]
    assert back.dtype == cube["names"].dtype
    assert back.values.tolist() == cube["names"].values.tolist()


def test_a_multiindex_is_refused_with_what_to_do(tmp_path):
    stacked = _cube(np.arange(4)).stack(place=("y", "x"))
    with pytest.raises(xvcomp.PlanError, match=r"MultiIndex.*reset_index"):
        xvcomp.encode(stacked, tmp_path / "c.mp4")
    assert list(tmp_path.iterdir()) == []


def test_what_rioxarray_says_of_the_grid_is_kept(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    cube = _cube(np.arange(4)).rio.write_crs(32632).rio.write_transform()
    cube["t"] = cube["t"].rio.write_nodata(-1.0, encoded=True)
    back = _kept(cube, tmp_path)
    assert rioxarray
    assert back.rio.crs == cube.rio.crs
    assert back.rio.transform() == cube.rio.transform()
    assert back["spatial_ref"].attrs == cube["spatial_ref"].attrs
    assert back["t"].encoding["grid_mapping"] == cube["t"].encoding["grid_mapping"]
    assert back["t"].rio.encoded_nodata == -1.0
