"""Lazy reading: every selection equals the eager decode, and decodes no more than it needs."""

import pickle
import threading

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xvcomp
from xvcomp.containers.mp4 import Mp4Reader
from xvcomp.containers.source import LocalSource
from xvcomp.parts import GroupParts
from xvcomp.reading import CubeFile

GOP = 8
SHAPE = {"time": 30, "band": 3, "y": 26, "x": 34}


def made_cube():
    """Smooth fields on two grids, with gaps, a class map and another order of dims."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=tuple(SHAPE.values())).cumsum(axis=2).cumsum(axis=3)
    fields = (steps / np.abs(steps).max() * 40 + 280).astype(np.float32)
    fields[4:6, :, 10:15, 3:9] = np.nan
    coarse = fields[:, 0, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    classes = rng.integers(0, 5, (SHAPE["time"], SHAPE["y"], SHAPE["x"])).astype(np.uint8)
    return xr.Dataset(
        {
            "bands": (("time", "band", "y", "x"), fields),
            "turned": (("x", "time", "y"), fields[:, 1].transpose(2, 0, 1).copy()),
            "coarse": (("time", "y", "x"), coarse),
            "classes": (("time", "y", "x"), classes, {"flag_values": [0, 1, 2, 3, 4]}),
        },
        coords={"time": np.arange(SHAPE["time"]), "band": ["r", "g", "b"]},
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("lazy") / "cube.mp4"
    xvcomp.encode(made_cube(), target, target=xvcomp.Quality(50), preset="fast", gop=GOP)
    return target


@pytest.fixture(scope="module")
def eager(path):
    return xvcomp.open(path).load()


def axis_keys(length):
    slices = st.slices(length)
    numbers = st.integers(-length, length - 1)
    lists = st.lists(numbers, max_size=6)
    masks = st.lists(st.booleans(), min_size=length, max_size=length).map(np.array)
    return st.one_of(slices, numbers, lists, masks)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_outer_selection_equals_the_eager_decode(path, eager, data):
    name = data.draw(st.sampled_from(["bands", "turned", "coarse", "classes"]))
    dims = data.draw(st.lists(st.sampled_from(eager[name].dims), unique=True))
    key = {dim: data.draw(axis_keys(eager.sizes[dim])) for dim in dims}
    chosen = xvcomp.open(path)[name].isel(key)
    xr.testing.assert_identical(chosen.load(), eager[name].isel(key))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_vectorised_selections_equal_the_eager_decode(path, eager, data):
    count = data.draw(st.integers(0, 7))
    key = {
        dim: xr.DataArray(
            data.draw(
                st.lists(st.integers(-n, n - 1), min_size=count, max_size=count).map(
                    lambda values: np.array(values, dtype=np.int64)
                )
            ),
            dims="points",
        )
        for dim, n in SHAPE.items()
        if dim != "band"
    }
    chosen = xvcomp.open(path)["bands"].isel(key)
    xr.testing.assert_identical(chosen.load(), eager["bands"].isel(key))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_selections_of_selections_equal_the_eager_decode(path, eager, data):
    lazy, known = xvcomp.open(path)["coarse"], eager["coarse"]
    for _ in range(3):
        key = {dim: data.draw(st.slices(known.sizes[dim])) for dim in known.dims}
        lazy, known = lazy.isel(key), known.isel(key)
    xr.testing.assert_identical(lazy.load(), known)


def test_a_number_out_of_bounds_is_an_index_error(path):
    with pytest.raises(IndexError, match="out of bounds"):
        xvcomp.open(path)["bands"].isel(time=SHAPE["time"]).load()
    with pytest.raises(IndexError, match="30 is out of bounds"):
        CubeFile(path).read("bands", {"time": np.array([0, 30])})


class Counted:
    """Lists the (group, GOP, block) that are decoded."""

    def __init__(self, monkeypatch):
        self.seen = []
        decode = GroupParts.decode

        def counting(parts, part, packets, **options):
            self.seen.append((parts.group.name, part.gop, part.block))
            return decode(parts, part, packets, **options)

        monkeypatch.setattr(GroupParts, "decode", counting)

    @property
    def gops(self):
        return sorted({gop for _, gop, _ in self.seen})


@pytest.fixture
def decoded(monkeypatch):
    return Counted(monkeypatch)


@pytest.mark.parametrize(
    ("times", "gops"),
    [
        (0, [0]),
        (-1, [3]),
        (slice(7, 9), [0, 1]),
        ([0, 29], [0, 3]),
        (slice(0, 30, 16), [0, 2]),
        (slice(29, None, -16), [1, 3]),
        ([9, 9, 8], [1]),
        ([], []),
    ],
)
def test_only_the_gops_that_hold_a_wanted_frame_are_decoded(path, decoded, times, gops):
    xvcomp.open(path)["bands"].isel(time=times).load()
    assert decoded.gops == gops
    assert len(decoded.seen) == len(gops)


def test_only_the_group_of_the_variable_is_decoded(path, decoded):
    cube = xvcomp.open(path)
    cube["classes"].isel(time=0).load()
    groups = {group.name: group.variables for group in CubeFile(path).manifest.groups}
    assert [groups[name] for name, _, _ in decoded.seen] == [("classes",)]


def test_reading_frame_by_frame_decodes_each_gop_once(path, decoded):
    cube = xvcomp.open(path)
    for time in range(SHAPE["time"]):
        cube["turned"].isel(time=time).load()
    assert len(decoded.seen) == -(-SHAPE["time"] // GOP)


def test_without_a_cache_every_read_decodes(path, decoded):
    cube = xvcomp.open(path, cache_bytes=0)
    for _ in range(3):
        cube["turned"].isel(time=0).load()
    assert len(decoded.seen) == 3


def test_threads_that_want_one_gop_decode_it_once(path, decoded):
    cube, ready = xvcomp.open(path), threading.Barrier(4)

    def work():
        ready.wait()
        cube["turned"].isel(time=3).copy().load()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded.seen) == 1


def test_the_cache_keeps_to_its_budget(path, eager):
    cube = CubeFile(path, cache_bytes=200_000)
    cube.read("bands", {})
    assert 0 < cube._cache.nbytes <= 200_000
    cube.close()
    assert cube._cache.nbytes == 0


def test_all_open_files_share_one_budget(path):
    first, second = CubeFile(path), CubeFile(path)
    first.read("turned", {"time": slice(0, 1)})
    second.read("turned", {"time": slice(0, 1)})
    assert first._cache is second._cache
    second.close()
    first.close()


class Counting(LocalSource):
    """A file that counts how often it is read."""

    def __init__(self, path):
        super().__init__(path)
        self.reads = []

    def _read(self, offset, nbytes):
        self.reads.append((offset, nbytes))
        return super()._read(offset, nbytes)


def test_a_run_of_gops_takes_one_read(path):
    source = Counting(path)
    cube = CubeFile(source)
    source.reads.clear()
    cube.read("bands", {"time": slice(0, 24)})
    assert len(source.reads) == 1


def test_a_gop_with_its_mask_takes_one_read(path):
    source = Counting(path)
    cube = CubeFile(source)
    source.reads.clear()
    assert np.isnan(cube.read("bands", {"time": slice(4, 5)})).any()
    assert len(source.reads) == 1


def test_opening_a_long_cube_reads_little_and_is_quick(tmp_path):
    cube = xr.DataArray(
        np.random.default_rng(0).random((2000, 16, 16), np.float32), dims=("time", "y", "x")
    )
    xvcomp.encode(cube, tmp_path / "long.mp4", target=xvcomp.Quality(30), preset="fast", gop=16)
    source = Counting(tmp_path / "long.mp4")
    opened = Mp4Reader(source)
    assert len(opened.gops(0)) == 125
    assert sum(nbytes for _, nbytes in source.reads) < 1_000_000


def test_chunks_are_gops(path):
    cube = xr.open_dataset(path, engine="xvcomp", chunks={})
    assert cube["bands"].chunks[0] == (8, 8, 8, 6)
    assert cube["bands"].chunks[1:] == ((3,), (26,), (34,))


def test_a_file_that_was_replaced_is_not_read_as_the_old_one(path, tmp_path):
    target = tmp_path / "cube.mp4"
    target.write_bytes(path.read_bytes())
    copy = pickle.dumps(xvcomp.open(target))
    xvcomp.encode(
        made_cube().isel(time=slice(0, 20)), target, target=xvcomp.Quality(50), overwrite=True
    )
    with pytest.raises(xvcomp.ContainerError, match="replaced"):
        pickle.loads(copy)["bands"].isel(time=0).load()


def test_a_file_cut_short_while_open_is_an_error_or_right(path, eager, tmp_path):
    target = tmp_path / "cube.mp4"
    target.write_bytes(path.read_bytes())
    cube = xvcomp.open(target, cache_bytes=0)
    with target.open("r+b") as file:
        file.truncate(target.stat().st_size // 2)
    xr.testing.assert_identical(cube["bands"].isel(time=0).load(), eager["bands"].isel(time=0))
    with pytest.raises(xvcomp.ContainerError, match="cut short"):
        cube["bands"].isel(time=-1).load()


def test_changed_bytes_are_an_error(path, tmp_path):
    target = tmp_path / "cube.mp4"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    target.write_bytes(data)
    with pytest.raises(xvcomp.ContainerError, match="checksum"):
        xvcomp.open(target).load()
