"""Nothing changes: every dtype, every special value, bit for bit."""

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.memory import Memory

SHAPE = (7, 33, 37)
DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def cube(values, **attrs):
    return xr.Dataset({"v": (("time", "y", "x"), values, attrs)}, attrs={"title": "made"})


def kept(ds, path, **keywords):
    report = xvcomp.encode(ds, path, target=xvcomp.Lossless(), **keywords)
    back = xvcomp.open(path, decode_cf=not keywords.get("stored", False)).load()
    xr.testing.assert_identical(ds, back)
    for name in ds.variables:
        assert ds[name].dtype == back[name].dtype
        assert ds[name].values.tobytes() == back[name].values.tobytes()
    return report


def smooth(seed=0):
    rng = np.random.default_rng(seed)
    t, y, x = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7) + 0.1 * rng.normal(size=SHAPE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_any_bits_of_any_dtype_come_back(tmp_path, dtype, order):
    dtype = np.dtype(dtype).newbyteorder(order)
    rng = np.random.default_rng(1)
    noise = np.frombuffer(rng.bytes(int(np.prod(SHAPE)) * dtype.itemsize), dtype).reshape(SHAPE)
    if dtype.kind == "b":
        noise = rng.random(SHAPE) < 0.5
    if dtype.kind == "f":
        # The payload of a NaN is the only thing that need not come back.
        noise = np.where(np.isnan(noise), np.array(np.nan, dtype), noise).astype(dtype)
    ds = cube(noise)
    xvcomp.encode(ds, tmp_path / "c.mp4", target=xvcomp.Lossless())
    back = xvcomp.open(tmp_path / "c.mp4").load()
    little = back.v.values.astype(back.v.dtype.newbyteorder("<"))
    assert little.tobytes() == noise.astype(dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_special_floats_come_back(tmp_path, dtype):
    values = smooth().astype(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    for place, value in enumerate([np.nan, np.inf, -np.inf, -0.0, 0.0, tiny, -tiny]):
        values[place % 7, place::5, 3:6] = value
    kept(cube(values), tmp_path / "c.mp4")


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "u8"])
def test_integers_at_both_ends_of_their_range_come_back(tmp_path, dtype):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(2)
    values = rng.choice(np.array([info.min, info.max, 0, 1], dtype), SHAPE)
    kept(cube(values), tmp_path / "c.mp4")


@pytest.mark.parametrize("fill", [-9999, 0])
def test_fill_values_and_packing_come_back(tmp_path, fill):
    values = np.rint(1000 * smooth()).astype("i2")
    values[smooth(3) > 1] = fill
    ds = cube(values, _FillValue=np.int16(fill), scale_factor=0.001, add_offset=4.0, units="m")
    kept(ds, tmp_path / "c.mp4", stored=True)


def test_gaps_of_fill_cost_little(tmp_path):
    values = np.rint(1000 * np.tile(smooth(), (3, 1, 1))).astype("i2")
    whole = kept(cube(values, units="1"), tmp_path / "a.mp4", stored=True)
    values[:, 5:20, 5:20] = -32768
    attrs = {"units": "1", "_FillValue": np.int16(-32768)}
    holed = kept(cube(values, **attrs), tmp_path / "b.mp4", stored=True)
    assert holed.groups[0].nbytes < whole.groups[0].nbytes


def test_classes_beside_a_lossy_variable_stay_exact_by_default(tmp_path):
    dims = ("time", "y", "x")
    classes = np.repeat(np.repeat(np.random.default_rng(4).integers(0, 12, (7, 5, 5)), 8, 1), 8, 2)
    ds = xr.Dataset(
        {
            "v": (dims, np.tile(smooth(), (1, 2, 2))[:, :40, :40].astype("f4")),
            "scl": (dims, classes.astype("u1"), {"flag_meanings": "a b c"}),
        }
    )
    xvcomp.encode(ds, tmp_path / "c.mp4", target=xvcomp.MaxError(0.05))
    back = xvcomp.open(tmp_path / "c.mp4").load()
    np.testing.assert_array_equal(back.scl, ds.scl)
    assert 0 < float(np.abs(back.v - ds.v).max()) <= 0.05


def test_windows_without_video_are_as_short_as_the_memory_is_small(tmp_path):
    rng = np.random.default_rng(3)
    walk = rng.integers(-3, 4, (40, 128, 160), dtype="i2").cumsum(axis=0, dtype="i2")
    ds = xr.Dataset({"v": (("time", "y", "x"), walk, {"units": "1"})})
    for name, target in (("l", xvcomp.Lossless()), ("b", xvcomp.MaxError(3))):
        gops = []
        for memory in (None, "512MiB"):
            path = tmp_path / f"{name}{memory}.mp4"
            xvcomp.encode(
                ds, path, target=target, lossy=["v"] if name == "b" else [], memory=memory
            )
            gops.append(xvcomp.info(path).manifest.groups[0].window)
            error = np.abs(xvcomp.open(path).v.values.astype("i4") - walk)
            assert error.max() <= (3 if name == "b" else 0)
        assert gops == [40, Memory(512 << 20).packet_samples // (128 * 160)]
        assert gops[1] < 40


@pytest.mark.parametrize("limit", [512 << 20, 1 << 30, 8 << 30, None])
def test_windows_without_video_fit_into_the_memory_side_by_side(limit):
    memory = Memory(limit)
    samples = memory.packet_samples
    assert 0 < samples <= 4_000_000
    workers = memory.workers(samples, cores=64, packets=True)
    assert workers >= 2
    if limit is not None:
        assert workers * samples * 90 + memory.keep_nbytes < limit


def test_lossless_is_smaller_than_general_compressors_on_smooth_data(tmp_path):
    numcodecs = pytest.importorskip("numcodecs")
    values = np.rint(1000 * np.tile(smooth(), (3, 1, 1))).astype("i2")
    report = kept(cube(values, units="1"), tmp_path / "c.mp4")
    blosc = numcodecs.Blosc("zstd", 9, numcodecs.Blosc.BITSHUFFLE)
    assert report.groups[0].nbytes < 0.9 * len(blosc.encode(values))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "era5_t2m_uk_hourly", "erai_uvz", "glosea4_tsurf_ens", "modis_sinop_vi_16day",
        "ocean_globcurrent_agulhas", "radar_knmi_nl", "radar_mrms_us_a", "s1_worldcereal_be1",
        "s2_earthnet_ood_a", "s2_eolearn_ndvi", "s2_worldcereal_be1", "seviri_hrv_5min_a",
    ],
)  # fmt: skip
def test_real_cubes_come_back_and_are_smaller_than_elsewhere(tmp_path, data_dir, name):
    numcodecs = pytest.importorskip("numcodecs")
    pcodec = pytest.importorskip("pcodec")
    with xr.open_dataset(data_dir / f"{name}.nc") as source:
        ds = source.load()
    report = xvcomp.encode(ds, tmp_path / "c.mp4", target=xvcomp.Lossless())
    xr.testing.assert_identical(ds, xvcomp.open(tmp_path / "c.mp4").load())
    blosc = numcodecs.Blosc("zstd", 9, numcodecs.Blosc.BITSHUFFLE)
    config = pcodec.ChunkConfig(compression_level=12)
    peers = [0, 0]
    with xr.open_dataset(data_dir / f"{name}.nc", decode_cf=False) as source:
        for variable in source.variables.values():
            values = np.ascontiguousarray(variable.values)
            if values.dtype.kind not in "iuf" or values.size == 0:
                continue
            peers[0] += len(blosc.encode(values))
            wide = values.astype("u2") if values.itemsize == 1 else values
            peers[1] += len(pcodec.standalone.simple_compress(wide.ravel(), config))
    assert report.nbytes <= min(peers)
