"""What ``verify`` says of the promises that a file records."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.results import Override
from xvcomp.spec import Manifest
from xvcomp_cli.main import cli


def field(seed=0, shape=(12, 36, 40)):
    rng = np.random.default_rng(seed)
    smooth = np.add.outer(np.arange(shape[0]), np.add.outer(np.arange(shape[1]), range(shape[2])))
    return (np.sin(smooth / 7) + rng.normal(0, 0.05, shape)).astype("f4")


def cube(**variables):
    attrs = {"units": "K"}
    return xr.Dataset({name: (("time", "y", "x"), v, attrs) for name, v in variables.items()})


def encode(ds, path, **options):
    return xvcomp.encode(ds, path, preset="fast", **options)


def off(ds, name, by, place=(2, 3, 4)):
    """Return another original, that differs in one sample."""
    other = ds.copy(deep=True)
    other[name].values[place] += by
    return other


TARGETS = {
    "absolute": xvcomp.MaxError(0.02),
    "range": xvcomp.MaxError(0.01, relative="range"),
    "pointwise": xvcomp.MaxError(0.01, relative="pointwise"),
    "lossless": xvcomp.Lossless(),
    "psnr": xvcomp.Psnr(40),
    "ssim": xvcomp.Ssim(0.9),
    "bpppb": xvcomp.Bpppb(12),
    "ratio": xvcomp.Ratio(1.1),
}


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_promised_is_kept_and_was_measured(tmp_path, name):
    ds, path = cube(a=field() + 3), tmp_path / "c.mp4"
    made = encode(ds, path, target=TARGETS[name])
    found = xvcomp.verify(path, ds)
    assert [each.kept for each in found.promises] == [True]
    assert found.promises == made.promises
    (promise,) = found.promises
    assert promise.target == TARGETS[name]
    assert promise.variable == ("" if name in ("bpppb", "ratio") else "a")
    limits = {"absolute": 0.02, "range": 0.03, "pointwise": 0.01, "lossless": 0}
    if name in limits:
        assert promise.found <= limits[name]
    assert xvcomp.verify(path).promises == ()


@pytest.mark.parametrize(
    ("name", "by", "words"),
    [
        ("absolute", 0.5, r"'a' is off by up to 0\.[45]\d*; promised: 0\.02 \(1 samples"),
        ("range", 0.5, r"'a' is off by up to 0\.[45]\d*; promised: 0\.01 of the range \(1 samples"),
        ("pointwise", 0.5, r"'a' is off by up to 0\.\d* of each sample; promised: 0\.01 of each"),
        ("lossless", 1e-6, r"'a' was to be lossless, and is not \(1 values differ\)"),
        ("psnr", 5.0, r"'a' has \d+\.\d+ dB in its quality set, 40 were promised"),
        ("absolute", np.nan, r"'a' missing values did not come back where they were \(1 samples\)"),
    ],
)
def test_a_broken_promise_is_named_and_the_others_stay_kept(tmp_path, name, by, words):
    ds, path = cube(a=field() + 3, b=field(1) + 3), tmp_path / "c.mp4"
    encode(ds, path, target=TARGETS[name], per_variable=True)
    with pytest.raises(xvcomp.ErrorBoundExceeded, match=words) as caught:
        xvcomp.verify(path, off(ds, "a", by))
    kept = {each.variable: each.kept for each in caught.value.report.promises}
    assert kept == {"a": False, "b": True}


def test_a_broken_ssim_is_named(tmp_path):
    ds, path = cube(a=field() + 3, b=field(1) + 3), tmp_path / "c.mp4"
    encode(ds, path, target=TARGETS["ssim"])
    other = ds.assign(a=ds.a[:, ::-1].assign_attrs(ds.a.attrs))
    with pytest.raises(xvcomp.ErrorBoundExceeded, match=r"'a' has an SSIM of .*0\.9 was promised"):
        xvcomp.verify(path, other)


def test_errors_up_to_the_bound_are_not_counted_as_broken(tmp_path):
    values = np.arange(12 * 36 * 40, dtype="i4").reshape(12, 36, 40) % 1000
    ds, path = cube(a=values), tmp_path / "c.mp4"
    encode(ds, path, target=xvcomp.MaxError(3), lossy=["a"])
    error = (xvcomp.open(path).a - ds.a).values
    place = np.unravel_index(error.argmax(), error.shape)
    room = 3 - error[place]
    xvcomp.verify(path, off(ds, "a", -room, place))
    with pytest.raises(xvcomp.ErrorBoundExceeded, match="off by up to 4; promised: 3"):
        xvcomp.verify(path, off(ds, "a", -room - 1, place))


def test_a_variables_own_bound_is_the_one_that_is_checked(tmp_path):
    ds, path = cube(a=field(), b=field(1)), tmp_path / "c.mp4"
    own = {"b": Override(target=xvcomp.MaxError(0.5))}
    encode(ds, path, target=xvcomp.MaxError(0.01), by_variable=own)
    groups = {group.name: group.target for group in xvcomp.info(path).manifest.groups}
    assert groups == {"a": None, "b": xvcomp.MaxError(0.5)}
    found = xvcomp.verify(path, off(ds, "b", 0.2))
    assert {each.variable: each.target.value for each in found.promises} == {"a": 0.01, "b": 0.5}
    with pytest.raises(xvcomp.ErrorBoundExceeded, match=r"'a' is off .*promised: 0\.01"):
        xvcomp.verify(path, off(ds, "a", 0.2))


def test_a_manifest_without_the_targets_of_groups_means_that_of_the_file(tmp_path):
    path = tmp_path / "c.mp4"
    encode(cube(a=field()), path, target=xvcomp.Psnr(40))
    manifest = xvcomp.info(path).manifest
    older = _body(manifest).replace(',"target":null', "")
    assert older != _body(manifest)
    again = Manifest.from_json(_envelope(older))
    assert again == manifest


def _body(manifest):
    import msgspec

    return msgspec.json.encode(manifest).decode()


def _envelope(body):
    import zlib

    import msgspec

    from xvcomp.spec import _deflate, _Envelope

    data = body.encode()
    return msgspec.json.encode(_Envelope(1, zlib.crc32(data), _deflate(data))).decode()


def run(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_the_command_line_prints_each_promise_and_fails_if_one_is_broken(tmp_path):
    ds, path = cube(a=field(), b=field(1)), tmp_path / "c.mp4"
    good, bad = tmp_path / "good.nc", tmp_path / "bad.nc"
    ds.to_netcdf(good)
    off(ds, "b", 0.5).to_netcdf(bad)
    encode(ds, path, target=xvcomp.MaxError(0.02))
    done = run("verify", path, good)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines() if "<= 0.02" in line]
    assert [(line[0], line[-1]) for line in lines if line[0] in "ab"] == [
        ("a", "kept"),
        ("b", "kept"),
    ]
    failed = run("verify", path, bad)
    assert failed.exit_code == 1
    lines = [line.split() for line in failed.stdout.splitlines() if "<= 0.02" in line]
    assert [(line[0], line[-1]) for line in lines if line[0] in "ab"] == [
        ("a", "kept"),
        ("b", "BROKEN"),
    ]
    told = re.search(r"'b' is off by up to ([0-9.]+);", failed.stderr)
    assert told is not None
    assert 0.48 <= float(told[1]) <= 0.52
    found = json.loads(run("verify", path, bad, "--json").stdout)
    assert [each["kept"] for each in found["promises"]] == [True, False]
