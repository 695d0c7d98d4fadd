"""What a user relies on when encoding and opening a cube."""

import copy
import os
import threading

import numpy as np
import pytest
import xarray as xr

import xvcomp

FLOATS = ("f2", "f4", "f8")
INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")


def _field(shape, seed=0):
    """Make smooth noise that moves in time, of zero mean and unit size."""
    rng = np.random.default_rng(seed)
    time, height, width = shape
    y, x = np.mgrid[:height, :width]
    frames = [
        np.sin((y + t) / 9 + seed)
        + np.cos((x - 2 * t) / 7)
        + 0.1 * rng.normal(size=(height, width))
        for t in range(time)
    ]
    return np.stack(frames) / 2


def _cube(bands=3, shape=(8, 40, 48), dtype="f4", scale=1.0, offset=0.0, units="1"):
    base = _field(shape)
    made = {}
    for band in range(bands):
        values = (base * (1 + 0.1 * band) + 0.02 * _field(shape, band + 1)) * scale + offset
        made[f"B{band:02}"] = (("time", "y", "x"), values.astype(dtype), {"units": units})
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(shape[0]) * np.timedelta64(5, "D"),
        "y": 5e6 - 10.0 * np.arange(shape[1]),
        "x": 5e5 + 10.0 * np.arange(shape[2]),
    }
    return xr.Dataset(made, coords=coords, attrs={"title": "made"})


def _psnr(reference, decoded):
    """Compute a quality set's PSNR in dB independently of the library."""
    squares, count, ends = 0.0, 0, []
    for name in reference:
        a, b = (d[name].values.astype(np.float64) for d in (reference, decoded))
        valid = np.isfinite(a)
        squares += float(((a - b)[valid] ** 2).sum())
        count += int(valid.sum())
        ends += [a[valid].min(), a[valid].max()]
    peak = max(ends) - min(ends)
    return 10 * np.log10(peak**2 / (squares / count))


def _round_trip(cube, path, **keywords):
    report = xvcomp.encode(cube, path, **keywords)
    return report, xvcomp.open(path).load()


def _assert_same_but_values(before, after):
    """Compare everything but samples."""
    assert list(before.data_vars) == list(after.data_vars)
    assert list(before.coords) == list(after.coords)
    assert dict(before.sizes) == dict(after.sizes)
    for name in before.variables:
        a, b = before[name], after[name]
        assert (a.dims, a.dtype, a.shape) == (b.dims, b.dtype, b.shape)
    blank_before = before.map(lambda v: v.copy(data=np.zeros(v.shape)), keep_attrs=True)
    blank_after = after.map(lambda v: v.copy(data=np.zeros(v.shape)), keep_attrs=True)
    xr.testing.assert_identical(blank_before, blank_after)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13, 48])
def test_any_number_of_bands_keeps_the_promised_psnr(tmp_path, bands):
    cube = _cube(bands, shape=(8, 40, 48))
    report, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(42), preset="fast")
    _assert_same_but_values(cube, decoded)
    reached = _psnr(cube, decoded)
    assert reached >= 42
    assert report.set_psnr_db["1"] == pytest.approx(reached, abs=0.01)


@pytest.mark.parametrize(
    "shape", [(1, 64, 64), (1, 1, 1), (5, 1, 1), (3, 1, 200), (3, 200, 1), (7, 33, 49), (2, 17, 16)]
)
def test_any_frame_size_comes_back(tmp_path, shape):
    cube = _cube(2, shape=shape)
    _, decoded = _round_trip(
        cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), lossy=["B00", "B01"], preset="fast"
    )
    _assert_same_but_values(cube, decoded)
    for name in cube:
        spread = max(float(cube[name].max() - cube[name].min()), 1e-3)
        assert float(abs(cube[name] - decoded[name]).max()) < spread


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libx264", "libvpx-vp9"])
@pytest.mark.parametrize("layout", ["tiled", "gray", "yuv444", "yuv420"])
def test_every_layout_works_with_every_codec_that_takes_it(tmp_path, codec, layout):
    from xvcomp.codecs.capabilities import probe
    from xvcomp.planes import chroma_of

    chromas = {chroma for chroma, _ in probe(codec).formats}
    if chroma_of(layout) not in chromas:
        pytest.skip(f"{codec} has no {chroma_of(layout)}")
    cube = _cube(5, shape=(4, 40, 72))
    _, decoded = _round_trip(
        cube, tmp_path / "c.mp4", target=xvcomp.Psnr(33), codec=codec, layout=layout, preset="fast"
    )
    assert _psnr(cube, decoded) >= 33


