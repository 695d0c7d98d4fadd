"""Batches: what is made, what survives a kill, what is refused, and what a failure costs."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp import batch
from xvcomp.batch import assembling, cluster, identity, workspace
from xvcomp.batch.identity import sha256_of
from xvcomp.batch.job import Job, make_cube
from xvcomp.batch.workspace import Workspace
from xvcomp.containers.taco import open_taco, write_taco
from xvcomp.report.json_lines import JsonLines, sole_user
from xvcomp.results import Options
from xvcomp_cli.main import cli

CHOICES = {"target": xvcomp.Quality(40.0), "preset": "fast", "codec": "libx265"}
WORDS = ["--quality", "40", "--preset", "fast", "--codec", "libx265"]

# Makes children misbehave as an attribute of the cube says; found by every new Python.
SITE = """
import sys
if "xvcomp.batch.child" in getattr(sys, "orig_argv", ()):
    import ctypes, errno, os, time
    from xvcomp import api
    real = api.encode
    def encode(dataset, path, **options):
        what = dataset.attrs.get("misbehave", "")
        if what == "crash":
            ctypes.string_at(0)
        if what == "hang":
            time.sleep(60)
        if what == "hog":
            kept = [bytearray(os.urandom(1 << 20)) * 64 for _ in range(30) if not time.sleep(0.05)]
        if what == "full" and not os.path.exists(os.environ["FLAGS"] + "/room"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if what == "once" and not os.path.exists(os.environ["FLAGS"] + "/crashed"):
            open(os.environ["FLAGS"] + "/crashed", "w").close()
            os.kill(os.getpid(), 9)
        return real(dataset, path, **options)
    api.encode = encode
"""


def write_cube(path: Path, seed: int = 0, **attrs: str) -> Path:
    rng = np.random.default_rng(seed)
    t, y, x = np.meshgrid(*map(np.arange, (16, 24, 24)), indexing="ij")
    values = 280 + np.sin(t / 3 + y / 9 + seed) + np.cos(x / 7) + 0.05 * rng.normal(size=t.shape)
    dims = ("time", "y", "x")
    cube = xr.Dataset({"sst": (dims, values.astype("f4"), {"units": "K"})}, attrs=attrs)
    path.parent.mkdir(parents=True, exist_ok=True)
    cube.to_netcdf(path)
    return path


def write_cubes(folder: Path, count: int) -> Path:
    for number in range(count):
        write_cube(folder / f"c{number:02}.nc", number)
    return folder


def sums(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.mp4"))}


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """A folder of files that tell the children how to misbehave."""
    return tmp_path_factory.mktemp("flags")


@pytest.fixture(scope="module")
def scheduler(flags, tmp_path_factory):
    """One cluster for all tests that need none of their own: starting one takes seconds."""
    (flags / "sitecustomize.py").write_text(SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(flags))
        patch.setenv("FLAGS", str(flags))
        with cluster.connected(None, 2, tmp_path_factory.mktemp("dask")) as client:
            yield client.scheduler.address


@pytest.fixture(scope="module")
def made(scheduler, tmp_path_factory):
    """Six cubes, made without any disturbance."""
    folder = tmp_path_factory.mktemp("made")
    source = write_cubes(folder / "in", 6)
    seen = []
    result = batch.run(
        [source], folder / "out", scheduler=scheduler, on_progress=seen.append, **CHOICES
    )
    return source, result, seen


def test_every_cube_is_a_file_with_the_numbers_that_are_told(made):
    source, result, seen = made
    assert [cube.id for cube in result.cubes] == [f"c{n:02}" for n in range(6)]
    assert result.failures == ()
    for cube in result.cubes:
        path = result.out / f"{cube.id}.mp4"
        assert (path.stat().st_size, sha256_of(path)) == (cube.nbytes, cube.sha256)
        with xr.open_dataset(source / f"{cube.id}.nc") as original:
            found = xvcomp.evaluate(original, path)
        assert found.sets[0].psnr_db == pytest.approx(cube.psnr_db, abs=1e-6)
        assert cube.ratio == pytest.approx(cube.raw_nbytes / cube.nbytes)
        assert cube.source_nbytes == (source / f"{cube.id}.nc").stat().st_size
    last = seen[-1]
    assert (last.stage, last.done, last.total, last.fresh) == ("report", 6, 6, 6)
    assert last.nbytes == sum(cube.nbytes for cube in result.cubes)
    assert {each.stage for each in seen} == {"encode", "report"}


def test_the_report_holds_every_cube(made):
    _, result, _ = made
    whole = json.loads(result.report_json.read_text(), parse_constant=pytest.fail)
    assert [cube["id"] for cube in whole["cubes"]] == [cube.id for cube in result.cubes]
    assert whole["ratio"] == pytest.approx(whole["raw_nbytes"] / whole["nbytes"])
    text = result.report_html.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert text.count("data:image/png;base64,") == 3 * 6
    assert "http" not in text
    assert all(f"<td>{cube.id}</td>" in text for cube in result.cubes)


def test_finished_cubes_are_not_made_again(made, scheduler, monkeypatch):
    source, result, _ = made
    before = sums(result.out)
    monkeypatch.setattr(cluster, "spread", lambda *_: pytest.fail("encoded again"))
    again = batch.run([source], result.out, scheduler=scheduler, **CHOICES)
    assert (again.made, again.cubes, sums(result.out)) == (0, result.cubes, before)


def test_what_has_changed_is_made_again_and_nothing_else(scheduler, tmp_path):
    source = write_cubes(tmp_path / "in", 5)
    out = tmp_path / "out"
    first = batch.run([source], out, scheduler=scheduler, **CHOICES)
    write_cube(source / "c01.nc", 99)
    (out / "c02.mp4").unlink()
    with (out / "c03.mp4").open("r+b") as file:
        file.seek(200)
        file.write(b"damaged")
    fresh = []
    batch.run(
        [source],
        out,
        scheduler=scheduler,
        recipes={"*4.nc": _recipe(tmp_path, "bits = 10")},
        on_progress=lambda p: fresh.append(p.latest.id) if p.stage == "encode" and p.latest else 0,
        **CHOICES,
    )
    assert set(fresh[1:]) - {"c00"} == {"c01", "c02", "c03", "c04"}
    now = {cube.id: sha256_of(out / f"{cube.id}.mp4") for cube in first.cubes}
    then = {cube.id: cube.sha256 for cube in first.cubes}
    assert [name for name in now if now[name] == then[name]] == ["c00", "c02", "c03"]
    assert xvcomp.info(out / "c04.mp4").manifest.groups[0].quantization.bit_depth == 10


def _recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_poisoned_inputs_are_listed_with_a_sentence_and_cost_nothing_else(scheduler, tmp_path):
    source = write_cubes(tmp_path / "in", 2)
    whole = write_cube(source / "cut.nc").read_bytes()
    (source / "cut.nc").write_bytes(whole[: len(whole) // 2])
    (source / "noise.nc").write_bytes(os.urandom(5000))
    gaps = np.full((16, 24, 24), np.nan, "f4")
    flags = np.ones((16, 24, 24), "u1")
    dims = ("time", "y", "x")
    xr.Dataset({"a": (dims, gaps), "SCL": (dims, flags)}).to_netcdf(source / "gaps.nc")
    xr.Dataset({"a": (("y", "x"), np.ones((24, 24)))}).to_netcdf(source / "flat.nc")
    xr.Dataset({"a": (("t", "y", "x"), gaps + 1)}).to_netcdf(source / "dims.nc")
    done = batch.run([source], tmp_path / "o", scheduler=scheduler, dims=["y", "x"], **CHOICES)
    assert [cube.id for cube in done.done] == ["c00", "c01"]
    reasons = {cube.id: cube.reason for cube in done.failures}
    assert {cube.kind for cube in done.failures} == {"input"}
    assert "NetCDF" in reasons["cut"]
    assert "cut.nc" in reasons["cut"]
    assert "noise.nc" in reasons["noise"]
    assert reasons["gaps"].endswith("gaps.nc has no valid sample, only gaps: a")
    assert "no variable has two image dims and one for frames" in reasons["flat"]
    assert "its dims are y: 24, x: 24" in reasons["flat"]
    assert "no valid sample" in reasons["dims"]
    assert sorted(sums(tmp_path / "o")) == ["c00.mp4", "c01.mp4"]
    text = done.report_html.read_text()
    assert "Could not be made: 5" in text

    again = batch.run([source], tmp_path / "o", scheduler=scheduler, dims=["y", "x"], **CHOICES)
    assert (again.made, len(again.failures)) == (0, 5)
    again = batch.run(
        [source], tmp_path / "o", scheduler=scheduler, dims=["y", "x"], retry_failed=True, **CHOICES
    )
    assert (again.made, len(again.failures)) == (5, 5)
    write_cube(source / "cut.nc")
    again = batch.run([source], tmp_path / "o", scheduler=scheduler, dims=["y", "x"], **CHOICES)
    assert (again.made, len(again.failures)) == (1, 4)
    again = batch.run([source], tmp_path / "p", scheduler=scheduler, dims=["time"], **CHOICES)
    assert "has no dim 'time'; its dims are t: 16" in again.failures[0].reason


def test_a_process_that_crashes_hangs_or_takes_all_memory_costs_one_cube(
    scheduler, flags, tmp_path
):
    source = write_cubes(tmp_path / "in", 1)
    for number, what in enumerate(("crash", "hang", "hog", "once")):
        write_cube(source / f"bad_{what}.nc", number, misbehave=what)
    limits = {"cube_memory": 900 << 20, "cube_seconds": 8}
    done = batch.run([source], tmp_path / "out", scheduler=scheduler, **limits, **CHOICES)
    assert (flags / "crashed").exists()
    assert [cube.id for cube in done.done] == ["bad_once", "c00"], [c.reason for c in done.cubes]
    kinds = {cube.id: cube.kind for cube in done.failures}
    assert kinds == {"bad_crash": "crash", "bad_hang": "time", "bad_hog": "memory"}
    reasons = {cube.id: cube.reason for cube in done.failures}
    assert "killed by SIGSEGV" in reasons["bad_crash"]
    assert reasons["bad_hang"] == "it was not done after 8 s"
    assert "0.94 GB are allowed per cube" in reasons["bad_hog"]


def test_a_full_disk_stops_the_batch_and_the_next_start_goes_on(scheduler, flags, tmp_path):
    source = write_cubes(tmp_path / "in", 2)
    write_cube(source / "z.nc", misbehave="full")
    write_cubes(source / "zz", 6)
    with pytest.raises(OSError, match="No space left") as caught:
        batch.run([source], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert caught.value.errno == errno.ENOSPC
    journal = tmp_path / "out" / ".batch" / "journal.jsonl"
    kept = sums(tmp_path / "out")
    # A cube is in the journal before it has its name: the stop may come between the two.
    assert len(kept) <= len(journal.read_text().splitlines()) <= 8
    assert '"disk"' not in journal.read_text()
    assert sorted(path.name for path in journal.parent.iterdir()) == [".lock", "journal.jsonl"]
    (flags / "room").touch()
    done = batch.run([source], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert (done.made, done.failures) == (9 - len(kept), ())
    assert kept.items() <= sums(tmp_path / "out").items()


def test_a_journal_that_cannot_be_written_stops_the_batch(scheduler, tmp_path, monkeypatch):
    source = write_cubes(tmp_path / "in", 2)

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "journal.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr(JsonLines, "append", fail)
        with pytest.raises(OSError, match="No space left"):
            batch.run([source], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert sums(tmp_path / "out") == {}
    done = batch.run([source], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert (len(done.done), done.made) == (2, 2)


def test_a_target_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    source = write_cubes(tmp_path / "in", 1)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        batch.run([source], tmp_path / "no" / "out", **CHOICES)
    (tmp_path / "file").touch()
    with pytest.raises(xvcomp.PlanError, match="is a file; name a folder"):
        batch.run([source], tmp_path / "file", **CHOICES)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="not writable"):
        batch.run([source], tmp_path / "out", **CHOICES)


def test_what_a_batch_has_made_is_no_source_of_it(scheduler, tmp_path):
    write_cubes(tmp_path, 2)
    for made in (2, 0):
        done = batch.run([tmp_path], tmp_path / "out", scheduler=scheduler, **CHOICES)
        assert ([cube.id for cube in done.cubes], done.made) == (["c00", "c01"], made)
    with pytest.raises(xvcomp.PlanError, match="s3://b/out is a URL"):
        batch.run([tmp_path], "s3://b/out", **CHOICES)


def test_two_batches_cannot_write_to_one_place(made, scheduler):
    source, result, _ = made
    with (
        sole_user(result.out / ".batch", "batch"),
        pytest.raises(xvcomp.PlanError, match=rf"another batch \(process {os.getpid()}\) is"),
    ):
        batch.run([source], result.out, scheduler=scheduler, **CHOICES)


def test_files_of_others_are_not_replaced(scheduler, tmp_path):
    source = write_cubes(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c00.mp4").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        batch.run([source], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert (tmp_path / "out" / "c00.mp4").read_text() == "mine"
    batch.run([source], tmp_path / "out", scheduler=scheduler, overwrite=True, **CHOICES)
    assert xvcomp.info(tmp_path / "out" / "c00.mp4").nbytes > 1000


def command(source: Path, out: Path, *words: str) -> list[str]:
    start = [sys.executable, "-m", "xvcomp_cli", "batch", str(source), "--out", str(out)]
    return [*start, *WORDS, "--workers", "2", *words]


def wait_for(path: Path, lines: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while not path.exists() or len(path.read_bytes().splitlines()) < lines:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < until
        time.sleep(0.01)


def descendants(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def start(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def test_interrupted_and_killed_it_goes_on_and_the_result_is_the_same(made, scheduler, tmp_path):
    source, undisturbed, _ = made
    out = tmp_path / "out"
    state = out / ".batch"

    process = start(command(source, out, "--quiet"))
    wait_for(state / "journal.jsonl", 1, process)
    family = descendants(process)
    # As Ctrl-C in a terminal does: every process of the group gets it.
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert_gone(family)
    assert process.stderr.read().decode().splitlines()[-1].startswith("xvcomp: error: interrupted")
    assert {path.name for path in state.iterdir()} == {".lock", "journal.jsonl"}
    # A cube is in the journal before it has its name: the stop may come between the two.
    assert len(sums(out)) < 5
    assert sums(out).items() <= sums(undisturbed.out).items()

    process = start(command(source, out))
    wait_for(state / "journal.jsonl", len(sums(out)) + 1, process)
    family = descendants(process)
    process.kill()
    process.wait()
    assert_gone(family)

    # The kill may have come between a cube's line in the journal and its name.
    there = len(sums(out))
    done = batch.run([source], out, scheduler=scheduler, **CHOICES)
    assert done.made == len(undisturbed.cubes) - there
    assert sums(out) == sums(undisturbed.out)
    assert done.cubes == tuple(
        replaced(cube, seconds=mine.seconds)
        for cube, mine in zip(undisturbed.cubes, done.cubes, strict=True)
    )
    assert {path.name for path in state.iterdir()} == {".lock", "journal.jsonl"}


def assert_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == [], "processes that outlive the batch"


def replaced(cube, **changes):
    return type(cube)(**(cube.to_dict() | changes))


def wait_for_lost_result():
    states = import_module("distributed").Client.current().futures
    deadline = time.monotonic() + 30
    while all(state.status != "lost" for state in states.values()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("delay", [0, 2], ids=["at work", "with results not fetched yet"])
def test_a_lost_worker_costs_no_cube(made, scheduler, tmp_path, delay):
    source, undisturbed, _ = made
    killed = []

    def kill_one(progress):
        if progress.fresh == 1 and not killed:
            # Workers are the processes whose children encode.
            family = psutil.Process().children(recursive=True)
            encoders = [p for p in family if "xvcomp.batch.child" in p.cmdline()]
            killed.append(encoders[0].parent())
            time.sleep(delay)
            killed[0].kill()
            if delay:
                wait_for_lost_result()

    done = batch.run(
        [source], tmp_path / "out", scheduler=scheduler, on_progress=kill_one, **CHOICES
    )
    assert len(killed) == 1
    assert done.failures == ()
    assert sums(tmp_path / "out") == sums(undisturbed.out)


def test_half_a_line_and_lines_of_other_versions_in_the_journal_do_no_harm(tmp_path):
    space = Workspace(tmp_path)
    space.state.mkdir()
    good = batch.CubeResult(key="k", id="a", source="s", sha256="x", psnr_db=np.inf)
    space.note(good)
    with (space.state / "journal.jsonl").open("ab") as file:
        file.write(b'{"key": "b", "id": "b", "source": "s", "later": 1}\n{"key": "c", "so')
    assert repr(space.journaled()) == repr({"k": good})
    space.note(replaced(good, key="d"))
    assert set(space.journaled()) == {"k", "d"}


def test_ids_are_unique_and_do_not_depend_on_what_else_is_listed(tmp_path):
    for name in ("2020/x.nc", "2021/x.nc", "2021/deep/y.nc", "x y.nc", ".hidden/z.nc"):
        write_cube(tmp_path / "in" / name)
    xr.Dataset({"a": (("t", "y", "x"), np.ones((2, 3, 3)))}).to_zarr(
        tmp_path / "in" / "store.zarr", consolidated=False
    )
    (tmp_path / "in" / "notes.txt").touch()
    ids = {i.id: i.source for i in batch.list_items([tmp_path / "in"])}
    assert list(ids) == ["2020__x", "2021__deep__y", "2021__x", "store", "x_y"]
    assert ids["2021__deep__y"] == str(tmp_path / "in" / "2021" / "deep" / "y.nc")

    glob = batch.list_items([f"{tmp_path}/in/*/*.nc"])
    assert [i.id for i in glob] == ["2020__x", "2021__x"]
    alone = batch.list_items([tmp_path / "in" / "2020" / "x.nc"])
    assert [i.id for i in alone] == ["x"]
    both = batch.list_items([tmp_path / "in" / "2020" / "x.nc", tmp_path / "in" / "2021" / "x.nc"])
    assert len({i.id for i in both}) == 2
    assert all(i.id.startswith("x-") and len(i.id) == 10 for i in both)
    twice = batch.list_items([tmp_path / "in" / "2020" / "x.nc"] * 2)
    assert twice == alone

    (tmp_path / "list.txt").write_text(f"# two\n{tmp_path}/in/2020/x.nc\n\n{tmp_path}/in/2021\n")
    listed = batch.list_items([f"@{tmp_path}/list.txt"])
    assert sorted(i.id.split("-")[0] for i in listed) == ["deep__y", "x", "x"]


def test_names_that_no_file_system_would_take_are_cut_and_stay_unique(scheduler, tmp_path):
    folder = tmp_path / "in" / ("d" * 120)
    for end in "ab":
        write_cube(folder / f"{'n' * 150}{end}.nc")
    write_cube(tmp_path / "in" / "été.nc")
    ids = [item.id for item in batch.list_items([tmp_path / "in"])]
    assert ids[2] == "ete"
    assert len(set(ids)) == 3
    assert {len(name) for name in ids[:2]} == {160}
    done = batch.run([tmp_path / "in"], tmp_path / "out", scheduler=scheduler, **CHOICES)
    assert done.failures == ()
    assert sorted(p.stem for p in (tmp_path / "out").glob("*.mp4")) == ids


def test_a_change_that_keeps_size_and_time_is_seen_at_either_end(tmp_path):
    path = tmp_path / "a.nc"
    data = bytearray(300_000)
    seen = set()
    for place in (None, 10, 299_990):
        if place is not None:
            data[place] = 1
        path.write_bytes(data)
        os.utime(path, ns=(0, 0))
        seen.add(identity.key(str(path), Options(), {}))
    assert len(seen) == 3
    for size in (0, 1, 65_536, 65_537):
        path.write_bytes(bytes(size))
        seen.add(identity.key(str(path), Options(), {}))
    assert len(seen) == 7


def test_a_changed_file_on_a_server_without_etags_is_seen(tmp_path, web):
    seen = set()
    for second in (1, 2, 2):
        (tmp_path / "a.nc").write_bytes(b"same size")
        os.utime(tmp_path / "a.nc", (second, second))
        seen.add(identity.key(f"{web}/a.nc", Options(), {}))
    assert len(seen) == 2


def test_sources_that_lead_to_nothing_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    (tmp_path / "loop.txt").write_text(f"@{tmp_path}/loop.txt\n")
    for source, kind, text in (
        (tmp_path / "no.nc", FileNotFoundError, "no such file"),
        (tmp_path / "*.nc", FileNotFoundError, "nothing matches"),
        (tmp_path / "empty", xvcomp.PlanError, "no cube in the folder"),
        (tmp_path / "a.txt", xvcomp.PlanError, "cannot tell what"),
        (f"@{tmp_path}/loop.txt", xvcomp.PlanError, "more than 8"),
    ):
        with pytest.raises(kind, match=text):
            batch.list_items([source])


@pytest.fixture
def web(tmp_path):
    """The folder of a test on a server that tells times of change, and no ETags."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_remote_sources_are_found_named_and_read(tmp_path, web):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    data = write_cube(tmp_path / "a.nc").read_bytes()
    for name in ("/r/2020/a.nc", "/r/2021/a.nc", "/r/s.zarr/zarr.json", "/r/s.zarr/a/c/0"):
        memory.pipe(name, data)
    assert [i.id for i in batch.list_items(["memory://r"])] == ["2020__a", "2021__a", "s"]
    found = batch.list_items(["memory://r/*/a.nc"])
    assert [i.id for i in found] == ["2020__a", "2021__a"]
    assert found[0].source == "memory:///r/2020/a.nc"

    memory.pipe("/r/a.nc", data)
    urls = (f"{web}/a.nc", "memory://r/a.nc")
    results = [make_cube(_job(url, tmp_path)) for url in urls]
    assert [(r.kind, r.reason) for r in results] == [(None, None)] * 2
    assert len({r.sha256 for r in results}) == 1


def _job(source: str, folder: Path) -> Job:
    options = Options(target=xvcomp.Quality(40), preset="fast")
    return Job(key="k", id="a", source=source, folder=str(folder), options=options)


def test_each_kind_of_error_is_told_apart(tmp_path, monkeypatch):
    job = _job(str(write_cube(tmp_path / "a.nc")), tmp_path)
    for error, kind in (
        (xvcomp.TargetError("far"), "target"),
        (xvcomp.CodecError("gave up"), "encoder"),
        (xvcomp.ErrorBoundExceeded("broken"), "promise"),
        (MemoryError(), "memory"),
        (OSError(errno.EROFS, "read-only"), "disk"),
        (OSError(errno.EIO, "bad sector"), "input"),
        (RuntimeError("NetCDF: HDF error"), "input"),
        (ZeroDivisionError("oh"), "internal"),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr(xvcomp.api, "encode", fail)
        result = make_cube(job)
        assert result.kind == kind, error
        assert result.reason


def test_a_dataset_is_put_together_from_finished_cubes_and_is_a_source_again(
    made, scheduler, tmp_path
):
    source, undisturbed, _ = made
    out = tmp_path / "all.tacozip"
    done = batch.run([source], out, scheduler=scheduler, **CHOICES)
    assert done.files == (out,)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "all.report.html", "all.report.json", "all.tacozip",
    ]  # fmt: skip
    with xvcomp.open(f"{out}::c03") as cube, xvcomp.open(undisturbed.out / "c03.mp4") as other:
        assert cube.identical(other)
    with pytest.raises(FileExistsError):
        batch.run([source], out, scheduler=scheduler, **CHOICES)
    again = batch.run([out], tmp_path / "again", scheduler=scheduler, **CHOICES)
    assert [cube.id for cube in again.done] == [cube.id for cube in done.done]


def test_a_dataset_with_failures_keeps_its_work_until_they_are_mended(scheduler, tmp_path):
    source = write_cubes(tmp_path / "in", 3)
    (source / "c01.nc").write_bytes(b"no cube")
    out = tmp_path / "all.tacozip"
    first = batch.run([source], out, scheduler=scheduler, **CHOICES)
    assert (len(first.done), len(first.failures)) == (2, 1)
    assert (tmp_path / "all.tacozip.work").is_dir()
    write_cube(source / "c01.nc", 1)
    (tmp_path / ".tacocat").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        batch.run([source], out, scheduler=scheduler, part_nbytes=10_000, **CHOICES)
    (tmp_path / ".tacocat").rmdir()
    second = batch.run([source], out, scheduler=scheduler, part_nbytes=10_000, **CHOICES)
    assert (second.made, second.failures) == (1, ())
    assert not (tmp_path / "all.tacozip.work").exists()
    with xvcomp.open(f"{second.files[0]}::c00") as cube:
        assert cube.sizes["time"] == 16


def test_killed_while_the_dataset_is_put_together_it_goes_on(
    made, scheduler, tmp_path, monkeypatch
):
    source, undisturbed, _ = made
    out = tmp_path / "all.tacozip"

    def late(*words, **options):
        write_taco(*words, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assembling, "write_taco", late)
        with pytest.raises(KeyboardInterrupt):
            batch.run([source], out, scheduler=scheduler, part_nbytes=10_000, **CHOICES)
    assert len(list(tmp_path.glob("all_part*.tacozip"))) > 1
    done = batch.run([source], out, scheduler=scheduler, part_nbytes=10_000, **CHOICES)
    assert (done.made, done.failures) == (0, ())
    assert done.files == tuple(sorted(tmp_path.glob("all_part*.tacozip")))
    with open_taco(tmp_path) as dataset:
        assert {row["id"]: row["xvcomp:sha256"] for row in dataset.rows()} == {
            cube.id: cube.sha256 for cube in undisturbed.cubes
        }


def test_the_command_line_tells_failures_by_its_exit_code(scheduler, tmp_path):
    source = write_cubes(tmp_path / "in", 1)
    words = ["batch", str(source), "--out", str(tmp_path / "o"), "--scheduler", scheduler, *WORDS]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cubes_done"] == 1
    (source / "bad.nc").write_bytes(b"no cube")
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert "bad     input  cannot read" in done.stdout
    assert "1 cube, 1 failed" in done.stdout
    assert "1 of 2 cubes" in done.stderr
    bad = CliRunner().invoke(cli, [*words, "--recipe-for", "x"])
    assert bad.exit_code == 2
    assert "is not PATTERN=RECIPE" in bad.stderr


def test_a_url_as_the_target_is_refused_as_one(tmp_path):
    source = str(write_cube(tmp_path / "a.nc"))
    done = CliRunner().invoke(cli, ["batch", source, "--out", "s3://bucket/cubes"])
    assert done.exit_code == 1
    assert "s3://bucket/cubes is a URL" in done.stderr


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(xvcomp.PlanError, match=r"pip install 'xvcomp\[dask\]'"):
        _ = batch.run


def test_a_folder_that_is_still_written_to_is_removed_in_the_end(tmp_path, monkeypatch):
    attempts = []

    def busy(folder, **_):
        attempts.append(folder)
        if len(attempts) == 3:
            folder.rmdir()

    monkeypatch.setattr(workspace.shutil, "rmtree", busy)
    monkeypatch.setattr(workspace, "_PAUSE", 0.0)
    with Workspace(tmp_path / "out").used(overwrite=False, parts=True) as run:
        assert run.is_dir()
    assert not run.exists()
    assert len(attempts) == 3
