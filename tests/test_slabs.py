"""Work at slabs: the same bits with any number of threads, and never more threads than cores."""

import threading

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp import masks, parallel, survey
from xvcomp.errors import PlanError
from xvcomp.memory import Memory
from xvcomp.metrics import ErrorStats
from xvcomp.parallel import map_slabs
from xvcomp.pipeline import slabs
from xvcomp.pipeline.samples import VariableForm
from xvcomp.spec import BandGroup
from xvcomp.transforms import klt, quantize

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(parallel, "cpu_count", lambda: 8)


def _transform(filled: np.ndarray, fold: int) -> klt.Klt:
    folded = np.concatenate([*slabs.folded_slabs(filled, fold)])
    moments = klt.Moments.of(folded, np.zeros(folded.shape[1]))
    return klt.fit(moments, np.ones(folded.shape[1]))[0]


@pytest.mark.parametrize("fold", [1, 3])
@pytest.mark.parametrize("size", [700, 5000])
def test_codes_do_not_depend_on_the_number_of_threads(fold, size, monkeypatch):
    monkeypatch.setattr(slabs.slabs, "__defaults__", (size,))
    filled = RNG.normal(100, 9, (11, 2, 17, 23)).astype("f4")
    transform = _transform(filled, fold)
    ends = np.full(transform.n_components, 300.0)
    quantization = quantize.fit(-ends, ends, 12, 0.2)
    found = [slabs.codes_of(filled, fold, transform, quantization, n) for n in (1, 2, 5)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_what_is_wrong_in_one_slab_is_an_error(monkeypatch):
    monkeypatch.setattr(slabs.slabs, "__defaults__", (700,))
    filled = RNG.normal(size=(11, 2, 17, 23)).astype("f4")
    transform = _transform(filled, 1)
    filled[9, 1, 3, 4] = np.nan
    quantization = quantize.fit(np.full(2, -9.0), np.full(2, 9.0), 12, 0.2)
    with pytest.raises(ValueError, match="NaN"):
        slabs.codes_of(filled, 1, transform, quantization, 4)


@pytest.mark.parametrize("options", [{}, {"fold": 3, "gop": 2}, {"gop": 5}])
def test_samples_do_not_depend_on_the_number_of_threads(options, tmp_path, monkeypatch):
    values = RNG.normal(280, 9, (11, 3, 40, 56)).astype("f4")
    cube = xr.Dataset({"t": (("time", "level", "y", "x"), values)})
    path = tmp_path / "cube.mp4"
    xvcomp.encode(cube, path, target=xvcomp.Quality(40), preset="fast", codec="libx265", **options)
    whole = slabs.samples_of
    asked = []

    def checked(
        group: BandGroup, forms: list[VariableForm], streams: list, shape: tuple, threads: int
    ) -> list[np.ndarray]:
        asked.append(threads)
        found = [whole(group, forms, streams, shape, n) for n in (1, 2, 5)]
        for other in found[1:]:
            np.testing.assert_array_equal(found[0][0], other[0])
        return found[0]

    monkeypatch.setattr("xvcomp.pipeline.reconstruct.samples_of", checked)
    monkeypatch.setattr(slabs.slabs, "__defaults__", (3 * 40 * 56,))
    with xvcomp.open(path) as opened:
        opened.load()
    assert asked


def test_errors_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("xvcomp._error_stats._BLOCK", 1000)
    reference = RNG.normal(size=9999).astype("f4")
    decoded = reference + RNG.normal(0, 0.1, 9999).astype("f4")
    reference[::7] = np.nan
    found = [ErrorStats.of(reference, decoded, threads=n) for n in (1, 2, 5)]
    assert found[0] == found[1] == found[2]
    assert found[0].n_valid == 9999 - len(reference[::7])


def test_moments_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(slabs, "_SLAB", 1000)
    filled = RNG.normal(size=(13, 2, 17, 23))
    found = [
        list(slabs.map_folded(lambda part: part.sum(axis=(0, 2, 3)), filled, 2, n))
        for n in (1, 2, 5)
    ]
    assert len(found[0]) > 3
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_slabs_within_slabs_take_no_more_threads_than_there_are_cores():
    lock, at_work, most = threading.Lock(), 0, 0

    def leaf(_: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.002)
        with lock:
            at_work -= 1

    list(parallel.map_ordered(lambda _: list(map_slabs(leaf, range(20), 8)), range(6), 6))
    # One caller has all eight; the other five work themselves.
    assert 8 <= most <= 8 + 5


def test_threads_are_given_back_when_work_fails():
    def fails(_: int) -> None:
        raise PlanError("no")

    for _ in range(3):
        with pytest.raises(PlanError):
            list(map_slabs(fails, range(5), 8))
    found: set[str] = set()
    wait = threading.Barrier(8, timeout=10)

    def meets(_: int) -> None:
        wait.wait()
        found.add(threading.current_thread().name)

    list(map_slabs(meets, range(8), 8))
    assert len(found) == 8


@pytest.mark.parametrize(("limit", "threads"), [(None, 64), (512 << 20, 4), (4 << 30, 32)])
def test_a_limit_of_memory_is_one_of_threads(limit, threads):
    assert Memory(limit).slab_threads(64) == threads


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [2.0, 0.5, 3.0]])
def test_a_diagonal_transform_is_the_product_with_its_matrix(weights):
    values = RNG.normal(50, 9, (3, 3, 8, 9))
    moments = klt.Moments.of(values, np.zeros(3))
    transform = klt.identity(moments, np.array(weights))[0]
    means = transform.means.numpy().astype("f8")[:, None, None]
    expected = (values - means) * np.array(weights)[:, None, None]
    np.testing.assert_array_equal(klt.forward(values, transform), expected)


