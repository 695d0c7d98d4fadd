"""Transforms, folding and planes: exact inverses, bounded errors, any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xvcomp import planes, spec
from xvcomp.transforms import folding, klt, per_band, products, quantize


def _values(bands, seed=0, mean=1e4, size=100.0, shape=(4, 12, 10)):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(shape[0], 1, *shape[1:]))
    own = rng.normal(size=(shape[0], bands, *shape[1:]))
    return mean + size * (base + 0.3 * own)


def _fit(values, weights=None):
    weights = np.ones(values.shape[1]) if weights is None else weights
    moments = klt.Moments.of(values, values.mean(axis=(0, 2, 3)))
    return klt.fit(moments, weights)


@given(bands=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_round_trip_error_is_bounded_by_the_step(bands, seed):
    values = _values(bands, seed)
    basis, _ = _fit(values)
    components = klt.forward(values, basis)
    low, high = components.min(axis=(0, 2, 3)), components.max(axis=(0, 2, 3))
    step = quantize.smallest_step(low, high, 12)
    q = quantize.fit(low, high, 12, step)
    codes = quantize.quantize(components, q)
    back = klt.inverse(quantize.dequantize(codes, q), basis, q.step)
    # Half a step per component, spread over bands by an orthonormal matrix.
    assert np.abs(back - values).max() <= 0.5 * step * np.sqrt(bands) * 1.01


def test_components_are_uncorrelated_and_sorted_by_variance():
    values = _values(6)
    basis, variances = _fit(values)
    components = klt.forward(values, basis)
    covariance = np.cov(np.moveaxis(components, 1, 0).reshape(6, -1))
    off_diagonal = covariance - np.diag(np.diag(covariance))
    assert np.abs(off_diagonal).max() < 1e-3 * variances[0]
    assert (np.diff(variances) <= 0).all()


@pytest.mark.parametrize("octaves", [3, 9, 12])
def test_entries_are_as_short_as_the_step_allows(octaves):
    values = _values(6, size=100.0)
    moments = klt.Moments.of(values, values.mean(axis=(0, 2, 3)))
    weights = np.ones(6)
    vectors, variances = klt.eigenvectors(moments, weights)
    step = float(np.sqrt(variances[0])) / 2**octaves
    basis, _ = klt.of_vectors(vectors, moments, weights, step)
    assert basis.matrix.numpy().dtype == (np.int8 if octaves <= 7 else np.int16)
    components = klt.forward(values, basis)
    covariance = np.cov(np.moveaxis(components, 1, 0).reshape(6, -1))
    # The strongest component leaks into the weak ones by less than a step.
    assert np.abs(covariance[0, 1:]).max() < step * np.sqrt(variances[0])
    # Rounding the matrix costs no error.
    back = klt.inverse(components / step, basis, step)
    np.testing.assert_allclose(back, values, rtol=1e-6)


@pytest.mark.parametrize("bands", [13, 37, 100])
@pytest.mark.parametrize("db", [45, 60])
def test_short_entries_hardly_add_to_the_error_where_components_are_dropped(bands, db):
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(5, 6 * 24 * 24)) * (100 / 3.0 ** np.arange(5))[:, None]
    flat = np.linalg.qr(rng.normal(size=(bands, 5)))[0] @ modes
    flat = flat + 1e-3 * rng.normal(size=flat.shape)
    values = flat.reshape(bands, 6, 24, 24).swapaxes(0, 1)
    moments = klt.Moments.of(values, values.mean(axis=(0, 2, 3)))
    weights = np.ones(bands)
    vectors, _ = klt.eigenvectors(moments, weights)
    step = np.ptp(values) * 10 ** ((10.8 - db) / 20)

    def error(precision: float) -> float:
        basis, variances = klt.of_vectors(vectors, moments, weights, precision)
        kept = klt.select(basis, np.flatnonzero(variances > step**2 / 300))
        levels = np.rint(klt.forward(values, kept) / step)
        return float(np.mean((klt.inverse(levels, kept, step) - values) ** 2))

    assert error(step) < 1.02 * error(0.0)


def test_the_inverse_does_not_depend_on_the_order_of_summation():
    rng = np.random.default_rng(0)
    basis, _ = _fit(_values(8))
    levels = rng.integers(-4000, 4000, (2, 8, 30, 20)).astype(np.float64)
    whole = klt.inverse(levels, basis, 0.37)
    matrix = basis.matrix.numpy().astype(object)
    total = np.zeros((2, 8, 30, 20), dtype=object)
    for k in reversed(range(8)):
        total = total + matrix[:, k][:, None, None] * levels[:, k : k + 1].astype(int)
    gains = 0.37 / 2**basis.shift / basis.weights.numpy()
    means = basis.means.numpy().astype(np.float64)
    again = total.astype(np.float64) * gains[:, None, None] + means[:, None, None]
    np.testing.assert_array_equal(whole, again)


def test_a_part_decodes_to_the_same_bits_as_the_whole():
    rng = np.random.default_rng(1)
    basis, _ = _fit(_values(5))
    levels = rng.integers(-2000, 2000, (6, 5, 40, 30)).astype(np.float64)
    whole = klt.inverse(levels, basis, 0.1)
    part = klt.inverse(np.ascontiguousarray(levels[2:3, :, 7:19, 3:4]), basis, 0.1)
    np.testing.assert_array_equal(whole[2:3, :, 7:19, 3:4], part)


def test_moments_of_parts_add_up_to_those_of_the_whole():
    values = _values(4, mean=1e8, size=1e-2)
    origin = values[:1].mean(axis=(0, 2, 3))
    whole = klt.Moments.of(values, origin)
    parts = klt.Moments.of(values[:1], origin) + klt.Moments.of(values[1:], origin)
    np.testing.assert_allclose(whole.covariance, parts.covariance, rtol=1e-9)
    flat = np.moveaxis(values, 1, 0).reshape(4, -1)
    np.testing.assert_allclose(whole.covariance, np.cov(flat, bias=True), rtol=1e-4)


def test_weights_decide_which_bands_are_coded_finely():
    values = _values(3)
    _, even = _fit(values)
    _, uneven = _fit(values, np.array([100.0, 1.0, 1.0]))
    assert uneven[0] > 1000 * even[0]


def test_nan_is_refused_by_the_quantiser():
    q = quantize.fit(np.array([0.0]), np.array([1.0]), 8, 0.1)
    with pytest.raises(ValueError, match="NaN"):
        quantize.quantize(np.full((1, 1, 2, 2), np.nan), q)


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 16])
def test_the_extremes_of_every_component_fit_into_the_codes(bit_depth):
    low, high = np.array([-5.0, 100.0, -1e-9]), np.array([7.0, 103.0, 1e-9])
    q = quantize.fit(low, high, bit_depth, quantize.smallest_step(low, high, bit_depth))
    for ends in (low, high):
        components = ends.reshape(1, 3, 1, 1)
        codes = quantize.quantize(components, q)
        back = quantize.dequantize(codes, q) * q.step
        assert np.abs(back - components).max() <= q.step * 0.5001


@given(time=st.integers(1, 30), n=st.integers(1, 9), bands=st.integers(1, 3))
def test_unfolding_undoes_folding(time, n, bands):
    values = np.arange(time * bands * 6).reshape(time, bands, 2, 3)
    folded = folding.fold(values, n)
    assert folded.shape == (-(-time // n), n * bands, 2, 3)
    np.testing.assert_array_equal(folding.unfold(folded, n, time), values)


@given(
    components=st.integers(1, 14),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    kind=st.sampled_from(["tiled", "gray", "yuv444"]),
    align=st.sampled_from([1, 2, 8, 16]),
)
@settings(max_examples=60, deadline=None)
def test_unpacking_undoes_packing(components, height, width, kind, align):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4096, (2, components, height, width)).astype(np.uint16)
    columns = planes.choose_columns(components, height, width, (8192, 8192))
    layout = spec.Layout(kind=kind, columns=columns if kind == "tiled" else 1, align=align)
    geo = planes.geometry(layout, components, height, width, (16, 17))
    streams = planes.pack(codes, layout, geo)
    assert len(streams) == geo.streams
    assert all(plane.shape[1:] == geo.frame for stream in streams for plane in stream)
    back = planes.unpack(streams, layout, geo, (components, height, width))
    np.testing.assert_array_equal(back, codes)


def test_half_resolution_chroma_keeps_the_first_component_exactly():
    y, x = np.mgrid[:37, :50]
    codes = np.stack([1000 + 10 * y, 500 + 4 * x, 800 + 2 * y + x])[None].astype(np.uint16)
    layout = spec.Layout(kind="yuv420")
    geo = planes.geometry(layout, 3, 37, 50, (1, 1))
    back = planes.unpack(planes.pack(codes, layout, geo), layout, geo, (3, 37, 50))
    np.testing.assert_array_equal(back[:, 0], codes[:, 0])
    assert np.abs(back[:, 1:] - codes[:, 1:]).max() <= 3.5


def test_frames_that_are_too_small_for_the_layout_are_refused():
    layout = spec.Layout(kind="tiled", columns=2)
    geo = planes.geometry(layout, 4, 16, 16, (1, 1))
    with pytest.raises(ValueError, match="cannot hold"):
        planes.unpack([(np.zeros((1, 16, 32), np.uint16),)], layout, geo, (4, 16, 16))


def test_tiles_are_laid_out_compactly_within_the_codec_limits():
    assert planes.choose_columns(10, 64, 64, (8192, 8192)) in (2, 5)
    assert planes.choose_columns(9, 64, 64, (8192, 8192)) == 3
    assert planes.choose_columns(16, 1024, 1024, (2048, 8192)) == 8


def test_arithmetic_per_band_has_the_bits_of_broadcasting():
    values = np.random.default_rng(5).normal(size=(3, 4, 50)) * 1e3
    numbers = np.array([1e-5, 3.0, -0.1, 7e9])
    for operation in (np.subtract, np.multiply, np.add):
        found = values.copy()
        per_band.apply(operation, found, numbers)
        np.testing.assert_array_equal(found, operation(values, numbers[:, None]))


@pytest.mark.parametrize("shape", [(3, 13, 40_000), (40, 104, 4096), (300, 300, 50), (1, 1, 1)])
def test_products_in_parts_are_the_products(shape):
    rng = np.random.default_rng(0)
    m, k, n = shape
    left, right = rng.integers(-99, 99, (m, k)) * 1.0, rng.integers(-99, 99, (2, k, n)) * 1.0
    np.testing.assert_array_equal(products.multiply(left, right), left @ right)
    np.testing.assert_array_equal(products.gram(right[0]), right[0] @ right[0].T)
