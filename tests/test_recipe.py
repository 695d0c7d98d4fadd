"""Recipes: what they mean, what they refuse, and that a plan comes back from its own."""

import pytest

from xvcomp.errors import PlanError
from xvcomp.recipe import dump_recipe, load_recipe, parse_recipe
from xvcomp.results import Options, Override
from xvcomp.spec import Bpppb, GroupPlan, Lossless, MaxError, Plan, Psnr


def _group(**changes) -> GroupPlan:
    values = {
        "name": "bands", "variables": ("B02", "B03"), "target": Psnr(48.0), "frame_dim": "time",
        "y_dim": "y", "x_dim": "x", "transform": "klt", "layout": "tiled", "codec": "libx265",
        "preset": "best", "bit_depth": 12, "gop": 24, "fold": 2, "block": (64, 64),
        "quality_set": "1", "reasons": {"codec": "measured\nhere"},
    }  # fmt: skip
    return GroupPlan(**(values | changes))


def test_every_key_reaches_its_option():
    options = parse_recipe(
        """
        psnr = 48
        peak = 1.0
        preset = "best"
        codec = "libsvtav1"
        bits = 10
        gop = 12
        layout = "gray"
        klt = false
        fold = 4
        vars = ["B02", "SCL"]
        lossy = ["B02"]
        lossless = ["SCL"]
        per_variable = true
        [variables.B02]
        psnr = 52
        [groups.visible]
        variables = ["B03", "B04"]
        max_error = "0.1%"
        """
    )
    assert options == Options(
        target=Psnr(48.0, 1.0),
        preset="best",
        variables=("B02", "SCL"),
        lossy=("B02",),
        lossless=("SCL",),
        per_variable=True,
        defaults=Override(
            codec="libsvtav1", bit_depth=10, gop=12, layout="gray", transform="none", fold=4
        ),
        by_variable={"B02": Override(target=Psnr(52.0))},
        groups={"visible": ("B03", "B04")},
        by_group={"visible": Override(target=MaxError(0.001, "range"))},
    )


def test_an_empty_recipe_leaves_everything_to_the_planner():
    assert parse_recipe("") == Options()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("psrn = 4", r"unknown key 'psrn'; allowed: psnr, bpppb"),
        ("[variables.B02]\nvars = ['a']", r"\[variables.B02\] has unknown key 'vars'"),
        ("psnr = 'high'", "psnr in the recipe must be a number, got 'high'"),
        ("psnr = 40\nbpppb = 0.1", "names 2 targets"),
        ("psnr = -3", "must be a positive number"),
        ("peak = 3", "peak .* belongs to psnr"),
        ("preset = 'slow'", "allowed: fast, balanced, best"),
        ("layout = 'nv12'", "allowed: tiled"),
        ("gop = 1.5", "gop in the recipe must be of type int"),
        ("bits = true", "bits in the recipe must be of type int"),
        ("vars = 'B02'", "vars must be a list"),
        ("variables = ['B02']", "for a selection use vars"),
        ("[groups.a]\ncodec = 'ffv1'", r"\[groups.a\] needs variables"),
        ("max_error = -1", "max_error is -1"),
        ("max_error = {value = 1, relative = 'rangee'}", "max_error is"),
        ("psnr =", "not TOML"),
    ],
)
def test_what_has_no_meaning_is_refused_with_what_is_allowed(text, expected):
    with pytest.raises(PlanError, match=expected):
        parse_recipe(text)


def test_errors_in_a_file_name_the_file(tmp_path):
    path = tmp_path / "my.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(PlanError, match=r"my\.toml"):
        load_recipe(path)
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    "target", [Psnr(48.0, 2.0), Bpppb(0.1), MaxError(0.5), MaxError(0.5, "pointwise"), Lossless()]
)
def test_a_plan_comes_back_from_its_own_recipe(target):
    exact = _group(name="SCL", variables=("SCL",), target=Lossless(), codec="none", gop=40)
    plan = Plan(
        groups=(_group(target=target), exact), sidecar={"angle": "no\nimage"}, target=target
    )
    text = dump_recipe(plan, Options(variables=("B02", "B03", "SCL", "angle"), per_variable=True))
    assert parse_recipe(text) == Options(
        target=target,
        variables=("B02", "B03", "SCL", "angle"),
        per_variable=True,
        by_variable={"SCL": Override(target=Lossless(), gop=40)},
        groups={"bands": ("B02", "B03")},
        by_group={
            "bands": Override(
                codec="libx265", preset="best", bit_depth=12, gop=24, fold=2,
                layout="tiled", transform="klt",
            )
        },
    )  # fmt: skip
    assert "# codec: measured here" in text


def test_a_group_with_a_target_of_its_own_keeps_it():
    plan = Plan(groups=(_group(target=Psnr(52.0)),), sidecar={}, target=Psnr(48.0))
    assert parse_recipe(dump_recipe(plan)).by_group["bands"].target == Psnr(52.0)