@pytest.mark.parametrize("value", [0.0, -5.5, np.nan, np.inf])
def test_a_cube_without_variation_comes_back_exactly(tmp_path, value):
    cube = _cube(2)
    cube["B00"][:] = value
    cube["B01"][:] = value
    report, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(45))
    xr.testing.assert_identical(cube, decoded)
    assert report.nbytes < 4000


@pytest.mark.parametrize("scale", [1e-8, 1e12])
def test_very_small_and_very_large_values_keep_the_promise(tmp_path, scale):
    cube = _cube(2, dtype="f8", scale=scale, offset=10 * scale)
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(45), preset="fast")
    assert _psnr(cube, decoded) >= 45


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_every_numeric_dtype_is_kept(tmp_path, dtype):
    signed = np.dtype(dtype).kind != "u"
    cube = _cube(2, dtype=dtype, scale=50, offset=0 if signed else 100)
    report, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(35), preset="fast")
    _assert_same_but_values(cube, decoded)
    assert not any(group.lossless for group in report.groups)
    assert _psnr(cube, decoded) >= 35


@pytest.mark.parametrize("dtype", ["i2", "u2", "i8", "u8"])
def test_the_ends_of_integer_ranges_do_not_wrap_around(tmp_path, dtype):
    limits = np.iinfo(dtype)
    values = np.full((4, 40, 48), limits.min, dtype=dtype)
    values[:, :, 24:] = limits.max
    values[:, :10] = limits.max // 2
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "1"})})
    _, decoded = _round_trip(
        cube, tmp_path / "c.mp4", target=xvcomp.Psnr(30), lossy=["a"], preset="fast"
    )
    spread = float(limits.max) - float(limits.min)
    error = np.abs(decoded.a.values.astype("f8") - values.astype("f8"))
    assert error.max() < 0.5 * spread


def test_a_five_dimensional_variable_comes_back_in_its_own_dim_order(tmp_path):
    base = _field((6, 32, 40)).astype("f4")
    values = np.stack([[base * (1 + i + 3 * j) for i in range(3)] for j in range(2)])
    array = xr.DataArray(values, dims=("member", "level", "time", "lat", "lon"), name="t")
    moved = array.transpose("lat", "time", "member", "lon", "level")
    _, decoded = _round_trip(moved, tmp_path / "c.mp4", target=xvcomp.Psnr(45), preset="fast")
    assert decoded.t.dims == moved.dims
    assert _psnr(moved.to_dataset(), decoded) >= 45


def test_missing_values_come_back_exactly_where_they_were(tmp_path):
    cube = _cube(3)
    rng = np.random.default_rng(1)
    cube["B00"].values[rng.random(cube["B00"].shape) < 0.4] = np.nan
    cube["B01"].values[2:4] = np.nan
    cube["B02"].values[0, 0, 0] = np.inf
    cube["B02"].values[1, 1, 1] = -np.inf
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    for name in cube:
        a, b = cube[name].values, decoded[name].values
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_array_equal(a[np.isinf(a)], b[np.isinf(a)])
        np.testing.assert_array_equal(np.isinf(a), np.isinf(b))


def test_a_whole_missing_frame_costs_next_to_nothing(tmp_path):
    full, gaps = _cube(2), _cube(2)
    for name in gaps:
        gaps[name].values[3] = np.nan
    sizes = [
        xvcomp.encode(cube, tmp_path / f"{i}.mp4", target=xvcomp.Quality(40), preset="fast").nbytes
        for i, cube in enumerate((full, gaps))
    ]
    # A mask of bits would add 2 * 40 * 48 / 8 = 480 bytes.
    assert sizes[1] < sizes[0] + 200


