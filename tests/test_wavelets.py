"""Fields coded by their wavelets: exact inversion, the same bits everywhere, and what it saves."""

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import xvcomp
from xvcomp import residual
from xvcomp.errors import CodecError
from xvcomp.pipeline.wavelets import decode_wavelets, encode_wavelets
from xvcomp.solving import beyond
from xvcomp.transforms import rotating, wavelets

SHAPES = [(1, 1), (1, 90), (15, 40), (16, 16), (17, 33), (50, 131), (700, 20)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_subbands_have_known_shapes_and_give_frames_back(shape):
    frames = np.random.default_rng(0).normal(size=(2, 3, *shape))
    subbands = wavelets.analyse(frames)
    assert [tuple(part.shape[2:] for part in each) for each in subbands] == wavelets.shapes_of(
        *shape
    )
    assert sum(part.size for each in subbands for part in each) == frames.size
    np.testing.assert_allclose(wavelets.synthesise(subbands), frames, atol=1e-10)


def test_errors_of_subbands_add_up_to_those_of_frames():
    zeros = wavelets.analyse(np.zeros((1, 128, 128)))
    for level, parts in enumerate(zeros):
        for number, part in enumerate(parts):
            noise = np.random.default_rng(level).normal(size=part.shape)
            each = list(zeros)
            each[level] = tuple(noise if k == number else p for k, p in enumerate(parts))
            error = np.square(wavelets.synthesise(each)).sum()
            assert 0.75 < error / np.square(noise).sum() < 1.35


def test_a_plane_has_no_details_away_from_its_edges():
    y, x = np.mgrid[:64, :64]
    for part in wavelets.analyse(3.0 * y - 2 * x + 7)[-1]:
        assert np.abs(part[6:-6, 6:-6]).max() < 1e-9


def _bands(time=2, bands=3, height=60, width=75) -> np.ndarray:
    rng = np.random.default_rng(2)
    fields = gaussian_filter(rng.normal(size=(time, bands, height, width)), (0, 0, 2, 2)) * 900
    fields[:, 1:] += 2 * fields[:, :1]
    return fields + 270


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 2, 15, 90), (1, 5, 40, 33), (3, 1, 64, 17)])
def test_the_decoder_gives_the_bits_that_the_encoder_saw(shape):
    values = _bands(*shape)
    steps = [0.5 * (band + 1) for band in range(shape[1])]
    payload, seen = encode_wavelets(values, steps)
    assert decode_wavelets(payload, shape, steps).tobytes() == seen.tobytes()
    error = (seen - values) / np.array(steps)[:, None, None]
    # What is rounded down errs by up to 0.75 steps where all around is zero.
    assert np.square(error).mean() < 1.5 / 12 + 0.06


def test_bands_that_follow_another_are_cheap():
    values = _bands()
    one = len(encode_wavelets(values[:, :1], [0.5])[0])
    same = np.concatenate([values[:, :1], 0.5 * values[:, :1] + 20, 3 - values[:, :1]], axis=1)
    assert len(encode_wavelets(same, [0.5] * 3)[0]) < 1.35 * one


def test_more_bands_than_are_turned_keep_the_basis_of_their_mean():
    count = 40
    rng = np.random.default_rng(1)
    some = rng.normal(size=(5, count, count))
    covariances = some @ some.swapaxes(1, 2)
    vectors = rotating.diagonalizing(covariances, np.ones(5))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), atol=1e-9)
    variances = vectors.T @ covariances.mean(axis=0) @ vectors
    np.testing.assert_allclose(variances, np.diag(np.diagonal(variances)), atol=1e-9)
    assert (np.diff(np.diagonal(variances)) <= 0).all()
    values = rng.normal(size=(1, count, 20, 20)) * 50
    payload, seen = encode_wavelets(values, [0.1] * count)
    assert decode_wavelets(payload, values.shape, [0.1] * count).tobytes() == seen.tobytes()
    assert np.abs(seen - values).max() < 0.5


