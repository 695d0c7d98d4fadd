"""The basis that takes fewer bits: orthonormal, better where bands differ by frequency, sound."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xvcomp
from xvcomp.transforms import klt, rotating


def _waves(rng, shape, longest, shortest):
    """Noise of a band of spatial frequencies, in cycles per frame."""
    _, height, width = shape
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    ky, kx = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width
    k = np.hypot(ky, kx)
    found = np.fft.irfft2(spectrum * ((k >= longest) & (k < shortest)), s=(height, width))
    return found / found.std()


def field(seed=0, shape=(6, 96, 96)):
    """Bands that share their large waves, and of whose small waves each has its own."""
    rng = np.random.default_rng(seed)
    shared = 100 * _waves(rng, shape, 1, 4)
    own = [20 * _waves(rng, shape, 20, 48) for _ in range(2)]
    return np.stack([shared + own[0], 0.6 * shared + 0.2 * own[1]], axis=1)


def _moments(values):
    return klt.Moments.of(values, values.mean(axis=(0, 2, 3)))


def _patches(values, fold=1, side=32):
    return rotating.Patches.of(
        values, fold, values.mean(axis=(0, 2, 3)), side=side, share=1.0, seed=(0, 0)
    )


def _small_waves_cost(values, basis):
    """Bits of what a codec cannot predict: here all but the large waves."""
    components = klt.forward(values, basis)
    detail = components[..., :-2, :-2] - components[..., 2:, :-2] - components[..., :-2, 2:]
    detail += components[..., 2:, 2:]
    return np.log2(1 + detail.var(axis=(0, 2, 3)) / 0.1).sum()


def test_small_waves_are_not_mixed_for_the_sake_of_large_ones():
    values = field()
    moments, weights = _moments(values), np.ones(2)
    plain, _ = klt.fit(moments, weights)
    turned, _ = rotating.fit(moments, weights, _patches(values), 1.0)
    assert _small_waves_cost(values, turned) < _small_waves_cost(values, plain) - 0.5


@given(bands=st.integers(2, 12), seed=st.integers(0, 99), octave=st.integers(-6, 6))
@settings(max_examples=25, deadline=None)
def test_the_basis_is_orthonormal_and_sorted_by_variance(bands, seed, octave):
    rng = np.random.default_rng(seed)
    mixed = np.tensordot(rng.normal(size=(bands, bands)), rng.normal(size=(bands, 5, 40, 40)), 1)
    values = mixed.swapaxes(0, 1) * 10.0 + 50
    weights = rng.uniform(0.5, 2, bands)
    basis, variances = rotating.fit(_moments(values), weights, _patches(values), 2.0**octave)
    matrix = basis.matrix.numpy() / 2.0**basis.shift
    # Entries may have 7 bits after the point only.
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(bands), atol=0.03)
    assert (np.diff(variances) <= 0).all()
    components = klt.forward(values, basis)
    np.testing.assert_allclose(components.var(axis=(0, 2, 3)), variances, rtol=0.1, atol=0.2)


@pytest.mark.parametrize(
    "values",
    [
        np.full((5, 3, 40, 40), 7.0),
        np.random.default_rng(0).normal(size=(5, 3, 40, 40)) * 1e300,
        np.random.default_rng(0).normal(size=(5, 3, 7, 40)),
        np.random.default_rng(0).normal(size=(1, 3, 8, 8)),
    ],
    ids=["constant", "huge", "too low for a block", "one small frame"],
)
def test_where_nothing_can_be_seen_the_klt_stays(values):
    with np.errstate(all="ignore"):
        moments = _moments(values)
        if not np.isfinite(moments.covariance).all():
            moments = klt.Moments(10, np.zeros(3), np.zeros(3), np.diag([3.0, 2.0, 1.0]) * 1e305)
    side = rotating.side_of(*values.shape[2:])
    patches = _patches(values, side=side)
    found = rotating.fit(moments, np.ones(3), patches, 0.1)
    vectors, _ = klt.eigenvectors(moments, np.ones(3))
    expected = klt.of_vectors(vectors, moments, np.ones(3), 0.1)
    np.testing.assert_array_equal(found[0].matrix.numpy(), expected[0].matrix.numpy())


def test_patches_are_folded_frames_and_those_before_them():
    values = np.arange(7 * 2 * 8 * 8, dtype=float).reshape(7, 2, 8, 8)
    patches = rotating.Patches.of(values, 3, np.zeros(6), side=8, share=1.0, seed=(0, 0))
    assert patches.first.tolist() == [True, False, False]
    np.testing.assert_array_equal(patches.here[1], values[3:6].reshape(6, 8, 8))
    np.testing.assert_array_equal(patches.before[1], values[:3].reshape(6, 8, 8))
    # The last frame is repeated, as folding does.
    np.testing.assert_array_equal(patches.here[2], np.tile(values[6], (3, 1, 1)))


def test_a_window_draws_its_share_of_patches():
    values = np.zeros((400, 1, 64, 64))
    whole = rotating.Patches.of(values, 1, np.zeros(1), side=32, share=1.0, seed=(0, 0))
    halves = [
        rotating.Patches.of(part, 1, np.zeros(1), side=32, share=0.5, seed=(n, 0))
        for n, part in enumerate((values[:200], values[200:]))
    ]
    assert abs(len((halves[0] + halves[1]).first) - len(whole.first)) <= 1


def test_a_file_takes_fewer_bits_for_less_error(tmp_path, monkeypatch):
    values = field(shape=(4, 96, 96)).astype("f4")
    cube = xr.Dataset({"u": (("time", "level", "y", "x"), values, {"units": "m s-1"})})
    options = {"target": xvcomp.Quality(55), "preset": "fast", "codec": "libx265"}
    turned = xvcomp.encode(cube, tmp_path / "turned.mp4", **options)

    monkeypatch.setattr(rotating, "fit", lambda moments, weights, *_: klt.fit(moments, weights))
    plain = xvcomp.encode(cube, tmp_path / "plain.mp4", **options)

    assert turned.nbytes < plain.nbytes
    assert turned.set_psnr_db["m s-1"] > plain.set_psnr_db["m s-1"]


@pytest.mark.parametrize("size", [1e200, 1e300])
def test_bands_whose_squares_overflow_are_coded_as_they_are(size, tmp_path):
    values = field(shape=(4, 64, 64)) / 500 * size
    cube = xr.Dataset({"u": (("time", "level", "y", "x"), values, {"units": "m"})})
    path = tmp_path / "cube.mp4"
    with np.errstate(over="ignore", invalid="ignore"):
        xvcomp.encode(cube, path, target=xvcomp.Quality(40), preset="fast")
    with xvcomp.open(path) as decoded:
        assert np.abs(decoded.u.values - values).max() < size / 10