def test_valid_samples_never_become_the_fill_value_of_packed_integers(tmp_path):
    rng = np.random.default_rng(0)
    stored = np.clip(rng.normal(3, 3, (6, 40, 48)).round(), 0, 20).astype("u2")
    cube = xr.Dataset(
        {"a": (("time", "y", "x"), stored, {"_FillValue": np.uint16(0), "scale_factor": 0.1})}
    )
    xvcomp.encode(
        cube, tmp_path / "c.mp4", stored=True, target=xvcomp.Psnr(20), lossy=["a"], preset="fast"
    )
    decoded = xvcomp.open(tmp_path / "c.mp4", decode_cf=False)
    np.testing.assert_array_equal(decoded.a.values == 0, stored == 0)


def test_valid_samples_never_become_a_fill_value_that_does_not_occur(tmp_path):
    stored = (_field((6, 40, 48)) * 40).round().astype("i4")
    stored[stored == 0] = 1
    cube = xr.Dataset(
        {"a": (("time", "y", "x"), stored, {"_FillValue": np.int32(0), "units": "1"})}
    )
    xvcomp.encode(
        cube, tmp_path / "c.mp4", stored=True, target=xvcomp.Psnr(30), lossy=["a"], preset="fast"
    )
    decoded = xvcomp.open(tmp_path / "c.mp4", decode_cf=False)
    assert (decoded.a.values != 0).all()


def _packed(dtype="i2", fill=-999, unsigned=None):
    encoding = {
        "dtype": dtype,
        "scale_factor": 0.01,
        "add_offset": 5.0,
        "_FillValue": np.dtype(dtype).type(fill),
    }
    if unsigned:
        encoding["_Unsigned"] = unsigned
    values = (_field((6, 40, 48)) * 100).round() * 0.01 + 5.0
    values[0, :5] = np.nan
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    cube["a"].encoding = encoding
    return cube


def test_packed_variables_come_back_packed_the_same_way(tmp_path):
    path = tmp_path / "packed.nc"
    _packed().to_netcdf(path)
    cube = xr.open_dataset(path)
    before = copy.deepcopy(cube["a"].encoding)
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    for key in ("dtype", "scale_factor", "add_offset", "_FillValue"):
        assert decoded["a"].encoding[key] == before[key]
    again = tmp_path / "again.nc"
    decoded.to_netcdf(again)
    raw, raw_again = (xr.open_dataset(p, decode_cf=False) for p in (path, again))
    assert raw["a"].dtype == raw_again["a"].dtype == np.int16
    np.testing.assert_array_equal(raw["a"].values == -999, raw_again["a"].values == -999)


def test_unsigned_numbers_in_signed_storage_do_not_wrap(tmp_path):
    values = np.linspace(0, 255, 6 * 40 * 48).round().astype("u1").reshape(6, 40, 48)
    attrs = {"_Unsigned": "true", "units": "1"}
    cube = xr.Dataset({"a": (("time", "y", "x"), values.view("i1"), attrs)})
    xvcomp.encode(
        cube, tmp_path / "c.mp4", stored=True, target=xvcomp.Psnr(40), lossy=["a"], preset="fast"
    )
    stored = xvcomp.open(tmp_path / "c.mp4", decode_cf=False)
    assert stored.a.dtype == np.int8
    error = stored.a.values.view("u1").astype(int) - values
    assert np.abs(error).max() < 40