@pytest.mark.parametrize("values", [_bands() * 1e9, _bands() * 1e303, _bands() * np.nan])
def test_values_far_above_their_step_are_refused(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CodecError, match="too large"):
            encode_wavelets(values, [1e-3] * 3)
    values = np.concatenate([_bands(), values[:, :1]], axis=1)
    with pytest.raises(CodecError, match="too large"):
        encode_wavelets(values, [1e-3] * 4)


def test_bands_that_are_too_large_only_together_are_refused():
    band = np.where(np.arange(32) < 16, -0.2, 0.2) * 2.0**30 * np.ones((1, 1, 32, 1))
    encode_wavelets(band, [1.0])
    with pytest.raises(CodecError, match="too large"):
        encode_wavelets(np.repeat(band, 4, axis=1), [1.0] * 4)


def test_values_far_from_zero_cost_no_more():
    payload, seen = encode_wavelets(_bands() + 1e12, [0.5] * 3)
    assert len(payload) < len(encode_wavelets(_bands(), [0.5] * 3)[0]) + 20
    assert np.abs(seen - 1e12 - _bands()).max() < 1


def test_more_bands_than_a_matrix_may_mix_are_refused():
    values = np.zeros((1, 129, 16, 16))
    with pytest.raises(CodecError, match="at most 128"):
        encode_wavelets(values, [1.0] * 129)
    payload = encode_wavelets(values[:, :128], [1.0] * 128)[0]
    with pytest.raises(ValueError, match="129 bands"):
        decode_wavelets(payload, values.shape, [1.0] * 129)


@pytest.mark.parametrize("end", ["cut", "changed"])
def test_damaged_wavelets_are_refused_or_decode_to_something_of_the_shape(end):
    values = _bands(1, 2, 40, 40)
    payload, _ = encode_wavelets(values, [2.0, 2.0])
    rng = np.random.default_rng(3)
    refused = 0
    for trial in range(300):
        damaged = bytearray(payload)
        if end == "cut":
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            for _ in range(1 + trial % 3):
                damaged[rng.integers((12, 80, len(damaged))[trial % 3])] = rng.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                assert decode_wavelets(bytes(damaged), values.shape, [2.0, 2.0]).shape == (
                    values.shape
                )
            except ValueError:
                refused += 1
    assert refused == 300 if end == "cut" else refused > 30


def test_huge_numbers_are_refused():
    huge = np.full((1, 1, 8, 8), 2**40)
    parts = residual.unpack(encode_wavelets(_bands(1, 1, 16, 16), [1.0])[0])
    details = residual.encode_subbands([(huge, huge, huge)])
    with pytest.raises(ValueError, match="too large"):
        decode_wavelets(residual.pack([*parts[:3], details]), (1, 1, 16, 16), [1.0])
    coarse = residual.encode_lattice(np.full((1, 1, 8, 8), 2**40))
    with pytest.raises(ValueError, match="too large"):
        decode_wavelets(residual.pack([*parts[:2], coarse, parts[3]]), (1, 1, 16, 16), [1.0])
    for entry in (-(2**63), 2**14 + 1):
        matrix = residual.encode_ints(np.array([entry]))
        damaged = residual.pack([parts[0], matrix, *parts[2:]])
        with pytest.raises(ValueError, match="too large"):
            decode_wavelets(damaged, (1, 1, 16, 16), [1.0])


def _waves(dtype="f4", gaps=False) -> xr.Dataset:
    """Few dates of several levels: winds of a model, with energy at all scales."""
    rng = np.random.default_rng(7)
    shape = (2, 4, 96, 128)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.rfftfreq(128), indexing="ij"))
    noise = np.fft.rfft2(rng.normal(size=shape)) / np.maximum(frequency, 0.01) ** 3
    values = np.fft.irfft2(noise * (frequency < 0.3), s=shape[2:])
    values = values / np.abs(values).max() * 3000
    values = np.rint(values).astype(dtype) if dtype == "i2" else values.astype(dtype)
    if gaps:
        values[:, :, 40:50, 20:70] = np.nan
    attrs = {"units": "m s-1", "scale_factor": 0.01} if dtype == "i2" else {"units": "m s-1"}
    dims = ("time", "level", "y", "x")
    return xr.Dataset({"u": (dims, values, attrs)})


