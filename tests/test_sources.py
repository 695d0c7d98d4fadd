"""Cubes on disk come in, and go out, as they are stored."""

import gc
import os
import pickle

import netCDF4
import numpy as np
import pytest
import xarray as xr

from xvcomp.errors import PlanError
from xvcomp.local_copies import local_copy
from xvcomp.sinks import check_sink, write_dataset
from xvcomp.sources import open_source, source_kind

_MEMORY_ONLY = {"source", "original_shape", "preferred_chunks"}


def _stored(path, **arguments) -> xr.Dataset:
    with open_source(path, **arguments) as ds:
        return ds.load()


def _assert_same_file(first: xr.Dataset, second: xr.Dataset) -> None:
    assert list(first.variables) == list(second.variables)
    assert first.identical(second)
    assert first.encoding.get("unlimited_dims") == second.encoding.get("unlimited_dims")
    for name, one in first.variables.items():
        other = second.variables[name]
        assert one.dtype == other.dtype
        assert list(one.attrs) == list(other.attrs)
        for key, value in one.attrs.items():
            assert type(value) is type(other.attrs[key]), (name, key)
            assert getattr(value, "dtype", None) == getattr(other.attrs[key], "dtype", None)
        for key in one.encoding.keys() - _MEMORY_ONLY - {"dtype"}:
            assert str(one.encoding[key]) == str(other.encoding.get(key)), (name, key)
        # xarray writes NetCDF in the machine's own byte order.
        assert _native(one.encoding["dtype"]) == _native(other.encoding["dtype"])


def _native(dtype):
    return dtype if dtype is str else np.dtype(dtype).newbyteorder("=")


@pytest.fixture
def odd_file(tmp_path):
    """A NetCDF file with everything that writers get wrong."""
    path = tmp_path / "odd.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("n", 5)
        file.createDimension("length", 7)
        file.createVariable("chars", "S1", ("n", "length"))[:] = np.full((5, 7), "a", "S1")
        file.createVariable("text", str, ("n",))[:] = np.array(["a", "", "ünï", "x", "y"], object)
        file.createVariable("big", ">i4", ("time", "n"), endian="big")[:] = np.arange(10).reshape(
            2, 5
        )
        packed = file.createVariable("packed", "i2", ("time", "n"), fill_value=-9, zlib=True)
        packed.set_auto_maskandscale(False)
        packed.setncatts({"scale_factor": np.float32(0.1), "_Unsigned": "true"})
        packed[:] = np.arange(10).reshape(2, 5) - 9
        plain = file.createVariable("plain", "f4", ("n",))
        plain[:] = np.arange(5)
        plain.setncatts({"missing_value": np.float64(9e9), "list": np.arange(3, dtype="i2")})
        plain.setncattr_string("names", ["a", "nan"])
        days = file.createVariable("time", "f8", ("time",))
        days.units = "days since 2000-01-01"
        days[:] = [0.5, 1.5]
        flag = file.createVariable("flag", "i1", ("n",))
        flag.setncattr("dtype", "bool")
        flag[:] = [0, 1, 1, 0, 1]
        file.setncatts({"title": "ünï", "empty": "", "count": np.int16(3)})
    return path


def test_netcdf_comes_back_as_the_same_file(odd_file, tmp_path):
    original = _stored(odd_file)
    copy = write_dataset(original, tmp_path / "copy.nc")
    _assert_same_file(original, _stored(copy))
    with netCDF4.Dataset(copy) as file:
        assert "_FillValue" not in file["plain"].ncattrs()
        assert file["chars"].dimensions == ("n", "length")


@pytest.mark.parametrize("name", ["copy.nc", "copy.zarr", "copy.zarr.zip"])
def test_the_bundled_cube_survives_every_format(crop, tmp_path, name):
    original = _stored(crop)
    copy = _stored(write_dataset(original, tmp_path / name))
    assert list(copy.variables) == list(original.variables)
    assert copy.identical(original)
    assert copy.B02.dtype == np.uint16
    assert copy.B02.attrs["_FillValue"] == 0
    assert sorted(os.listdir(tmp_path)) == [name]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_both_versions_of_zarr_open_with_their_stored_values(
    crop, tmp_path, zarr_format, consolidated
):
    path = tmp_path / "cube.zarr"
    with xr.open_dataset(crop) as ds:
        small = ds[["B02"]].isel(time=slice(2)).load()
    small.B02.encoding = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -1}
    small.to_zarr(path, zarr_format=zarr_format, consolidated=consolidated)
    stored = _stored(path)
    assert stored.B02.dtype == np.int16
    assert xr.decode_cf(stored).B02.equals(small.B02)
    again = _stored(write_dataset(stored, tmp_path / "again.zarr"))
    assert xr.decode_cf(again).B02.equals(small.B02)


@pytest.mark.slow
def test_every_real_cube_comes_back_as_the_same_file(data_dir, tmp_path):
    for path in sorted(data_dir.glob("*.nc")):
        original = _stored(path)
        copy = write_dataset(original, tmp_path / "copy.nc", overwrite=True)
        _assert_same_file(original, _stored(copy))