def test_attributes_and_other_variables_come_back_identically(tmp_path):
    cube = _cube(1)
    cube["B00"].attrs |= {
        "nan": float("nan"),
        "nanometer": 560.0,
        "numpy": np.float32(1.5),
        "array": np.arange(3, dtype="i2"),
        "nested": {"a": [1, (2, "ü")], "b": None},
        "flag": np.bool_(True),
    }
    cube["names"] = ("band", np.array(["häuser", None, "b"], dtype=object))
    cube["classes"] = (("time", "y", "x"), (_field((8, 40, 48)) > 0).astype("u1"))
    cube["flags"] = (("time", "y", "x"), _field((8, 40, 48)) > 0.5)
    cube["elevation"] = (("y", "x"), _field((1, 40, 48))[0].astype("f4"))
    cube["scalar"] = ((), np.int32(7), {"grid_mapping_name": "geos"})
    cube["when"] = ("time", cube.time.values.astype("M8[s]"))
    cube = cube.assign_coords(lat=(("y", "x"), np.full((40, 48), 0.1)))
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    xr.testing.assert_identical(cube.drop_vars("B00"), decoded.drop_vars("B00"))
    before, after = cube["B00"].attrs, decoded["B00"].attrs
    assert np.isnan(after["nan"])
    assert after["nanometer"] == 560.0
    assert type(after["numpy"]) is np.float32
    assert after["nested"] == before["nested"]
    assert after["array"].dtype == np.int16


def test_calendars_that_pandas_does_not_know_are_kept(tmp_path):
    pytest.importorskip("cftime")
    times = xr.date_range("2001-02-25", periods=8, calendar="noleap", use_cftime=True)
    cube = _cube(1).assign_coords(time=times)
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    xr.testing.assert_identical(cube.time, decoded.time)


def test_the_input_is_not_modified(tmp_path):
    cube = _cube(2)
    cube["B00"].values[0, 0] = np.nan
    before = cube.copy(deep=True)
    xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    xr.testing.assert_identical(cube, before)
    assert cube["B00"].encoding == before["B00"].encoding


def test_a_size_target_is_not_exceeded_and_not_missed_by_much(tmp_path):
    cube = _cube(3, shape=(16, 64, 64))
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Bpppb(1.0), preset="fast")
    assert 8 * os.path.getsize(tmp_path / "c.mp4") / (3 * 16 * 64 * 64) == report.bpppb
    assert 0.95 <= report.bpppb <= 1.0


def test_a_ratio_target_is_met(tmp_path):
    cube = _cube(3, shape=(16, 64, 64))
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Ratio(40), preset="fast")
    assert report.ratio >= 40


def test_a_target_out_of_reach_is_an_error_and_leaves_nothing(tmp_path):
    for bits in (1e-6, 1e-2):
        with pytest.raises(xvcomp.TargetError, match="out of reach"):
            xvcomp.encode(_cube(1), tmp_path / "c.mp4", target=xvcomp.Bpppb(bits), preset="fast")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": ["nope"]}, "no variable 'nope'"),
        ({"codec": "h266"}, "no encoder is called 'h266'"),
        ({"bit_depth": 9}, "cannot code 9 bits"),
        ({"colour": 3}, "unknown options: colour"),
        ({"lossy": ["time"]}, "'time' cannot be lossy"),
        ({"gop": 0}, "at least 1 frame"),
        ({"fold": 99}, "cannot fold 99"),
        ({"groups": {"a": ("B00",), "b": ("B00",)}}, "more than one group"),
    ],
)
def test_options_that_cannot_be_done_are_refused_by_name(tmp_path, options, message):
    with pytest.raises(xvcomp.XvcompError, match=message):
        xvcomp.encode(_cube(2), tmp_path / "c.mp4", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        np.full((2, 3, 4), "a", dtype=object),
        np.full((2, 3, 4), 1 + 2j),
        np.zeros((0, 3, 4), "f4"),
    ],
)
def test_a_cube_that_can_never_be_a_video_is_refused_but_kept_beside_one(tmp_path, values):
    alone = xr.Dataset({"a": (("t", "v", "u"), values)})
    with pytest.raises(xvcomp.PlanError, match="nothing here can be coded as video: a "):
        xvcomp.encode(alone, tmp_path / "c.mp4")
    beside = _cube(1).assign(a=alone.a)
    _, decoded = _round_trip(beside, tmp_path / "c.mp4", preset="fast")
    xr.testing.assert_identical(beside.a, decoded.a)