@pytest.mark.parametrize(
    ("values", "fills", "expected"),
    [
        (np.array([0, 2**64 - 1], "u8"), [2**64 - 1], [2**64 - 1]),
        (np.array([-(2**63), 5], "i8"), [-(2**63), 7], [-(2**63)]),
        (np.array([1.0, -9999.0], ">f4"), [-9999.0, -1.0], [-9999.0]),
        (np.array([True, True]), [0], []),
        (np.array([1.0, np.inf, -np.inf]), [], [-np.inf, np.inf]),
        (np.array([], "f4"), [1.0], []),
    ],
)
def test_specials_lie_between_the_extremes(values, fills, expected):
    found = masks.specials_of(values, fills)
    np.testing.assert_array_equal(found, np.array(expected, values.dtype))


def test_zeros_of_both_signs_are_told_apart():
    found = masks.specials_of(np.array([-0.0, 1.0]), [0.0])
    assert len(found) == 1
    assert np.signbit(found[0])


def _repeat(values: np.ndarray) -> tuple[int, int]:
    return survey._repeat(values, ("time", "y", "x"), ("time", "y", "x"))


def test_a_margin_without_data_does_not_pass_for_a_coarser_grid():
    field = RNG.normal(size=(5, 60, 60)).astype("f4")
    field[:, :12], field[:, :, :12] = np.nan, np.nan
    assert _repeat(field) == (1, 1)


def test_a_coarser_grid_is_found_beside_a_margin():
    coarse = RNG.normal(size=(5, 20, 30)).astype("f4")
    field = coarse.repeat(3, axis=1).repeat(2, axis=2)
    field[:, :12], field[:, :, :12] = np.nan, np.nan
    assert _repeat(field) == (3, 2)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrow_fields_are_no_coarser_grids(width):
    assert _repeat(RNG.normal(size=(5, 60, width)).astype("f4")) == (1, 1)


@pytest.mark.parametrize("target", [xvcomp.Quality(40), xvcomp.MaxError(0.1)])
def test_a_read_only_array_is_encoded_and_stays_as_it_was(target, tmp_path):
    values = RNG.normal(size=(6, 40, 56)).astype("f4")
    values.setflags(write=False)
    before = values.tobytes()
    cube = xr.Dataset({"t": (("time", "y", "x"), values)})
    xvcomp.encode(cube, tmp_path / "cube.mp4", target=target)
    assert values.tobytes() == before
