"""The command line: what it writes where, what it refuses, and with which exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import av
import netCDF4
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xvcomp
from xvcomp.recipe import load_recipe
from xvcomp_cli import encode as encode_module
from xvcomp_cli.main import cli
from xvcomp_cli.render import format_bytes, table

CROP = Path(str(resources.files("xvcomp").joinpath("data", "s2_be1_crop.nc")))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def assert_refused(done: Result, message: str, code: int = 1) -> None:
    """One sentence on stderr, nothing on stdout, the right exit code."""
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("xvcomp: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "internal:" not in done.stderr
    assert message in done.stderr


@pytest.fixture(scope="module")
def encoded(tmp_path_factory) -> tuple[Path, dict]:
    """The bundled cube at 40 dB, and the report that was printed."""
    path = tmp_path_factory.mktemp("encoded") / "cube.mp4"
    done = run("encode", CROP, path, "--psnr", 40, "--preset", "fast", "--json")
    assert done.exit_code == 0, done.output
    return path, json.loads(done.stdout)


@pytest.fixture
def small(tmp_path) -> Path:
    """A cube that codes in no time."""
    path = tmp_path / "small.nc"
    ramp = np.arange(12 * 32 * 32, dtype=np.float32).reshape(12, 32, 32)
    xr.Dataset(
        {"sst": (("time", "y", "x"), 280 + np.sin(ramp / 500), {"units": "K"})},
        coords={"time": np.arange(12)},
    ).to_netcdf(path)
    return path


def test_a_target_is_met_and_measured_again_from_the_decoded_file(encoded, tmp_path):
    path, report = encoded
    assert min(report["set_psnr_db"].values()) >= 40
    assert report["nbytes"] == path.stat().st_size
    decoded = tmp_path / "back.nc"
    assert run("decode", path, decoded).exit_code == 0
    with xr.open_dataset(CROP) as original, xr.open_dataset(decoded) as back:
        names = [n for g in report["groups"] if not g["lossless"] for n in g["variables"]]
        errors = [(back[n] - original[n]).values.astype(float).ravel() for n in names]
        values = [original[n].values.astype(float).ravel() for n in names]
    error, value = np.concatenate(errors), np.concatenate(values)
    mse = np.mean(error[np.isfinite(error)] ** 2)
    peak = np.nanmax(value) - np.nanmin(value)
    (reported,) = [v for k, v in report["set_psnr_db"].items() if v != "inf"]
    assert 10 * np.log10(peak**2 / mse) == pytest.approx(reported, abs=0.01)


@pytest.mark.parametrize("name", ["back.nc", "back.zarr", "back.zarr.zip"])
def test_decoding_gives_the_file_back_but_for_the_lossy_values(encoded, tmp_path, name):
    path, report = encoded
    lossy = {n for g in report["groups"] if not g["lossless"] for n in g["variables"]}
    done = run("decode", path, tmp_path / name)
    assert done.exit_code == 0, done.output
    with (
        xr.open_dataset(CROP, decode_cf=False) as original,
        xvcomp.sources.open_source(tmp_path / name) as back,
    ):
        assert list(back.variables) == list(original.variables)
        assert back.drop_vars(lossy).identical(original.drop_vars(lossy))
        for variable in lossy:
            assert back[variable].dtype == original[variable].dtype
            assert np.array_equal(back[variable] == 0, original[variable] == 0)
            if name.endswith(".nc"):
                assert list(back[variable].attrs) == list(original[variable].attrs)
                assert back[variable].encoding["zlib"]
    assert os.listdir(tmp_path) == [name]


def test_a_lossless_round_trip_gives_the_same_netcdf(small, tmp_path):
    assert run("encode", small, tmp_path / "a.mp4", "--lossless", "-q").stdout == ""
    assert run("decode", tmp_path / "a.mp4", tmp_path / "b.nc").exit_code == 0
    with (
        xr.open_dataset(small, decode_cf=False) as original,
        xr.open_dataset(tmp_path / "b.nc", decode_cf=False) as back,
    ):
        assert back.identical(original)
        assert list(back.sst.attrs) == list(original.sst.attrs)


def test_the_table_names_psnr_with_its_peak_size_ratio_and_error(small, tmp_path):
    done = run("encode", small, tmp_path / "a.mp4", "--psnr", 35)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    for word in ("sst", "size", "ratio", "bpppb", "PSNR dB", "peak", "max error", "encode s"):
        assert word in done.stdout
    assert "target PSNR >= 35 dB" in done.stdout


def test_json_is_strict_even_where_the_psnr_is_infinite(small, tmp_path):
    done = run("encode", small, tmp_path / "a.mp4", "--lossless", "--json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    report = json.loads(done.stdout, parse_constant=refuse)
    assert report["groups"][0]["psnr_db"] == "inf"


@pytest.mark.parametrize(
    ("kind", "coder"),
    [("bounded", "libx265 q4 + steps "), ("wavelets", " wavelets "), ("lossless", "none lossless")],
)
def test_info_says_what_codes_a_group(kind, coder):
    text = run("info", Path(__file__).parent / "data" / "v1" / f"{kind}.mp4").output
    assert coder in text
    assert ("lossless" in text.split("beside")[0].replace("lossless.mp4", "")) == (
        kind == "lossless"
    )


@pytest.mark.parametrize("arguments", [["info"], ["verify"]])
def test_info_and_verify_print_text_and_json(encoded, arguments):
    path, _ = encoded
    done = run(*arguments, path)
    assert done.exit_code == 0, done.output
    assert "cube.mp4" in done.stdout
    assert json.loads(run(*arguments, path, "--json").stdout)["nbytes"] == path.stat().st_size


def test_verify_measures_against_an_original(encoded):
    path, report = encoded
    again = json.loads(run("verify", path, CROP, "--json").stdout)
    for name, psnr in report["set_psnr_db"].items():
        assert again["set_psnr_db"][name] == pytest.approx(psnr, abs=1e-6)


def test_verify_takes_the_file_that_a_decoded_dataset_came_from(tmp_path):
    path, other = tmp_path / "cube.mp4", tmp_path / "other.nc"
    with xr.open_dataset(CROP) as cube:
        cube[["B02", "SCL"]].video.to_mp4(path, target=xvcomp.Psnr(40), preset="fast")
        changed = cube[["B02", "SCL"]].load()
    done = run("verify", path, CROP)
    assert done.exit_code == 0, done.output
    assert "kept" in done.stdout
    changed["B02"][0] = changed["B02"][0].clip(max=0.1)
    changed["B02"].attrs["units"] = "reflectance"
    changed.to_netcdf(other)
    assert_refused(run("verify", path, other), "'B02'")


def test_plan_tells_the_reasons_and_what_stays_beside_the_video():
    done = run("plan", CROP, "--psnr", 45)
    assert done.exit_code == 0, done.output
    assert "why " in done.stdout
    assert "spatial_ref" in done.stdout
    assert "PSNR >= 45 dB" in done.stdout
    assert json.loads(run("plan", CROP, "--json").stdout)["groups"]


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = run("encode", CROP, tmp_path / "a.mp4", "--dry-run", "--write-recipe", tmp_path / "r")
    assert done.exit_code == 0, done.output
    assert done.stdout == run("plan", CROP).stdout
    assert os.listdir(tmp_path) == []


def test_the_plan_that_was_used_comes_back_from_its_recipe(tmp_path):
    recipe = tmp_path / "used.toml"
    first = run("plan", CROP, "--psnr", 45, "--vars", "B02,B03,SCL", "--gop", 20,
                "--write-recipe", recipe, "--json")  # fmt: skip
    assert first.exit_code == 0, first.output
    assert load_recipe(recipe).variables == ("B02", "B03", "SCL")
    again = run("plan", CROP, "--recipe", recipe, "--json")
    keep = ("variables", "target", "codec", "preset", "bit_depth", "gop", "layout", "fold")
    plans = [json.loads(done.stdout)["groups"] for done in (first, again)]
    assert [[g[k] for k in keep] for g in plans[0]] == [[g[k] for k in keep] for g in plans[1]]


def test_options_win_over_the_recipe(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('psnr = 40\nvars = ["B02"]\ngop = 10\n')
    plan = json.loads(run("plan", CROP, "--recipe", recipe, "--bpppb", 0.2, "--json").stdout)
    (group,) = plan["groups"]
    assert plan["target"] == {"bits": 0.2, "kind": "bpppb"}
    assert group["variables"] == ["B02"]
    assert group["gop"] == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--psnr", "45", "--bpppb", "0.1"], "--psnr and --bpppb exclude each other"),
        (["--lossless", "--max-error", "1"], "--max-error and --lossless exclude each other"),
        (["--peak", "1"], "--peak belongs to --psnr"),
        (["--psnr", "-5"], "--psnr: PSNR in dB must be a positive number"),
        (["--psnr", "nan"], "must be a positive number"),
        (["--psnr", "high"], "'high' is not a valid float"),
        (["--max-error", "0"], "max_error is '0'"),
        (["--bits", "9"], "'9' is not one of '8', '10', '12'"),
        (["--gop", "0"], "0 is not in the range"),
        (["--vars", "B02,,B03"], "holds an empty name"),
        (["--preset", "slow"], "'slow' is not one of"),
        (["--psrn", "45"], "No such option"),
    ],
)
def test_contradictions_are_usage_errors(tmp_path, options, message):
    done = run("encode", CROP, tmp_path / "a.mp4", *options)
    assert_refused(done, message, code=2)
    assert "xvcomp encode --help" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vars", "B99"], "B99"),
        (["--lossless-vars", "B99"], "B99"),
        (["--codec", "mjpeg2000"], "mjpeg2000"),
        (["--recipe", "absent.toml"], "absent.toml"),
        (["--group", "none"], "none"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, options, message):
    assert_refused(run("encode", CROP, tmp_path / "a.mp4", *options), message)
    assert os.listdir(tmp_path) == []


def test_bad_sources_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no cube")
    (tmp_path / "broken.nc").write_bytes(b"CDF\x01 and then nonsense")
    out = tmp_path / "out.mp4"
    assert_refused(run("encode", tmp_path / "absent.nc", out), "no such file or folder")
    assert_refused(run("encode", tmp_path / "notes.txt", out), "cannot tell what")
    assert_refused(run("encode", tmp_path / "broken.nc", out), "broken.nc")
    assert sorted(os.listdir(tmp_path)) == ["broken.nc", "notes.txt"]


def test_a_cube_of_strings_is_refused_or_kept_never_wrong(tmp_path):
    path = tmp_path / "strings.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("n", 3)
        file.createVariable("name", str, ("n",))[:] = np.array(["a", "b", "c"], object)
    done = run("encode", path, tmp_path / "a.mp4")
    if done.exit_code:
        assert_refused(done, "")
        assert not (tmp_path / "a.mp4").exists()
    else:
        with xvcomp.open(tmp_path / "a.mp4") as back:
            assert list(back["name"].values) == ["a", "b", "c"]


def test_an_existing_destination_is_kept_without_overwrite(encoded, small, tmp_path):
    path, _ = encoded
    for command in (("encode", small, tmp_path / "a.mp4"), ("decode", path, tmp_path / "a.nc")):
        command[2].write_bytes(b"mine")
        assert_refused(run(*command), "--overwrite")
        assert command[2].read_bytes() == b"mine"
        assert run(*command, "--overwrite").exit_code == 0
        assert command[2].stat().st_size > 100


def test_damaged_and_foreign_videos_are_refused(encoded, tmp_path):
    path, _ = encoded
    data = path.read_bytes()
    cut, flipped, foreign = (tmp_path / f"{n}.mp4" for n in ("cut", "flipped", "foreign"))
    cut.write_bytes(data[: len(data) // 2])
    middle = len(data) // 2
    flipped.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    with av.open(str(foreign), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    for command in ("info", "verify"):
        assert_refused(run(command, foreign), "foreign.mp4")
    for bad, message in ((cut, cut.name), (flipped, "damaged"), (foreign, foreign.name)):
        assert_refused(run("verify", bad), message)
        assert_refused(run("decode", bad, tmp_path / "out.nc"), message)
    assert_refused(run("info", tmp_path / "absent.mp4"), "absent.mp4")
    assert_refused(run("info", CROP), CROP.name)
    assert sorted(os.listdir(tmp_path)) == ["cut.mp4", "flipped.mp4", "foreign.mp4"]


def test_unknown_suffixes_are_refused_before_decoding(encoded, tmp_path):
    path, _ = encoded
    assert_refused(run("decode", path, tmp_path / "out.csv"), "name it one of .nc")
    assert_refused(run("decode", path, tmp_path / "no" / "out.nc"), "no such folder")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(small, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    assert_refused(run("encode", small, folder / "a.mp4"), "Permission denied")


def test_a_missing_folder_is_refused(small, tmp_path):
    assert_refused(run("encode", small, tmp_path / "no" / "a.mp4"), "no")


def test_a_full_disk_is_one_sentence(small, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device", "a.mp4")

    monkeypatch.setattr(xvcomp, "encode", fail)
    assert_refused(run("encode", small, tmp_path / "a.mp4"), "a.mp4: No space left on device")


def test_bugs_are_one_sentence_too_and_debug_shows_where(small, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise KeyError("oops")

    monkeypatch.setattr(encode_module, "report_text", fail)
    done = run("encode", small, tmp_path / "a.mp4")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "internal: KeyError: 'oops'" in done.stderr
    monkeypatch.setenv("XVCOMP_DEBUG", "1")
    assert "Traceback" in run("encode", small, tmp_path / "b.mp4").stderr


_READY_THEN_ENCODE = """
import sys, xvcomp
from xvcomp_cli.main import main
encode = xvcomp.encode
def tell(*args, **keywords):
    print("ready", flush=True)
    return encode(*args, **keywords)
