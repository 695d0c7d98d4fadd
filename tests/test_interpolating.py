"""Fields that were interpolated from a coarser grid: found, coded on it, and read everywhere."""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
import xarray as xr
from format_reader import FormatReader, coded, interpolated
from manifests import check_changed
from PIL import Image
from scipy import ndimage
from skimage.transform import resize
from test_format_doc import DICTIONARY

import xvcomp
from benchmarks.rate_distortion.cubes import Cube
from benchmarks.rate_distortion.interpolated import KERNELS as KERNELS_OF_BENCHMARK
from benchmarks.rate_distortion.interpolated import compared, widened
from xvcomp import api
from xvcomp.dataset import describe
from xvcomp.detecting import interpolation_of
from xvcomp.errors import ContainerError, TargetError
from xvcomp.excerpts import cropped
from xvcomp.pipeline import GroupInput, Prepared, VariableInput, prepare
from xvcomp.reading import CubeFile
from xvcomp.results import Override
from xvcomp.spec import Interpolation
from xvcomp.survey import survey
from xvcomp.transforms import interpolating

KERNELS = [("linear", 0.0), ("cubic", -0.5), ("cubic", -0.75)]


def coarse_cube(shape: tuple[int, ...] = (6, 40, 48), seed: int = 0) -> np.ndarray:
    """Fields with detail down to the pixel, as bands of a coarser sensor have it."""
    rng = np.random.default_rng(seed)
    large = ndimage.gaussian_filter(rng.normal(size=shape[-2:]), 4) * 4000
    slow = ndimage.gaussian_filter(rng.normal(size=shape), (1, 1, 1)) * 300
    return np.rint(3000 + large + slow + rng.normal(0, 30, shape))


def refined(values: np.ndarray, field: Interpolation, size: tuple[int, int]) -> np.ndarray:
    return interpolating.refine(values, field, size)


def wide_cube(values: np.ndarray, factor: int = 2) -> np.ndarray:
    """Linear interpolation by scikit-image, rounded to integers."""
    size = (values.shape[0], *(factor * n for n in values.shape[1:]))
    frames = [resize(each, size[1:], order=1, mode="edge", anti_aliasing=False) for each in values]
    return np.rint(frames).astype("u2")


def dataset(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"a": (("time", "y", "x"), values)})


def encoded(values, path, **options):
    options = {"target": xvcomp.Quality(45), **options}
    report = xvcomp.encode(dataset(values), path, **options)
    with xvcomp.open(path) as opened:
        return report, opened.a.values


def field_of(path) -> Interpolation | None:
    with contextlib.closing(CubeFile(path)) as file:
        (group,) = file.manifest.groups
    return group.interpolation or None


@pytest.mark.parametrize("edges", ["open", "clamp"])
@pytest.mark.parametrize(("kernel", "a"), KERNELS)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_coarse_grid_is_found_again(factor, kernel, a, edges):
    rng = np.random.default_rng(0)
    for offset, size in itertools.product(range(0, 2 * factor, 2), ((131, 140), (132, 133))):
        field = Interpolation(
            kernel=kernel, factors=(factor, factor), offsets=(offset, 0), a=a, edges=edges
        )
        coarse = rng.normal(size=(2, *interpolating.coarse_size(field, *size)))
        made = refined(coarse, field, size)
        assert made.shape == (2, *size)
        again = refined(interpolating.coarsen(made, field), field, size)
        # Beyond open edges, smoothness is preferred to exactness.
        inside = slice(48, -48) if edges == "open" else slice(None)
        part = (..., inside, inside)
        np.testing.assert_allclose(again[part], made[part], atol=1e-5)


def test_a_factor_of_one_leaves_an_axis_alone():
    field = Interpolation(kernel="linear", factors=(1, 2), offsets=(0, 3))
    assert interpolating.coarse_size(field, 7, 10) == (7, 7)
    coarse = np.random.default_rng(0).normal(size=(7, 7))
    made = refined(coarse, field, (7, 10))
    np.testing.assert_array_equal(made[:, 1::2], 0.75 * coarse[:, 1:6] + 0.25 * coarse[:, 2:7])


