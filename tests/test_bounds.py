"""No valid sample is off by more than was promised: every dtype, every kind of bound."""

import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp import bounds
from xvcomp.codecs import capabilities
from xvcomp.pipeline import VariableInput
from xvcomp_cli.main import cli

FAST = {"preset": "fast"}
BALANCED = {"preset": "balanced"}


def field(shape=(12, 36, 40), seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    t, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    smooth = np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7)
    return (smooth + noise * rng.normal(size=shape)) / 2


def cube(values, **attrs):
    return xr.Dataset({"v": (("time", "y", "x"), values, attrs)})


def encoded(ds, path, target, **keywords):
    report = xvcomp.encode(ds, path, target=target, **keywords)
    back = xvcomp.open(path, decode_cf=not keywords.get("stored", False)).load()
    return report, back


def worst(before, after):
    a, b = before.values, after.values
    assert a.dtype == b.dtype
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        seen = np.isfinite(a)
        return np.abs(a[seen].astype("f8") - b[seen].astype("f8")).max()
    return max(abs(int(x) - int(y)) for x, y in zip(a.flat, b.flat, strict=True))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("how", [FAST, BALANCED], ids=["video", "packets"])
def test_floats_keep_an_absolute_bound(tmp_path, dtype, how):
    ds = cube((300 + 40 * field()).astype(dtype))
    bound = 1.0 if dtype == "f2" else 0.01
    report, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(bound), **how)
    assert worst(ds.v, back.v) <= bound
    assert report.groups[0].max_error <= bound


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8"])
@pytest.mark.parametrize("how", [FAST, BALANCED], ids=["video", "packets"])
def test_integers_keep_a_bound_up_to_the_ends_of_their_range(tmp_path, dtype, how):
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**40)), min(info.max, 2**40)
    unit = (field() - field().min()) / np.ptp(field())
    values = np.clip(np.rint(low + unit * (float(high) - low)), low, high).astype(dtype)
    values[0, :2] = low
    values[1, :2] = high
    bound = max(2, int(0.01 * (float(high) - low)))
    ds = cube(values, units="1")
    report, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(bound), lossy=["v"], **how)
    assert worst(ds.v, back.v) <= bound
    assert report.nbytes < 0.8 * values.nbytes


@pytest.mark.parametrize("how", [FAST, BALANCED], ids=["video", "packets"])
def test_gaps_stay_where_they_are_and_never_spread(tmp_path, how):
    values = field().astype("f4")
    values[field(seed=3) > 0.5] = np.nan
    values[2] = np.nan
    values[3, 4, 5] = np.inf
    ds = cube(values)
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.003), **how)
    assert worst(ds.v, back.v) <= 0.003
    assert back.v.values[3, 4, 5] == np.inf


@pytest.mark.parametrize("how", [FAST, BALANCED], ids=["video", "packets"])
@pytest.mark.parametrize("occurs", [True, False])
def test_a_fill_value_among_the_data_is_neither_made_nor_lost(tmp_path, how, occurs):
    values = np.rint(20 * field(noise=0.5)).astype("i2")
    values[values == 3] = 4
    if occurs:
        values[:, 5:9, 5:9] = 3
    ds = cube(values, _FillValue=np.int16(3), units="1")
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(4), stored=True, **how)
    np.testing.assert_array_equal(back.v.values == 3, values == 3)
    assert worst(ds.v, back.v) <= 4


def test_a_bound_of_packed_integers_speaks_of_what_a_reader_sees(tmp_path):
    values = np.rint(3000 + 1000 * field()).astype("u2")
    ds = cube(values, scale_factor=0.0001, units="1")
    report, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.0003), stored=True)
    # 3 * 0.0001 is a little more than 0.0003 in binary: the whole 3 units are used all the same.
    assert worst(ds.v, back.v) == 3
    assert report.groups[0].max_error == pytest.approx(0.0003)


