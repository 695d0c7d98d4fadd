"""Packaged recipes: found by name, fit for cubes of their kind, patterns and optional names."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.api import options_of
from xvcomp.errors import PlanError
from xvcomp.planner.naming import resolve
from xvcomp.recipe import load_recipe, parse_recipe
from xvcomp.recipes import named_recipe, recipe_names, recipe_summaries
from xvcomp.results import Options, Override
from xvcomp.sources import open_source
from xvcomp.spec import Lossless, Psnr
from xvcomp_cli.main import cli

RNG = np.random.default_rng(7)
REAL = {
    "sentinel2-minicube": ["s2_earthnet_ood_a.nc", "s2_worldcereal_be1.nc"],
    "planet-mosaic": [],
    "era5-levels": ["erai_uvz.nc", "era5_t2m_uk_hourly.nc"],
    "sar-db": ["s1_worldcereal_be1.nc"],
    "modis-hls": ["modis_sinop_vi_16day.nc"],
    "precipitation-radar": ["radar_knmi_nl.nc", "radar_mrms_us_a.nc"],
}


def _smooth(frames=6, size=48, extra=()) -> np.ndarray:
    t, y, x = np.ogrid[:frames, :size, :size]
    wave = np.sin(t / 3 + y / 9) * np.cos(x / 7 - t / 5)
    for length in extra:
        wave = wave[:, None] * np.linspace(1, 2, length)[:, None, None]
    return wave + RNG.normal(0, 0.01, wave.shape)


def _cube(dims=("time", "y", "x"), **variables) -> xr.Dataset:
    return xr.Dataset({name: (dims[: v.ndim], v) for name, v in variables.items()})


def _classes() -> np.ndarray:
    return RNG.integers(0, 40, (6, 48, 48)).astype("u1")


def _minicube() -> xr.Dataset:
    bands = {b: (0.2 + 0.1 * _smooth()).astype("f4") for b in ("B02", "B03", "B04", "B8A")}
    bands["B02"][2] = np.nan
    return _cube(**bands, SCL=_classes(), cloudmask_en=_classes())


def _planet() -> xr.Dataset:
    bands = {b: (900 + 300 * _smooth()).astype("u2") for b in "RGB"}
    return _cube(**bands, NIR=(2000 + 900 * _smooth()).astype("u2"), labels=_classes())


def _era5() -> xr.Dataset:
    dims = ("time", "level", "lat", "lon")
    ds = _cube(dims, t=(280 + 9 * _smooth(extra=(3,))).astype("f4"))
    ds["q"] = dims, (0.01 + 0.002 * _smooth(extra=(3,))).astype("f4")
    ds.t.attrs["units"], ds.q.attrs["units"] = "K", "kg kg**-1"
    return ds


def _sar() -> xr.Dataset:
    return _cube(**{b: (-12 + 5 * _smooth()).astype("f4") for b in ("VV", "VH")})


def _modis() -> xr.Dataset:
    ds = _cube(ndvi=(5000 + 2000 * _smooth()).astype("i2"), DOY=(_classes() * 9).astype("i2"))
    ds.ndvi.attrs = {"scale_factor": 1e-4, "_FillValue": np.int16(-3000), "units": "1"}
    ds.DOY.attrs = {"units": "days"}
    return ds


def _radar() -> xr.Dataset:
    rain = np.maximum(_smooth(), 0) ** 4 * 80
    rain[rain < 0.05] = 0
    return _cube(rate=rain.astype("f4"), qi=_classes())


MADE = {
    "sentinel2-minicube": (_minicube, ("SCL", "cloudmask_en")),
    "planet-mosaic": (_planet, ("labels",)),
    "era5-levels": (_era5, ()),
    "sar-db": (_sar, ()),
    "modis-hls": (_modis, ("DOY",)),
    "precipitation-radar": (_radar, ("qi",)),
}


def test_every_recipe_has_a_made_cube_and_a_line_of_its_own():
    assert recipe_names() == sorted(MADE) == sorted(REAL)
    assert all(10 < len(line) < 100 for _, line in recipe_summaries())


@pytest.mark.parametrize("name", MADE)
def test_a_recipe_encodes_a_cube_of_its_kind_and_keeps_flags_exact(name, tmp_path):
    make, exact = MADE[name]
    ds = make()
    # The trials of preset balanced are what takes time; the promises are those of the recipe.
    report = xvcomp.encode(ds, tmp_path / "c.mp4", stored=True, recipe=name, preset="fast")
    lossless = {v for group in report.groups if group.lossless for v in group.variables}
    assert lossless == set(exact)
    assert {v for g in report.groups for v in g.variables} == set(ds.data_vars)
    back = xvcomp.open(tmp_path / "c.mp4", decode_cf=False).load()
    for variable in exact:
        assert back[variable].equals(ds[variable])
    _check_promise(load_recipe(name), ds, back, report)


def _check_promise(options, ds, back, report):
    if isinstance(options.target, Psnr):
        assert min(report.set_psnr_db.values()) >= options.target.db
        return
    for name in set(ds.data_vars) - {v for g in report.groups if g.lossless for v in g.variables}:
        truth, found = ds[name].values.astype("f8"), back[name].values.astype("f8")
        scale = np.abs(truth) if options.target.relative == "pointwise" else np.ptp(truth)
        assert (np.abs(found - truth) <= options.target.value * scale).all()


def test_dry_pixels_stay_dry(tmp_path):
    ds = _radar()
    xvcomp.encode(ds, tmp_path / "c.mp4", recipe="precipitation-radar")
    back = xvcomp.open(tmp_path / "c.mp4").load()
    assert (ds.rate == 0).mean() > 0.2
    assert ((back.rate == 0) == (ds.rate == 0)).all()


def test_the_bundled_minicube_goes_by_its_recipe(crop, tmp_path):
    with open_source(crop) as ds:
        plan = xvcomp.plan(ds, stored=True, recipe="sentinel2-minicube")
    targets = {v: group.target for group in plan.groups for v in group.variables}
    assert targets["SCL"] == Lossless()
    assert targets["B04"] == targets["B11"] == Psnr(50.0)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), [(n, f) for n, files in REAL.items() for f in files])
def test_a_recipe_keeps_its_promise_on_a_real_cube(name, file, data_dir, tmp_path):
    with open_source(data_dir / file) as source:
        ds = source.isel({d: slice(0, 12) for d in source.dims if d == "time"})
        ds = ds.isel({d: slice(0, 128) for d in ("y", "x", "lat", "lon") if d in source.dims})
        report = xvcomp.encode(ds, tmp_path / "c.mp4", stored=True, recipe=name)
    assert report.groups
    # Verification measured the file against the recipe's target, or encode would have raised.
    assert report.target == load_recipe(name).target


def test_a_file_wins_over_a_packaged_recipe_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sar-db").write_text("psnr = 33\n")
    assert load_recipe("sar-db").target == Psnr(33.0)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="planet-mosaic, precipitation-radar"):
        load_recipe("sentinel3")
    with pytest.raises(FileNotFoundError):
        load_recipe("absent.toml")


@pytest.mark.parametrize("name", ["../recipes/sar-db", "sar-db.toml", ""])
def test_only_names_are_looked_up_in_the_package(name):
    with pytest.raises(FileNotFoundError):
        named_recipe(name)


def test_options_win_over_a_packaged_recipe():
    assert options_of(recipe="sar-db", target=Psnr(30)).target == Psnr(30)


def test_patterns_stand_for_the_variables_that_match():
    own = Override(target=Psnr(40))
    options = Options(
        lossless=("*QA",), by_variable={"B0*": own, "B02": Override(target=Psnr(60))},
        groups={"red": ("B04",), "rest": ("B*",)}, by_group={"rest": own},
    )  # fmt: skip
    found = resolve(options, ["B02", "B03", "B04", "B_QA"], ["BX"])
    assert found.lossless == ("B_QA",)
    assert found.by_variable["B02"].target == Psnr(60)
    assert found.by_variable["B03"] == own
    assert found.groups == {"red": ("B04",), "rest": ("B02", "B03", "B_QA")}


def test_what_matches_nothing_is_refused_unless_optional():
    with pytest.raises(PlanError, match=r"no variable matches '\*QA'; the cube has B02"):
        resolve(Options(lossless=("*QA",)), ["B02"])
    with pytest.raises(PlanError, match="there is no variable 'SCL'"):
        resolve(Options(lossless=("SCL",)), ["B02"])
    options = parse_recipe("optional = true\nlossless = ['SCL', '*QA']\n[variables.B12]\ngop = 4")
    found = resolve(options, ["B02"])
    assert (found.lossless, found.by_variable) == ((), {})


def test_an_empty_optional_group_disappears():
    options = parse_recipe("optional = true\n[groups.swir]\nvariables = ['B11']\npsnr = 40")
    found = resolve(options, ["B02"])
    assert (found.groups, found.by_group) == ({}, {})


def test_a_name_wins_over_a_pattern_that_says_the_opposite():
    found = resolve(Options(lossy=("mask",), lossless=("*mask*",)), ["mask", "cloudmask"])
    assert (found.lossy, found.lossless) == (("mask",), ("cloudmask",))


def test_a_variable_whose_name_looks_like_a_pattern_is_taken_by_name():
    found = resolve(Options(lossless=("a[1]",)), ["a[1]", "a1"])
    assert found.lossless == ("a[1]",)


def test_the_command_lists_and_prints_recipes():
    listed = CliRunner().invoke(cli, ["recipes"])
    assert listed.exit_code == 0
    assert all(name in listed.stdout for name in recipe_names())
    shown = CliRunner().invoke(cli, ["recipes", "show", "sar-db"])
    assert parse_recipe(shown.stdout) == load_recipe("sar-db")
    assert CliRunner().invoke(cli, ["recipes", "show"]).exit_code == 2
    assert CliRunner().invoke(cli, ["recipes", "show", "nothing"]).exit_code == 1