@pytest.mark.parametrize("scale", [0.0, np.nan, "abc", np.array([1.0, 2.0])])
def test_a_senseless_scale_factor_is_refused_by_name(tmp_path, scale):
    attrs = {"scale_factor": scale, "units": "1"}
    stored = (_field((12, 40, 48)) * 1000).astype("i2")
    cube = xr.Dataset({"a": (("time", "y", "x"), stored, attrs)})
    with pytest.raises(xvcomp.PlanError, match="scale_factor of 'a'"):
        xvcomp.encode(cube, tmp_path / "c.mp4", stored=True)


def test_records_are_refused_instead_of_losing_their_fields(tmp_path):
    cube = _cube(1).assign(r=("time", np.ones(8, [("a", "f4"), ("b", "i2")])))
    with pytest.raises(xvcomp.PlanError, match="'r' holds records"):
        xvcomp.encode(cube, tmp_path / "c.mp4")


@pytest.mark.parametrize("dtype", [">f4", ">i2"])
def test_the_byte_order_of_lossy_variables_is_kept(tmp_path, dtype):
    cube = _cube(1, dtype=dtype, scale=500)
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    assert decoded["B00"].dtype == cube["B00"].dtype
    assert _psnr(cube, decoded) >= 40


def test_a_dataset_without_variables_and_a_multiindex_are_refused(tmp_path):
    with pytest.raises(xvcomp.PlanError, match="no data variables"):
        xvcomp.encode(xr.Dataset(), tmp_path / "c.mp4")
    stacked = _cube(1).stack(place=("y", "x"))
    with pytest.raises(xvcomp.PlanError, match="MultiIndex"):
        xvcomp.encode(stacked, tmp_path / "c.mp4")


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    path = tmp_path / "c.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        xvcomp.encode(_cube(1), path)
    assert path.read_bytes() == b"mine"
    xvcomp.encode(_cube(1), path, overwrite=True, preset="fast")
    assert xvcomp.info(path).manifest.groups


def test_bands_repeated_from_a_coarser_grid_stay_exactly_piecewise_constant(tmp_path):
    coarse = _field((6, 20, 30)).astype("f4")
    wide = coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :39, :59]
    cube = xr.Dataset({"a": (("time", "y", "x"), wide, {"units": "1"})})
    report, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    assert report.groups[0].shape == (6, 1, 20, 30)
    native = decoded.a.values[:, ::2, ::2]
    np.testing.assert_array_equal(
        native.repeat(2, axis=1).repeat(2, axis=2)[:, :39, :59], decoded.a.values
    )
    assert _psnr(cube, decoded) >= 40


def test_a_repetition_that_breaks_outside_the_sample_is_not_lost(tmp_path):
    wide = _field((40, 20, 30)).astype("f4").repeat(2, axis=1).repeat(2, axis=2)
    wide[1, 0, 0] += 3
    cube = xr.Dataset({"a": (("time", "y", "x"), wide, {"units": "1"})})
    report, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(50), preset="fast")
    assert report.groups[0].shape == (40, 1, 40, 60)
    assert decoded.a.values[1, 0, 0] - decoded.a.values[1, 0, 1] > 2


def test_folded_frames_come_back_in_order(tmp_path):
    cube = _cube(2, shape=(13, 40, 48))
    _, decoded = _round_trip(
        cube, tmp_path / "c.mp4", target=xvcomp.Psnr(45), fold=4, preset="fast", gop=2
    )
    assert _psnr(cube, decoded) >= 45


@pytest.mark.parametrize("gop", [1, 3, 100])
def test_short_gops_keep_the_promise_and_every_frame(tmp_path, gop):
    cube = _cube(2, shape=(10, 40, 48))
    _, decoded = _round_trip(
        cube, tmp_path / "c.mp4", target=xvcomp.Psnr(45), gop=gop, preset="fast"
    )
    assert _psnr(cube, decoded) >= 45
    assert xvcomp.info(tmp_path / "c.mp4").manifest.groups[0].gop == min(gop, 10)


def test_verify_names_a_damaged_part(tmp_path):
    path = tmp_path / "c.mp4"
    xvcomp.encode(_cube(2), path, preset="fast")
    xvcomp.verify(path, _cube(2))
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(xvcomp.ContainerError, match=r"track 0, GOP 0 is damaged"):
        xvcomp.verify(path)