@pytest.mark.parametrize(
    ("bound", "scale", "whole"),
    [(0.0003, 0.0001, 3), (0.001, 0.0001, 10), (0.00099, 0.0001, 9), (0.5, 1.0, 0), (7, 1.0, 7)],
)
def test_the_widest_whole_bound_is_used(bound, scale, whole):
    variable = VariableInput(
        name="v", bands=1, dtype=np.dtype("i2"), fill_values=(), scale=scale, offset=0.0, read=None
    )
    assert bounds.allowed_error(xvcomp.MaxError(bound), variable, 0, 1000) == whole


def test_a_share_of_the_range_is_of_each_variables_own_range(tmp_path):
    small, large = field().astype("f4"), (1000 * field(seed=1)).astype("f4")
    dims = ("time", "y", "x")
    ds = xr.Dataset({"a": (dims, small, {"units": "K"}), "b": (dims, large, {"units": "K"})})
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.01, relative="range"))
    assert worst(ds.a, back.a) <= 0.01 * float(np.ptp(small))
    assert 1 < worst(ds.b, back.b) <= 0.01 * float(np.ptp(large))


def test_variables_may_have_bounds_of_their_own(tmp_path):
    dims = ("time", "y", "x")
    ds = xr.Dataset({name: (dims, field(seed=s).astype("f4")) for s, name in enumerate("abc")})
    own = {
        "a": xvcomp.Override(target=xvcomp.MaxError(0.001)),
        "b": xvcomp.Override(target=xvcomp.Lossless()),
    }
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.1), by_variable=own)
    assert 0 < worst(ds.a, back.a) <= 0.001
    assert worst(ds.b, back.b) == 0
    assert 0.001 < worst(ds.c, back.c) <= 0.1


@pytest.mark.parametrize("sign", [1, -1, 0], ids=["positive", "negative", "mixed"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_a_relative_bound_holds_for_each_sample_and_zeros_are_exact(tmp_path, sign, dtype):
    values = np.exp(4 * field(noise=0.3)) * 1000
    values *= sign or np.where(field(seed=5) > 0, 1, -1)
    values[field(seed=6) > 0.6] = 0
    values = values.astype(dtype)
    ds = cube(values, units="1")
    target = xvcomp.MaxError(0.01, relative="pointwise")
    report, back = encoded(ds, tmp_path / "c.mp4", target, lossy=["v"])
    error = np.abs(values.astype("f8") - back.v.values.astype("f8"))
    assert (error <= 0.01 * np.abs(values.astype("f8"))).all()
    assert report.nbytes < 0.6 * values.nbytes


def test_narrow_data_under_a_relative_bound_need_no_logarithm(tmp_path):
    ds = cube((280 + 10 * field()).astype("f4"))
    target = xvcomp.MaxError(0.001, relative="pointwise")
    report, back = encoded(ds, tmp_path / "c.mp4", target)
    assert (np.abs(ds.v - back.v) <= 0.001 * ds.v).all()
    assert "linear" in report.notes[0]
    assert "log" in report.notes[0]


def test_values_that_return_after_a_while_are_coded_as_steps_that_repeat(tmp_path):
    tiles = np.random.default_rng(8).normal(0, 10, (6, 36, 40)).astype("f4")
    values = np.concatenate([tiles, tiles[::-1]])
    values[:, 3:6, 7] = np.nan
    ds = cube(values)
    report, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.5))
    assert report.notes[0].startswith("group 'v': steps that repeat")
    assert worst(ds.v, back.v) <= 0.5


@pytest.mark.parametrize(("scale", "offset"), [(0.01, 273.15), (-0.01, 240.0), (0.01, -300.0)])
def test_a_relative_bound_of_packed_values_speaks_of_what_a_reader_sees(tmp_path, scale, offset):
    values = np.rint(1000 * field()).astype("i2")
    ds = cube(values, scale_factor=scale, add_offset=offset, units="K")
    target = xvcomp.MaxError(0.001, relative="pointwise")
    report, back = encoded(ds, tmp_path / "c.mp4", target, stored=True)
    error = np.abs((values.astype("f8") - back.v.values) * scale)
    seen = np.abs(values * scale + offset)
    assert (error <= 0.001 * seen).all()
    # The smallest value a reader sees allows so many whole steps, and they are used.
    whole = int(0.001 * seen.min() / abs(scale))
    assert np.abs(values - back.v.values.astype("i4")).max() == whole > 10
    assert report.promises[0].found == pytest.approx((error / seen).max())
    other = ds.copy(deep=True)
    at = np.unravel_index(seen.argmin(), seen.shape)
    other.v.values[at] += 2 * whole + 1
    with pytest.raises(xvcomp.ErrorBoundExceeded, match=r"1 samples are past that"):
        xvcomp.verify(tmp_path / "c.mp4", other, stored=True)


