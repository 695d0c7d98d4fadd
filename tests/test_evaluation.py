"""Evaluation: its numbers against numpy and scikit-image, and against what encode reports."""

import json
import math
from importlib import resources

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from skimage.metrics import structural_similarity
from xarray.backends import BackendArray
from xarray.core import indexing

import xvcomp
from xvcomp import metrics
from xvcomp.evaluation import grouping
from xvcomp.sources import open_source
from xvcomp_cli.main import cli

DIMS = ("time", "y", "x")
SHAPE = (6, 40, 48)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def smooth(shape=SHAPE, offset=0.0):
    t, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return offset + np.sin(t / 3 + y / 9) + np.cos(x / 7)


def cube(rng, **noise):
    """Two variables of one unit and one of another, and the same with noise."""
    values = {"u": smooth(), "v": smooth(offset=2.0), "t2m": smooth(offset=280.0)}
    units = {"u": "m/s", "v": "m/s", "t2m": "K"}
    coords = {"time": np.arange(6), "y": np.arange(40.0), "x": np.arange(48.0)}
    made = {n: (DIMS, a, {"units": units[n]}) for n, a in values.items()}
    reference = xr.Dataset(made, coords)
    decoded = reference.copy(deep=True)
    for name in values:
        decoded[name] += noise.get(name, 0.01) * rng.standard_normal(SHAPE)
    return reference, decoded


def psnr(error, peak):
    return 10 * math.log10(peak**2 / np.mean(error**2))


def test_numbers_are_those_of_numpy(rng):
    reference, decoded = cube(rng)
    found = xvcomp.evaluate(reference, decoded)
    wind, warmth = found.groups
    assert (wind.variables, warmth.variables) == (("u", "v"), ("t2m",))
    error = np.stack([decoded[n].values - reference[n].values for n in "uv"])
    values = np.stack([reference[n].values for n in "uv"])
    peak = values.max() - values.min()
    assert wind.peak == pytest.approx(peak)
    assert wind.psnr_db == pytest.approx(psnr(error, peak))
    assert wind.mae == pytest.approx(np.abs(error).mean())
    assert wind.bias == pytest.approx(error.mean())
    assert wind.max_error == pytest.approx(np.abs(error).max())
    assert wind.r2 == pytest.approx(1 - (error**2).sum() / ((values - values.mean()) ** 2).sum())
    (u, v) = wind.per_variable
    assert u.peak == v.peak == wind.peak
    assert u.rmse == pytest.approx(math.sqrt(np.mean(error[0] ** 2)))
    assert {s.name: s.peak for s in found.sets} == {"m/s": wind.peak, "K": warmth.peak}


def test_ssim_is_that_of_scikit_image_on_frames_without_gaps(rng):
    reference, decoded = cube(rng, t2m=0.2)
    found = xvcomp.evaluate(reference[["t2m"]], decoded[["t2m"]]).groups[0]
    ref, dec = (each.t2m.values - reference.t2m.values.min() for each in (reference, decoded))
    frames = [
        structural_similarity(a, b, data_range=ref.max()) for a, b in zip(ref, dec, strict=True)
    ]
    assert found.ssim == pytest.approx(np.mean(frames), abs=1e-9)
    assert found.dssim == pytest.approx((1 - found.ssim) / 2)
    assert found.ssim < 0.95


def test_a_cube_with_seventy_percent_missing_counts_only_what_is_there(rng):
    reference, decoded = cube(rng)
    missing = rng.random(SHAPE) < 0.7
    for each in (reference, decoded):
        each["u"].values[missing] = np.nan
    found = xvcomp.evaluate(reference[["u"]], decoded[["u"]]).groups[0]
    ref, dec = reference.u.values[~missing], decoded.u.values[~missing]
    assert found.n_valid == ref.size
    assert found.valid_fraction == pytest.approx(0.3, abs=0.03)
    assert found.peak == pytest.approx(ref.max() - ref.min())
    assert found.psnr_db == pytest.approx(psnr(dec - ref, ref.max() - ref.min()))
    assert 0 < found.ssim < 1
    assert (found.n_lost, found.n_invented) == (0, 0)


