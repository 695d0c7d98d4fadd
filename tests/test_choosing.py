"""Trials find what pays for a kind of data, and leave alone what a user decided."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp import choosing, codecs, solving
from xvcomp.choosing import choose, reaches_further
from xvcomp.codecs import registry
from xvcomp.codecs.software import X265, SvtAv1
from xvcomp.estimating import folding_gain
from xvcomp.excerpts import cropped, sample_of
from xvcomp.jobs import quality_of, start_quality, step_of
from xvcomp.pipeline import GroupInput, VariableInput
from xvcomp.planner import choices
from xvcomp.planner import plan as make_plan
from xvcomp.results import Override


def _slow_cycle(time=240, height=33, width=49):
    """Make an hourly field: smooth modes in space whose strengths change smoothly in time."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    total = np.full((time, height, width), 280.0)
    for mode in range(24):
        shape = np.sin(y / (3 + mode % 7) + mode) * np.cos(x / (4 + mode % 5) - mode)
        strength = np.convolve(rng.normal(size=time + 47), np.hanning(48), "valid")
        total += 2 / (1 + mode) * strength[:, None, None] * shape
    return total.astype("f4")


def _flicker(time=64, height=64, width=64):
    """Make a field whose frames have nothing to do with each other."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(time, height + 8, width + 8))
    for axis in (1, 2):
        noise = sum(np.roll(noise, i, axis) for i in range(8))
    return noise[:, 8:, 8:].astype("f4")


def _encode(values, path, **keywords):
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    report = xvcomp.encode(cube, path, target=xvcomp.Quality(48), **keywords)
    return report, xvcomp.info(path).manifest.groups[0]


def test_a_smooth_periodic_field_is_folded_and_gets_smaller(tmp_path):
    values = _slow_cycle()
    plain, _ = _encode(values, tmp_path / "plain.mp4", fold=1, codec="libx265")
    chosen, group = _encode(values, tmp_path / "chosen.mp4")
    assert group.fold > 1
    better_db = chosen.set_psnr_db["K"] - plain.set_psnr_db["K"]
    assert chosen.nbytes < plain.nbytes
    assert better_db > -0.3


def test_frames_without_relation_are_not_folded(tmp_path):
    _, group = _encode(_flicker(), tmp_path / "c.mp4")
    assert group.fold == 1


def test_no_trial_touches_what_the_user_decided(tmp_path):
    _, group = _encode(_slow_cycle(48), tmp_path / "c.mp4", fold=2, codec="libsvtav1")
    assert (group.fold, group.codec) == (2, "libsvtav1")


def test_the_reason_of_a_trial_is_in_the_progress(tmp_path):
    told = []
    _encode(_slow_cycle(48), tmp_path / "c.mp4", on_progress=told.append, preset="best")
    details = [each.detail for each in told if each.stage == "choose"]
    assert any("libsvtav1" in detail for detail in details)
    assert any("libx265" in detail for detail in details)


@pytest.mark.parametrize(("height", "width"), [(10, 12), (50, 60)])
def test_a_crop_is_the_middle_of_every_frame(height, width):
    values = np.arange(2 * 30 * 40, dtype="f4").reshape(2, 1, 30, 40)

    def read(time, y, x):
        return values[time, :, y, x]

    variable = VariableInput(
        name="a", bands=1, dtype=values.dtype, fill_values=(), scale=1.0, offset=0.0, read=read
    )
    part = cropped(GroupInput(variables=(variable,), shape=values.shape), 2, height, width)
    size = (min(height, 30), min(width, 40))
    assert part.shape == (2, 1, *size)
    got = part.variables[0].read(slice(0, 2), slice(0, size[0]), slice(0, size[1]))
    top, left = (30 - size[0]) // 2, (40 - size[1]) // 2
    np.testing.assert_array_equal(got, values[:, :, top : top + size[0], left : left + size[1]])


def _told(values, path, **keywords):
    told = []
    _encode(values, path, on_progress=told.append, **keywords)
    return [each.detail.split(": ")[1] for each in told if each.stage == "choose"]


def test_balanced_tries_only_a_folding_that_promises_much_on_a_small_cube(tmp_path):
    assert _told(_flicker(), tmp_path / "a.mp4") == []
    tried = _told(_slow_cycle(), tmp_path / "b.mp4")
    assert len(tried) == 2
    assert tried[0].startswith("libx265, fold 1,")


def test_balanced_tries_codecs_where_a_sample_is_a_small_part(monkeypatch, tmp_path):
    monkeypatch.setitem(choosing._SAMPLES, "balanced", (8_000, 8_000))
    monkeypatch.setattr(choosing, "_LEAST_FRAMES", dict.fromkeys(choosing._LEAST_FRAMES, 2))
    tried = _told(_flicker(), tmp_path / "a.mp4")
    assert [each.split(",")[0] for each in tried] == ["libx265", "libsvtav1"]


@pytest.mark.parametrize(("values", "pays"), [(_slow_cycle(96), True), (_flicker(), False)])
def test_an_estimate_tells_what_folding_gains(values, pays, tmp_path):
    step = step_of(48, float(np.ptp(values)))
    gain = folding_gain(values[:, None], np.ones(1), step, (8,))[8]
    assert (gain < 0.7) == pays
    plain, _ = _encode(values, tmp_path / "plain.mp4", fold=1, codec="libx265")
    folded, _ = _encode(values, tmp_path / "folded.mp4", fold=8, codec="libx265")
    assert (folded.nbytes < plain.nbytes) == pays


@pytest.mark.parametrize("height", [8, 20])
def test_estimates_take_any_frames(height):
    values = np.zeros((8, 2, height, 11), dtype="f4")
    assert folding_gain(values, np.ones(2), 0.1, (4,)) == {4: 1.0}
    values[3, 1] = 1e30
    assert folding_gain(values[:7], np.ones(2), 0.1, (4,))[4] > 0


@pytest.mark.parametrize("huge", [1e45, 1e300])
def test_values_too_large_for_an_estimate_are_encoded(huge, tmp_path):
    values = _slow_cycle(32, 40, 40).astype("f8")
    values[3, 5, 5] = huge
    _encode(values, tmp_path / "c.mp4", codec="libx265")
    with xvcomp.open(tmp_path / "c.mp4") as decoded:
        assert np.abs(decoded.a.values - values).max() < huge / 20


def test_a_sample_without_values_leaves_best_its_first_guess(tmp_path):
    values = np.full((48, 200, 200), np.nan, dtype="f4")
    values[:, :8, :8] = _slow_cycle(48, 8, 8)
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="best")
    assert report.set_psnr_db["K"] >= 40


@pytest.mark.parametrize("target", [xvcomp.Psnr(36), xvcomp.Bpppb(0.8), xvcomp.Ratio(80)])
def test_best_makes_trials_where_the_target_will_be_met(monkeypatch, tmp_path, target):
    steps = []

    def noted(plan, data, step, *_, **__):
        steps.append(step)
        return plan

    monkeypatch.setattr("xvcomp.api.choose", noted)
    values = _slow_cycle(24, 48, 64)
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    peak = float(np.ptp(values))
    report = xvcomp.encode(cube, tmp_path / "a.mp4", target=target, preset="best")
    quality = quality_of(steps[0], peak)
    guess_off = abs(quality - start_quality(target))
    assert guess_off > 5
    near = xvcomp.encode(
        cube, tmp_path / "b.mp4", target=xvcomp.Quality(quality), preset="best",
        codec=report.groups[0].codec, fold=1,
    )  # fmt: skip
    assert abs(near.set_psnr_db["K"] - report.set_psnr_db["K"]) < guess_off / 2


def test_best_compares_close_candidates_at_its_own_preset(monkeypatch, tmp_path):
    presets = []
    honest = choosing.trial

    def counted(prepared, plan, step, **keywords):
        presets.append((plan.preset, plan.codec))
        return honest(prepared, plan, step, **keywords)

    monkeypatch.setattr(choosing, "trial", counted)
    monkeypatch.setattr(choosing, "_CLOSE", 1e9)
    tried = {"libx265", "libsvtav1"}
    _encode(_slow_cycle(48), tmp_path / "a.mp4", preset="best", fold=1)
    assert {codec for preset, codec in presets if preset == "best"} == tried
    presets.clear()
    monkeypatch.setattr(choosing, "_CLOSE", 0.0)
    monkeypatch.setattr(choosing, "_CLOSE_FOLD", 0.0)
    _encode(_slow_cycle(48), tmp_path / "b.mp4", preset="best", fold=1)
    assert {preset for preset, _ in presets} == {"balanced"}


class _Unsound(SvtAv1):
    """Loses what its finest quantisers should keep, as SVT-AV1 does at high contrasts."""

    def decode(self, packets, info, *, chroma, threads=1):
        plane, *rest = super().decode(packets, info, chroma=chroma, threads=threads)
        plane = plane.copy()
        plane[0] += 60 * (len(plane) == 24)  # not those of a probe
        return (plane, *rest)


def test_what_is_no_picture_of_its_input_is_coded_by_another(monkeypatch, tmp_path):
    values = _slow_cycle(24, 48, 64)
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    target = xvcomp.Psnr(36)
    (planned,) = xvcomp.plan(cube, preset="fast", target=target).groups
    assert planned.codec == "libsvtav1"
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(_Unsound())
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=target, preset="fast")
    assert report.groups[0].codec == "libx265"
    assert 36 <= report.set_psnr_db["K"] <= 36.25


def test_a_slope_is_measured_only_where_it_decides(monkeypatch):
    steps = []
    honest = choosing._Trials._encoded

    def counted(self, plan, step, preset=None):
        steps.extend([step] if preset is None else [])
        return honest(self, plan, step, preset)

    monkeypatch.setattr(choosing._Trials, "_encoded", counted)
    monkeypatch.setattr(choosing, "_at_slope", lambda one, other, slope: 0.5)
    _trials(30, "libx265")
    assert len(set(steps)) == 1
    monkeypatch.setattr(choosing, "_at_slope", lambda one, other, slope: 0.9 + slope / 100)
    _trials(30, "libx265")
    assert len(set(steps)) == 2


class _Blunt(X265):
    """Ends 24 dB earlier than the encoder that does its work, and has that one's file sizes."""

    def __init__(self):
        super().__init__()
        self.name = "blunt"

    def quantizers(self, bit_depth):
        return {q: step for q, step in super().quantizers(bit_depth).items() if q >= 24}

    def encode(self, planes, params):
        return X265().encode(planes, params)

    def probe(self):
        return codecs.probe("libx265")


