"""The Hugging Face Hub, end to end: the real client against a hub on 127.0.0.1 that fails."""

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hub_server import TOKEN, Fault, Hub
from test_batch import write_cube

import xvcomp
from xvcomp.containers.taco import Collection, write_taco
from xvcomp.errors import HubError, PlanError
from xvcomp.hub import make_dataset
from xvcomp.hub.card import Card, Numbers, card_text, numbers_of
from xvcomp.hub.patience import patiently, wait_seconds
from xvcomp.hub.pushing import _batches, check_repo_id, local_files
from xvcomp.packing import samples_of
from xvcomp_cli.main import cli

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(hub, tmp_path):
    """Return a function that runs Python with the hub in its environment."""

    def start(*arguments: str, token: str = TOKEN, **how) -> subprocess.Popen:
        own = hub.environment(str(tmp_path / "home")) | {"HF_TOKEN": token}
        return subprocess.Popen(
            [sys.executable, *arguments], env=os.environ | own, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how,
        )  # fmt: skip

    def finish(*arguments: str, **how) -> subprocess.CompletedProcess:
        with start(*arguments, **how) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    finish.start = start
    return finish


@pytest.fixture
def push(hub, monkeypatch):
    """Return a function that runs ``xvcomp push`` in this process, and waits only briefly."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))

    def start(folder, *options: str, token: str = TOKEN):
        monkeypatch.setenv("HF_TOKEN", token)
        done = CliRunner().invoke(cli, ["push", str(folder), "org/cubes", *options])
        # A client that was refused a connection once may keep it for the next hub.
        getattr(huggingface_hub, "close_session", lambda: None)()  # not in old versions
        return done

    return start


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "ready"
    (made / "cubes").mkdir(parents=True)
    for number in range(3):
        (made / "cubes" / f"c{number}.mp4").write_bytes(bytes([number]) * 200_000)
    (made / "README.md").write_text("---\nlicense: mit\n---\n# Cubes\n")
    (made / "SHA256SUMS").write_text("none\n")
    return made


def _there(hub, branch="main") -> dict[str, bytes]:
    return {name: data for name, (_, data) in hub.repos["org/cubes"].branches[branch].items()}


def _wanted(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in local_files(folder).items()}


def test_a_folder_arrives_whole_and_is_not_sent_twice(hub, push, folder):
    first = push(folder, "--private", "--json")
    assert first.exit_code == 0, first.stderr
    told = json.loads(first.stdout)
    assert _there(hub) == _wanted(folder)
    assert hub.repos["org/cubes"].private
    assert (told["commits"], len(told["uploaded"]), told["unchanged"]) == (2, 5, [])
    assert told["uploaded"][-2:] == ["SHA256SUMS", "README.md"]
    hub.log.clear()
    again = json.loads(push(folder, "--json").stdout)
    assert (again["commits"], len(again["unchanged"])) == (0, 5)
    assert not hub.uploads()
    assert not [path for _, path, _ in hub.log if "/commit/" in path]


def test_only_what_changed_is_sent(hub, push, folder):
    push(folder)
    hub.log.clear()
    changed = b"x" * 200_000
    (folder / "cubes" / "c1.mp4").write_bytes(changed)
    assert json.loads(push(folder, "--json").stdout)["uploaded"] == ["cubes/c1.mp4"]
    assert hub.uploads() == [f"/store/{hashlib.sha256(changed).hexdigest()}"]
    assert _there(hub) == _wanted(folder)


def test_a_busy_failing_and_dropping_hub_is_outlasted(hub, push, folder):
    hub.faults += [
        Fault("POST", "/api/repos/create", 429),
        Fault("POST", "/commit/", 429),
        Fault("POST", "/commit/", 500),
        Fault("POST", "/commit/"),
        Fault("PUT", "/store/", 429),
        Fault("PUT", "/store/", 500),
        Fault("PUT", "/store/", after=1000),
        Fault("GET", "/tree/", 503),
    ]
    done = push(folder)
    assert done.exit_code == 0, done.stderr
    assert [fault.times for fault in hub.faults] == [0] * 8
    assert _there(hub) == _wanted(folder)
    assert hub.repos["org/cubes"].commits == 2


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub, push, folder):
    hub.faults.append(Fault("POST", "/commit/", then=True))
    done = push(folder)
    assert done.exit_code == 0, done.stderr
    assert hub.repos["org/cubes"].commits == 2
    assert _there(hub) == _wanted(folder)


def test_a_push_killed_in_the_middle_goes_on_where_it_was(hub, run, push, folder):
    lock, seen = threading.Lock(), []

    def kill_at_the_second() -> None:
        with lock:
            seen.append(1)
            if len(seen) == 2:
                process.send_signal(signal.SIGKILL)
                process.wait()

    hub.on_upload = kill_at_the_second
    arguments = ("-m", "xvcomp_cli", "push", str(folder), "org/cubes")
    with run.start(*arguments) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    hub.on_upload = None
    kept = set(hub.objects)
    assert _there(hub) == {}
    assert kept
    hub.log.clear()
    done = push(folder)
    assert done.exit_code == 0, done.stderr
    assert not {path.removeprefix("/store/") for path in hub.uploads()} & kept
    assert _there(hub) == _wanted(folder)


def test_a_refusal_is_one_sentence_with_advice(hub, push, folder):
    hub.faults.append(Fault("POST", "/commit/", 403, times=9))
    done = push(folder)
    assert done.exit_code == 1
    assert "HTTP 403" in done.stderr
    assert "the token needs write access" in done.stderr
    assert "Traceback" not in done.stderr
    assert hub.faults[0].times == 8
    denied = push(folder, token="hf_wrong")
    assert denied.exit_code == 1
    assert "HTTP 401" in denied.stderr
    assert "hf auth login" in denied.stderr


def test_patience_ends_with_a_sentence_and_the_next_start_goes_on(hub, push, folder):
    hub.faults.append(Fault("POST", "/commit/", 500, times=2))
    done = push(folder, "--attempts", "2")
    assert done.exit_code == 1
    assert "after 2 attempts; start it again to go on" in done.stderr
    assert _there(hub) == {}
    hub.log.clear()
    assert push(folder).exit_code == 0
    assert not hub.uploads()
    assert _there(hub) == _wanted(folder)


def test_a_dry_run_changes_nothing(hub, push, folder):
    told = json.loads(push(folder, "--dry-run", "--json").stdout)
    assert (told["dry_run"], len(told["uploaded"]), told["commits"]) == (True, 5, 0)
    assert hub.repos == {}
    assert {method for method, _, _ in hub.log} <= {"GET", "HEAD"}


def test_a_branch_is_made_and_filled(hub, push, folder):
    assert push(folder, "--revision", "v2").exit_code == 0
    assert _there(hub, "v2") == _wanted(folder)
    assert _there(hub) == {}


def test_what_is_no_folder_or_repository_is_refused(tmp_path, folder):
    with pytest.raises(PlanError, match="not a folder"):
        local_files(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlanError, match="holds no files"):
        local_files(tmp_path / "empty")
    (folder / ".c.mp4.12ab.tmp").touch()
    with pytest.raises(PlanError, match="unfinished work"):
        local_files(folder)
    with pytest.raises(PlanError, match="'cubes' is no repository"):
        check_repo_id("cubes")


def test_tables_of_parts_go_along_and_caches_do_not(folder):
    for name in (".tacocat/level0.parquet", ".cache/x", ".git/HEAD"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    assert ".tacocat/level0.parquet" in local_files(folder)
    assert not {".cache/x", ".git/HEAD"} & set(local_files(folder))


def test_batches_are_bounded_and_descriptions_come_last(tmp_path):
    files = {f"{i:03d}": tmp_path / str(i) for i in range(120)}
    files |= {"SHA256SUMS": tmp_path / "s", "README.md": tmp_path / "r"}
    for path in files.values():
        path.touch()
    sizes = [len(batch) for batch in _batches(files, files)]
    assert sizes == [50, 50, 20, 2]


# Waiting.


class _Answer:
    def __init__(self, status: int, headers: dict | None = None) -> None:
        self.status_code, self.headers = status, headers or {}


class _HttpError(Exception):
    def __init__(self, *answer) -> None:
        super().__init__("on purpose")
        self.response = _Answer(*answer)


class RemoteTransportError(Exception):
    """Called like what HTTP libraries raise."""


RemoteTransportError.__name__ = "TransportError"


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (_HttpError(429), True),
        (_HttpError(503), True),
        (_HttpError(403), False),
        (_HttpError(404), False),
        (RemoteTransportError("reset"), True),
        (ConnectionResetError("reset"), True),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_passes_is_waited_for(error, waits):
    assert (wait_seconds(error, 1) is not None) == waits


def test_what_caused_an_error_counts():
    error = RuntimeError("Error while uploading")
    error.__cause__ = _HttpError(500)
    assert wait_seconds(error, 1) is not None


def test_the_hub_says_how_long_and_waits_grow_otherwise():
    assert wait_seconds(_HttpError(429, {"Retry-After": "7"}), 1) == 7
    first, fifth, late = (wait_seconds(_HttpError(500), n) for n in (1, 5, 40))
    assert 0.7 < first < 1.3
    assert 12 <= fifth <= 20
    assert late <= 150


def test_a_failure_that_passes_is_tried_again(monkeypatch):
    monkeypatch.setattr("xvcomp.hub.patience.time.sleep", lambda _: None)
    errors = [_HttpError(429), ConnectionResetError()]

    def do() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert patiently(do, "try") == "done"
    with pytest.raises(HubError, match="cannot try: a bug"):
        patiently(lambda: (_ for _ in ()).throw(ValueError("a bug")), "try")


# Datasets.


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> Path:
    """Three cube files; one of them is lossless."""
    made = tmp_path_factory.mktemp("cubes")
    rng = np.random.default_rng(3)
    for number in range(3):
        t, y, x = np.ogrid[:48, :64, :64]
        values = np.sin(t / 5 + y / 9) * np.cos(x / 7 + number) + rng.normal(0, 0.2, (48, 64, 64))
        ds = xr.Dataset({"B04": (("time", "y", "x"), values.astype("f4"))})
        target = xvcomp.Lossless() if number == 2 else xvcomp.Psnr(45 + number)
        xvcomp.encode(ds, made / f"c{number}.mp4", target=target, preset="fast", gop=4)
    return made


@pytest.fixture(scope="module")
def tacozip(cubes, tmp_path_factory) -> Path:
    pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("taco") / "cubes.tacozip"
    told = Collection(id="cubes", title="Made cubes", licenses=("CC-BY-4.0",), citation="@a{b}")
    write_taco(path, samples_of(sorted(cubes.iterdir())), told)
    return path


def _card(folder: Path) -> "huggingface_hub.DatasetCard":
    return huggingface_hub.DatasetCard((folder / "README.md").read_text(encoding="utf-8"))


def test_a_folder_of_cubes_becomes_a_dataset(cubes, tmp_path):
    made = make_dataset([cubes], tmp_path / "d", repo_id="org/cubes", licence="CC-BY-4.0")
    assert made.numbers.cubes == 3
    assert made.numbers.lossless == 1
    assert made.numbers.nbytes == sum(p.stat().st_size for p in cubes.iterdir())
    assert 45 <= made.numbers.psnr_db[0] <= made.numbers.psnr_db[-1]
    card = _card(tmp_path / "d")
    assert card.data.license == "cc-by-4.0"
    assert card.data.size_categories == ["n<1K"]
    assert 'xvcomp.open("hf://datasets/org/cubes/cubes/c0.mp4")' in card.text
    assert f"smallest {made.numbers.psnr_db[0]:.2f}" in card.text


def test_checksums_are_those_of_the_files(cubes, tmp_path, require_tool):
    make_dataset([cubes], tmp_path / "d", licence="MIT")
    command = [require_tool("sha256sum"), "-c", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=tmp_path / "d", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 4


def test_a_dataset_tells_its_own_licence_and_citation(tacozip, tmp_path):
    make_dataset([tacozip], tmp_path / "d", repo_id="org/cubes")
    card = _card(tmp_path / "d")
    assert card.data.license == "cc-by-4.0"
    assert card.data.pretty_name == "Made cubes"
    assert "taco" in card.data.tags
    assert "```bibtex\n@a{b}\n```" in card.text
    assert "hf://datasets/org/cubes/cubes.tacozip::c0" in card.text


def test_parts_come_with_their_table(cubes, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "parts").mkdir()
    path = tmp_path / "parts" / "all.tacozip"
    told = Collection(id="cubes", licenses=("CC-BY-4.0",))
    write_taco(path, samples_of(sorted(cubes.iterdir())), told, part_nbytes=1)
    made = make_dataset([tmp_path / "parts"], tmp_path / "d")
    assert made.numbers.cubes == 3
    names = set(local_files(tmp_path / "d"))
    assert {"all_part0001.tacozip", "all_part0003.tacozip", "README.md"} <= names
    assert any(name.startswith(".tacocat/") for name in names)
    opened = xvcomp.open(f"{tmp_path / 'd' / '.tacocat'}::c1")
    assert opened.sizes["time"] == 48


def test_a_dataset_without_a_licence_or_cubes_is_refused(cubes, tmp_path):
    with pytest.raises(PlanError, match="needs a licence"):
        make_dataset([cubes], tmp_path / "d")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlanError, match=r"holds no \.mp4 files"):
        make_dataset([tmp_path / "empty"], tmp_path / "d", licence="MIT")
    with pytest.raises(FileNotFoundError):
        make_dataset([tmp_path / "absent"], tmp_path / "d", licence="MIT")
    assert not (tmp_path / "d").exists()


def test_a_folder_is_replaced_only_when_told(cubes, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    with pytest.raises(FileExistsError):
        make_dataset([cubes], tmp_path / "d", licence="MIT")
    make_dataset([cubes], tmp_path / "d", licence="MIT", overwrite=True)
    assert not (tmp_path / "d" / "old").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"d"}


def test_the_command_makes_a_folder(cubes, tmp_path):
    (tmp_path / "paper.bib").write_text("@article{me}")
    arguments = [
        "dataset", str(cubes), "--out", str(tmp_path / "d"), "--repo", "org/x",
        "--licence", "MIT", "--citation", str(tmp_path / "paper.bib"), "--tags", "a,b",
    ]  # fmt: skip
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "3 cubes" in done.stdout
    assert "@article{me}" in (tmp_path / "d" / "README.md").read_text()


@pytest.mark.parametrize("title", ["a: b", 'say "x"', "two\nlines", "# é - [x]"])
def test_titles_cannot_break_the_front_matter(title):
    text = card_text(
        Card(title=title, licence="Own terms: ask", numbers=Numbers(cubes=5, raw_nbytes=9,
             nbytes=3), example="a.mp4")
    )  # fmt: skip
    data = huggingface_hub.DatasetCard(text).data
    assert data.pretty_name == " ".join(title.split())
    assert (data.license, data.license_name) == ("other", "Own terms: ask")


def test_numbers_tell_lossless_and_unmeasured_cubes_apart():
    rows = [
        {"xvcomp:raw_nbytes": 100, "xvcomp:nbytes": 10, "xvcomp:psnr": psnr, "xvcomp:codec": "c"}
        for psnr in (40.0, 50.0, float("inf"), None, float("nan"))
    ]
    numbers = numbers_of(rows)
    assert (numbers.cubes, numbers.lossless, numbers.unmeasured) == (5, 1, 2)
    assert numbers.psnr_db[0], numbers.psnr_db[-1] == (40.0, 50.0)
    assert numbers.ratio == 10


# Reading back.


@pytest.fixture
def published(hub, push, tacozip, tmp_path) -> Path:
    make_dataset([tacozip], tmp_path / "d", repo_id="org/cubes")
    done = push(tmp_path / "d", "--private")
    assert done.exit_code == 0, done.stderr
    hub.log.clear()
    hub.sent.clear()
    return tmp_path / "d"


def test_a_cube_in_a_dataset_on_the_hub_is_read_lazily(hub, run, published, cubes):
    code = (
        "import xvcomp, numpy as np, sys\n"
        "cube = xvcomp.open('hf://datasets/org/cubes/cubes.tacozip::c1')\n"
        "np.save(sys.stdout.buffer, cube.B04.isel(time=20).values)\n"
    )
    own = os.environ | hub.environment(str(published.parent / "home"))
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = xvcomp.open(cubes / "c1.mp4").B04.isel(time=20).values
    assert done.stdout.endswith(expected.tobytes())
    fetched = [nbytes for path, nbytes in hub.sent if "/resolve/" in path]
    # The head of the dataset, where its index is, the head of the cube, one group of frames.
    assert 0 < len(fetched) <= 4
    assert sum(fetched) < len(_there(hub)["cubes.tacozip"]) / 4


def test_the_code_on_the_card_runs(run, published):
    (code,) = re.findall(r"```python\n(.*?)```", (published / "README.md").read_text(), re.S)
    done = run("-c", code + "assert frame.B04.shape == (64, 64)\n")
    assert done.returncode == 0, done.stderr


def test_a_private_dataset_is_not_read_without_its_token(run, published):
    code = "import xvcomp; xvcomp.open('hf://datasets/org/cubes/cubes.tacozip::c1')"
    done = run("-c", code, token="hf_wrong")
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr or "ContainerError" in done.stderr


def test_a_local_copy_comes_from_the_hub(run, published, tmp_path):
    code = (
        "import sys; from xvcomp.local_copies import local_copy\n"
        "url = 'hf://datasets/org/cubes/cubes.tacozip'\n"
        "with local_copy(url, sys.argv[1], 10**9) as path: print(path, path.stat().st_size)\n"
    )
    done = run("-c", code, str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    path, nbytes = done.stdout.split()
    assert Path(path).read_bytes() == (published / "cubes.tacozip").read_bytes()
    assert int(nbytes) == (published / "cubes.tacozip").stat().st_size


BATCHES = """
import json, sys
from pathlib import Path
from xvcomp import Quality, batch
from xvcomp.batch import cluster
if __name__ == "__main__":
    home = Path(sys.argv[1])
    with cluster.connected(None, 1, home / "dask") as client:
        for line in sys.stdin:
            sources, out = json.loads(line)
            done = batch.run(
                sources, home / out, scheduler=client.scheduler.address, target=Quality(40),
                preset="fast", codec="libx265",
            )
            cubes = {c.id: [c.reason, c.source_nbytes] for c in done.cubes}
            print(json.dumps([done.made, cubes]), flush=True)