def test_groups_are_not_left_out_in_silence(tmp_path):
    path = tmp_path / "grouped.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createVariable("root", "f4", ())
        file.createGroup("PRODUCT").createVariable("inner", "f4", ())
    with pytest.raises(PlanError, match=r"groups \(PRODUCT\)"):
        open_source(path)
    assert list(_stored(path, group="/").data_vars) == ["root"]
    assert list(_stored(path, group="PRODUCT").data_vars) == ["inner"]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("no cube")
    (tmp_path / "broken.nc").write_bytes(b"no NetCDF at all")
    (tmp_path / "cube.mp4").touch()
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "absent.nc")
    with pytest.raises(PlanError, match=r"a source ends in one of \.nc"):
        open_source(tmp_path / "notes.txt")
    with pytest.raises(PlanError, match="neither a Zarr group nor"):
        open_source(tmp_path / "folder")
    with pytest.raises(PlanError, match="use `xvcomp decode`"):
        open_source(tmp_path / "cube.mp4")
    with pytest.raises(OSError, match=r"broken\.nc|Unknown file format"):
        open_source(tmp_path / "broken.nc")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("https://host/data/cube.nc?token=1", "netcdf"),
        ("s3://bucket/cube.zarr/", "zarr"),
        ("memory://cube.zarr.zip", "zarr"),
        ("https://host/forecast.GRIB2", "grib"),
        ("gs://bucket/scene.tif", "geotiff"),
    ],
)
def test_the_kind_of_a_url_is_told_by_its_suffix(name, kind):
    assert source_kind(name) == kind


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of remote files of this test's own, and the size that it may have."""
    monkeypatch.setenv("XVCOMP_CACHE", str(tmp_path / "cache"))
    return lambda nbytes: monkeypatch.setenv("XVCOMP_CACHE_SIZE", str(nbytes))


@pytest.mark.parametrize("name", ["a.nc", "a.zarr.zip", "a.zarr"])
def test_a_url_is_read_like_a_file(crop, cache, tmp_path, name):
    with open_source(crop) as cube:
        write_dataset(cube, tmp_path / name)
    with open_source((tmp_path / name).as_uri()) as remote, open_source(tmp_path / name) as local:
        assert pickle.loads(pickle.dumps(remote)).identical(local)
        assert remote.identical(local)
        assert remote.encoding.get("unlimited_dims") == local.encoding.get("unlimited_dims")


def test_a_copy_of_a_url_stays_while_it_is_open_and_the_cache_stays_small(crop, cache, tmp_path):
    urls = [(tmp_path / name).as_uri() for name in ("a.nc", "b.nc")]
    for name in ("a.nc", "b.nc"):
        (tmp_path / name).write_bytes(crop.read_bytes())
    cache(crop.stat().st_size * 3 // 2)

    def copies():
        return sorted(path.name for path in (tmp_path / "cache").glob("*/*.nc"))

    with open_source(urls[0]):
        assert copies() == ["a.nc"]
    with open_source(urls[1]):
        assert copies() == ["b.nc"]
    # Parts of a cube outlive it: only closing it gives the copy back.
    part = open_source(urls[0]).isel(time=0)
    gc.collect()
    with pytest.raises(OSError, match="no room"), local_copy(urls[1], patience_seconds=0):
        pass
    assert copies() == ["a.nc"]
    assert part.B04.load().shape == (40, 40)
    cache(1000)
    with pytest.raises(PlanError, match="XVCOMP_CACHE_SIZE"):
        open_source(urls[1])


def test_geotiffs_in_a_folder_are_a_stack_in_time(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    assert rioxarray
    for day in ("2020-01-01", "2020-02-01"):
        layer = xr.DataArray(
            np.full((1, 4, 5), int(day[5:7]), np.int16), dims=("band", "y", "x"),
            coords={"band": [1], "y": np.arange(4.0)[::-1], "x": np.arange(5.0)},
        )  # fmt: skip
        layer.rio.to_raster(tmp_path / f"scene_{day}.tif")
    stack = _stored(tmp_path)
    (variable,) = stack.data_vars.values()
    assert variable.dims == ("time", "band", "y", "x")
    assert variable.dtype == np.int16
    assert list(xr.decode_cf(stack).time.dt.month) == [1, 2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    ds = xr.Dataset({"a": ("x", np.arange(3))})
    write_dataset(ds, tmp_path / "cube.nc")
    before = (tmp_path / "cube.nc").read_bytes()

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xvcomp.sinks._flush", fail)
    with pytest.raises(OSError, match="No space"):
        write_dataset(ds * 2, tmp_path / "cube.nc", overwrite=True)
    assert os.listdir(tmp_path) == ["cube.nc"]
    assert (tmp_path / "cube.nc").read_bytes() == before


@pytest.mark.parametrize("name", ["cube.nc", "cube.zarr"])
def test_overwriting_is_asked_for(tmp_path, name):
    ds = xr.Dataset({"a": ("x", np.arange(3))})
    write_dataset(ds, tmp_path / name)
    with pytest.raises(FileExistsError):
        write_dataset(ds, tmp_path / name)
    write_dataset(ds.isel(x=[0]), tmp_path / name, overwrite=True)
    assert _stored(tmp_path / name).sizes["x"] == 1
    assert os.listdir(tmp_path) == [name]


def test_an_unknown_destination_is_refused_before_any_work(tmp_path):
    with pytest.raises(PlanError, match=r"cube\.csv; name it one of \.nc"):
        check_sink(tmp_path / "cube.csv")
    with pytest.raises(FileNotFoundError):
        check_sink(tmp_path / "absent" / "cube.nc")