@pytest.fixture
def blunt(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(_Blunt())


def _noisy(time=12, height=64, width=80):
    rng = np.random.default_rng(0)
    t, y, x = np.ogrid[:time, :height, :width]
    waves = np.sin(x / 20 + t / 5) * np.cos(y / 20)
    return (waves + 1e-2 * rng.normal(size=(time, height, width))).astype("f4")


def _trials(db, first):
    """Let a trial choose between x265 and one that ends early."""
    values = _noisy()
    cube = xr.Dataset({"a": (("time", "y", "x"), values, {"units": "K"})})
    (made,) = xvcomp.plan(cube, codec=first, target=xvcomp.Psnr(db), preset="best").groups
    plan = replace(made, codecs=(("libx265", 12), ("blunt", 12)), folds=(1, 2))
    variable = VariableInput(
        name="a",
        bands=1,
        dtype=values.dtype,
        fill_values=(),
        scale=1.0,
        offset=0.0,
        read=lambda time, y, x: values[time, None, y, x],
    )
    data = GroupInput(variables=(variable,), shape=(12, 1, 64, 80))
    return choose(plan, data, step_of(db, float(np.ptp(values))))


@pytest.mark.parametrize("first", ["libx265", "blunt"])
def test_a_codec_that_ends_below_the_quality_is_not_chosen(blunt, first):
    chosen = _trials(58, first)
    assert chosen.codec == "libx265"
    assert reaches_further(chosen) == (first == "blunt")


def test_a_codec_that_reaches_the_quality_is_compared_by_size(blunt):
    assert not reaches_further(_trials(30, "blunt"))


@pytest.mark.parametrize("larger", [True, False])
def test_a_codec_that_reaches_further_must_be_smaller_than_doing_without(
    blunt, larger, monkeypatch, tmp_path
):
    cube = xr.Dataset({"a": (("time", "y", "x"), _noisy(), {"units": "K"})})
    factor = 1e-3 if larger else 1e3
    monkeypatch.setattr(
        solving.quality, "_nbytes", lambda groups: _weighted(groups, factor), raising=True
    )
    monkeypatch.setattr("xvcomp.api.make_plan", _planned_blunt)
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(cube, path, target=xvcomp.Psnr(58), preset="best")
    assert report.set_psnr_db["K"] >= 58
    (group,) = xvcomp.info(path).manifest.groups
    assert (group.residual is None) == (not larger)


@pytest.mark.parametrize("preset", ["fast", "best"])
def test_the_best_of_a_noisy_field_is_predicted_where_that_is_smaller(
    preset, monkeypatch, tmp_path
):
    noise = np.random.default_rng(3).normal(size=(6, 64, 64)).astype("f4")
    cube = xr.Dataset({"a": (("time", "y", "x"), noise, {"units": "K"})})
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(50), preset=preset)
    assert report.set_psnr_db["K"] >= 50
    assert report.groups[0].codec == ("none" if preset == "best" else "libx265")


