"""The post-filter: what it computes, when it is taken, and that every way of reading agrees."""

import contextlib

import numpy as np
import pytest
import xarray as xr
from format_reader import FormatReader
from manifests import check_changed
from test_format_doc import DICTIONARY

import xvcomp
from xvcomp.errors import ContainerError
from xvcomp.pipeline import encode, slabs
from xvcomp.reading import CubeFile
from xvcomp.spec import Array, PostFilter
from xvcomp.transforms import post_filter, wiener


def smooth(shape: tuple[int, int, int, int], seed: int = 0) -> np.ndarray:
    """Fields without high frequencies, as spectral models make them."""
    noise = np.random.default_rng(seed).normal(size=shape)
    spectrum = np.fft.fftn(noise, axes=(0, 2, 3))
    t, y, x = (np.abs(np.fft.fftfreq(size) * size) for size in (shape[0], *shape[2:]))
    low = (t[:, None, None] <= 2) & ((y**2)[:, None] + x**2 <= 108)
    values = np.fft.ifftn(spectrum * low[:, None], axes=(0, 2, 3)).real
    return (280 + 10 * values / values.std()).astype("f4")


def cube(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"t": (("time", "level", "y", "x"), values)})


def filter_of(path) -> PostFilter | None:
    with contextlib.closing(CubeFile(path)) as file:
        (group,) = file.manifest.groups
    return group.post_filter or None


def encoded(values, path, **options):
    options = {"target": xvcomp.Quality(45), "preset": "best", **options}
    xvcomp.encode(cube(values), path, **options)
    with xvcomp.open(path) as opened:
        return opened.t.values


FILES = {
    "levels": (smooth((12, 2, 64, 96)), {}),
    "one band": (smooth((12, 1, 65, 97)), {}),
    "several GOPs": (smooth((21, 1, 64, 90)), {"gop": 8}),
    "folded": (smooth((23, 3, 40, 56)), {"fold": 3, "gop": 2}),
    "blocks": (smooth((9, 2, 96, 160)), {"tile": 64}),
}


@pytest.mark.parametrize("case", FILES)
def test_smooth_fields_are_filtered_and_a_second_reader_agrees(case, tmp_path):
    values, options = FILES[case]
    path = tmp_path / "cube.mp4"
    ours = encoded(values, path, **options)
    assert filter_of(path) is not None
    theirs = FormatReader(path, DICTIONARY).read("t")
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("case", FILES)
def test_a_filter_takes_noise_off_what_the_same_video_holds(case, tmp_path, monkeypatch):
    values, options = FILES[case]
    filtered = encoded(values, tmp_path / "cube.mp4", **options)
    monkeypatch.setattr(slabs, "_filter", lambda *_: None)
    with xvcomp.open(tmp_path / "cube.mp4") as opened:
        plain = opened.t.values
    assert np.mean((filtered - values) ** 2) < 0.97 * np.mean((plain - values) ** 2)


@pytest.mark.parametrize("size", [500, 4096, 1 << 22])
def test_samples_do_not_depend_on_how_work_is_cut(size, tmp_path, monkeypatch):
    values, options = FILES["several GOPs"]
    whole = encoded(values, tmp_path / "cube.mp4", **options)
    monkeypatch.setattr(slabs.slabs, "__defaults__", (size,))
    monkeypatch.setattr(slabs, "_FILTER_SLAB", size // 3)
    with xvcomp.open(tmp_path / "cube.mp4") as opened:
        assert opened.t.values.tobytes() == whole.tobytes()


def test_a_frame_read_alone_is_the_frame_of_the_whole(tmp_path):
    values, options = FILES["several GOPs"]
    whole = encoded(values, tmp_path / "cube.mp4", **options)
    with xvcomp.open(tmp_path / "cube.mp4") as opened:
        for time in (0, 7, 8, 20):
            np.testing.assert_array_equal(opened.t.isel(time=time).values, whole[time])


def test_encoding_twice_makes_the_same_file(tmp_path):
    values, options = FILES["levels"]
    for name in ("one.mp4", "two.mp4"):
        encoded(values, tmp_path / name, **options)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_noise_is_not_filtered(tmp_path):
    values = np.random.default_rng(1).normal(280, 10, (6, 1, 64, 96)).astype("f4")
    encoded(values, tmp_path / "cube.mp4")
    assert filter_of(tmp_path / "cube.mp4") is None


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_quick_presets_do_not_filter(preset, tmp_path):
    encoded(FILES["levels"][0], tmp_path / "cube.mp4", preset=preset)
    assert filter_of(tmp_path / "cube.mp4") is None


def test_gaps_are_not_learned_from_and_stay_gaps(tmp_path):
    values = smooth((12, 2, 64, 96))
    values[:, :, 10:30, 20:50] = np.nan
    values[4] = np.nan
    found = encoded(values, tmp_path / "cube.mp4")
    assert filter_of(tmp_path / "cube.mp4") is not None
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_array_equal(found, FormatReader(tmp_path / "cube.mp4", DICTIONARY).read("t"))


def test_a_psnr_is_kept_by_what_a_reader_gets(tmp_path):
    values = smooth((12, 2, 64, 96))
    found = encoded(values, tmp_path / "cube.mp4", target=xvcomp.Psnr(50))
    assert filter_of(tmp_path / "cube.mp4") is not None
    peak = values.max() - values.min()
    mse = np.mean((found.astype(np.float64) - values) ** 2)
    assert 10 * np.log10(peak**2 / mse) >= 50


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 7), (3, 1, 5, 1), (1, 2, 2, 2)])
def test_features_of_tiny_frames_are_finite_and_of_repeated_edges(shape):
    values = np.random.default_rng(0).normal(size=shape)
    levels = post_filter.padded(np.rint(values / 0.01), None, None)
    found = post_filter.features(levels)
    assert found.shape == (shape[1], post_filter.TAPS, shape[0], *shape[2:])
    assert np.isfinite(found).all()
    if shape == (1, 1, 1, 1):
        assert not found.any()