def test_two_encoders_of_one_name_leave_one_whole_file(tmp_path):
    path, errors = tmp_path / "c.mp4", []

    def work():
        try:
            xvcomp.encode(_cube(1), path, overwrite=True, preset="fast")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    xvcomp.verify(path, _cube(1))
    assert [p.name for p in tmp_path.iterdir()] == ["c.mp4"]


def test_thirty_encodes_of_64_by_64_frames_are_all_right(tmp_path):
    cube = _cube(1, shape=(6, 64, 64))
    for number in range(30):
        xvcomp.encode(cube, tmp_path / f"{number}.mp4", target=xvcomp.Quality(50), preset="fast")
        assert _psnr(cube, xvcomp.open(tmp_path / f"{number}.mp4")) > 45


def test_a_lying_encoder_is_found_out_by_decoding(tmp_path, monkeypatch):
    from xvcomp.codecs import software

    honest = software.X265.encode

    def lying(self, planes, params):
        return honest(self, tuple(np.zeros_like(plane) for plane in planes), params)

    monkeypatch.setattr(software.X265, "encode", lying)
    with pytest.raises(xvcomp.XvcompError):
        xvcomp.encode(_cube(1), tmp_path / "c.mp4", target=xvcomp.Psnr(45), codec="libx265")
    assert list(tmp_path.iterdir()) == []


def test_an_ssim_target_is_met_and_not_exceeded_by_much(tmp_path):
    cube = _cube(2, shape=(6, 64, 72))
    target = xvcomp.Ssim(0.95)
    xvcomp.encode(cube, tmp_path / "c.mp4", target=target, preset="fast", codec="libx265")
    found = xvcomp.evaluate(cube, tmp_path / "c.mp4")
    assert 0.95 <= found.groups[0].ssim < 0.96


def test_verify_reports_the_peak_that_encoding_was_told(tmp_path):
    cube = _cube(1)
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(cube, path, target=xvcomp.Psnr(50, peak=10.0), preset="fast")
    again = xvcomp.verify(path, cube)
    assert again.set_peak == report.set_peak == {"1": 10.0}
    assert again.set_psnr_db == pytest.approx(report.set_psnr_db)
    assert xvcomp.info(path).manifest.groups[0].measured["psnr_db"] == pytest.approx(
        report.groups[0].psnr_db
    )


def test_two_groups_of_one_name_are_refused(tmp_path):
    with pytest.raises(xvcomp.PlanError, match="two groups are called 'B01'"):
        xvcomp.encode(
            _cube(2), tmp_path / "c.mp4", groups={"B01": ("B00",)}, by_variable={}, preset="fast"
        )


@pytest.mark.parametrize("bits", [0.4, 0.55, 0.7, 0.85])
def test_the_size_that_is_searched_is_the_size_of_the_finished_file(tmp_path, bits):
    cube = _cube(2, shape=(12, 48, 56))
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Bpppb(bits), preset="fast")
    assert report.bpppb <= bits


def test_verify_finds_other_attributes_and_shapes_in_a_reference(tmp_path):
    cube = _cube(2)
    path = tmp_path / "c.mp4"
    xvcomp.encode(cube, path, preset="fast")
    changed = cube.copy()
    changed["B01"] = changed["B01"].assign_attrs(units="K")
    with pytest.raises(xvcomp.ErrorBoundExceeded, match="'B01' has another dtype or other attr"):
        xvcomp.verify(path, changed)
    with pytest.raises(xvcomp.ErrorBoundExceeded, match="in the reference"):
        xvcomp.verify(path, cube.isel(y=slice(0, 20)))


def test_the_sign_of_zero_survives_a_lossless_target_on_decoded_packed_data(tmp_path):
    values = (_field((12, 40, 48)) * 100).round() * 0.01
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    cube["a"].encoding = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": np.int16(-999)}
    cube["a"].values[1, 20] = -0.0
    _, decoded = _round_trip(cube, tmp_path / "c.mp4", target=xvcomp.Lossless())
    assert np.signbit(decoded["a"].values[1, 20]).all()