def _weighted(groups, factor):
    return sum(g.nbytes * (1 if g.group.residual is None else factor) for g in groups)


def _planned_blunt(*given):
    made = make_plan(*given)
    (group,) = made.groups
    tried = (("blunt", 12), ("libx265", 12))
    return replace(made, groups=(replace(group, codec="blunt", codecs=tried),))


@pytest.mark.parametrize("size", [(200, 300), (140, 150)])
def test_a_sample_of_large_frames_shows_four_places(size):
    rows, columns = np.mgrid[: size[0], : size[1]]
    values = (1000 * rows + columns).astype("f8")[None, None]

    def read(t, y, x):
        return values[t, :, y, x]

    variable = VariableInput(
        name="v", bands=1, dtype=np.dtype("f8"), fill_values=(), scale=1.0, offset=0.0, read=read
    )
    whole = GroupInput(variables=(variable,), shape=values.shape)
    sample = sample_of(whole, 16_500)
    _, _, height, width = sample.shape
    found = sample.variables[0].read(slice(0, 1), slice(0, height), slice(0, width))[0, 0]
    assert found.shape == (height, width)
    ys, xs = np.divmod(found.astype(int), 1000)
    assert len(np.unique(found)) == found.size
    for axis, places, length in ((0, ys, size[0]), (1, xs, size[1])):
        jumps = np.diff(np.take(places, 0, axis=1 - axis))
        assert (jumps != 1).sum() == 1
        assert places.min() < length / 2 < places.max()
    part = sample.variables[0].read(slice(0, 1), slice(20, 50), slice(7, 60))[0, 0]
    np.testing.assert_array_equal(part, found[20:50, 7:60])


