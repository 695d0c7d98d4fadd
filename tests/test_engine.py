"""The xarray engine: found by the file's own tag, and at home with dask."""

import multiprocessing
import pickle

import numpy as np
import pytest
import xarray as xr

import xvcomp

dask = pytest.importorskip("dask")


def made_cube(start=0, n_frames=24):
    time = np.arange(start, start + n_frames)
    y, x = np.mgrid[0:24, 0:40]
    waves = np.sin(x / 9 + time[:, None, None] / 5) * np.cos(y / 7) * 10 + 285
    return xr.Dataset(
        {
            "t2m": (("time", "y", "x"), waves.astype(np.float32), {"units": "K"}),
            "rh": (("time", "y", "x"), (waves / 4).astype(np.float32), {"units": "%"}),
        },
        coords={"time": time.astype("datetime64[D]"), "x": np.arange(40.0)},
        attrs={"title": "waves"},
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("engine") / "cube.mp4"
    xvcomp.encode(made_cube(), target, target=xvcomp.Quality(45), preset="fast", gop=6)
    return target


@pytest.fixture(scope="module")
def eager(path):
    return xvcomp.open(path).load()


@pytest.mark.parametrize("name", ["cube.mp4", "cube.nc", "cube"])
def test_a_cube_is_found_by_its_tag_whatever_its_name(path, eager, tmp_path, name):
    target = tmp_path / name
    target.write_bytes(path.read_bytes())
    with xr.open_dataset(target) as opened:
        xr.testing.assert_identical(opened.load(), eager)


def test_other_files_are_left_to_other_engines(tmp_path):
    made_cube().to_netcdf(tmp_path / "cube.nc")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + bytes(1000))
    engine = xr.backends.list_engines()["xvcomp"]
    assert not engine.guess_can_open(tmp_path / "cube.nc")
    assert not engine.guess_can_open(tmp_path / "film.mp4")
    with pytest.raises(xvcomp.ContainerError, match=r"film\.mp4"):
        xr.open_dataset(tmp_path / "film.mp4", engine="xvcomp")


def test_a_binary_file_opens_too(path, eager):
    with path.open("rb") as file, xr.open_dataset(file, engine="xvcomp") as opened:
        xr.testing.assert_identical(opened.load(), eager)


def test_arguments_of_open_dataset_are_obeyed(path, eager):
    opened = xr.open_dataset(path, engine="xvcomp", drop_variables="rh", decode_times=False)
    assert list(opened.data_vars) == ["t2m"]
    assert list(eager.data_vars) == ["t2m", "rh"]


@pytest.mark.parametrize("scheduler", ["threads", "processes", "synchronous"])
def test_dask_computes_the_eager_values(path, eager, scheduler):
    lazy = xr.open_dataset(path, chunks={})
    with dask.config.set(scheduler=scheduler, num_workers=2, multiprocessing_context="spawn"):
        xr.testing.assert_identical(lazy.compute(), eager)


def test_distributed_workers_compute_the_eager_values(path, eager):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        lazy = xr.open_dataset(path, chunks={})
        assert float(lazy["t2m"].mean().compute()) == pytest.approx(float(eager["t2m"].mean()))


def test_a_copy_that_was_pickled_reads_the_same(path, eager):
    again = pickle.loads(pickle.dumps(xr.open_dataset(path)))
    xr.testing.assert_identical(again.load(), eager)


def test_copies_of_a_cube_share_one_open_file(path):
    cube = xr.open_dataset(path)
    copies = [pickle.loads(pickle.dumps(cube)) for _ in range(3)]
    for copy in (cube, *copies):
        copy["t2m"].isel(time=0).load()
    managers = [array_of(each["t2m"])._manager for each in (cube, *copies)]
    assert len({id(manager.acquire()) for manager in managers}) == 1


def array_of(variable):
    """Dig the cube's own array out of xarray's wrappers."""
    array = variable.variable._data
    while hasattr(array, "array"):
        array = array.array
    return array


def test_more_cubes_than_file_handles_can_be_open(path, eager):
    with xr.set_options(file_cache_maxsize=4):
        cubes = [xr.open_dataset(path) for _ in range(12)]
        for cube in cubes:
            xr.testing.assert_identical(cube["t2m"].load(), eager["t2m"])


def test_a_closed_dataset_gives_its_file_back(path):
    cube = xr.open_dataset(path)
    opened = array_of(cube["t2m"])._manager.acquire()
    cube.close()
    with pytest.raises(xvcomp.ContainerError, match="closed"):
        opened.read("t2m", {"time": slice(0, 1)})


def test_open_mfdataset_joins_many_cubes(tmp_path):
    for start in (0, 10, 20):
        xvcomp.encode(
            made_cube(start, 10), tmp_path / f"{start}.mp4", target=xvcomp.Quality(45), gop=5
        )
    joined = xr.open_mfdataset(sorted(tmp_path.glob("*.mp4")), combine="by_coords")
    assert joined["t2m"].chunks[0] == (5, 5, 5, 5, 5, 5)
    parts = [xvcomp.open(tmp_path / f"{start}.mp4") for start in (0, 10, 20)]
    xr.testing.assert_identical(joined.compute(), xr.concat(parts, "time").compute())


def _mean(path, queue):
    queue.put(float(xvcomp.open(path)["t2m"].mean()))


def test_two_processes_read_one_file(path, eager):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_mean, args=(path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert {queue.get(timeout=60) for _ in workers} == {float(eager["t2m"].mean())}
    for worker in workers:
        worker.join()
