"""Cubes larger than memory: limits, windows, spools, tiles and streams, on made data."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp import planner
from xvcomp.memory import Memory, parse_nbytes
from xvcomp.parallel import map_ordered
from xvcomp.pipeline.encoded import EncodedWindow
from xvcomp.pipeline.slabs import codes_of, samples_of
from xvcomp.pipeline.spool import Spooled, spooled
from xvcomp.pipeline.windows import Window, block_slices
from xvcomp.reading import CubeFile
from xvcomp.results import Options, Override
from xvcomp.sinks import write_dataset
from xvcomp.transforms import folding, klt, quantize


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800m", 8 * 10**8), ("4096", 4096), (7, 7)],
)
def test_sizes_are_read_with_their_units(text, nbytes):
    assert parse_nbytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "2 cats", "GB", "-1GB", "1e9"])
def test_sizes_without_meaning_are_refused(text):
    with pytest.raises(xvcomp.PlanError, match="is no size; give bytes"):
        parse_nbytes(text)


def test_a_limit_below_what_python_takes_is_refused():
    with pytest.raises(xvcomp.PlanError, match="512 MiB"):
        xvcomp.plan(xr.DataArray(np.zeros((4, 8, 8)), dims=("time", "y", "x")), memory="100MB")


@pytest.mark.parametrize("limit", [600_000_000, 10**9, 2 * 10**9, 10**10])
def test_windows_at_work_stay_below_the_limit(limit):
    memory = Memory(limit)
    workers = memory.workers(memory.window_samples, cores=64)
    assert workers >= 1
    assert workers * memory.window_samples * 12 + memory.keep_nbytes < limit
    assert memory.workers(memory.window_samples // 8, cores=64) >= workers


def facts(shape):
    return planner.VariableFacts(
        name="a", dims=("time", "y", "x"), shape=shape, dtype=np.dtype("f4"), attrs={},
        is_coord=False, distinct=1000, varies=True,
    )  # fmt: skip


def planned(shape, memory=None, **own):
    options = Options(memory=memory, defaults=Override(**own))
    return planner.plan([facts(shape)], options, {"libx265": [8, 10, 12]}).groups[0]


def test_less_memory_makes_smaller_windows():
    small, large = planned((500, 1500, 1500), 10**9), planned((500, 1500, 1500), 10**10)
    assert small.gop * small.block[0] * small.block[1] < large.gop * large.block[0] * large.block[1]
    assert small.gop >= 8


@pytest.mark.parametrize(("side", "tile"), [(10980, 1024), (1025, 1024), (130, 64), (4096, 2048)])
def test_tiles_are_about_equal_and_no_larger_than_asked(side, tile):
    height, width = planned((10, side, side), tile=tile).block
    assert max(height, width) <= tile
    last = side - (side - 1) // width * width
    assert last > 0.7 * width


def test_more_tiles_than_a_file_holds_are_refused():
    with pytest.raises(xvcomp.PlanError, match="tiles are too many"):
        planned((10, 10980, 10980), tile=128)


def noisy(time=10, y=150, x=210, dtype=np.float32):
    rng = np.random.default_rng(2)
    field = rng.normal(size=(time, y, x)).cumsum(axis=1).cumsum(axis=2)
    return (field / np.abs(field).max() * 500 + rng.normal(0, 2, field.shape)).astype(dtype)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiles") / "cube.mp4"
    cube = xr.Dataset({"a": (("time", "y", "x"), noisy())})
    xvcomp.encode(cube, path, target=xvcomp.Psnr(45), preset="fast", tile=64, gop=5)
    return path


def test_a_window_decodes_only_its_tiles(tiled, monkeypatch):
    cube = CubeFile(tiled)
    group = cube.manifest.groups[0]
    blocks = block_slices(150, 210, group.block)
    assert len(blocks) == 12
    seen = []
    parts = cube._parts[group.name]
    monkeypatch.setattr(type(parts), "decode", counted(type(parts).decode, seen))
    values = cube.read("a", {"time": slice(0, 1), "y": slice(60, 70), "x": slice(0, 50)})
    assert values.shape == (1, 10, 50)
    touched = [
        b for b, (ys, xs) in enumerate(blocks) if ys.start < 70 and ys.stop > 60 and xs.start < 50
    ]
    assert sorted(part.block for part in seen) == touched
    assert len(touched) < len(blocks)


def counted(decode, seen):
    def counting(self, part, packets, **options):
        seen.append(part)
        return decode(self, part, packets, **options)

    return counting


def test_seams_between_tiles_do_not_show(tiled):
    error = xvcomp.open(tiled)["a"].values.astype(float) - noisy()
    block = CubeFile(tiled).manifest.groups[0].block[1]
    at_seams = np.zeros(210, bool)
    for seam in range(block, 210, block):
        at_seams[seam - 1 : seam + 1] = True
    rms = [np.sqrt(np.square(error[..., where]).mean()) for where in (at_seams, ~at_seams)]
    assert rms[0] < 1.15 * rms[1]
    # Nor is there a step across them: errors on both sides are at worst independent.
    jumps = np.diff(error, axis=2)[..., np.arange(block - 1, 209, block)]
    assert np.sqrt(np.square(jumps).mean()) < 1.1 * np.sqrt(2) * rms[1]
    assert abs(jumps.mean()) < 0.1 * rms[1]


def encoded_window(size):
    window = Window(0, 0, slice(0, 1), slice(0, 1), slice(0, 1))
    return EncodedWindow(window, (b"s" * size,), ((1,),), (b"m",), (b"",), size + 1, ())


def test_what_was_encoded_goes_to_disk_once_it_is_large():
    parts = spooled((encoded_window(100) for _ in range(5)), keep_nbytes=250)
    kinds = [isinstance(part.segments[0], Spooled) for part in parts]
    assert kinds == [False, False, True, True, True]
    assert [bytes(part.segments[0]) for part in parts] == [b"s" * 100] * 5
    assert [bytes(part.masks[0]) for part in parts] == [b"m"] * 5
    assert not parts[-1].residuals[0]


def test_a_file_from_the_spool_has_the_same_bytes(tmp_path, monkeypatch):
    cube = xr.Dataset({"a": (("time", "y", "x"), noisy(24, 40, 48))})
    cube["a"][2, :5] = np.nan
    for name in ("memory", "disk"):
        xvcomp.encode(cube, tmp_path / name, target=xvcomp.Quality(40), preset="fast", gop=4)
        monkeypatch.setattr("xvcomp.memory._SPOOL", 0)
    assert (tmp_path / "memory").read_bytes() == (tmp_path / "disk").read_bytes()


def test_windows_at_work_never_exceed_the_workers():
    import threading

    busy, most, lock = [0], [0], threading.Lock()

    def work(number):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        threading.Event().wait(0.005)
        with lock:
            busy[0] -= 1
        return number

    assert list(map_ordered(work, range(20), 2)) == list(range(20))
    assert most[0] == 2


@pytest.mark.parametrize("fold", [1, 3])
@pytest.mark.parametrize("kind", ["klt", "none"])
def test_slabs_give_the_codes_that_whole_arrays_give(fold, kind, monkeypatch):
    values = np.stack([noisy(7, 30, 40), noisy(7, 30, 40) ** 2 / 500], axis=1)
    folded = folding.fold(values.astype(np.float64), fold)
    moments = klt.Moments.of(folded, folded.mean(axis=(0, 2, 3)))
    made = klt.fit if kind == "klt" else klt.identity
    transform = made(moments, np.ones(2 * fold))[0]
    whole = klt.forward(folded, transform)
    low, high = whole.min(axis=(0, 2, 3)), whole.max(axis=(0, 2, 3))
    quantization = quantize.fit(low, high, 12, quantize.smallest_step(low, high, 12))
    expected = quantize.quantize(whole, quantization)
    for slab in (100, 5000, 10**7):
        monkeypatch.setattr("xvcomp.pipeline.slabs._SLAB", slab)
        codes = codes_of(values, fold, transform, quantization)
        assert np.abs(codes.astype(int) - expected).max() <= 1
        assert (codes == expected).mean() > 0.999


@pytest.mark.parametrize("slab", [1, 3000, 10**7])
def test_slabs_decode_to_the_same_bits(tmp_path, monkeypatch, slab):
    values = noisy(9, 33, 47)
    cube = xr.Dataset({"a": (("time", "y", "x"), values), "b": (("time", "y", "x"), values * 2)})
    xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Quality(40), preset="fast", fold=2)
    expected = xvcomp.open(tmp_path / "c.mp4", cache_bytes=0).load()
    monkeypatch.setattr("xvcomp.pipeline.slabs._SLAB", slab)
    again = xvcomp.open(tmp_path / "c.mp4", cache_bytes=0).load()
    xr.testing.assert_identical(again, expected)


def test_large_variables_are_written_part_by_part(tmp_path, monkeypatch):
    pytest.importorskip("dask")
    monkeypatch.setattr("xvcomp.sinks._STREAMED", 1000)
    cube = xr.Dataset({"a": (("time", "y", "x"), noisy(20, 40, 48))}, {"time": np.arange(20)})
    xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Quality(40), preset="fast", gop=4)
    largest = []
    read = CubeFile.read

    def recording(self, name, selection):
        values = read(self, name, selection)
        largest.append(len(values))
        return values

    monkeypatch.setattr(CubeFile, "read", recording)
    for suffix in ("zarr", "nc"):
        with xvcomp.open(tmp_path / "c.mp4", decode_cf=False) as opened:
            write_dataset(opened, tmp_path / f"c.{suffix}")
    assert set(largest) == {4}
    opened = xvcomp.open(tmp_path / "c.mp4").load()
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "c.zarr").load(), opened)
    xr.testing.assert_equal(xr.open_dataset(tmp_path / "c.nc").load(), opened)


MEASURE = """
import sys
import dask.array as da, numpy as np, xarray as xr, xvcomp
frames = int(sys.argv[1])
def chunk(block_info=None):
    start, stop = block_info[None]["array-location"][0]
    t, y, x = np.meshgrid(np.arange(start, stop), np.arange(256), np.arange(512), indexing="ij")
    return (np.sin(x / 30 + t / 9) * np.cos(y / 20) * 100).astype("f4")
lazy = da.map_blocks(chunk, chunks=((16,) * (frames // 16), (256,), (512,)), dtype="f4",
                     meta=np.empty((0, 0, 0), "f4"))
cube = xr.Dataset({"a": (("time", "y", "x"), lazy)})
xvcomp.encode(cube, sys.argv[2], target=xvcomp.Quality(30), preset="fast", gop=16,
              codec="libx265", memory="700MB")
# Not ru_maxrss: a process begins with that of the one that started it.
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells the peak")
def test_peak_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    peaks = []
    for frames in (160, 800):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(frames), tmp_path / f"{frames}.mp4"],
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        peaks.append(json.loads(done.stdout))
    assert max(peaks) < 700_000_000
    assert peaks[1] < peaks[0] + 50_000_000


def test_two_groups_share_the_memory():
    assert replace(Memory(10**9), groups=2).keep_nbytes == Memory(10**9).keep_nbytes // 2


def test_samples_of_refuses_a_group_without_video(tiled):
    group = replace(CubeFile(tiled).manifest.groups[0], klt=None)
    with pytest.raises(ValueError, match="neither video nor packets"):
        samples_of(group, (), [], (1, 1, 1))
