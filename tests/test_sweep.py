"""Sweeps: what is measured, what survives a kill, and what is refused."""

import csv
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.report import runner
from xvcomp.report.journal import Journal, fingerprint, key_of, sole_user
from xvcomp.report.points import SweepPoint, pareto
from xvcomp_cli.main import cli


def made_cube() -> xr.Dataset:
    rng = np.random.default_rng(3)
    t, y, x = np.meshgrid(*map(np.arange, (8, 40, 40)), indexing="ij")
    values = 280 + np.sin(t / 3 + y / 9) + np.cos(x / 7) + 0.05 * rng.standard_normal(t.shape)
    return xr.Dataset({"sst": (("time", "y", "x"), values.astype("f4"), {"units": "K"})})


OPTIONS = {"codecs": ["libx265"], "presets": ["fast"], "qualities": [35, 45]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    seen = []
    cube = made_cube()
    return cube, xvcomp.sweep(cube, folder, **OPTIONS, on_progress=seen.append), seen


def test_every_point_is_a_file_with_the_numbers_that_it_was_given(swept):
    cube, done, seen = swept
    assert [point.quality_db for point in done.points] == [35, 45]
    for point in done.points:
        path = done.folder / point.file
        assert point.nbytes == path.stat().st_size
        found = cube.video.evaluate(path)
        assert found.sets[0].psnr_db == pytest.approx(point.psnr_db, abs=1e-6)
        assert found.file.bpppb == pytest.approx(point.bpppb)
        assert point.encode_seconds > 0
    assert [(p.stage, p.done, p.total, p.unit) for p in seen] == [
        ("sweep", 1, 2, "points"),
        ("sweep", 2, 2, "points"),
    ]


def test_the_command_of_a_point_makes_its_file(swept, tmp_path):
    cube, done, _ = swept
    cube.to_netcdf(tmp_path / "cube.nc")
    point = done.points[1]
    words = shlex.split(point.command)
    assert words[:3] == ["xvcomp", "encode", "cube.nc"]
    words[2], words[3] = str(tmp_path / "cube.nc"), str(tmp_path / "again.mp4")
    assert CliRunner().invoke(cli, words[1:]).exit_code == 0
    again = cube.video.evaluate(tmp_path / "again.mp4")
    assert again.sets[0].psnr_db == pytest.approx(point.psnr_db, abs=0.01)


def test_json_and_csv_hold_all_points(swept):
    _, done, _ = swept
    text = (done.folder / "sweep.json").read_text()
    whole = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert [point["quality_db"] for point in whole["points"]] == [35, 45]
    assert whole["schema"] == 1
    assert whole["points"][0]["groups"][0]["variables"] == ["sst"]
    rows = list(csv.DictReader((done.folder / "sweep.csv").open()))
    assert [float(row["bpppb"]) for row in rows] == [point.bpppb for point in done.points]
    assert list(done.to_pandas().codec) == ["libx265", "libx265"]


def test_finished_points_are_not_made_again(swept, monkeypatch):
    cube, done, _ = swept
    monkeypatch.setattr(runner.Runner, "_work", lambda *_: pytest.fail("encoded again"))
    again = xvcomp.sweep(cube, done.folder, **OPTIONS)
    assert again.points == done.points
    assert again.report.stat().st_size > 10_000


def test_a_changed_cube_or_a_lost_file_is_made_again(swept, tmp_path, monkeypatch):
    cube, done, _ = swept
    made = []

    def work(_, job):
        made.append(job.task)
        return SweepPoint(key=job.task.key, codec="c", preset="p", quality_db=1, error="no")

    monkeypatch.setattr(runner.Runner, "_work", work)
    xvcomp.sweep(cube + 1, done.folder, **OPTIONS)
    assert len(made) == 2
    (done.folder / done.points[0].file).rename(tmp_path / "kept.mp4")
    xvcomp.sweep(cube, done.folder, **OPTIONS)
    (tmp_path / "kept.mp4").rename(done.folder / done.points[0].file)
    assert [task.quality_db for task in made[2:]] == [35]


def test_a_worker_that_dies_costs_one_point(tmp_path, monkeypatch):
    real = subprocess.Popen

    def popen(arguments, **keywords):
        code = "import os, sys; sys.stdin.buffer.read(); os.abort()"
        return real([sys.executable, "-c", code], **keywords)

    monkeypatch.setattr(runner.subprocess, "Popen", popen)
    done = xvcomp.sweep(made_cube(), tmp_path, codecs=["libx265"], presets=["fast"], qualities=[40])
    assert "ended with code -6" in done.points[0].error
    assert math.isnan(done.points[0].bpppb)
    assert "Could not be made" in done.report.read_text()


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    cube = made_cube()
    cube.to_netcdf(tmp_path / "cube.nc")
    out = tmp_path / "out"
    words = ["sweep", tmp_path / "cube.nc", "--out", out, "--codecs", "libx265", "--presets"]
    words += ["fast", "--qualities", "30,35,40,45", "--jobs", "1"]
    arguments = [sys.executable, "-m", "xvcomp_cli", *map(str, words)]
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "points.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().endswith(b"\n")):
        assert time.monotonic() < deadline
        assert first.poll() is None, "it finished before it could be killed"
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = Journal(journal).read()
    assert 1 <= len(before) < 4
    stamps = {p.file: (out / p.file).stat().st_mtime_ns for p in before.values()}
    subprocess.run(arguments, check=True, capture_output=True)
    lines = journal.read_text().splitlines()
    assert len([line for line in lines if line]) == 4
    assert {name: (out / name).stat().st_mtime_ns for name in stamps} == stamps
    assert (out / "report.html").exists()
    assert not list((out / "cubes").glob(".*"))


def test_a_folder_has_one_sweep_at_a_time(swept):
    cube, done, _ = swept
    with sole_user(done.folder), pytest.raises(xvcomp.PlanError, match="another sweep"):
        xvcomp.sweep(cube, done.folder, **OPTIONS)


def test_an_interrupted_sweep_leaves_no_process_and_no_half_file(tmp_path, monkeypatch):
    started, workers = [], []
    real = subprocess.Popen

    def popen(*arguments, **keywords):
        workers.append(real(*arguments, **keywords))
        return workers[-1]

    monkeypatch.setattr(runner.subprocess, "Popen", popen)

    def interrupt(progress):
        started.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        xvcomp.sweep(
            made_cube(),
            tmp_path,
            codecs=["libx265"],
            presets=["fast"],
            qualities=[30, 35, 40, 45],
            jobs=2,
            on_progress=interrupt,
        )
    assert len(started) == 1
    assert len(Journal(tmp_path / "points.jsonl").read()) == 1
    assert not list((tmp_path / "cubes").glob(".*"))
    assert workers
    assert all(worker.poll() is not None for worker in workers)


def point(key="a", bpppb=1.0, psnr_db=40.0, **given) -> SweepPoint:
    return SweepPoint(
        key=key, codec="x", preset="fast", quality_db=40, bpppb=bpppb, psnr_db=psnr_db, **given
    )


def test_the_journal_survives_half_a_line(tmp_path):
    journal = Journal(tmp_path / "points.jsonl")
    assert journal.read() == {}
    journal.append(point("a", psnr_db=math.inf, sets={"K": math.inf}))
    with (tmp_path / "points.jsonl").open("ab") as file:
        file.write(b'{"key": "b", "codec": "li')
    assert set(journal.read()) == {"a"}
    journal.append(point("c"))
    found = journal.read()
    assert set(found) == {"a", "c"}
    assert found["a"].psnr_db == math.inf
    assert found["a"].sets == {"K": math.inf}
    assert (found["c"].bpppb, found["c"].psnr_db) == (1.0, 40.0)


def test_keys_hold_the_content_the_options_and_the_version():
    cube = made_cube()
    changed = cube.copy(deep=True)
    changed.sst.values[3, 4, 5] += 1
    renamed = cube.assign_attrs().rename(sst="t")
    units = cube.copy(deep=True)
    units.sst.attrs["units"] = "degC"
    prints = {fingerprint(each) for each in (cube, changed, renamed, units)}
    assert len(prints) == 4
    assert fingerprint(cube) == fingerprint(made_cube())
    choices = {"codec": "libx265", "quality_db": 40.0}
    keys = {
        key_of("x", "1", choices),
        key_of("y", "1", choices),
        key_of("x", "2", choices),
        key_of("x", "1", choices | {"quality_db": 41.0}),
    }
    assert len(keys) == 4
    assert key_of("x", "1", dict(reversed(choices.items()))) in keys


def test_nothing_on_the_front_is_beaten():
    points = [
        point("a", 0.1, 30),
        point("b", 0.2, 29),
        point("c", 0.2, 35),
        point("d", 0.5, 35),
        point("e", 0.6, 50),
        point("f", math.nan, math.nan, error="no"),
    ]
    assert [each.key for each in pareto(points)] == ["a", "c", "e"]
    assert pareto([replace(points[-1])]) == ()


def test_what_cannot_be_swept_is_refused(tmp_path):
    cube = made_cube()
    with pytest.raises(xvcomp.PlanError, match="no encoder is called 'h265'"):
        xvcomp.sweep(cube, tmp_path, codecs=["h265"])
    with pytest.raises(xvcomp.PlanError, match="no preset 'slow'"):
        xvcomp.sweep(cube, tmp_path, presets=["slow"])
    with pytest.raises(xvcomp.PlanError, match="nothing to sweep"):
        xvcomp.sweep(cube, tmp_path, qualities=[])
    with pytest.raises(xvcomp.PlanError, match="chooses these itself"):
        xvcomp.sweep(cube, tmp_path, target=xvcomp.Psnr(40))
    with pytest.raises(xvcomp.PlanError, match="unknown options: colour"):
        xvcomp.sweep(cube, tmp_path, colour="red")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_refuses_bad_lists(crop, tmp_path):
    for words in (["--qualities", "a,b"], ["--presets", "slow"], ["--jobs", "0"]):
        done = CliRunner().invoke(cli, ["sweep", str(crop), "--out", str(tmp_path / "o"), *words])
        assert done.exit_code == 2, done.output
    assert not Path(tmp_path / "o").exists()
