"""The plan: what is lossy, what goes together, and what a user may decide."""

import numpy as np
import pytest

from xvcomp.errors import PlanError
from xvcomp.planner import VariableFacts, frame_axes, plan
from xvcomp.results import Options, Override
from xvcomp.spec import Bpppb, Lossless, Psnr

CODECS = {"libx265": (8, 10, 12), "libsvtav1": (8, 10), "ffv1": (8, 12, 16)}
DIMS, SHAPE = ("time", "y", "x"), (50, 64, 64)


def _facts(name, dtype="f4", *, dims=DIMS, shape=SHAPE, attrs=None, seed=0, **more):
    rng = np.random.default_rng(seed)
    base = np.sin(np.arange(2000) / 40)
    return VariableFacts(
        name=name,
        dims=dims,
        shape=shape,
        dtype=np.dtype(dtype),
        attrs=attrs or {},
        is_coord=more.pop("is_coord", False),
        distinct=more.pop("distinct", 1000),
        varies=True,
        sample=more.pop("sample", base + 0.1 * rng.normal(size=2000)),
        **more,
    )


def _groups(facts, **options):
    made = plan(facts, Options(**options), CODECS)
    return {group.name: group for group in made.groups}, dict(made.sidecar)


def test_correlated_variables_of_one_unit_share_a_group():
    noise = np.random.default_rng(9).normal(size=2000)
    facts = [
        _facts("B02", seed=1),
        _facts("B03", seed=2),
        _facts("lone", sample=noise),
        _facts("t2m", seed=3, attrs={"units": "K"}),
    ]
    groups, _ = _groups(facts)
    assert [group.variables for group in groups.values()] == [("B02", "B03"), ("lone",), ("t2m",)]
    assert groups["B02-B03"].quality_set == groups["lone"].quality_set != groups["t2m"].quality_set


def test_another_grid_or_a_coarser_native_grid_is_a_group_of_its_own():
    facts = [
        _facts("B02"),
        _facts("B05", shape=(50, 32, 32)),
        _facts("B06", repeat=(2, 2)),
    ]
    groups, _ = _groups(facts)
    assert set(groups) == {"B02", "B05", "B06"}
    assert groups["B06"].repeat == (2, 2)
    assert groups["B06"].block == (32, 32)


@pytest.mark.parametrize(
    ("dtype", "attrs", "distinct", "lossless"),
    [
        ("f4", {}, 1000, False),
        ("u1", {"flag_values": [0, 1]}, 200, True),
        ("b1", {}, 2, True),
        ("u1", {}, 5, True),
        ("u2", {"units": "1"}, 50, False),
        ("u2", {}, 50, True),
        ("u2", {}, 3000, False),
        ("i2", {"scale_factor": 0.01}, 900, False),
    ],
)
def test_what_looks_like_classes_is_lossless_and_measurements_are_not(
    dtype, attrs, distinct, lossless
):
    groups, _ = _groups([_facts("v", dtype, attrs=attrs, distinct=distinct)])
    assert groups["v"].lossless is lossless
    assert groups["v"].reasons["target" if lossless else "group"]


def test_integers_named_like_quality_bits_are_lossless():
    groups, _ = _groups([_facts("QA_PIXEL", "u2", distinct=300)])
    assert groups["QA_PIXEL"].lossless


def test_a_user_may_decide_what_is_lossy():
    facts = [_facts("scl", "u1", distinct=8), _facts("t", "f4")]
    groups, _ = _groups(facts, lossy=("scl",), lossless=("t",))
    assert not groups["scl"].lossless
    assert groups["t"].lossless


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"is_coord": True}, "coordinate"),
        ({"dims": ("y", "x"), "shape": (64, 64)}, "static"),
        ({"dims": ("time",), "shape": (50,)}, "no image dims"),
        ({"shape": (0, 64, 64)}, "empty"),
        ({"shape": (2, 8, 8)}, "only 512 bytes"),
        ({"dtype": "U4"}, "not numeric"),
        ({"dtype": "c16"}, "not numeric"),
    ],
)
def test_what_is_no_video_goes_to_the_sidecar_with_a_reason(more, word):
    dtype = more.pop("dtype", "f4")
    _, sidecar = _groups([_facts("v", dtype, **more), _facts("large")])
    assert word in sidecar["v"]


