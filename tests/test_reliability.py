"""What survives abuse: a small part of the campaign in ``benchmarks/reliability``."""

import base64
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xvcomp
from benchmarks.reliability import abuse, fuzz
from benchmarks.reliability.corpus import KINDS, encoded, tiny
from benchmarks.reliability.inputs import manifest_of, with_manifest
from benchmarks.reliability.kill import kill_in_process
from benchmarks.reliability.targets import TARGETS, loaded, seeds, snapshot
from xvcomp import sidecar
from xvcomp.containers import taco
from xvcomp.containers.mp4 import Mp4Reader
from xvcomp.errors import ContainerError, ManifestError, XvcompError
from xvcomp.part_cache import PartCache
from xvcomp.reading import CubeFile
from xvcomp.spec import Manifest, SidecarEntry

TINY = {"target": xvcomp.Quality(40), "codec": "libx265", "preset": "fast", "lossy": ("B00",)}


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_inputs_are_refused_or_read_right(target):
    outcomes = [fuzz.attempt(target, 99, number) for number in range(40)]
    assert [each for each in outcomes if each.startswith("LOSS")] == []
    assert "refused" in outcomes


def test_the_fuzzer_notices_data_that_changed(monkeypatch):
    monkeypatch.setattr("xvcomp.parts._check_sum", lambda *_: None)
    outcomes = (fuzz.attempt("file", 99, number) for number in range(400))
    assert any(outcome.startswith("LOSS WrongData") for outcome in outcomes)