def test_what_lies_in_gaps_changes_no_number(rng):
    reference, decoded = cube(rng)
    missing = rng.random(SHAPE) < 0.7
    reference["u"].values[missing] = np.nan
    filled = xvcomp.evaluate(reference[["u"]], decoded[["u"]]).groups[0]
    decoded["u"].values[missing] = np.nan
    empty = xvcomp.evaluate(reference[["u"]], decoded[["u"]]).groups[0]
    assert filled.n_invented == missing.sum()
    assert empty.n_invented == 0
    for name in ("psnr_db", "ssim", "gradient_error", "power_spectrum_error_db", "max_error"):
        assert getattr(filled, name) == getattr(empty, name)


def test_a_lost_sample_is_an_infinite_error(rng):
    reference, decoded = cube(rng)
    decoded["u"].values[2, 3, 4] = np.nan
    wind = xvcomp.evaluate(reference, decoded).groups[0]
    assert wind.n_lost == 1
    assert wind.max_error == math.inf
    assert wind.psnr_db == -math.inf


def packed(values, fill=-9999, scale=0.01, offset=280.0):
    """Values as int16, as a file holds them."""
    codes = np.where(np.isnan(values), fill, np.rint((values - offset) / scale)).astype(np.int16)
    attrs = {"scale_factor": scale, "add_offset": offset, "units": "K"}
    return xr.Dataset({"t2m": (DIMS, codes, attrs | {"_FillValue": np.int16(fill)})})


def test_fill_values_are_no_samples_and_packed_values_count_unpacked(rng):
    values = smooth(offset=280.0)
    values[:, :10] = np.nan
    reference = packed(values)
    decoded = packed(values + 0.05)
    found = xvcomp.evaluate(reference, decoded, stored=True).groups[0]
    assert found.valid_fraction == pytest.approx(0.75)
    assert found.rmse == pytest.approx(0.05, rel=0.05)
    assert found.peak == pytest.approx(np.nanmax(values) - np.nanmin(values), abs=0.02)


def test_the_two_sides_may_be_packed_differently():
    values = smooth(offset=280.0)
    values[:, :10] = np.nan
    reference = packed(values)
    true = (reference.t2m.values * 0.01 + 280).astype(np.float64)
    true[:, :10] = np.nan
    floats = xr.Dataset({"t2m": (DIMS, true + 0.25, {"units": "K"})}).transpose("x", "time", "y")
    found = xvcomp.evaluate(reference, floats, stored=True).groups[0]
    assert found.bias == pytest.approx(0.25)
    assert (found.n_lost, found.n_invented) == (0, 0)
    lost = packed(values, fill=-5)
    lost.t2m.values[0, 20, 20] = -5
    assert xvcomp.evaluate(reference, lost, stored=True).groups[0].max_error == math.inf