"""


@pytest.fixture
def run_batch(run, tmp_path):
    """Return a function that runs one batch after the other, in a process that knows the hub."""
    pytest.importorskip("distributed")
    (tmp_path / "batches.py").write_text(BATCHES)
    words = (str(tmp_path / "batches.py"), str(tmp_path))
    with run.start(*words, stdin=subprocess.PIPE) as process:

        def start(source: str, out: str) -> tuple[int, dict[str, list]]:
            process.stdin.write(json.dumps([[source], out]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            return json.loads(line)

        yield start
        process.stdin.close()
        assert process.wait(60) == 0


def test_cubes_and_datasets_on_the_hub_are_sources_of_a_batch(hub, run_batch, push, published):
    for name in ("2020/a.nc", "2021/a.nc", "2021/b.nc"):
        # No copy of an earlier test's file will do.
        write_cube(published / name, run=secrets.token_hex())
    assert push(published).exit_code == 0
    hub.faults += [Fault("GET", "/resolve/", 429), Fault("GET", "/resolve/"),
                   Fault("GET", "/tree/", 503)]  # fmt: skip
    nbytes = (published / "2020/a.nc").stat().st_size
    all_made = {name: [None, nbytes] for name in ("2020__a", "2021__a", "2021__b")}
    assert run_batch("hf://datasets/org/cubes", "small") == [3, all_made]
    assert [fault.times for fault in hub.faults] == [0] * 3

    write_cube(published / "2021/b.nc", run=secrets.token_hex())
    assert push(published).exit_code == 0
    # All are there already, but one has changed since.
    made, cubes = run_batch("hf://datasets/org/cubes/202*/*.nc", "small")
    assert (made, cubes.keys()) == (1, {"2020__a", "2021__a", "2021__b"})

    made, cubes = run_batch("hf://datasets/org/cubes/cubes.tacozip", "again.tacozip")
    assert (made, {reason for reason, _ in cubes.values()}) == (len(cubes), {None})
    with xvcomp.open_taco(published / "cubes.tacozip") as dataset:
        assert set(cubes) == {row["id"] for row in dataset.rows(columns=["id"])}
