"""The Zarr codec: promises per chunk, gaps exact, at home in xarray, dask and sharding."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
import xarray as xr
import zarr

import xvcomp
from xvcomp import chunk_stream
from xvcomp.chunks import ChunkCoding, decode_chunk, encode_chunk
from xvcomp.zarr_serializer import XvcompCodec


def waves(time=12, y=40, x=56, dtype=np.float32):
    grid = np.mgrid[0:time, 0:y, 0:x]
    field = np.sin(grid[2] / 9 + grid[0] / 5) * np.cos(grid[1] / 7) * 500 + 1000
    return (field + np.random.default_rng(1).normal(0, 1, field.shape)).astype(dtype)


def psnr(before, after, peak):
    valid = np.isfinite(before)
    error = np.square(before[valid].astype(float) - after[valid].astype(float)).mean()
    return 10 * np.log10(peak**2 / max(error, 1e-300))


def recoded(values, target, **options):
    data = encode_chunk(values, ChunkCoding(target=target, **options))
    return decode_chunk(data, values.shape, values.dtype), len(data)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u2", "u1", "i4", ">f4", ">i2"])
def test_a_psnr_is_kept_whatever_the_dtype(dtype):
    values = waves(dtype=np.float64)
    values = (values / 8).astype(dtype) if dtype == "u1" else values.astype(dtype)
    after, nbytes = recoded(values, xvcomp.Psnr(45, peak=1000))
    assert psnr(values, after, 1000) >= 45
    assert nbytes < values.nbytes / 3


@pytest.mark.parametrize(
    "shape", [(40, 56), (1, 40, 56), (3, 2, 17, 19), (2, 3, 2, 9, 8), (1, 1), (5, 1, 1)]
)
def test_any_number_of_dims_comes_back(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    after, _ = recoded(values, xvcomp.Psnr(40, peak=4))
    assert after.shape == shape
    assert psnr(values, after, 4) >= 40


def test_gaps_and_fill_values_are_exact():
    values = waves()
    values[3:5, 4:9] = np.nan
    values[7, 2, 2:8] = -9999
    values[0, 0, 0] = np.inf
    after, _ = recoded(values, xvcomp.Psnr(45, peak=1000), fill_values=(-9999,))
    special = ~np.isfinite(values) | (values == -9999)
    np.testing.assert_array_equal(after[special], values[special])
    assert psnr(values[~special], after[~special], 1000) >= 45


@pytest.mark.parametrize("values", [
    np.full((4, 20, 20), np.nan, np.float32),
    np.full((4, 20, 20), 7, np.int16),
    np.array([[[3, -9999], [-9999, 3]]], np.int16),
])  # fmt: skip
def test_chunks_without_anything_to_code_come_back(values):
    after, nbytes = recoded(values, xvcomp.Psnr(45, peak=1000), fill_values=(-9999,))
    np.testing.assert_array_equal(after, values)
    assert nbytes < 600


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", "bool"])
def test_lossless_is_bit_for_bit(dtype):
    values = (waves() * 3 % 251).astype(dtype)
    after, _ = recoded(values, xvcomp.Lossless())
    assert after.dtype == values.dtype
    assert after.tobytes() == values.tobytes()


@pytest.mark.parametrize("bound", [0.5, 5.0])
def test_an_error_bound_is_kept(bound):
    values = waves()
    after, _ = recoded(values, xvcomp.MaxError(bound))
    assert np.abs(values.astype(float) - after).max() <= bound


def test_a_small_chunk_spends_little_beside_its_video():
    data = encode_chunk(waves(8, 64, 64), ChunkCoding(target=xvcomp.Quality(40)))
    video = sum(sum(sizes) for sizes in chunk_stream._read_header(data)[0].packets)
    assert len(data) - video < 500


@pytest.mark.parametrize("place", [0, 20, -1])
def test_damage_is_an_error(place):
    data = bytearray(encode_chunk(waves(4), ChunkCoding(target=xvcomp.Psnr(40, peak=1000))))
    data[place] ^= 255
    with pytest.raises(xvcomp.ContainerError):
        decode_chunk(bytes(data), (4, 40, 56), np.dtype("f4"))


@pytest.mark.parametrize("keep", [0, 10, 60, -1])
def test_cut_chunks_are_an_error(keep):
    data = encode_chunk(waves(4), ChunkCoding(target=xvcomp.Psnr(40, peak=1000)))
    with pytest.raises(xvcomp.ContainerError):
        decode_chunk(data[:keep], (4, 40, 56), np.dtype("f4"))


def test_a_broken_promise_is_not_stored(monkeypatch):
    from xvcomp import chunks

    def lying(data):
        return chunk_stream.unpack_stream(data) + np.float32(50)

    monkeypatch.setattr(chunks, "unpack_stream", lying)
    with pytest.raises(xvcomp.ErrorBoundExceeded):
        encode_chunk(waves(4), ChunkCoding(target=xvcomp.Psnr(40, peak=1000)))


@pytest.mark.parametrize(
    "target",
    [xvcomp.Psnr(50, 10000), xvcomp.MaxError(0.1, "range"), xvcomp.Lossless(), xvcomp.Quality(40)],
)
def test_the_configuration_survives_json(target):
    codec = xvcomp.zarr_codec(target, preset="balanced", codec="libx265", fill_values=(-1, 2.5))
    again = XvcompCodec.from_dict(json.loads(json.dumps(codec.to_dict())))
    assert again == codec


@pytest.mark.parametrize("configuration", [
    {},
    {"target": "psnr"},
    {"target": {"kind": "bpppb", "bits": 1}},
    {"target": {"kind": "psnr", "db": -3}},
    {"target": {"kind": "lossless"}, "speed": 3},
])  # fmt: skip
def test_a_configuration_without_meaning_is_refused(configuration):
    with pytest.raises(xvcomp.PlanError):
        XvcompCodec.from_dict({"name": "xvcomp", "configuration": configuration})


def test_a_psnr_needs_a_peak_or_the_chunks_own():
    with pytest.raises(xvcomp.PlanError, match="needs a peak"):
        xvcomp.zarr_codec(xvcomp.Psnr(50))
    assert xvcomp.zarr_codec(xvcomp.Psnr(50), chunk_range=True).coding.target == xvcomp.Psnr(50)


def test_arrays_that_are_no_images_are_refused():
    with pytest.raises(xvcomp.PlanError, match="1 dims"):
        zarr.create_array(
            {}, shape=(9,), dtype="f4", serializer=xvcomp.zarr_codec(xvcomp.Lossless())
        )


@pytest.fixture
def cube():
    values = waves(20)
    values[4, :9] = np.nan
    return xr.Dataset(
        {"t": (("time", "y", "x"), values, {"units": "K"}), "n": ("time", np.arange(20))},
        coords={"x": np.arange(56.0)},
    )


def encoding(**more):
    codec = xvcomp.zarr_codec(xvcomp.Psnr(45, peak=1000))
    return {"t": {"serializer": codec, "compressors": None, "chunks": (8, 40, 56), **more}}


def test_xarray_writes_and_another_process_reads(cube, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", encoding=encoding(), consolidated=False)
    opened = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False).load()
    assert psnr(cube["t"].values, opened["t"].values, 1000) >= 45
    np.testing.assert_array_equal(np.isnan(opened["t"]), np.isnan(cube["t"]))
    xr.testing.assert_identical(opened.drop_vars("t"), cube.drop_vars("t"))
    code = (
        "import sys, zlib, xarray as xr;"
        "t = xr.open_zarr(sys.argv[1], consolidated=False)['t'];"
        "print(zlib.crc32(t.values.tobytes()), 'xvcomp.api' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "cube.zarr"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert int(done.stdout.split()[0]) == zlib.crc32(opened["t"].values.tobytes())


def test_dask_writes_chunks_in_parallel(cube, tmp_path):
    pytest.importorskip("dask")
    lazy = cube.chunk({"time": 8})
    lazy.to_zarr(tmp_path / "cube.zarr", encoding=encoding(), consolidated=False)
    opened = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False)
    assert psnr(cube["t"].values, opened["t"].compute().values, 1000) >= 45


def test_chunks_of_a_shard_are_read_one_by_one(cube, tmp_path):
    cube.to_zarr(
        tmp_path / "cube.zarr",
        encoding=encoding(chunks=(4, 20, 56), shards=(20, 40, 56)),
        consolidated=False,
    )
    array = zarr.open_array(tmp_path / "cube.zarr/t", mode="r")
    assert array.shards == (20, 40, 56)
    np.testing.assert_array_equal(np.isnan(array[4:6, :30]), np.isnan(cube["t"][4:6, :30]))
    assert psnr(cube["t"].values, array[:], 1000) >= 45


def test_the_arrays_own_fill_value_is_exact():
    values = waves(8).astype(np.int16)
    values[2, 3:9] = -32768
    array = zarr.create_array(
        {}, shape=values.shape, chunks=(4, 40, 56), dtype="i2", fill_value=-32768,
        serializer=xvcomp.zarr_codec(xvcomp.Psnr(45, peak=1000)), compressors=None,
    )  # fmt: skip
    array[:] = values
    np.testing.assert_array_equal(array[:] == -32768, values == -32768)


def test_zarr_v2_stores_the_same_chunks(tmp_path):
    from xvcomp.zarr_compressor import XvcompCompressor

    values = waves(12)
    values[3, :5] = np.nan
    array = zarr.create_array(
        tmp_path / "v2.zarr", shape=values.shape, chunks=(8, 40, 56), dtype="f4", zarr_format=2,
        compressors=XvcompCompressor(xvcomp.zarr_codec(xvcomp.Psnr(45, peak=1000))),
    )  # fmt: skip
    array[:] = values
    again = zarr.open_array(tmp_path / "v2.zarr", mode="r")
    assert again.compressors[0].get_config() == array.compressors[0].get_config()
    np.testing.assert_array_equal(np.isnan(again[:]), np.isnan(values))
    assert psnr(values, again[:], 1000) >= 45


@pytest.mark.parametrize("chunks", [(8, 40, 56), (12, 33, 56), (12, 40, 50)])
def test_padding_at_the_arrays_end_does_not_help_to_meet_a_psnr(chunks):
    values = waves(12)
    array = zarr.create_array(
        {}, shape=values.shape, chunks=chunks, dtype="f4", fill_value=0,
        serializer=xvcomp.zarr_codec(xvcomp.Psnr(45, peak=1000)), compressors=None,
    )  # fmt: skip
    array[:] = values
    for part in (slice(0, 8), slice(8, 12)):
        assert psnr(values[part], array[part], 1000) >= 44.5
    assert psnr(values, array[:], 1000) >= 45