def test_gaps_do_not_spoil_what_lies_beside_them():
    field = Interpolation(kernel="linear", factors=(2, 2), offsets=(3, 3), edges="clamp")
    coarse = coarse_cube((3, 20, 24))
    made = refined(coarse, field, (40, 48))
    known = np.ones(made.shape, dtype=bool)
    known[:, 10:20, 15:30] = False
    spoilt = np.where(known, made, 3000)
    found = refined(interpolating.coarsen(spoilt, field, known), field, (40, 48))
    beside = refined(interpolating.coarsen(spoilt, field), field, (40, 48))
    error, before = (np.abs(each - made)[known].max() for each in (found, beside))
    assert error < 2 < 100 < before


@pytest.mark.parametrize("edges", ["open", "clamp"])
@pytest.mark.parametrize(("kernel", "a"), [*KERNELS, ("cubic", -0.6123)])
def test_the_format_says_the_same_of_every_kernel(kernel, a, edges):
    rng = np.random.default_rng(0)
    for factors, offsets, size in (((2, 3), (3, 4), (20, 31)), ((5, 2), (7, 0), (33, 1))):
        field = Interpolation(kernel=kernel, factors=factors, offsets=offsets, a=a, edges=edges)
        told = dataclasses.asdict(field)
        shape = tuple(len(coded(told, axis, n)) for axis, n in enumerate(size))
        assert shape == interpolating.coarse_size(field, *size)
        coarse = rng.normal(size=(2, 3, *shape))
        ours, theirs = refined(coarse, field, size), interpolated(coarse, told, size)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("kernel", "a"), KERNELS)
def test_the_step_is_what_an_error_of_one_coarse_sample_adds_up_to(kernel, a):
    field = Interpolation(kernel=kernel, factors=(2, 3), offsets=(3, 0), a=a)
    impulse = np.zeros(interpolating.coarse_size(field, 40, 60))
    impulse[10, 10] = 1
    total = np.square(refined(impulse, field, (40, 60))).sum()
    assert interpolating.step_gain(field) == pytest.approx(total)


@pytest.mark.parametrize("edges", ["open", "clamp"])
def test_the_nearest_row_of_each_coarse_one_is_known(edges):
    field = Interpolation(kernel="linear", factors=(3, 2), offsets=(4, 1), edges=edges)
    for number, length in ((0, 20), (1, 31)):
        ramp = np.arange(length, dtype=np.float64)
        lines = np.stack([ramp, ramp], axis=1 - number)
        part = (length, 2) if number == 0 else (2, length)
        fine = Interpolation(kernel="linear", edges=edges,
                             factors=(3, 1) if number == 0 else (1, 2),
                             offsets=(4, 0) if number == 0 else (0, 1))  # fmt: skip
        coarse = interpolating.coarsen(lines, fine)
        assert refined(coarse, fine, part).shape == part
        places = coarse[:, 0] if number == 0 else coarse[0]
        near = interpolating.covering(field, number, length)
        inside = (places >= 1) & (places <= length - 2)
        assert (np.abs(near - places)[inside] <= 0.7).all()
        assert near.min() >= 0
        assert near.max() < length


@pytest.mark.parametrize(("kernel", "a"), KERNELS)
@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_rounding_is_not_magnified_beyond_edges(factor, kernel, a):
    rng = np.random.default_rng(0)
    for offset in range((factor + 1) % 2, 2 * factor, 2):
        field = Interpolation(
            kernel=kernel, factors=(factor, factor), offsets=(offset, offset), a=a
        )
        noise = rng.normal(size=interpolating.coarse_size(field, 96, 96))
        coarse = 3000 + 1000 * ndimage.gaussian_filter(noise, 1)
        made = np.rint(refined(coarse, field, (96, 96)))
        found = interpolating.coarsen(made, field)
        assert np.ptp(found) < 1.4 * np.ptp(made)
        assert np.sqrt(np.mean(np.square(refined(found, field, (96, 96)) - made))) < 1