@pytest.mark.parametrize(
    ("preset", "time", "expected"),
    [
        ("best", 6, (1, 2, 4, 6, 8)),
        ("best", 17, (1, 2, 4, 8)),
        ("best", 1, (1, 2, 4, 8)),
        ("balanced", 6, (1, 4, 8)),
        ("fast", 6, ()),
    ],
)
def test_all_frames_of_a_short_series_may_be_folded_into_one(preset, time, expected):
    assert choices.folds_to_try(Override(), preset, time, 13, "time") == expected


def test_only_foldings_that_leave_frames_to_predict_from_are_tried_or_a_single_frame():
    def tried(preset: str, folds: tuple[int, ...], time: int) -> list[int]:
        return choosing._folds(SimpleNamespace(preset=preset, folds=folds), time)

    assert tried("best", (1, 2, 4, 6, 8), 6) == [6]
    assert tried("best", (1, 2, 4, 8, 16), 16) == [2, 4, 16]
    assert tried("best", (1, 2, 4, 8, 16, 24), 24) == [2, 4]
    assert tried("balanced", (1, 4, 8, 16, 24), 4) == []


def test_two_trials_of_a_candidate_tell_what_a_bit_is_worth_only_if_they_differ():
    def measured(nbytes: float, noise_db: float) -> choosing.Trial:
        return choosing.Trial(plan=None, nbytes=nbytes, noise_db=noise_db)

    assert choosing._slope_between(measured(1000, 50), measured(2000, 46)) == pytest.approx(4)
    assert choosing._slope_between(measured(1000, 50), measured(1100, 46)) is None
    # Larger, and worse: that tells nothing.
    assert choosing._slope_between(measured(1000, 50), measured(2000, 51)) is None