@pytest.mark.parametrize("case", ["floats", "integers", "gaps"])
def test_high_quality_of_few_dates_is_coded_by_wavelets(case, tmp_path):
    ds = _waves("i2" if case == "integers" else "f4", gaps=case == "gaps")
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(ds, path, target=xvcomp.Psnr(72), preset="fast", stored=True)
    assert [group.codec for group in report.groups] == ["none"]
    group = xvcomp.reading.CubeFile(path).manifest.groups[0]
    assert group.residual is not None
    assert group.residual.coder == "wavelets"
    assert 72 <= report.set_psnr_db["m s-1"] <= 72.25
    back = xvcomp.open(path, decode_cf=False).load().u
    truth = ds.u.values.astype("f8")
    np.testing.assert_array_equal(np.isnan(back), np.isnan(truth))
    peak = np.nanmax(truth) - np.nanmin(truth)
    mse = np.nanmean(np.square(back.values - truth))
    assert 10 * np.log10(peak**2 / mse) == pytest.approx(report.set_psnr_db["m s-1"], abs=1e-6)
    some = xvcomp.open(path, decode_cf=False).u[1, 2, 30:60, 7:90]
    np.testing.assert_array_equal(some, back[1, 2, 30:60, 7:90])
    xvcomp.verify(path, ds, stored=True)


def _bits_at(values: np.ndarray, wanted: float) -> float:
    """Bits at a mean squared error, between those of some steps."""
    found = []
    for step in (2.0, 2.5, 3.2, 4.0):
        payload, seen = encode_wavelets(values, [step] * values.shape[1])
        found.append((np.log(np.square(seen - values).mean()), np.log(len(payload))))
    errors, sizes = np.array(found).T
    assert errors[0] < np.log(wanted) < errors[-1]
    return float(np.exp(np.interp(np.log(wanted), errors, sizes)))


def test_rounding_weighs_bits_against_errors(monkeypatch):
    values = _waves("f8").u.values
    weighed = _bits_at(values, 0.5)
    monkeypatch.setattr("xvcomp.pipeline.wavelets._BITS_WEIGH", 0.0)
    assert weighed < 0.99 * _bits_at(values, 0.5)


def test_all_ways_are_compared_at_about_the_same_error(tmp_path, monkeypatch):
    errors, cost = {}, beyond._cost

    def seen(encoded):
        coder = encoded.group.residual.coder + encoded.group.codec
        errors[coder] = sum(each.sum_squares for each in encoded.stats)
        return cost(encoded)

    monkeypatch.setattr(beyond, "_cost", seen)
    xvcomp.encode(_waves(), tmp_path / "c.mp4", target=xvcomp.Psnr(68), preset="fast")
    assert len(errors) == 3
    assert max(errors.values()) < 1.25 * min(errors.values())


def test_wavelets_take_less_than_predicted_steps(tmp_path, monkeypatch):
    ds = _waves()
    target = xvcomp.Psnr(72)
    free = xvcomp.encode(ds, tmp_path / "free.mp4", target=target, preset="fast")

    def no_wavelets(*_):
        raise CodecError("not today")

    monkeypatch.setattr("xvcomp.pipeline.correct.encode_wavelets", no_wavelets)
    other = xvcomp.encode(ds, tmp_path / "other.mp4", target=target, preset="fast")
    assert free.nbytes < 0.9 * other.nbytes


def test_wavelets_that_fail_at_a_finer_step_give_way_to_predicted_ones(tmp_path, monkeypatch):
    encode, calls = encode_wavelets, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) > 2:
            raise CodecError("too fine")
        return encode(*arguments)

    monkeypatch.setattr("xvcomp.pipeline.correct.encode_wavelets", failing)
    report = xvcomp.encode(_waves(), tmp_path / "c.mp4", target=xvcomp.Psnr(68), preset="fast")
    assert len(calls) > 2
    assert 68 <= report.set_psnr_db["m s-1"] <= 68.25
    group = xvcomp.reading.CubeFile(tmp_path / "c.mp4").manifest.groups[0]
    assert group.residual is not None
    assert group.residual.coder == "pyramid"