def by_scikit_image(each):
    return resize(each, (80, 96), order=1, mode="edge", anti_aliasing=False)


def by_scipy(each):
    return ndimage.zoom(each, 2, order=1, grid_mode=True, mode="nearest")


def by_pil(method):
    return lambda each: np.asarray(Image.fromarray(each.astype("f4")).resize((96, 80), method))


def by_gdal(method):
    def made(each):
        rasterio = pytest.importorskip("rasterio")
        profile = {"driver": "GTiff", "height": 40, "width": 48, "count": 1, "dtype": "float64"}
        with rasterio.MemoryFile() as memory:
            with memory.open(**profile) as writer:
                writer.write(each, 1)
            with memory.open() as reader:
                method_ = getattr(rasterio.enums.Resampling, method)
                return reader.read(1, out_shape=(80, 96), resampling=method_)

    return made


def by_xarray(each):
    rows, columns = np.arange(40.0), np.arange(48.0)
    array = xr.DataArray(each, coords={"y": rows, "x": columns}, dims=("y", "x"))
    return array.interp(y=np.linspace(0, 39, 79), x=np.linspace(0, 47, 95)).values


SOFTWARE = {
    "scikit-image": (by_scikit_image, "linear", "clamp"),
    "scipy": (by_scipy, "linear", "clamp"),
    "PIL bilinear": (by_pil(Image.Resampling.BILINEAR), "linear", "clamp"),
    "PIL bicubic": (by_pil(Image.Resampling.BICUBIC), None, None),
    "GDAL bilinear": (by_gdal("bilinear"), "linear", "clamp"),
    "GDAL cubic": (by_gdal("cubic"), None, None),
    "xarray": (by_xarray, "linear", "clamp"),
}


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("name", SOFTWARE)
def test_what_common_software_interpolates_is_recognised(name, rounded):
    make, kernel, edges = SOFTWARE[name]
    frames = np.stack([make(each) for each in coarse_cube()]).astype("f8")
    frames = np.rint(frames) if rounded else frames.astype("f4").astype("f8")
    field = interpolation_of(frames, np.ones(frames.shape, dtype=bool))
    assert field is not None
    assert field.factors == (2, 2)
    if kernel is not None:
        assert (field.kernel, field.edges) == (kernel, edges)


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
@pytest.mark.parametrize("cut", [(0, 0), (1, 2), (5, 3)])
def test_any_part_of_an_interpolated_scene_is_recognised(factor, cut):
    top, left = cut
    frames = wide_cube(coarse_cube((3, 48, 56)), factor).astype("f8")[:, top:, left:]
    field = interpolation_of(frames, np.ones(frames.shape, dtype=bool))
    assert field is not None
    assert field.factors == (factor, factor)
    expected = tuple((factor + 1 + 2 * n) % (2 * factor) for n in cut)
    assert field.offsets == expected


def test_what_was_not_interpolated_is_not_recognised(crop):
    noise = np.random.default_rng(0).normal(size=(3, 96, 96))
    smooth = ndimage.gaussian_filter(noise, (0, 1.5, 1.5)) * 1000
    with xr.open_dataset(crop, decode_cf=False) as opened:
        natural = opened.B02.values.astype("f8")
    y, x = np.mgrid[:120, :160] / 120
    waves = np.stack([300 + 60 * np.sin(3 * x + k) * np.cos(2 * y) + 8 * np.sin(9 * x * y + k)
                      for k in range(3)])  # fmt: skip
    for frames in (noise * 1000, smooth, np.rint(smooth), natural, waves, np.zeros((2, 64, 64)),
                   np.cumsum(np.ones((1, 64, 64)), axis=2)):  # fmt: skip
        assert interpolation_of(frames, np.ones(frames.shape, dtype=bool)) is None