def test_flags_are_measured_apart_and_their_equality_shows():
    classes = (np.indices(SHAPE).sum(axis=0) // 20 % 5).astype(np.uint8)
    attrs = {"flag_values": np.arange(5, dtype=np.uint8), "flag_meanings": "a b c d e"}
    reference = xr.Dataset({"scl": (DIMS, classes, attrs), "r": (DIMS, smooth())})
    found = xvcomp.evaluate(reference, reference.copy(), stored=True)
    by_name = {group.name: group for group in found.groups}
    assert by_name["scl"].exact
    assert by_name["scl"].psnr_db == math.inf
    assert [each.name for each in found.sets] == [""]
    assert not by_name["r"].exact


def bands(rng):
    values = {name: 0.1 + 0.3 * rng.random(SHAPE) for name in ("B03", "B04", "B08")}
    reference = xr.Dataset({name: (DIMS, each) for name, each in values.items()})
    decoded = reference + 0.01 * rng.standard_normal(SHAPE)
    return reference, decoded


def test_the_error_of_ndvi_and_the_spectral_angle_are_those_of_numpy(rng):
    reference, decoded = bands(rng)
    found = xvcomp.evaluate(reference, decoded)
    assert [each.name for each in found.indices] == ["NDVI", "NDWI"]

    def ndvi(each):
        return ((each.B08 - each.B04) / (each.B08 + each.B04)).values

    error = ndvi(decoded) - ndvi(reference)
    assert found.indices[0].rmse == pytest.approx(math.sqrt(np.mean(error**2)))
    assert found.indices[0].max_error == pytest.approx(np.abs(error).max())
    a, b = (np.stack([each[n].values for n in each]) for each in (reference, decoded))
    cosine = (a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
    assert found.groups[0].sam_rad == pytest.approx(np.arccos(cosine).mean(), rel=1e-6)


def test_indices_of_any_two_bands_can_be_asked_for(rng):
    reference, decoded = bands(rng)
    found = xvcomp.evaluate(reference, decoded, indices=[("B03", "B04")])
    assert [(each.a, each.b) for each in found.indices] == [("B03", "B04")]
    with pytest.raises(xvcomp.PlanError, match="'B12'"):
        xvcomp.evaluate(reference, decoded, indices=[("B12", "B04")])


def test_frames_add_up_to_the_group(rng):
    reference, decoded = cube(rng)
    reference["time"] = xr.date_range("2020-03-01", periods=6)
    decoded["time"] = reference["time"]
    wind = xvcomp.evaluate(reference, decoded, per_time=True).groups[0]
    assert [each.time for each in wind.per_time][:2] == [
        "2020-03-01T00:00:00",
        "2020-03-02T00:00:00",
    ]
    assert math.sqrt(np.mean([each.rmse**2 for each in wind.per_time])) == pytest.approx(wind.rmse)
    assert np.mean([each.ssim for each in wind.per_time]) == pytest.approx(wind.ssim)
    frame = decoded.u[3].values - reference.u[3].values, decoded.v[3].values - reference.v[3].values
    assert wind.per_time[3].max_error == pytest.approx(np.abs(frame).max())


def test_a_peak_of_the_users_own_is_used(rng):
    reference, decoded = cube(rng)
    found = xvcomp.evaluate(reference, decoded, peak=100.0)
    assert {group.peak for group in found.groups} == {100.0}
    assert found.sets[0].psnr_db == pytest.approx(20 * math.log10(100 / found.groups[0].rmse))
    with pytest.raises(ValueError, match="positive"):
        xvcomp.evaluate(reference, decoded, peak=0)


class _Spy(BackendArray):
    """A lazy array that remembers the most that was ever read at once."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.largest = values, values.shape, values.dtype, 0

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key):
        part = self.values[key]
        self.largest = max(self.largest, part.size)
        return part


def test_lazy_cubes_are_read_a_window_at_a_time(rng, monkeypatch):
    monkeypatch.setattr(grouping, "_WINDOW_SAMPLES", 5000)
    values = smooth((40, 40, 48))
    noisy = values + 0.01 * rng.standard_normal(values.shape)
    spies = [_Spy(values), _Spy(noisy)]
    lazy = [
        xr.Dataset({"u": (DIMS, indexing.LazilyIndexedArray(spy), {"units": "m"})}) for spy in spies
    ]
    found = xvcomp.evaluate(*lazy, stored=True).groups[0]
    assert found.psnr_db == pytest.approx(psnr(noisy - values, values.max() - values.min()))
    assert all(0 < spy.largest <= 5000 for spy in spies)


def test_large_frames_are_measured_in_tiles_with_the_same_errors(rng, monkeypatch):
    reference, decoded = cube(rng)
    whole = xvcomp.evaluate(reference, decoded).groups[0]
    monkeypatch.setattr(grouping, "_MAX_TILE", 30)
    monkeypatch.setattr(grouping, "_TILE", 16)
    tiled = xvcomp.evaluate(reference, decoded).groups[0]
    for name in ("psnr_db", "mae", "max_error", "r2", "sam_rad", "peak"):
        assert getattr(tiled, name) == pytest.approx(getattr(whole, name))
    assert tiled.n_valid == whole.n_valid
    assert tiled.ssim == pytest.approx(whole.ssim, abs=0.01)


def test_cubes_that_cannot_be_compared_are_refused(rng):
    reference, decoded = cube(rng)
    with pytest.raises(xvcomp.PlanError, match="only cubes of the same dims"):
        xvcomp.evaluate(reference, decoded.isel(y=slice(20)))
    with pytest.raises(xvcomp.PlanError, match="coordinate 'y' differs"):
        xvcomp.evaluate(reference, decoded.isel(y=slice(None, None, -1)))
    with pytest.raises(xvcomp.PlanError, match="there is no variable 'sst'"):
        xvcomp.evaluate(reference, decoded, variables=["sst"])
    with pytest.raises(xvcomp.PlanError, match="no variable to compare"):
        xvcomp.evaluate(reference, decoded.rename(u="a", v="b", t2m="c"))


def test_one_variable_may_be_named_without_a_list(rng):
    found = xvcomp.evaluate(*cube(rng), variables="t2m")
    assert [group.variables for group in found.groups] == [("t2m",)]


def test_variables_that_one_side_lacks_are_named(rng):
    reference, decoded = cube(rng)
    found = xvcomp.evaluate(reference, decoded.drop_vars("t2m"))
    assert found.skipped == {"t2m": "not in the decoded cube"}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """The bundled cube as stored, its file, and the encoder's report."""
    crop = resources.files("xvcomp").joinpath("data", "s2_be1_crop.nc")
    with open_source(str(crop)) as source:
        reference = source.load()
    path = tmp_path_factory.mktemp("encoded") / "cube.mp4"
    report = xvcomp.encode(reference, path, stored=True, preset="fast", target=xvcomp.Quality(40))
    return reference, path, report


def test_the_numbers_are_those_that_encode_reported(encoded):
    reference, path, report = encoded
    found = xvcomp.evaluate(reference, path, stored=True)
    assert [group.name for group in found.groups] == [group.name for group in report.groups]
    for mine, theirs in zip(found.groups, report.groups, strict=True):
        for name in ("psnr_db", "peak", "rmse", "max_error", "bpppb", "nbytes"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-6), name
        for one, other in zip(mine.per_variable, theirs.by_variable, strict=True):
            assert (one.name, one.rmse) == (other.name, pytest.approx(other.rmse, rel=1e-6))
    assert {each.name: each.psnr_db for each in found.sets} == pytest.approx(
        dict(report.set_psnr_db), abs=1e-6
    )
    assert found.file.nbytes == report.nbytes == path.stat().st_size
    assert (found.file.ratio, found.file.bpppb) == (report.ratio, report.bpppb)


def test_a_file_and_the_dataset_that_it_opens_as_agree(encoded):
    reference, path, _ = encoded
    decoded = xvcomp.open(path, decode_cf=False)
    # Repeated pixels are counted once by the encoder; a Dataset does not tell them apart.
    from_file = xvcomp.evaluate(reference, path, stored=True)
    from_data = xvcomp.evaluate(reference, decoded, stored=True, nbytes=1000)
    ours = {v.name: v for group in from_file.groups for v in group.per_variable}
    theirs = {v.name: v for group in from_data.groups for v in group.per_variable}
    assert set(theirs) >= set(ours)
    for name, each in ours.items():
        assert theirs[name].rmse == pytest.approx(each.rmse)
        assert theirs[name].ssim == pytest.approx(each.ssim)
    assert from_data.file.nbytes == 1000
    assert from_data.groups[0].bpppb is None


def test_decoded_references_are_measured_like_stored_ones(encoded):
    reference, path, report = encoded
    found = xvcomp.evaluate(xr.decode_cf(reference), path)
    assert {each.name: each.psnr_db for each in found.sets} == pytest.approx(
        dict(report.set_psnr_db), abs=1e-6
    )


def test_the_peak_of_the_promise_is_the_peak_of_the_evaluation(tmp_path, rng):
    values = (smooth((12, 32, 32), 280) + 0.01 * rng.standard_normal((12, 32, 32))).astype("f4")
    reference = xr.Dataset({"t": (DIMS, values, {"units": "K"})})
    path = tmp_path / "cube.mp4"
    report = xvcomp.encode(reference, path, target=xvcomp.Psnr(40, peak=50.0), preset="fast")
    found = xvcomp.evaluate(reference, path)
    assert found.groups[0].peak == 50.0
    assert found.groups[0].psnr_db == pytest.approx(report.groups[0].psnr_db, abs=1e-6)


def test_a_file_with_seventy_percent_missing_agrees_with_the_encoder(tmp_path, rng):
    shape = (10, 48, 48)
    values = smooth(shape, 280) + 0.02 * rng.standard_normal(shape)
    values[rng.random(shape) < 0.7] = np.nan
    filled = np.where(np.isnan(values), -9999, np.rint(values * 100)).astype(np.int16)
    attrs = {"_FillValue": np.int16(-9999), "scale_factor": 0.01}
    reference = xr.Dataset(
        {"a": (DIMS, values.astype("f4"), {"units": "K"}), "b": (DIMS, filled, attrs)}
    )
    path = tmp_path / "cube.mp4"
    report = xvcomp.encode(reference, path, stored=True, target=xvcomp.Quality(45), preset="fast")
    found = xvcomp.evaluate(reference, path, stored=True)
    assert {group.name for group in found.groups} == {"a", "b"}
    for mine, theirs in zip(found.groups, report.groups, strict=True):
        assert mine.psnr_db == pytest.approx(theirs.psnr_db, abs=1e-6)
        assert mine.max_error == pytest.approx(theirs.max_error, rel=1e-6)
        assert mine.n_valid == np.isfinite(values).sum()
        assert (mine.n_lost, mine.n_invented) == (0, 0)
        assert 0.5 < mine.ssim <= 1


KEYS = {
    "name", "variables", "quality_set", "exact", "nbytes", "bpppb", "psnr_db", "peak", "rmse",
    "mae", "bias", "max_error", "r2", "ssim", "dssim", "gradient_error",
    "power_spectrum_error_db", "valid_fraction", "n_valid", "n_lost", "n_invented", "sam_rad",
    "per_variable", "per_time",
}  # fmt: skip


def test_the_json_keeps_its_keys(rng):
    whole = xvcomp.evaluate(*bands(rng), per_time=True).to_dict()
    assert whole["schema"] == 1
    assert set(whole) == {"schema", "groups", "sets", "indices", "file", "skipped"}
    (group,) = whole["groups"]
    assert set(group) == KEYS
    assert set(whole["file"]) == {"path", "nbytes", "raw_nbytes", "ratio", "bpppb"}
    shared = KEYS - {"variables", "quality_set", "exact", "nbytes", "bpppb"} - {
        "per_variable", "per_time"
    }  # fmt: skip
    assert set(group["per_variable"][0]) == shared - {"sam_rad"}
    assert set(group["per_time"][0]) == (shared - {"name"}) | {"index", "time"}
    json.dumps(whole)


def test_results_become_tables(rng):
    found = xvcomp.evaluate(*cube(rng), per_time=True)
    assert list(found.to_pandas().name) == ["u", "v", "t2m"]
    assert list(found.to_pandas("group").name) == ["u-v", "t2m"]
    assert len(found.to_pandas("time")) == 12
    with pytest.raises(ValueError, match="level"):
        found.to_pandas("frame")


def test_without_pandas_the_table_says_what_to_install(rng, monkeypatch):
    found = xvcomp.evaluate(*cube(rng))
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        found.to_pandas()


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_eval_on_the_command_line_agrees_with_encode(encoded, crop):
    _, path, report = encoded
    done = run("eval", crop, path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    for mine, theirs in zip(found["groups"], report.groups, strict=True):
        assert float(mine["psnr_db"]) == pytest.approx(theirs.psnr_db, abs=1e-6)
        assert mine["bpppb"] == pytest.approx(theirs.bpppb, abs=1e-6)


def test_eval_shows_any_decoded_file_as_tables(encoded, crop, tmp_path):
    _, path, _ = encoded
    for name in ("back.nc", "back.zarr"):
        assert run("decode", path, tmp_path / name).exit_code == 0
        done = run("eval", crop, tmp_path / name, "--vars", "B04,B08", "--per-time")
        assert done.exit_code == 0, done.output
        assert "PSNR dB" in done.stdout
        assert "NDVI" in done.stdout
        assert "frames of B04-B08" in done.stdout


def test_eval_refuses_what_it_cannot_measure(crop, tmp_path):
    absent = run("eval", crop, tmp_path / "none.mp4")
    assert (absent.exit_code, absent.stdout) == (1, "")
    assert "none.mp4" in absent.stderr
    assert run("eval", crop, crop, "--peak", "-1").exit_code == 2
    assert run("eval", crop, crop, "--index", "B04").exit_code == 2
    assert run("eval", crop, crop, "--vars", "nope").exit_code == 1


def test_equal_cubes_are_exact(crop):
    done = run("eval", crop, crop, "--json")
    found = json.loads(done.stdout)
    assert {group["psnr_db"] for group in found["groups"]} == {"inf"}
    assert {group["max_error"] for group in found["groups"]} == {0.0}
    assert {index["max_error"] for index in found["indices"]} == {0.0}
    assert metrics.psnr_db(0.0, 1.0) == math.inf
