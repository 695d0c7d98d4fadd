"""What an encoding costs beside the encoder: nothing is read or waited for in vain."""

import threading
import time
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.codecs import registry
from xvcomp.codecs.software import X265
from xvcomp.pipeline import GroupInput, VariableInput, prepare
from xvcomp.solving import common


def _two_grids():
    rng = np.random.default_rng(0)
    fine = rng.normal(size=(6, 64, 64)).cumsum(axis=0).astype("f4")
    coarse = rng.normal(size=(6, 40, 40)).cumsum(axis=0).astype("f4")
    return xr.Dataset(
        {
            "a": (("time", "y", "x"), fine, {"units": "K"}),
            "b": (("time", "v", "u"), coarse, {"units": "K"}),
        }
    )


def _group(values, reads):
    def read(time, y, x):
        reads.append(time)
        return values[time, :, y, x]

    variable = VariableInput(
        name="a", bands=1, dtype=values.dtype, fill_values=(), scale=1.0, offset=0.0, read=read
    )
    return GroupInput(variables=(variable,), shape=values.shape)


def test_a_group_that_fits_into_memory_is_read_once():
    values = np.random.default_rng(0).normal(size=(12, 1, 16, 24)).astype("f4")
    values[7:, 0, 3, 4] = np.nan
    values[2, 0, 5, 5] = np.inf
    reads = []
    prepared = prepare(_group(values, reads), span=4, block=(16, 24))
    assert len(reads) == len(prepared.windows) == 3
    nan = 1 + np.flatnonzero(np.isnan(prepared.specials[0]))[0]
    infinity = 1 + np.flatnonzero(np.isposinf(prepared.specials[0]))[0]
    kept = np.concatenate([prepared.read(window).classes for window in prepared.windows])
    assert len(reads) == 3
    expected = np.where(np.isnan(values), nan, np.where(np.isinf(values), infinity, 0))
    np.testing.assert_array_equal(kept, expected)


class _Meeting(X265):
    """Encodes only when another group is being encoded, too."""

    def __init__(self):
        super().__init__()
        self.barrier = threading.Barrier(2, timeout=30)

    def encode(self, planes, params):
        self.barrier.wait()
        return super().encode(planes, params)

    def probe(self):
        return X265().probe()


def test_groups_are_encoded_side_by_side(monkeypatch, tmp_path):
    monkeypatch.setattr(import_module("xvcomp.pipeline.prepare"), "cpu_count", lambda: 2)
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(_Meeting())
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(
        _two_grids(), path, target=xvcomp.Quality(45), preset="fast", codec="libx265"
    )
    assert [group.encodes for group in report.groups] == [1, 1]


def test_groups_wait_where_there_is_but_one_core(monkeypatch, tmp_path):
    monkeypatch.setenv("XVCOMP_THREADS", "1")
    monkeypatch.setattr(registry, "_registered", {})
    meeting = _Meeting()
    meeting.barrier = threading.Barrier(2, timeout=0.2)
    registry.register(meeting)
    with pytest.raises(threading.BrokenBarrierError):
        xvcomp.encode(
            _two_grids(), tmp_path / "c.mp4", target=xvcomp.Quality(45), preset="fast",
            codec="libx265",
        )  # fmt: skip


def test_groups_are_compared_side_by_side(monkeypatch, tmp_path):
    monkeypatch.setattr(import_module("xvcomp.pipeline.prepare"), "cpu_count", lambda: 2)
    verifying = import_module("xvcomp.verifying")
    monkeypatch.setattr(verifying, "cpu_count", lambda: 2)
    ds, path = _two_grids(), tmp_path / "c.mp4"
    xvcomp.encode(ds, path, target=xvcomp.Quality(45), preset="fast", codec="libx265")
    barrier, measured = threading.Barrier(2, timeout=30), verifying._measured

    def meeting(*arguments):
        barrier.wait()
        return measured(*arguments)

    monkeypatch.setattr(verifying, "_measured", meeting)
    assert len(xvcomp.verify(path, ds).groups) == 2


class _Job:
    """Counts how many of its kind are at work; each has windows that take some memory."""

    busy = most = 0
    lock = threading.Lock()

    def __init__(self, windows, workers):
        window = SimpleNamespace(time=slice(0, 1))
        self.prepared = SimpleNamespace(windows=[window] * windows, workers=workers)

    def encode(self, step, on_window, count):
        with _Job.lock:
            _Job.busy += 1
            _Job.most = max(_Job.most, _Job.busy)
        time.sleep(0.1)
        with _Job.lock:
            _Job.busy -= 1


@pytest.mark.parametrize(("windows", "workers", "most"), [(1, 2, 2), (2, 3, 1), (2, 4, 2)])
def test_no_more_groups_are_at_work_than_have_room_for_all_their_windows(windows, workers, most):
    _Job.most = 0
    jobs = [_Job(windows, workers) for _ in range(4)]
    common.encode_set(SimpleNamespace(name="K", peak=1.0, jobs=jobs), 40, common.Teller(None))
    assert _Job.most == most