def test_frames_with_gaps_everywhere_are_not_looked_at():
    frames = wide_cube(coarse_cube()).astype("f8")
    valid = np.ones(frames.shape, dtype=bool)
    valid[:, ::7] = False
    assert interpolation_of(frames, valid) is None


def cubic_cube() -> np.ndarray:
    field = Interpolation(kernel="cubic", factors=(2, 3), offsets=(3, 4), a=-0.75, edges="clamp")
    return np.rint(refined(coarse_cube(), field, (80, 144))).astype("u2")


def torn_cube() -> np.ndarray:
    values = wide_cube(coarse_cube()).astype("f4")
    values[4, 20:50, 30:70] = np.nan
    return values


CASES = {
    "a cubic kernel": (cubic_cube(), {}),
    "gaps, best": (torn_cube(), {"preset": "best"}),
    "whole scenes": (wide_cube(coarse_cube()), {}),
    "a part of a scene": (wide_cube(coarse_cube((6, 80, 90)))[:, 3:, 5:], {}),
    "a factor of 3": (wide_cube(coarse_cube(), 3), {}),
    "floats": (wide_cube(coarse_cube()).astype("f4"), {}),
    "blocks": (wide_cube(coarse_cube((4, 96, 112))), {"tile": 128}),
    "folded": (wide_cube(coarse_cube((11, 40, 48))), {"fold": 3, "gop": 2}),
    "best, with a filter or without": (wide_cube(coarse_cube()), {"preset": "best"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_second_reader_agrees(case, tmp_path):
    values, options = CASES[case]
    _, ours = encoded(values, tmp_path / "cube.mp4", **options)
    assert field_of(tmp_path / "cube.mp4") is not None
    theirs = FormatReader(tmp_path / "cube.mp4", DICTIONARY).read("a")
    np.testing.assert_array_equal(theirs, ours)


def test_blocks_have_open_edges_and_no_seams(tmp_path):
    values, options = CASES["blocks"]
    _, ours = encoded(values, tmp_path / "cube.mp4", **options)
    field = field_of(tmp_path / "cube.mp4")
    assert field is not None
    assert field.edges == "open"
    errors = np.square(ours.astype("f8") - values).mean(axis=0)
    assert errors[124:132].mean() < 2 * errors.mean()


def test_a_coarser_grid_takes_fewer_bits_at_a_psnr(tmp_path, monkeypatch):
    values = wide_cube(coarse_cube())
    coarse, _ = encoded(values, tmp_path / "coarse.mp4", target=xvcomp.Psnr(50))
    monkeypatch.setattr("xvcomp.survey.interpolation_of", lambda *_: None)
    full, _ = encoded(values, tmp_path / "full.mp4", target=xvcomp.Psnr(50))
    assert field_of(tmp_path / "full.mp4") is None
    assert coarse.groups[0].nbytes < 0.85 * full.groups[0].nbytes
    assert 50 <= coarse.set_psnr_db[""] <= 50.25


def test_the_report_tells_the_error_of_all_samples(tmp_path):
    values = wide_cube(coarse_cube())
    report, ours = encoded(values, tmp_path / "cube.mp4")
    peak = float(values.max()) - float(values.min())
    mse = np.mean(np.square(ours.astype("f8") - values))
    assert report.set_psnr_db[""] == pytest.approx(10 * np.log10(peak**2 / mse), abs=1e-6)
    again = xvcomp.verify(tmp_path / "cube.mp4", dataset(values))
    assert again.set_psnr_db == report.set_psnr_db


def test_parts_are_the_parts_of_the_whole(tmp_path):
    values, options = CASES["blocks"]
    _, whole = encoded(values, tmp_path / "cube.mp4", gop=2, **options)
    with xvcomp.open(tmp_path / "cube.mp4") as opened:
        for rows, columns, time in (
            (slice(3, 9), slice(120, 140), 3),
            (7, slice(None, None, 5), 0),
        ):
            part = opened.a.isel(y=rows, x=columns, time=time).values
            np.testing.assert_array_equal(part, whole[time, rows, columns])


def test_gaps_stay_gaps_and_their_neighbours_stay_close(tmp_path):
    values = wide_cube(coarse_cube()).astype("f4")
    values[2] = np.nan
    values[3, 20:50, 30:70] = np.nan
    _, ours = encoded(values, tmp_path / "cube.mp4", target=xvcomp.Psnr(50))
    assert field_of(tmp_path / "cube.mp4") is not None
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(values))
    beside = np.zeros(values.shape, dtype=bool)
    beside[3, 18:52, 28:72] = True
    squares = np.square(ours.astype("f8") - values)
    assert np.nanmean(squares[beside]) < 4 * np.nanmean(squares)


@pytest.mark.parametrize(
    "target", [xvcomp.Psnr(90), xvcomp.Bpppb(9), xvcomp.MaxError(1.0), xvcomp.Lossless()]
)
def test_targets_beyond_rounding_are_met_on_the_full_grid(target, tmp_path):
    values = wide_cube(coarse_cube())
    report, ours = encoded(values, tmp_path / "cube.mp4", target=target)
    assert field_of(tmp_path / "cube.mp4") is None
    error = np.abs(ours.astype("f8") - values)
    if isinstance(target, xvcomp.Psnr):
        peak = float(values.max()) - float(values.min())
        assert np.mean(error**2) <= peak**2 / 10**9
    elif not isinstance(target, xvcomp.Bpppb):
        assert error.max() <= (1 if isinstance(target, xvcomp.MaxError) else 0)
    else:
        assert report.bpppb <= 9


def test_a_quality_finer_than_the_rounding_is_met_on_the_full_grid(tmp_path):
    """The range is some 380 integers, the rounding error of the field a fourth of one."""
    values = wide_cube(coarse_cube() / 6)
    (group,) = xvcomp.plan(dataset(values)).groups
    assert group.interpolation is not None
    encoded(values, tmp_path / "coarse.mp4", target=xvcomp.Quality(40))
    assert field_of(tmp_path / "coarse.mp4") is not None
    _, ours = encoded(values, tmp_path / "full.mp4", target=xvcomp.Quality(66))
    assert field_of(tmp_path / "full.mp4") is None
    assert np.abs(ours.astype("f8") - values).max() <= 2


def test_frames_that_the_survey_did_not_see_may_be_of_the_full_grid(tmp_path):
    values = wide_cube(coarse_cube((26, 24, 24)))
    values[1] = np.random.default_rng(1).integers(2000, 4000, values[1].shape)
    _, ours = encoded(values, tmp_path / "cube.mp4", target=xvcomp.Psnr(50))
    assert field_of(tmp_path / "cube.mp4") is None
    peak = float(values.max()) - float(values.min())
    assert 10 * np.log10(peak**2 / np.mean(np.square(ours.astype("f8") - values))) >= 50


def test_bands_of_several_grids_are_groups_of_their_own(tmp_path):
    coarse = coarse_cube()
    fine = coarse_cube((6, 80, 96), seed=1).astype("u2")
    repeated = coarse.repeat(2, axis=1).repeat(2, axis=2).astype("u2")
    dims = ("time", "y", "x")
    cube = xr.Dataset(
        {"fine": (dims, fine), "smooth": (dims, wide_cube(coarse)), "blocks": (dims, repeated)}
    )
    xvcomp.encode(cube, tmp_path / "cube.mp4", target=xvcomp.Psnr(50))
    groups = {
        group["name"]: group for group in xvcomp.info(tmp_path / "cube.mp4").to_dict()["groups"]
    }
    assert groups["fine"]["interpolation"] is None
    assert groups["smooth"]["interpolation"] == {"kernel": "linear", "factors": [2, 2]}
    assert groups["blocks"]["repeat"] == [2, 2]


def mixed(seed: int = 1) -> xr.Dataset:
    """Bands of one unit, of which one is of a coarser grid."""
    coarse = coarse_cube((12, 40, 48))
    wide = wide_cube(coarse)
    noise = np.random.default_rng(seed).normal(0, 60, wide.shape)
    dims = ("time", "y", "x")
    return xr.Dataset({"fine": (dims, np.rint(wide + noise).astype("u2")), "wide": (dims, wide)})


@pytest.mark.parametrize(
    ("target", "apart"),
    [(xvcomp.Psnr(40), False), (xvcomp.Psnr(50), True), (xvcomp.Quality(50), True),
     (xvcomp.Bpppb(0.2), False)],
)  # fmt: skip
def test_bands_stay_together_where_what_they_share_counts(target, apart):
    plan = xvcomp.plan(mixed(), target=target)
    fields = {group.variables: group.interpolation is not None for group in plan.groups}
    expected = {("fine",): False, ("wide",): True} if apart else {("fine", "wide"): False}
    assert fields == expected


def test_bands_of_one_grid_are_told_alike():
    """Some kernels are cut off at edges in a way that shows in lively bands only."""
    coarse = coarse_cube()
    make, _, _ = SOFTWARE["PIL bicubic"]
    lively = np.rint(np.stack([make(each) for each in coarse])).astype("u2")
    calm = np.rint(np.stack([make(each) for each in 2900 + coarse / 30])).astype("u2")
    dims = ("time", "y", "x")
    cube = xr.Dataset({"lively": (dims, lively), "calm": (dims, calm)})
    variables, _ = describe(cube, stored=True)
    fields = {each.name: each.interpolation for each in survey(variables)}
    assert fields["lively"] is not None
    assert fields["lively"] == fields["calm"]


def test_only_those_whose_target_asks_for_it_go_to_the_full_grid(tmp_path):
    wide = wide_cube(coarse_cube())
    dims = ("time", "y", "x")
    cube = xr.Dataset({"a": (dims, wide, {"units": "1"}), "b": (dims, wide[::-1], {"units": "K"})})
    finer = {"b": Override(target=xvcomp.Psnr(90))}
    xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Quality(45), by_variable=finer)
    found = xvcomp.info(tmp_path / "c.mp4").to_dict()["groups"]
    assert {g["name"]: g["interpolation"] is not None for g in found} == {"a": True, "b": False}


def test_a_size_that_nothing_reaches_is_not_tried_twice(tmp_path, monkeypatch):
    plans, make_plan = [], api.make_plan
    monkeypatch.setattr(api, "make_plan", lambda *args: plans.append(args) or make_plan(*args))
    values, _ = CASES["whole scenes"]
    with pytest.raises(TargetError):
        xvcomp.encode(dataset(values), tmp_path / "c.mp4", target=xvcomp.Bpppb(1e-3))
    assert len(plans) == 1


def test_small_parts_whose_grid_is_mostly_border_stay_on_the_full_grid():
    values = wide_cube(coarse_cube((24, 40, 40)))
    (whole,) = xvcomp.plan(dataset(values)).groups
    (part,) = xvcomp.plan(dataset(values[:, 3:35, 5:37])).groups
    assert whole.interpolation is not None
    assert part.interpolation is None


def test_contradictions_are_refused(tmp_path):
    encoded(CASES["whole scenes"][0], tmp_path / "cube.mp4")
    field = field_of(tmp_path / "cube.mp4")
    assert field is not None
    with pytest.raises(ContainerError, match="begin between"):
        check_changed(tmp_path / "cube.mp4", block=(40, 96))
    with pytest.raises(ContainerError, match="also corrected or repeated"):
        check_changed(tmp_path / "cube.mp4", repeat=(2, 2), shape=(6, 1, 40, 48))


IMPOSSIBLE = [
    {"factors": (0, 2)},
    {"factors": (17, 2)},
    {"offsets": (4, 0)},
    {"offsets": (-1, 0)},
    {"a": 1.0},
    {"a": float("nan")},
]


@pytest.mark.parametrize("changes", IMPOSSIBLE)
def test_impossible_interpolations_are_refused(changes):
    valid = {"kernel": "linear", "factors": (2, 2), "offsets": (3, 3)}
    with pytest.raises(ValueError, match="must be"):
        Interpolation(**{**valid, **changes})


@pytest.mark.parametrize("kernel", KERNELS_OF_BENCHMARK)
def test_the_benchmark_compares_coarse_with_full(kernel):
    cube = Cube(name="made", dataset=dataset(coarse_cube().astype("u2")), variables=("a",))
    wide = widened(cube, kernel)
    assert wide.reference.shape == (6, 1, 80, 96)
    found = compared(wide)
    assert found["bd_rate_percent"] < 0
    assert all(row["coarse"] for row in found["found"])
    assert not any(row["coarse"] for row in found["full"])


SCENES = [("cubic", -0.75, 2), ("cubic", -0.5, 4), ("cubic", -0.5, 3), ("linear", 0.0, 3)]


@pytest.mark.parametrize(("kernel", "a", "factor"), SCENES)
def test_cut_scenes_of_every_kernel_take_fewer_bits(kernel, a, factor, tmp_path, monkeypatch):
    offsets = ((factor + 3) % (2 * factor), factor + 1)
    field = Interpolation(kernel=kernel, factors=(factor, factor), offsets=offsets, a=a)
    size = (190, 206)
    coarse = coarse_cube((4, *interpolating.coarse_size(field, *size)))
    values = np.rint(refined(coarse, field, size)).astype("u2")
    found, _ = encoded(values, tmp_path / "coarse.mp4", target=xvcomp.Psnr(45))
    assert field_of(tmp_path / "coarse.mp4") is not None
    monkeypatch.setattr("xvcomp.survey.interpolation_of", lambda *_: None)
    full, _ = encoded(values, tmp_path / "full.mp4", target=xvcomp.Psnr(45))
    assert found.nbytes < 0.95 * full.nbytes


def test_blocks_that_begin_between_coarse_rows_stay_on_the_full_grid():
    values = wide_cube(coarse_cube((4, 60, 60)), 3)
    (whole,) = xvcomp.plan(dataset(values)).groups
    (tiled,) = xvcomp.plan(dataset(values), tile=64).groups
    assert whole.interpolation is not None
    assert tiled.interpolation is None


def test_crops_for_trials_begin_at_coarse_rows():
    values = wide_cube(coarse_cube((4, 42, 54))).astype("f4")
    variable = VariableInput(
        name="a", bands=1, dtype=np.dtype("f4"), fill_values=(), scale=1.0, offset=0.0,
        read=lambda t, y, x: values[t, None, y, x],
    )  # fmt: skip
    field = Interpolation(kernel="linear", factors=(2, 2), offsets=(3, 3), edges="clamp")
    data = GroupInput(variables=(variable,), shape=(4, 1, 84, 108), interpolation=field)
    crop = cropped(data, 4, 50, 50)
    prepared = prepare(crop, span=4, block=(50, 50))
    assert prepared.misfit is not None
    assert np.sqrt(prepared.misfit[0] / (4 * 50 * 50)) < 0.35


def test_a_grid_that_ranges_far_beyond_its_field_is_not_coded(tmp_path, monkeypatch):
    values = CASES["whole scenes"][0]
    encoded(values, tmp_path / "as_found.mp4")
    assert field_of(tmp_path / "as_found.mp4") is not None
    span = Prepared.span
    monkeypatch.setattr(Prepared, "span", property(lambda self: 2 * span.fget(self)))
    encoded(values, tmp_path / "far_beyond.mp4")
    assert field_of(tmp_path / "far_beyond.mp4") is None
