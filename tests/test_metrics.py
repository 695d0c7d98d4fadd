import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xvcomp.metrics import (
    ErrorStats,
    Mean,
    RelativeError,
    bpppb,
    dssim,
    gradient_error,
    index_error,
    power_spectrum_error,
    psnr_db,
    ratio,
    spectral_angle,
    ssim_frame,
)


def fields(seed=0, shape=(40, 50), noise=0.1):
    """Make a smooth reference in [0, 1] and a noisy copy."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    ref = np.broadcast_to((np.sin(y / 5) * np.cos(x / 7) + 1) / 2, shape).copy()
    return ref, ref + noise * rng.normal(size=shape)


def close(a, b, rel=1e-9):
    """Compare all numbers of two statistics."""
    for name in ErrorStats.__slots__:
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=1e-12), name


# plain numbers


def test_psnr_of_a_known_error_is_computed_by_hand():
    assert psnr_db(mse=0.01, peak=1.0) == pytest.approx(20.0)
    assert psnr_db(mse=1e-300, peak=1e200) == pytest.approx(7000.0)


def test_psnr_of_limits_is_defined():
    assert psnr_db(0.0, 5.0) == math.inf
    assert psnr_db(0.0, 0.0) == math.inf
    assert psnr_db(1.0, 0.0) == -math.inf
    assert psnr_db(math.inf, 1.0) == -math.inf
    assert math.isnan(psnr_db(math.nan, 1.0))
    with pytest.raises(ValueError, match="negative"):
        psnr_db(-1.0, 1.0)


def test_rates_and_ratios_are_computed_by_hand():
    assert bpppb(1000, 80_000) == 0.1
    assert ratio(4000, 100) == 40
    assert dssim(0.9) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="0 samples"):
        bpppb(10, 0)
    with pytest.raises(ValueError, match="0 coded"):
        ratio(10, 0)


# error statistics


def test_error_statistics_of_five_samples_are_computed_by_hand():
    ref = np.array([0.0, 10.0, 4.0, np.nan, 100.0])
    dec = np.array([1.0, 8.0, 4.0, 7.0, 0.0])
    stats = ErrorStats.of(ref, dec, np.array([1, 1, 1, 1, 0], bool))
    assert (stats.n_total, stats.n_valid) == (5, 3)
    assert stats.mse == pytest.approx(5 / 3)
    assert stats.rmse == pytest.approx(math.sqrt(5 / 3))
    assert stats.mae == pytest.approx(1.0)
    assert stats.bias == pytest.approx(-1 / 3)
    assert stats.max_error == 2
    assert stats.peak_range == 10
    assert stats.r2 == pytest.approx(1 - 5 / (116 - 14**2 / 3))
    assert stats.psnr_db() == pytest.approx(10 * math.log10(100 / (5 / 3)))
    assert stats.psnr_db(peak=20.0) == pytest.approx(10 * math.log10(400 / (5 / 3)))


def test_psnr_without_gaps_is_that_of_scikit_image():
    ref, dec = fields()
    expected = peak_signal_noise_ratio(ref, dec, data_range=np.ptp(ref))
    assert ErrorStats.of(ref, dec).psnr_db() == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0, 1))
def test_merged_parts_equal_the_whole(seed, cut, missing):
    rng = np.random.default_rng(seed)
    ref = 280 + rng.normal(size=60)
    dec = ref + rng.normal(size=60)
    valid = rng.random(60) >= missing
    whole = ErrorStats.of(ref, dec, valid)
    first = ErrorStats.of(ref[:cut], dec[:cut], valid[:cut])
    last = ErrorStats.of(ref[cut:], dec[cut:], valid[cut:])
    close(first + last, whole)
    close(last + first, whole)


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_samples_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    ref, dec = rng.normal(size=(2, 50))
    valid = rng.random(50) > 0.3
    order = rng.permutation(50)
    close(ErrorStats.of(ref, dec, valid), ErrorStats.of(ref[order], dec[order], valid[order]))


def test_what_lies_under_missing_samples_does_not_count():
    ref, dec = fields()
    valid = np.random.default_rng(1).random(ref.shape) > 0.7
    garbage = np.where(valid, dec, 1e30)
    close(
        ErrorStats.of(ref, garbage, valid),
        ErrorStats.of(ref[valid], dec[valid]) + ErrorStats(n_total=int((~valid).sum())),
    )
    assert valid.mean() < 0.35


def test_large_arrays_are_measured_in_blocks_with_the_same_result():
    rng = np.random.default_rng(0)
    ref = rng.normal(size=(3, 1000, 800)).astype(np.float32)
    dec = ref + np.float32(0.5)
    stats = ErrorStats.of(ref.transpose(2, 0, 1), dec.transpose(2, 0, 1))
    assert stats.n_valid == ref.size
    assert stats.rmse == pytest.approx(0.5, rel=1e-6)
    assert stats.ref_scatter / ref.size == pytest.approx(ref.var(dtype=np.float64), rel=1e-9)


def test_nothing_valid_gives_nan_and_merges_without_a_trace():
    empty = ErrorStats.of(np.full(4, np.nan), np.zeros(4))
    assert empty.n_total == 4
    for number in (empty.mse, empty.mae, empty.bias, empty.r2, empty.peak_range, empty.psnr_db()):
        assert math.isnan(number)
    some = ErrorStats.of(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert (empty + some).mse == (some + empty).mse == 0.5
    assert (empty + some).n_total == 6


def test_constant_data_have_infinite_psnr_if_exact_and_minus_infinity_if_not():
    ref = np.full(5, 3.0)
    assert ErrorStats.of(ref, ref).psnr_db() == math.inf
    assert ErrorStats.of(ref, ref).r2 == 1
    assert ErrorStats.of(ref, ref + 0.1).psnr_db() == -math.inf
    assert ErrorStats.of(ref, ref + 0.1).r2 == -math.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_decoded_value_that_is_not_finite_is_an_infinite_error(bad):
    ref = np.arange(4.0)
    stats = ErrorStats.of(ref, np.array([0.0, 1.0, bad, 3.0]))
    assert stats.max_error == math.inf
    assert stats.psnr_db() == -math.inf
    assert (stats + ErrorStats.of(ref, ref)).max_error == math.inf


def test_extremes_of_64_bit_integers_do_not_wrap_around():
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    ref = np.array([low, high, high, 0], np.int64)
    dec = np.array([high, low, high - 1, -3], np.int64)
    stats = ErrorStats.of(ref, dec)
    assert stats.max_error == 2.0**64
    assert stats.sum_error == pytest.approx(-4, abs=1e-9)
    unsigned = ErrorStats.of(
        np.array([0, 2**64 - 1], np.uint64), np.array([3, 2**64 - 2], np.uint64)
    )
    assert unsigned.sum_abs == 4
    assert unsigned.bias == 1


def test_small_integers_do_not_wrap_around():
    ref = np.array([0, 255], np.uint8)
    assert ErrorStats.of(ref, np.array([255, 0], np.uint8)).max_error == 255
    mixed = ErrorStats.of(ref, np.array([-1, 300], np.int16))
    assert mixed.sum_abs == 46


def test_small_errors_on_large_offsets_keep_their_digits():
    ref = 1e12 + np.arange(1000.0)
    stats = ErrorStats.of(ref[:300], ref[:300] + 0.25) + ErrorStats.of(ref[300:], ref[300:] + 0.25)
    assert stats.rmse == pytest.approx(0.25)
    assert stats.ref_scatter / 1000 == pytest.approx(np.arange(1000.0).var(), rel=1e-9)


def test_tiny_values_are_measured_in_their_own_scale():
    ref, dec = fields(noise=0.01)
    large, small = ErrorStats.of(ref, dec), ErrorStats.of(ref * 1e-8, dec * 1e-8)
    assert small.psnr_db() == pytest.approx(large.psnr_db(), abs=1e-6)
    assert small.r2 == pytest.approx(large.r2, abs=1e-9)


def test_arrays_of_other_shapes_are_refused_rather_than_broadcast():
    with pytest.raises(ValueError, match="shapes must be equal"):
        ErrorStats.of(np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="shapes must be equal"):
        ErrorStats.of(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(3, bool))


# SSIM


@pytest.mark.parametrize("shape", [(40, 50), (7, 7), (7, 30)])
def test_ssim_without_gaps_is_that_of_scikit_image(shape):
    ref, dec = fields(shape=shape)
    expected = structural_similarity(ref, dec, data_range=1.0)
    assert ssim_frame(ref, dec, None, 1.0).value == pytest.approx(expected, rel=1e-12)


def test_ssim_of_small_frames_uses_the_largest_odd_window_that_fits():
    ref, dec = fields(shape=(6, 9))
    expected = structural_similarity(ref, dec, data_range=1.0, win_size=5)
    assert ssim_frame(ref, dec, None, 1.0).value == pytest.approx(expected, rel=1e-12)
    for shape in ((1, 1), (2, 40)):
        assert math.isnan(ssim_frame(np.ones(shape), np.ones(shape), None, 1.0).value)


def test_ssim_ignores_what_lies_under_the_mask():
    ref, dec = fields()
    valid = np.random.default_rng(0).random(ref.shape) > 0.7
    garbage = np.where(valid, dec, np.nan)
    here = ssim_frame(ref, dec, valid, 1.0)
    assert here == ssim_frame(np.where(valid, ref, 9e9), garbage, valid, 1.0)
    assert here.count == valid[3:-3, 3:-3].sum()
    assert here.value < 0.999


def test_ssim_of_equal_frames_is_one_and_falls_with_noise():
    ref, dec = fields(noise=0.05)
    worse = fields(noise=0.3)[1]
    assert ssim_frame(ref, ref, None, 1.0).value == pytest.approx(1)
    assert 1 > ssim_frame(ref, dec, None, 1.0).value > ssim_frame(ref, worse, None, 1.0).value


def test_ssim_with_an_offset_does_not_depend_on_the_zero_of_the_unit():
    ref, dec = fields()
    celsius = ssim_frame(ref, dec, None, 1.0, offset=float(ref.min()))
    kelvin = ssim_frame(ref + 273.15, dec + 273.15, None, 1.0, offset=float(ref.min()) + 273.15)
    assert kelvin.value == pytest.approx(celsius.value, rel=1e-6)


def test_ssim_of_constant_data_counts_equal_pixels():
    ref = np.ones((9, 9))
    dec = ref.copy()
    dec[4, 4] = 2
    assert ssim_frame(ref, dec, None, 0.0).value == pytest.approx(8 / 9)


def test_ssim_of_a_frame_that_decoded_to_nan_is_zero():
    ref, dec = fields()
    dec[0, 0] = np.nan
    assert ssim_frame(ref, dec, None, 1.0).value == 0


def test_means_merge_by_count():
    merged = Mean(3.0, 3) + Mean(0.0, 1) + Mean()
    assert merged.value == 0.75
    assert math.isnan(Mean().value)


# spectra


def test_spectral_angles_are_computed_by_hand():
    ref = np.array([[1.0, 1.0, 2.0], [0.0, 1.0, 2.0]]).reshape(2, 1, 3)
    dec = np.array([[0.0, 3.0, 1.0], [5.0, 3.0, 0.0]]).reshape(2, 1, 3)
    angle = spectral_angle(ref, dec)
    assert angle.count == 3
    assert angle.value == pytest.approx((np.pi / 2 + 0 + np.pi / 4) / 3)


def test_small_spectral_angles_keep_their_digits():
    ref = np.array([1.0, 0.0]).reshape(2, 1, 1)
    dec = np.array([1.0, 1e-10]).reshape(2, 1, 1)
    assert spectral_angle(ref, dec).value == pytest.approx(1e-10, rel=1e-6)


def test_spectral_angle_skips_gaps_and_zero_references_but_not_lost_pixels():
    ref = np.ones((3, 1, 4))
    dec = ref.copy()
    ref[:, 0, 0] = 0
    ref[1, 0, 1] = np.nan
    dec[:, 0, 2] = 0
    angle = spectral_angle(ref, dec)
    assert angle.count == 2
    assert angle.value == pytest.approx(np.pi / 4)
    dec[0, 0, 3] = np.nan
    assert spectral_angle(ref, dec).value == pytest.approx((np.pi / 2 + np.pi) / 2)


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e12])
def test_spectral_angle_does_not_depend_on_the_scale(scale):
    rng = np.random.default_rng(0)
    ref, dec = rng.random((2, 2, 4, 5, 6))
    expected = spectral_angle(ref, dec).value
    assert spectral_angle(ref * scale, dec * scale).value == pytest.approx(expected)
    assert spectral_angle(ref, dec * 3).value == pytest.approx(expected)


# indices


def test_index_errors_are_computed_by_hand():
    stats = index_error(
        np.array([3.0, 1.0, 1.0]),
        np.array([1.0, 1.0, -1.0]),
        np.array([1.0, 3.0, 5.0]),
        np.array([1.0, 1.0, 1.0]),
    )
    assert (stats.n_total, stats.n_valid) == (3, 2)
    assert stats.max_error == 0.5
    assert stats.bias == pytest.approx(0.0)
    assert stats.mae == pytest.approx(0.5)


def test_index_error_works_on_unsigned_integers_and_skips_gaps():
    a = np.array([10, 20, 0], np.uint16)
    b = np.array([30, 5, 0], np.uint16)
    stats = index_error(a, b, a, b, np.array([True, False, True]))
    assert stats.n_valid == 1
    assert stats.max_error == 0
    assert stats.ref_min == -0.5


def test_an_index_that_decoded_to_nan_is_an_infinite_error():
    ones = np.ones(3)
    stats = index_error(ones, ones / 2, np.array([1.0, np.nan, 1.0]), ones / 2)
    assert stats.max_error == math.inf


# gradients


def test_gradient_error_is_computed_by_hand():
    ref = np.array([[0.0, 1.0], [0.0, 1.0]])
    dec = np.array([[0.0, 1.0], [0.0, 2.0]])
    result = gradient_error(ref, dec)
    assert result.count == 4
    assert result.value == pytest.approx(math.sqrt((1 + 1) / (1 + 1)))


def test_gradient_error_ignores_offsets_and_gaps():
    ref, _ = fields()
    valid = np.random.default_rng(0).random(ref.shape) > 0.7
    dec = np.where(valid, ref + 5, np.nan)
    assert gradient_error(ref, dec, valid).value == pytest.approx(0, abs=1e-12)
    assert gradient_error(ref, ref + 0.0, valid).value == 0


def test_gradient_error_of_halved_contrast_is_one_half():
    ref, _ = fields(shape=(3, 2, 20, 30))
    assert gradient_error(ref, ref / 2).value == pytest.approx(0.5)


def test_gradient_errors_of_frames_merge_to_that_of_the_cube():
    ref, dec = fields(shape=(4, 20, 30))
    parts = sum((gradient_error(r, d) for r, d in zip(ref, dec, strict=True)), RelativeError())
    assert parts.value == pytest.approx(gradient_error(ref, dec).value)
    assert parts.count == gradient_error(ref, dec).count


def test_gradient_error_has_limits():
    flat = np.zeros((3, 3))
    assert gradient_error(flat, flat + 1).value == 0
    assert gradient_error(flat, np.eye(3)).value == math.inf
    assert math.isnan(gradient_error(np.ones((1, 1)), np.ones((1, 1))).value)
    broken = fields()[0]
    lost = broken.copy()
    lost[3, 3] = np.nan
    assert gradient_error(broken, lost).value == math.inf


# power spectra


def test_power_spectrum_of_halved_contrast_is_six_decibels_off():
    ref = np.random.default_rng(0).normal(size=(48, 64)) + 9
    dec = (ref - ref.mean()) / 2 + ref.mean()
    result = power_spectrum_error(ref, dec)
    assert result.value == pytest.approx(20 * math.log10(2), rel=1e-6)
    assert result.count == 24


def test_power_spectrum_notices_blur_that_hardly_changes_psnr():
    from scipy.ndimage import gaussian_filter

    ref, _ = fields(noise=0)
    ref += 0.01 * np.random.default_rng(0).normal(size=ref.shape)
    blurred = gaussian_filter(ref, 1)
    assert power_spectrum_error(ref, ref).value == 0
    assert power_spectrum_error(ref, blurred).value > 3


def test_power_spectrum_treats_rows_and_columns_alike():
    ref, dec = fields(noise=0.01)
    turned = power_spectrum_error(ref.T, dec.T)
    assert turned.value == pytest.approx(power_spectrum_error(ref, dec).value, rel=1e-9)


def test_power_spectrum_ignores_what_lies_under_the_mask():
    ref, dec = fields()
    valid = np.random.default_rng(0).random(ref.shape) > 0.7
    expected = power_spectrum_error(ref, dec, valid)
    assert power_spectrum_error(ref, np.where(valid, dec, 7e7), valid) == expected
    assert power_spectrum_error(np.where(valid, ref, np.nan), dec, None) == expected


def test_power_spectrum_of_lost_detail_is_finite():
    ref = np.random.default_rng(0).normal(size=(16, 16))
    assert power_spectrum_error(ref, np.full_like(ref, ref.mean())).value < 130


def test_power_spectrum_needs_frames_that_have_one():
    assert math.isnan(power_spectrum_error(np.ones((3, 9)), np.ones((3, 9))).value)
    assert math.isnan(power_spectrum_error(np.ones((8, 8)), np.zeros((8, 8))).value)
    ref, dec = fields()
    dec[2, 2] = np.nan
    assert power_spectrum_error(ref, dec).value == math.inf


def test_functions_of_single_frames_refuse_cubes():
    cube = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match="one frame"):
        ssim_frame(cube, cube, None, 1.0)
    with pytest.raises(ValueError, match="one frame"):
        power_spectrum_error(cube, cube)


@settings(max_examples=40)
@given(
    st.sampled_from([(1, 1), (1, 9), (5, 1), (8, 8), (13, 11)]),
    st.floats(0, 1),
    st.sampled_from([np.float32, np.int16, np.uint8, np.int64]),
    st.integers(0, 1000),
)
def test_exact_copies_are_perfect_by_every_measure(shape, missing, dtype, seed):
    rng = np.random.default_rng(seed)
    ref = rng.integers(0, 100, shape).astype(dtype)
    valid = rng.random(shape) >= missing
    stats = ErrorStats.of(ref, ref, valid)
    assert stats.psnr_db() == math.inf or stats.n_valid == 0
    assert stats.max_error == 0
    ssim = ssim_frame(ref, ref, valid, 100.0)
    assert ssim.count == 0 or ssim.value == pytest.approx(1)
    assert (
        gradient_error(ref, ref, valid).value in (0.0,) or not gradient_error(ref, ref, valid).count
    )
    spectrum = power_spectrum_error(ref, ref, valid)
    assert spectrum.count == 0 or spectrum.value == 0
    angle = spectral_angle(ref[None], ref[None], valid[None])
    assert angle.count == 0 or angle.value == 0