BOUNDS = wiener.edges(20)


def _evidence(weights: np.ndarray, noise: float, threshold: float = np.inf) -> wiener.Evidence:
    """What a decoder sees of values that these weights would restore, but for noise.

    ``weights`` has the shape (band, class, source, tap); class 1 begins at the threshold.
    """
    rng = np.random.default_rng(2)
    bands, classes, sources, _ = weights.shape
    shape = (8, bands, 40, 50)
    decoded = np.rint(rng.normal(0, 40, shape) * rng.choice([0.2, 3], (8, bands, 1, 1)))
    levels = post_filter.padded(decoded, None, None)
    features, lively = post_filter.features(levels), post_filter.activity(levels)
    pattern = "bcsk,sktyx->bctyx" if sources == bands else "bcok,bktyx->bctyx"
    restored = np.einsum(pattern, weights, features)
    errors = np.where(lively >= threshold, restored[:, classes - 1], restored[:, 0])
    errors = errors + rng.normal(0, noise, errors.shape)
    bins = np.searchsorted(BOUNDS, lively, side="right")
    return wiener.Evidence.of(features, bins, errors, None)


def _weights(bands: int, classes: int, sources: int) -> np.ndarray:
    shape = (bands, classes, sources, post_filter.TAPS)
    return np.random.default_rng(3).integers(-20, 20, shape) / 64


@pytest.mark.parametrize(
    ("bands", "classes", "sources"), [(1, 1, 1), (3, 1, 1), (3, 1, 3), (1, 2, 1), (3, 2, 3)]
)
def test_the_weights_that_restore_bands_are_found(bands, classes, sources):
    weights = _weights(bands, classes, sources)
    evidence = _evidence(weights, noise=5, threshold=BOUNDS[6])
    found = wiener.fit(evidence, BOUNDS, np.full(bands, 0.05), nbits=1e5)
    assert found is not None
    assert found.weights.shape == weights.shape
    assert found.thresholds == BOUNDS[6:7][: classes - 1]
    np.testing.assert_allclose(found.weights.numpy() / 2**found.shift, weights, atol=0.02)


def test_bands_that_need_the_same_share_one_filter():
    weights = np.repeat(_weights(1, 1, 1), 3, axis=0)
    found = wiener.fit(_evidence(weights, noise=5), BOUNDS, np.full(3, 1e-4), nbits=1e4)
    assert found is not None
    assert found.weights.shape == (1, 1, 1, post_filter.TAPS)


def test_many_bands_look_at_themselves_only():
    weights = _weights(9, 1, 1)
    evidence = _evidence(weights, noise=5)
    assert evidence.gram.shape[-1] == post_filter.TAPS
    found = wiener.fit(evidence, BOUNDS, np.full(9, 0.05), nbits=1e5)
    assert found is not None
    assert found.weights.shape == weights.shape


def test_a_filter_that_saves_less_than_it_takes_is_none():
    evidence = _evidence(_weights(1, 1, 1), noise=5)
    assert wiener.fit(evidence, BOUNDS, np.full(1, 1e-9), nbits=10) is None


def test_nothing_to_learn_from_gives_no_filter():
    assert wiener.fit(wiener.Evidence.none(2), BOUNDS, np.ones(2), nbits=1e6) is None


@pytest.mark.parametrize("bands", [2, 9])
def test_evidence_adds_up_and_leaves_out_what_is_not_valid(bands):
    rng = np.random.default_rng(4)
    features, errors = rng.normal(size=(bands, 13, 4, 5, 6)), rng.normal(size=(bands, 4, 5, 6))
    bins, valid = rng.integers(0, 10, errors.shape), rng.random((4, 5, 6)) < 0.5
    parts = [wiener.Evidence.of(features, bins, errors, each) for each in (valid, ~valid)]
    both, whole = parts[0] + parts[1], wiener.Evidence.of(features, bins, errors, None)
    assert both.count == whole.count == 120
    for name in ("gram", "cross", "squares"):
        np.testing.assert_allclose(getattr(both, name), getattr(whole, name), rtol=1e-9)