xvcomp.encode = tell
main(["encode", "cube.nc", "a.mp4", "--preset", "best"])
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_encoding_leaves_nothing_behind(tmp_path, sent):
    shutil.copy(CROP, tmp_path / "cube.nc")
    process = subprocess.Popen(
        [sys.executable, "-c", _READY_THEN_ENCODE], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.strip().startswith("xvcomp: error: interrupted")
    assert os.listdir(tmp_path) == ["cube.nc"]


def test_codecs_are_listed_with_what_works():
    done = run("codecs", "--json")
    found = json.loads(done.stdout)
    assert any(one["usable"] for one in found.values())
    text = run("codecs").stdout
    assert all(name in text for name in [*found, "libjxl"])
    assert max(map(len, text.splitlines())) <= 80


def test_demo_leaves_a_cube_a_video_and_a_copy(tmp_path):
    done = run("demo", "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    names = ["s2_be1_crop.mp4", "s2_be1_crop.nc", "s2_be1_crop_decoded.nc"]
    assert sorted(os.listdir(tmp_path / "demo")) == names
    assert all(name in done.stdout for name in names)
    assert "PSNR dB" in done.stdout
    assert done.stderr == ""


def test_version_and_no_arguments():
    assert run("--version").stdout.startswith("xvcomp, version ")
    done = run()
    assert done.exit_code == 2
    assert "Usage: " in done.stderr


def test_tables_align_numbers_to_the_right():
    text = table(("name", "size"), [("a", "1.50"), ("long", "22.25")])
    assert text.splitlines() == ["name   size", "----  -----", "a      1.50", "long  22.25"]


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (34_512, "34.5 kB"), (1_234_567, "1.23 MB")],
)
def test_sizes_have_three_digits(nbytes, text):
    assert format_bytes(nbytes) == text