def test_many_small_bands_are_a_video_together():
    facts = [_facts(f"B{i}", shape=(4, 24, 40), seed=i) for i in range(12)]
    groups, sidecar = _groups(facts)
    assert len(groups) == 1
    assert not sidecar


@pytest.mark.parametrize(
    ("dims", "axes"),
    [
        (("time", "y", "x"), ("time", "y", "x")),
        (("lat", "lon", "time"), ("time", "lat", "lon")),
        (("realization", "time", "lat", "lon"), ("time", "lat", "lon")),
        (("level", "latitude", "longitude"), ("level", "latitude", "longitude")),
        (("member", "a", "b"), ("member", "a", "b")),
        (("valid_time", "y20", "x20"), ("valid_time", "y20", "x20")),
        (("y", "x"), (None, "y", "x")),
        (("time", "station"), None),
        (("x",), None),
    ],
)
def test_the_axes_of_frames_are_recognised(dims, axes):
    assert frame_axes(dims, tuple(range(5, 5 + len(dims)))) == axes


def test_choices_for_one_variable_make_it_a_set_of_its_own():
    facts = [_facts("a", seed=1), _facts("b", seed=2)]
    groups, _ = _groups(facts, by_variable={"b": Override(target=Psnr(52), bit_depth=10)})
    assert groups["b"].target == Psnr(52)
    assert groups["b"].bit_depth == 10
    assert groups["b"].quality_set == "b"
    assert groups["a"].target == Psnr(50)


def test_a_lossless_target_leaves_nothing_to_a_video_codec():
    groups, _ = _groups([_facts("a")], target=Lossless())
    assert groups["a"].codec == "none"


def test_every_choice_can_be_overridden_and_says_so():
    own = Override(codec="libsvtav1", bit_depth=8, gop=7, fold=2, layout="gray", transform="none")
    groups, _ = _groups([_facts("a")], defaults=own)
    group = groups["a"]
    made = (group.codec, group.bit_depth, group.gop, group.fold, group.layout, group.transform)
    assert made == ("libsvtav1", 8, 7, 2, "gray", "none")
    assert {group.reasons[k] for k in ("codec", "bit_depth", "gop", "layout", "transform")} == {
        "asked for"
    }
    assert not group.codecs
    assert not group.folds


def test_the_users_own_groups_are_kept_or_refused_with_the_reason():
    facts = [
        _facts("a", seed=1),
        _facts("b", seed=2, attrs={"units": "K"}),
        _facts("c", shape=(9, 64, 64)),
    ]
    groups, _ = _groups(facts, groups={"mine": ("a", "b")})
    assert groups["mine"].variables == ("a", "b")
    with pytest.raises(PlanError, match="not on one grid"):
        _groups(facts, groups={"mine": ("a", "c")})


def test_large_frames_are_cut_into_blocks_and_gops_that_fit_into_memory():
    groups, _ = _groups([_facts("a", shape=(300, 10980, 10980))])
    assert groups["a"].block == (1000, 1000)
    assert groups["a"].gop * 1000 * 1000 <= 32_000_000


def test_low_targets_prefer_av1_where_no_trial_is_made():
    low, _ = _groups([_facts("a")], target=Bpppb(0.05), preset="fast")
    high, _ = _groups([_facts("a")], target=Psnr(55), preset="fast")
    assert low["a"].codec == "libsvtav1"
    assert high["a"].codec == "libx265"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lossy": ("nope",)}, "no variable 'nope'"),
        ({"lossy": ("a",), "lossless": ("a",)}, "both lossy and lossless"),
        ({"defaults": Override(codec="h266")}, "one of: ffv1, libsvtav1, libx265"),
        ({"defaults": Override(codec="libsvtav1", bit_depth=12)}, "it can code 8, 10"),
        ({"defaults": Override(fold=99)}, "'a' has 50"),
    ],
)
def test_impossible_wishes_are_refused_with_what_is_possible(options, message):
    with pytest.raises(PlanError, match=message):
        _groups([_facts("a")], **options)


def test_without_any_codec_the_message_says_where_to_look():
    with pytest.raises(PlanError, match="xvcomp codecs"):
        plan([_facts("a")], Options(), {})
