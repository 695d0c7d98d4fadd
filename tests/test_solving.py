"""Targets are met in their windows where the quality jumps, and above a codec's ceiling."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import xvcomp
from xvcomp.solving import beyond, quality, size


def _levels() -> xr.Dataset:
    """Two frames of three smooth levels: a component more or less is worth several dB."""
    y, x = np.mgrid[:360, :480] / 360
    frames = [
        [
            1000 * (5 - level)
            + (60 - 10 * level) * np.sin(3 * x + 0.2 * t + 0.3 * level) * np.cos(2 * y)
            + 8 * np.sin(9 * x * y + t + 2 * level)
            + 2 * np.sin(15 * y + 7 * x * level)
            for level in range(3)
        ]
        for t in range(2)
    ]
    dims = ("time", "level", "lat", "lon")
    return xr.Dataset({"z": (dims, np.array(frames, "f4"), {"units": "m"})})


def _noisy(dtype: str = "f4") -> xr.Dataset:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :80] / 20
    frames = np.array([np.sin(x + t / 5) * np.cos(y) for t in range(12)])
    values = frames + 1e-4 * rng.normal(size=frames.shape)
    return xr.Dataset({"v": (("time", "y", "x"), values.astype(dtype), {"units": "K"})})


@pytest.mark.parametrize("db", [40, 42, 45, 50, 53])
def test_a_psnr_is_hit_where_components_come_and_go(db, tmp_path):
    report = xvcomp.encode(
        _levels(), tmp_path / "c.mp4", target=xvcomp.Psnr(db), preset="fast", codec="libx265"
    )
    assert db <= report.set_psnr_db["m"] <= db + 0.25


@pytest.mark.parametrize("bits", [2, 8])
def test_a_size_above_the_ceiling_of_the_codec_is_used_for_quality(bits, tmp_path):
    report = xvcomp.encode(_noisy(), tmp_path / "c.mp4", target=xvcomp.Bpppb(bits), preset="fast")
    assert 0.95 * bits <= report.bpppb <= bits
    assert report.set_psnr_db["K"] > 80


def test_a_codec_that_was_asked_for_stays_at_its_ceiling(tmp_path):
    path = tmp_path / "c.mp4"
    target = xvcomp.Bpppb(2)
    report = xvcomp.encode(_noisy(), path, target=target, preset="fast", codec="libx265")
    assert {group.codec for group in report.groups} == {"libx265"}
    assert report.bpppb < 1


def test_sets_share_a_size_above_the_ceiling(tmp_path):
    ds = _noisy()
    ds["w"] = (ds.v.dims, 1e3 * ds.v.values.round(1), {"units": "m"})
    report = xvcomp.encode(ds, tmp_path / "c.mp4", target=xvcomp.Bpppb(3), preset="fast")
    assert 0.95 * 3 <= report.bpppb <= 3


def _showers() -> xr.Dataset:
    """Rain in a few places."""
    rng = np.random.default_rng(2)
    texture = gaussian_filter(rng.normal(size=(12, 160, 200)), (2, 2, 2))
    moved = [texture[t, 2 * t : 2 * t + 96, 3 * t : 3 * t + 128] for t in range(12)]
    rain = [np.where(each > 0.1, (each - 0.1) * 80, 0).round(1) for each in moved]
    return xr.Dataset({"r": (("time", "y", "x"), np.array(rain, "f4"), {"units": "mm"})})


def _below_qp_0(ds, path, target):
    """Encode with x265 as if no one had asked for it: nothing else is tried before."""
    report = xvcomp.encode(ds, path, target=target, preset="best", codec="libx265", overwrite=True)
    assert [group.quantizer is None or group.quantizer < 0 for group in report.groups] == [True]
    return report


@pytest.mark.parametrize(
    ("db", "high", "tries"), [(76, math.inf, 1), (66, math.inf, 0), (66, 66, 1)]
)
def test_below_qp_0_or_at_a_high_psnr_prediction_is_tried_at_any_rate(
    db, high, tries, tmp_path, monkeypatch
):
    tried, search_beyond = [], quality._search_beyond_video

    def counted(*arguments):
        tried.append(arguments)
        search_beyond(*arguments)

    monkeypatch.setattr(quality, "_search_beyond_video", counted)
    monkeypatch.setattr(quality, "is_asked_for", lambda jobs: False)
    monkeypatch.setattr(quality, "_HIGH_RATE", math.inf)
    monkeypatch.setattr(quality, "_HIGH_DB", high)
    monkeypatch.setattr(quality, "exact_may_pay", lambda *_: False)
    report = xvcomp.encode(
        _showers(), tmp_path / "c.mp4", target=xvcomp.Psnr(db), preset="best", codec="libx265"
    )
    assert len(tried) == tries
    # Whether the many zeros come out as zeros makes 3 dB from one step to the next.
    assert db <= report.set_psnr_db["mm"] <= db + 0.5


def test_a_size_that_takes_a_video_below_qp_0_is_spent_on_what_errs_least(tmp_path, monkeypatch):
    ds, path, target = _showers(), tmp_path / "c.mp4", xvcomp.Ratio(10)
    video = _below_qp_0(ds, path, target)
    monkeypatch.setattr(size, "is_asked_for", lambda jobs: False)
    monkeypatch.setattr(size, "exact_may_pay", lambda *_: False)
    free = _below_qp_0(ds, path, target)
    assert free.nbytes <= ds.r.nbytes / 10
    assert free.set_psnr_db["mm"] > video.set_psnr_db["mm"] + 1


@pytest.mark.parametrize("cheaper", ["libx265", "none"])
def test_above_the_ceiling_a_video_may_be_corrected(cheaper, tmp_path, monkeypatch):
    ds, path, target = _showers(), tmp_path / "c.mp4", xvcomp.Psnr(70)
    with pytest.raises(xvcomp.TargetError):
        xvcomp.encode(ds, path, target=target, preset="fast", codec="libx265")
    monkeypatch.setattr(beyond, "_cost", lambda each: each.group.codec != cheaper)
    report = xvcomp.encode(ds, path, target=target, preset="fast")
    assert [group.codec for group in report.groups] == [cheaper]
    assert 70 <= report.set_psnr_db["mm"] <= 70.25
    np.testing.assert_allclose(xvcomp.open(path).r, ds.r, atol=0.1)


def _rain() -> xr.Dataset:
    """Few levels, whose edges cost a video much."""
    rng = np.random.default_rng(1)
    field = gaussian_filter(rng.normal(size=(12, 96, 96)), (1, 2, 2))
    levels = np.rint(np.clip(field * 150 - 6, 0, 40)) * 2
    values = levels.astype("u2")
    return xr.Dataset({"rain": (("time", "y", "x"), values, {"units": "mm"})})


@pytest.mark.parametrize("target", [xvcomp.Psnr(56), xvcomp.Bpppb(2.5)], ids=["psnr", "size"])
def test_values_of_few_levels_stay_as_they_are_where_that_takes_less(target, tmp_path, monkeypatch):
    options = {"target": target, "preset": "fast", "overwrite": True}
    exact = xvcomp.encode(_rain(), tmp_path / "exact.mp4", **options)
    for module in (quality, size):
        monkeypatch.setattr(module, "exact_may_pay", lambda *_: False)
    video = xvcomp.encode(_rain(), tmp_path / "video.mp4", **options)
    assert video.groups[0].codec != "none"
    assert exact.groups[0].codec == "none"
    assert exact.nbytes < video.nbytes
    assert math.isinf(exact.groups[0].by_variable[0].psnr_db)


@pytest.mark.parametrize("db", [50, 54])
def test_sparse_noise_is_kept_exactly_long_before_a_video_gets_near(db, tmp_path):
    rng = np.random.default_rng(3)
    values = np.where(rng.random((6, 64, 64)) < 0.8, 0, rng.integers(1, 300, (6, 64, 64)))
    cube = xr.Dataset({"rain": (("time", "y", "x"), values.astype("u2"), {"units": "mm"})})
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(db), preset="fast")
    assert report.groups[0].codec == "none"
    assert report.nbytes < 12_000


def test_noise_of_all_levels_is_not_even_tried_exactly(tmp_path, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError

    for module in (quality, size):
        monkeypatch.setattr(module, "encode_exactly", never)
    values = np.random.default_rng(4).integers(0, 60000, (4, 64, 64)).astype("u2")
    cube = xr.Dataset({"v": (("time", "y", "x"), values, {"units": "K"})})
    for target in (xvcomp.Psnr(35), xvcomp.Bpppb(4)):
        xvcomp.encode(cube, tmp_path / "c.mp4", target=target, preset="fast", overwrite=True)


def test_a_video_stays_where_exact_values_take_more(tmp_path, monkeypatch):
    class Large:
        nbytes = 10**9

    monkeypatch.setattr(quality, "encode_exactly", lambda *_: [Large()])
    target = xvcomp.Psnr(56)
    report = xvcomp.encode(_rain(), tmp_path / "c.mp4", target=target, preset="fast")
    assert report.groups[0].codec != "none"
    assert 56 <= report.set_psnr_db["mm"] <= 56.25
