"""Samples under a mask cost almost nothing, and quality speaks of the others."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.dataset import describe
from xvcomp.ignoring import resolve_ignored
from xvcomp.recipe import parse_recipe
from xvcomp_cli.main import cli

CLEAR, SHADOW, CLOUD = 4, 3, 9


def _cube(y_dim="y", x_dim="x", size=(64, 80)) -> xr.Dataset:
    """Smooth land, and bright noisy clouds on a third of it."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:64, :80] / 20
    land = np.array([np.sin(rows + t / 9) * np.cos(columns) for t in range(16)]) * 1000 + 3000
    classes = np.full((16, 64, 80), CLEAR, dtype="u1")
    for t in range(16):
        top, left = rng.integers(0, 40, 2)
        classes[t, top : top + 24, left : left + 40] = CLOUD if t % 3 else SHADOW
    cloudy = classes != CLEAR
    image = np.where(cloudy, rng.integers(6000, 12000, land.shape), land).astype("i2")
    down, across = 64 // size[0], 80 // size[1]
    flags = {
        "flag_values": np.array([CLEAR, SHADOW, CLOUD], "u1"),
        "flag_meanings": "clear cloud_shadow cloud_high",
    }
    return xr.Dataset(
        {
            "B02": (("time", y_dim, x_dim), image[:, ::down, ::across], {"units": "1"}),
            "SCL": (("time", "y", "x"), classes, flags),
        }
    )


def _clear_psnr(ds: xr.Dataset, back: xr.Dataset, peak: float) -> float:
    clear = (ds.SCL == CLEAR).values
    error = (ds.B02.values.astype("f8") - back.B02.values)[clear]
    return float(10 * np.log10(peak**2 / (error**2).mean()))


def test_quality_speaks_of_the_clear_samples_and_clouds_cost_little(tmp_path):
    ds = _cube()
    whole = xvcomp.encode(ds, tmp_path / "a.mp4", target=xvcomp.Psnr(50), preset="fast")
    path = tmp_path / "b.mp4"
    report = xvcomp.encode(
        ds, path, target=xvcomp.Psnr(50, peak=2000), preset="fast", ignore={"SCL": ["cloud_*"]}
    )
    assert report.nbytes < whole.nbytes / 4
    back = xvcomp.open(path).load()
    np.testing.assert_array_equal(back.SCL, ds.SCL)
    assert report.set_psnr_db["1"] == pytest.approx(_clear_psnr(ds, back, 2000), abs=1e-6)
    assert report.set_psnr_db["1"] >= 50
    assert xvcomp.verify(path, ds).set_psnr_db == pytest.approx(report.set_psnr_db)
    scores = xvcomp.evaluate(ds, path, ignore={"SCL": ["cloud_*"]}, variables=["B02"])
    assert scores.groups[0].psnr_db == pytest.approx(report.set_psnr_db["1"], abs=1e-6)
    assert xvcomp.evaluate(ds, path).groups[0].psnr_db < 20


def test_the_choice_is_recorded_in_the_file(tmp_path):
    path = tmp_path / "c.mp4"
    xvcomp.encode(_cube(), path, preset="fast", ignore={"SCL": (SHADOW, "cloud_high")})
    (kept,) = xvcomp.info(path).manifest.ignored
    assert kept.variable == "SCL"
    assert kept.flags == ((-1, SHADOW), (-1, CLOUD))


def test_a_mask_on_a_finer_grid_ignores_where_all_of_it_is_masked(tmp_path):
    ds = _cube("y20", "x20", (32, 40))
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(
        ds, path, target=xvcomp.Psnr(50, peak=2000), preset="fast", ignore={"SCL": [SHADOW, CLOUD]}
    )
    masked = (ds.SCL != CLEAR).values.reshape(16, 32, 2, 40, 2).all(axis=(2, 4))
    back = xvcomp.open(path)
    error = (ds.B02.values.astype("f8") - back.B02.values)[~masked]
    psnr = 10 * np.log10(2000**2 / (error**2).mean())
    assert report.set_psnr_db["1"] == pytest.approx(psnr, abs=1e-6)


def test_bounds_and_lossless_hold_for_every_sample(tmp_path):
    ds = _cube()
    for target, bound in ((xvcomp.MaxError(20), 20), (xvcomp.Lossless(), 0)):
        path = tmp_path / f"{bound}.mp4"
        xvcomp.encode(ds, path, target=target, preset="fast", ignore={"SCL": [CLOUD]})
        error = np.abs(xvcomp.open(path).B02.values.astype("i4") - ds.B02.values.astype("i4"))
        assert error.max() <= bound


def test_flags_that_are_bits_are_looked_at_one_by_one():
    attrs = {
        "flag_masks": np.array([1, 6, 6], "u1"),
        "flag_values": np.array([1, 2, 4], "u1"),
        "flag_meanings": "fill cloud_maybe cloud_sure",
    }
    values = np.arange(8, dtype="u1").reshape(2, 4)
    variables, _ = describe(xr.Dataset({"QA": (("y", "x"), values, attrs)}), stored=True)
    (found,) = resolve_ignored({"QA": ("cloud_sure",)}, {v.spec.name: v for v in variables})
    assert found.flags == ((6, 4),)


def test_an_ssim_leaves_nothing_out(tmp_path):
    with pytest.raises(xvcomp.PlanError, match="cannot leave samples out"):
        xvcomp.encode(_cube(), tmp_path / "c.mp4", target=xvcomp.Ssim(0.9), ignore={"SCL": [CLOUD]})


@pytest.mark.parametrize(
    ("ignore", "message"),
    [
        ({"QA": [1]}, "no variable 'QA' to ignore by; the cube has B02, SCL"),
        ({"SCL": ["haze"]}, "no flag 'haze'; it has clear, cloud_shadow, cloud_high"),
        ({"SCL": [1.5]}, "whole number"),
        ("SCL", "by the mask's name"),
    ],
)
def test_what_makes_no_sense_is_refused(ignore, message, tmp_path):
    with pytest.raises(xvcomp.PlanError, match=message):
        xvcomp.encode(_cube(), tmp_path / "c.mp4", ignore=ignore)


def test_the_command_line_and_recipes_say_it_too(tmp_path):
    source, out = tmp_path / "a.nc", tmp_path / "a.mp4"
    _cube().to_netcdf(source)
    words = ["encode", str(source), str(out), "--preset", "fast", "--ignore-mask"]
    done = CliRunner().invoke(cli, [*words, "SCL=3,cloud_high"])
    assert done.exit_code == 0, done.output
    assert xvcomp.info(out).manifest.ignored[0].flags == ((-1, SHADOW), (-1, CLOUD))
    done = CliRunner().invoke(cli, ["eval", str(source), str(out), "--ignore-mask", "SCL=3,9"])
    assert done.exit_code == 0, done.output
    refused = CliRunner().invoke(cli, [*words, "SCL"])
    assert refused.exit_code == 2
    assert "is no MASK=VALUES" in refused.output
    recipe = parse_recipe('[ignore]\nSCL = [3, "cloud_*"]\n')
    assert recipe.ignore == {"SCL": (3, "cloud_*")}