@pytest.mark.parametrize("shape", [(2, 1, 1, 12), (2, 1, 3, 13), (2, 1, 13), (0, 1, 0, 13)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="13"):
        PostFilter(weights=Array.of(np.zeros(shape, dtype="i2")), shift=8)


@pytest.mark.parametrize(
    "thresholds", [(), (5,), (9, 5), (5, 5), (-1, 5), (5, 1 << 53), (5, 10**400)]
)
def test_thresholds_that_do_not_fit_the_classes_are_refused(thresholds):
    weights = Array.of(np.zeros((1, 3, 1, 13), dtype="i2"))
    with pytest.raises(ValueError, match="3 classes"):
        PostFilter(weights=weights, shift=8, thresholds=thresholds)


def test_more_classes_than_anyone_needs_are_refused():
    weights = Array.of(np.zeros((1, 17, 1, 13), dtype="i2"))
    with pytest.raises(ValueError, match="at most 16 classes"):
        PostFilter(weights=weights, shift=8, thresholds=tuple(range(16)))


def test_a_filter_of_other_bands_than_the_group_has_is_refused(tmp_path):
    encoded(FILES["levels"][0], tmp_path / "cube.mp4")
    odd = PostFilter(weights=Array.of(np.ones((5, 1, 1, 13), dtype="i2")), shift=8)
    with pytest.raises(ContainerError, match="filter of 5 bands, not 2"):
        check_changed(tmp_path / "cube.mp4", post_filter=odd)


def test_a_filter_where_there_is_nothing_to_filter_is_refused(tmp_path):
    values = FILES["levels"][0]
    odd = PostFilter(weights=Array.of(np.ones((1, 1, 1, 13), dtype="i2")), shift=8)
    encoded(values, tmp_path / "packets.mp4", target=xvcomp.Lossless())
    with pytest.raises(ContainerError, match="lacks what it takes"):
        check_changed(tmp_path / "packets.mp4", post_filter=odd)
    encoded(values, tmp_path / "corrected.mp4", target=xvcomp.MaxError(0.5), codec="libx265")
    with contextlib.closing(CubeFile(tmp_path / "corrected.mp4")) as file:
        assert file.manifest.groups[0].klt is not None
    with pytest.raises(ContainerError, match="is filtered, and also corrected"):
        check_changed(tmp_path / "corrected.mp4", post_filter=odd)


def test_bounds_are_kept_without_a_filter(tmp_path):
    values = FILES["levels"][0]
    found = encoded(values, tmp_path / "cube.mp4", target=xvcomp.MaxError(0.5), codec="libx265")
    assert filter_of(tmp_path / "cube.mp4") is None
    assert np.abs(found - values).max() <= 0.5


def test_a_filter_that_turns_out_worse_than_expected_is_left_out(tmp_path, monkeypatch):
    bad = PostFilter(weights=Array.of(np.full((1, 1, 1, 13), 9, dtype="i2")), shift=6)
    monkeypatch.setattr(encode, "learned", lambda *_: bad)
    values = FILES["levels"][0]
    found = encoded(values, tmp_path / "cube.mp4")
    assert filter_of(tmp_path / "cube.mp4") is None
    monkeypatch.setattr(encode, "learned", lambda *_: None)
    np.testing.assert_array_equal(found, encoded(values, tmp_path / "plain.mp4"))


def test_only_samples_that_are_valid_in_all_bands_are_learned_from(tmp_path, monkeypatch):
    counts = []

    def counted(group, prepared, evidence, *rest):
        counts.append(evidence.count)

    monkeypatch.setattr(encode, "learned", counted)
    values = smooth((12, 2, 64, 96))
    values[:, 0, 10:30, 20:50] = np.nan
    values[:, 1, 20:40, 20:50] = np.nan
    values[4] = np.nan
    encoded(values, tmp_path / "cube.mp4", codec="libx265", fold=1)
    assert set(counts) == {int(np.isfinite(values).all(axis=1).sum())}


@pytest.mark.parametrize("mean", [1e9, 1e12])
def test_a_large_offset_does_not_cost_exactness(mean, tmp_path):
    values = smooth((12, 2, 64, 96)).astype("f8") * 10 + mean
    ours = encoded(values, tmp_path / "cube.mp4")
    assert filter_of(tmp_path / "cube.mp4") is not None
    theirs = FormatReader(tmp_path / "cube.mp4", DICTIONARY).read("t")
    np.testing.assert_array_equal(theirs, ours)


def test_samples_do_not_depend_on_the_number_of_threads(tmp_path, monkeypatch):
    values, options = FILES["several GOPs"]
    path = tmp_path / "cube.mp4"
    encoded(values, path, **options)
    monkeypatch.setattr(slabs, "_SLAB", 4000)
    asked, in_threads = [], slabs.map_ordered

    def counted(function, items, workers):
        asked.append(workers)
        return in_threads(function, items, workers)

    monkeypatch.setattr(slabs, "map_ordered", counted)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("xvcomp.reading.cpu_count", lambda threads=threads: threads)
        with xvcomp.open(path) as opened:
            found.append(opened.t.isel(time=slice(0, 8)).values)
    np.testing.assert_array_equal(*found)
    assert set(asked) == {1, 2}