@pytest.mark.parametrize("kind", ["x265", "gaps", "bounded", "sidecar"])
def test_any_region_that_is_flipped_or_cut_is_noticed(kind):
    found = abuse.regions(kind, stride=151)
    assert found["losses"] == 0
    assert found["cut refused"] == -(-found["nbytes"] // 151)


def _broken(kind, gop, track=0):
    """Return a file with a damaged GOP, and the frames that are in it."""
    data = bytearray(encoded(kind))
    with Mp4Reader(bytes(data)) as reader:
        place = reader.gops(track)[gop].packets[0]
    data[place.offset + place.nbytes // 2] ^= 4
    group = CubeFile(bytes(data)).manifest.groups[0]
    return bytes(data), slice(gop * group.window, (gop + 1) * group.window)


def test_a_damaged_part_is_named_and_the_others_stay_readable():
    whole = loaded(encoded("x265"))
    data, frames = _broken("x265", 1)
    with pytest.raises(ContainerError, match="track 0, GOP 1 is damaged"):
        xvcomp.verify(io.BytesIO(data))
    opened = xvcomp.open(io.BytesIO(data))
    with pytest.raises(ContainerError, match="track 0, GOP 1 is damaged"):
        opened["B01"].isel(time=frames).load()
    for kept in (slice(0, frames.start), slice(frames.stop, None)):
        part = opened.isel(time=kept).load()
        xr.testing.assert_identical(part, whole.isel(time=kept))


def _contradicting(**changes):
    """Forge the manifest of a small file, checksum and all."""
    data = seeds()["x265"]
    body = manifest_of(data)
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = body
        for step in steps:
            place = place[int(step) if step.isdigit() else step]
        place[int(last) if last.isdigit() else last] = value
    return with_manifest(data, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups__0__block": [1, 1], "groups__0__shape": [12, 3, 2**20, 2**20]}, "has the shape"),
        ({"groups__0__block": [1, 1]}, "has checksums of"),
        ({"groups__0__gop": 1}, "has checksums of"),
        ({"groups__0__fold": 5}, "a transform of 3 bands"),
        ({"groups__0__variables": ["B00", "B00", "B02"]}, "not coded exactly once"),
        ({"groups__0__x_dim": "time"}, "its group is along"),
        ({"groups__0__first_track": 7}, "tracks that the file lacks"),
        ({"groups__0__klt": None}, "lacks what it takes"),
        ({"variables__0__shape": [12, 24, 2**40]}, "others have|along 'x'"),
        ({"variables__0__dtype": "<f9"}, "no dtype"),
        ({"variables__0__dims": ["time", "y", "y"]}, "has dims"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_before_anything_is_read(changes, message):
    with pytest.raises(ContainerError, match=message):
        CubeFile(_contradicting(**changes))


def test_a_manifest_that_inflates_beyond_reason_is_refused():
    body = b'{"attrs":[' + b"[]," * (1 << 23) + b"[]]}"
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(deflater.compress(body) + deflater.flush()).decode()
    envelope = {"format_version": 1, "crc32": zlib.crc32(body), "deflate": packed}
    with pytest.raises(ManifestError, match="larger than 16 MiB"):
        Manifest.from_json(json.dumps(envelope))


@pytest.mark.parametrize("coder", ["lossless", "ramp"])
def test_coordinates_that_claim_terabytes_are_refused(coder):
    data, found, _ = sidecar.encode_array(np.linspace(0.0, 1.0, 100))
    blob = data if coder == "ramp" else sidecar.encode_lossless(np.zeros(100))
    assert found == "ramp"
    entry = SidecarEntry(name="x", coder=coder, nbytes=len(blob))
    with pytest.raises(ValueError, match="cannot be in"):
        sidecar.decode_blob(blob, (entry,), {"x": ("<f8", (2**40,))})


def test_attributes_that_ask_for_gigabytes_are_refused():
    bomb = {"$array": ["<U300000000", [2], ["a", "b"]]}
    with pytest.raises(ValueError, match="too large to be listed"):
        xvcomp.typed_json.unpack_json(bomb)


def _dataset(folder: Path) -> Path:
    path = folder / "cube.mp4"
    path.write_bytes(seeds()["repeated"])
    target = folder / "data.tacozip"
    samples = [taco.TacoSample(id="one", path=path)]
    taco.write_taco(target, samples, taco.Collection(id="x", licenses=("CC0-1.0",)))
    return target


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "one/../../secret", "..", ""])
def test_names_that_lead_out_of_a_dataset_are_not_there(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(seeds()["repeated"])
    target = _dataset(tmp_path / "in")
    with taco.open_taco(target) as reader, pytest.raises(XvcompError, match=r"has no|is damaged"):
        reader.open(name)


@pytest.mark.parametrize("part", ["../data.tacozip", "/etc/passwd", "a/b", "", None, 7])
def test_parts_of_a_dataset_are_plain_names_beside_it(tmp_path, part):
    (tmp_path / ".tacocat").mkdir()
    with taco.open_taco(tmp_path) as reader, pytest.raises(ContainerError, match="no name of"):
        reader._store.part(part)


@pytest.mark.parametrize("where", [(0, 2**63), (2**63, 8), (2**64 - 1, 2**64 - 1)])
def test_a_dataset_whose_header_points_outside_is_refused(tmp_path, where):
    pytest.importorskip("pyarrow")
    data = bytearray(_dataset(tmp_path).read_bytes())
    data[45:61] = struct.pack("<QQ", *where)
    with pytest.raises(ContainerError, match="cut short or damaged"):
        taco.open_taco(bytes(data))


@pytest.mark.parametrize("kind", ["encode", "decode"])
def test_killed_at_any_moment_there_is_no_half_file_under_a_final_name(kind):
    found = kill_in_process(kind, count=4)
    assert found["examples"] == []
    assert found["killed"] == 4


def _in_child(work, **limits):
    """Run ``work`` in a forked process; returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, name), (value, value))
            status = work()
        finally:
            os._exit(status or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_full_disk_is_said_and_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "cube.mp4"
    xvcomp.encode(tiny(), path, **TINY)
    before = path.read_bytes()

    def work():
        try:
            xvcomp.encode(tiny(), path, overwrite=True, **TINY)
        except ContainerError as error:
            return 0 if "cannot write" in str(error) else 3
        return 4

    assert _in_child(work, RLIMIT_FSIZE=1000) == 0
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["cube.mp4"]


def test_a_hundred_threads_read_one_file_right():
    assert abuse.crowd(n_threads=100, processes=0)["losses"] == 0


def test_cycles_leave_no_files_open_and_no_threads_behind():
    found = abuse.soak(60, 60, every=20)
    assert found["cycles"] == 60
    assert abuse.leaks(found) == []


def test_what_a_soak_leaves_behind_is_named():
    marks = [(20, 100.0, 5, 3), (40, 100.5, 5, 3), (60, 180.0, 9, 4)]
    found = {"cycle_rss_mib_fds_threads": marks, "left_in_folder": ["cube.mp4", ".x.tmp"]}
    said = ["80 MiB", "4 open files", "1 threads", "files ['cube.mp4', '.x.tmp']"]
    assert abuse.leaks(found) == said


def test_a_process_forked_while_a_part_is_decoded_waits_for_nobody():
    cache, begun, go = PartCache(1000), threading.Event(), threading.Event()

    def slowly():
        begun.set()
        go.wait(30)
        return [np.zeros(1)]

    thread = threading.Thread(target=lambda: cache.get(("file", 0), slowly))
    thread.start()
    begun.wait()

    def work():
        signal.alarm(10)
        return len(cache.get(("file", 0), lambda: [np.zeros(1)])) - 1

    try:
        assert _in_child(work) == 0
    finally:
        go.set()
        thread.join()


def test_a_forked_worker_reads_a_cube_that_its_parent_has_open(tmp_path):
    path = tmp_path / "cube.mp4"
    path.write_bytes(encoded("x265"))
    opened = xvcomp.open(path)
    expected = opened["B00"].isel(time=0).values

    def work():
        signal.alarm(20)
        return int((opened["B00"].isel(time=[0, 11]).values[0] != expected).any())

    assert _in_child(work) == 0


def test_a_slow_source_is_waited_for(tmp_path):
    class Slow(io.BytesIO):
        def read(self, *arguments):
            time.sleep(0.05)
            return super().read(*arguments)

    data = seeds()["gaps"]
    found = xvcomp.open(Slow(data)).load()
    assert snapshot(found) == snapshot(loaded(data))


def test_nothing_of_a_file_is_ever_run(tmp_path):
    """Whatever names a file holds, reading it imports nothing by them and starts nothing."""
    data = seeds()["sidecar"]
    body = manifest_of(data)
    evil = {"$codec": ["numcodecs", {"id": "os.system", "command": f"touch {tmp_path}/run"}]}
    body["attrs"] = {"a": evil, "b": {"$type": "os.system"}, "c": {"$dtype": "os.system"}}
    path = tmp_path / "evil.mp4"
    path.write_bytes(with_manifest(data, json.dumps(body).encode()))
    code = (
        "import sys, xvcomp\n"
        "sys.addaudithook(lambda e, a: e in ('os.system', 'subprocess.Popen') and sys.exit(9))\n"
        f"try: xvcomp.open({str(path)!r})\n"
        "except xvcomp.ContainerError: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert [each.name for each in tmp_path.iterdir()] == ["evil.mp4"]


def test_every_kind_of_the_corpus_keeps_its_promise():
    for kind, data in seeds().items():
        xvcomp.verify(io.BytesIO(data), KINDS[kind].make())