def test_a_relative_bound_of_values_with_an_offset_that_reach_zero_is_refused(tmp_path):
    values = np.rint(1000 * field()).astype("i2")
    ds = cube(values, scale_factor=0.01, add_offset=5.0, units="K")
    target = xvcomp.MaxError(0.01, relative="pointwise")
    with pytest.raises(xvcomp.PlanError, match=r"add_offset of 5 and values from -.*absolute"):
        xvcomp.encode(ds, tmp_path / "c.mp4", target=target, stored=True)
    assert list(tmp_path.iterdir()) == []


def test_a_bound_below_the_spacing_of_the_values_becomes_lossless_and_says_so(tmp_path):
    ds = cube((300 + 40 * field()).astype("f4"))
    report, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(1e-7))
    xr.testing.assert_identical(ds, back)
    assert report.groups[0].lossless
    assert any("without loss" in note for note in report.notes)


def test_a_constant_variable_beside_others_is_exact(tmp_path):
    dims = ("time", "y", "x")
    made = {"a": (dims, field().astype("f4")), "b": (dims, np.full((12, 36, 40), 0.1, "f4"))}
    ds = xr.Dataset(made)
    groups = {"both": ("a", "b")}
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.01), groups=groups)
    np.testing.assert_array_equal(back.b.values, ds.b.values)
    assert worst(ds.a, back.a) <= 0.01


@pytest.mark.parametrize("shape", [(1, 9, 40), (5, 1, 300), (3, 65, 17), (400, 5, 5)], ids=str)
def test_odd_shapes_keep_the_bound(tmp_path, shape):
    ds = cube(field(shape).astype("f4"))
    target = xvcomp.MaxError(0.02)
    _, back = encoded(ds, tmp_path / "c.mp4", target, lossy=["v"])
    assert worst(ds.v, back.v) <= 0.02


def test_the_smallest_way_is_kept_and_the_others_are_named(tmp_path):
    ds = cube(field(noise=0).astype("f4"))
    report, _ = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.01), preset="best")
    sizes = [int(size) for size in re.findall(r"(\d+) bytes", report.notes[0])]
    assert len(sizes) >= 3
    assert report.groups[0].nbytes == min(sizes)


DECODE = """
import hashlib, sys, xvcomp
ds = xvcomp.open(sys.argv[1])
if sys.argv[2] == "steps":
    parts = [ds.v[t : t + 5].values for t in range(0, ds.sizes["time"], 5)]
else:
    parts = [ds.v.values]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


@pytest.mark.parametrize("how", [FAST, BALANCED], ids=["video", "packets"])
def test_any_reader_gets_the_same_bits(tmp_path, how):
    path = tmp_path / "c.mp4"
    ds = cube(field().astype("f4"))
    xvcomp.encode(ds, path, target=xvcomp.MaxError(0.003), gop=6, **how)
    found = set()
    for chunks in ("whole", "steps"):
        for prefix in ([], ["taskset", "-c", "0"]):
            command = [*prefix, sys.executable, "-c", DECODE, str(path), chunks]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.add(done.stdout.strip())
    assert len(found) == 1


def test_the_command_line_writes_and_reads_the_same_bits(tmp_path):
    ds = cube(field().astype("f4"))
    ds.to_netcdf(tmp_path / "c.nc")
    xvcomp.encode(ds, tmp_path / "a.mp4", target=xvcomp.MaxError(0.003))
    command = [sys.executable, "-m", "xvcomp_cli"]
    encode = ["encode", "c.nc", "b.mp4", "--max-error", "0.003", "-q"]
    subprocess.run([*command, *encode], check=True, cwd=tmp_path, capture_output=True)
    subprocess.run([*command, "decode", "b.mp4", "d.nc", "-q"], check=True, cwd=tmp_path)
    by_python = xvcomp.open(tmp_path / "a.mp4").v.values
    with xr.open_dataset(tmp_path / "d.nc") as by_command:
        assert by_command.v.values.tobytes() == by_python.tobytes()


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--max-error", "a=0.002,b=1%"], {"a": 0.002, "b": 0.04}),
        (["--max-error", "0.05,b=0.01"], {"a": 0.05, "b": 0.01}),
        (["--max-error", "1%range"], {"a": 0.04, "b": 0.04}),
    ],
    ids=" ".join,
)
def test_bounds_of_the_command_line(tmp_path, words, allowed):
    dims = ("time", "y", "x")
    ds = xr.Dataset({name: (dims, field(seed=s).astype("f4")) for s, name in enumerate("ab")})
    ds.to_netcdf(tmp_path / "c.nc")
    command = ["encode", str(tmp_path / "c.nc"), str(tmp_path / "c.mp4"), "-q", *words]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    back = xvcomp.open(tmp_path / "c.mp4").load()
    for name, bound in allowed.items():
        assert 0 < worst(ds[name], back[name]) <= bound


def test_a_relative_bound_of_the_command_line(tmp_path):
    values = np.exp(3 * field()).astype("f4")
    cube(values).to_netcdf(tmp_path / "c.nc")
    command = ["encode", str(tmp_path / "c.nc"), str(tmp_path / "c.mp4"), "--max-rel-error", "0.02"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    back = xvcomp.open(tmp_path / "c.mp4").v.values
    assert (np.abs(back.astype("f8") - values) <= 0.02 * values.astype("f8")).all()


@pytest.mark.parametrize("said", ["1,2", "a=", "=", "a=x", "a=-1"])
def test_bounds_that_make_no_sense_are_a_usage_error(tmp_path, said):
    cube(field().astype("f4")).to_netcdf(tmp_path / "c.nc")
    command = ["encode", str(tmp_path / "c.nc"), str(tmp_path / "c.mp4"), "--max-error", said]
    assert CliRunner().invoke(cli, command).exit_code == 2


@pytest.mark.parametrize("db", [65.0, 75.0, 90.0])
def test_psnr_above_the_codecs_ceiling_is_met_and_not_by_far_too_much(tmp_path, db):
    values = field().astype("f8")
    _, back = encoded(cube(values), tmp_path / "c.mp4", xvcomp.Psnr(db))
    mse = float(np.mean((back.v.values - values) ** 2))
    reached = 10 * np.log10(np.ptp(values) ** 2 / mse)
    assert db <= reached <= db + 0.5


def test_no_codec_is_needed_for_a_bound_that_packets_keep_alone(tmp_path, monkeypatch):
    ds = cube(field().astype("f4"))

    def broken(*_args, **_keywords):
        raise xvcomp.CodecError("out of order")

    for codec in capabilities.registry.builtin().values():
        monkeypatch.setattr(type(codec), "encode", broken)
    _, back = encoded(ds, tmp_path / "c.mp4", xvcomp.MaxError(0.01))
    assert worst(ds.v, back.v) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize(
    "name", ["era5_t2m_uk_hourly", "s1_worldcereal_be1", "s2_earthnet_ood_a", "erai_uvz"]
)
def test_real_cubes_keep_their_bounds(tmp_path, data_dir, name, fraction):
    with xr.open_dataset(data_dir / f"{name}.nc", decode_cf=False) as source:
        ds = source.load()
    target = xvcomp.MaxError(fraction, relative="range")
    report, back = encoded(ds, tmp_path / "c.mp4", target, stored=True)
    for group in report.groups:
        for variable in group.variables:
            values = ds[variable].values
            fill = ds[variable].attrs.get("_FillValue")
            valid = np.isfinite(values) & (values != fill if fill is not None else True)
            seen = values[valid].astype("f8")
            error = np.abs(seen - back[variable].values[valid].astype("f8"))
            assert error.max() <= fraction * (seen.max() - seen.min())
