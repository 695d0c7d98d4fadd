"""The system's FFmpeg: driven without deadlock, killed when it must be, and believed by trial."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp import codecs
from xvcomp.codecs import StreamParams, capabilities, processes, program, split
from xvcomp.codecs.aom import LibAom
from xvcomp.codecs.probing import made_planes
from xvcomp.codecs.program import find_program
from xvcomp.errors import CodecError, CodecUnavailable, PlanError

PARAMS = StreamParams(bit_depth=12, quantizer=20, preset="fast", gop=4, threads=1)


def usable(name):
    found = codecs.probe(name)
    if not found.usable:
        pytest.skip(str(found.reason))
    return codecs.get(name)


def fake_ffmpeg(folder, body, name="ffmpeg"):
    """Write a program that answers like FFmpeg, and does ``body`` when it is to encode."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\n"
        + textwrap.dedent(
            """
            import os, signal, sys, time
            if "-version" in sys.argv:
                print("ffmpeg version 99-fake"); sys.exit()
            if "-h" in sys.argv:
                print("Supported pixel formats: gray gray10le gray12le yuv420p"); sys.exit()
            """
        )
        + textwrap.dedent(body)
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def fake(tmp_path, monkeypatch):
    def make(body, name="ffmpeg"):
        monkeypatch.setenv("XVCOMP_FFMPEG", str(fake_ffmpeg(tmp_path, body, name)))
        return LibAom()

    return make


def run(code, chunks=(), stall=20.0):
    return processes.run([sys.executable, "-c", code], chunks, name="it", stall=stall)


def test_pipes_larger_than_their_buffers_do_not_block_each_other():
    code = "import sys; sys.stderr.write('x\\n' * 500000); d = sys.stdin.buffer.read(); "
    code += "sys.stdout.buffer.write(d); sys.stderr.write('last words')"
    data = os.urandom(3_000_000)
    finished = run(code, [data[:1_000_000], data[1_000_000:]])
    assert finished.stdout == data
    assert finished.status == 0
    assert finished.last_lines[-1] == "last words"


def test_a_program_that_writes_while_it_reads_needs_no_luck():
    code = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    data = os.urandom(2_000_000)
    assert run(code, [data] * 3).stdout == data * 3


def test_a_program_that_stops_reading_is_told_by_its_status():
    finished = run("import sys; sys.stderr.write('enough'); sys.exit(7)", [bytes(1_000_000)] * 9)
    assert finished.why == "exit status 7: enough"


def test_a_program_that_is_killed_by_a_signal_says_so():
    assert "signal 11" in run("import os; os.kill(os.getpid(), 11)").why


def test_a_program_that_hangs_is_killed_in_time():
    started = time.monotonic()
    with pytest.raises(CodecError, match="hung"):
        run("import time; time.sleep(60)", [bytes(100)], stall=0.5)
    assert time.monotonic() - started < 10


def test_a_program_that_closes_its_output_and_hangs_is_killed_too():
    with pytest.raises(CodecError, match="hung"):
        run("import os, time; os.close(1); time.sleep(60)", stall=0.5)


def test_an_error_while_feeding_is_the_callers_error():
    def chunks():
        yield bytes(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run("import sys; sys.stdin.read()", chunks())


def test_a_program_that_is_not_there_is_unavailable():
    with pytest.raises(CodecUnavailable, match="cannot be started"):
        processes.run(["/no/such/program"], [], name="it", stall=1)


def test_the_stall_limit_grows_with_the_clip_and_can_be_set(monkeypatch):
    monkeypatch.delenv("XVCOMP_STALL_SECONDS", raising=False)
    assert processes.stall_seconds(10**6) > processes.stall_seconds(0) >= 30
    monkeypatch.setenv("XVCOMP_STALL_SECONDS", "2")
    assert processes.stall_seconds(0) == 2
    monkeypatch.setenv("XVCOMP_STALL_SECONDS", "soon")
    with pytest.raises(CodecError, match="soon"):
        processes.stall_seconds(0)


def test_ctrl_c_ends_the_program_as_well(tmp_path):
    mark = tmp_path / "pid"
    child = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from xvcomp.codecs import processes\n"
        f"processes.run([sys.executable, '-c', {child!r}], [], name='it', stall=50)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not (mark.exists() and mark.read_text()):
        time.sleep(0.05)
    pid = int(mark.read_text())
    parent.send_signal(signal.SIGINT)
    assert parent.wait(10) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_threads_do_not_outlive_the_program():
    before = threading.active_count()
    run("import sys; sys.stdin.read()", [bytes(1000)])
    assert threading.active_count() == before


def test_the_command_has_no_shell_and_no_file_names():
    codec = usable("libaom-av1")
    clip = made_planes("gray", 12, (2, 32, 48))
    command = codec.command(codec.carrier(PARAMS), PARAMS, *clip[0].shape[1:])
    assert command[0] == find_program().path
    assert command[command.index("-i") + 1] == "pipe:0"
    assert command[-1] == "pipe:1"
    assert all(isinstance(word, str) for word in command)


@pytest.mark.parametrize("name", ["ff mpeg; rm -rf $HOME", "-y", "ünï'\"`cöde`"])
def test_a_program_with_a_hostile_name_is_just_a_program(fake, name):
    real = find_program_or_skip()
    codec = fake(f"os.execv({real!r}, [{real!r}] + sys.argv[1:])", name)
    info, gops = split(codec.encode(made_planes("gray", 12, (4, 32, 48)), PARAMS))
    assert info.pix_fmt == "gray12le"
    assert len(gops) == 1


def find_program_or_skip():
    try:
        return find_program().path
    except CodecUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "sys.stderr.write('a\\nUnknown encoder x\\n'); sys.exit(1)",
            "status 1: .*Unknown encoder",
        ),
        ("sys.stdin.buffer.read(100); os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("sys.stdout.write('no video')", "does not fit into an MP4"),
        ("sys.stdin.buffer.read()", "does not fit into an MP4"),
        ("time.sleep(60)", "hung"),
    ],
)
def test_every_way_to_fail_is_told_in_the_error(fake, monkeypatch, body, words):
    pytest.importorskip("ffmpeg")
    monkeypatch.setenv("XVCOMP_STALL_SECONDS", "0.5")
    with pytest.raises(CodecError, match=words):
        fake(body).encode(made_planes("gray", 12, (3, 32, 48)), PARAMS)


def test_a_stream_of_another_length_is_refused(fake):
    real = find_program_or_skip()
    body = f"""
        import subprocess
        data = sys.stdin.buffer.read()
        command = [{real!r}] + sys.argv[1:]
        done = subprocess.run(command, input=data[:-2 * 32 * 48], capture_output=True)
        sys.stdout.buffer.write(done.stdout)
    """
    with pytest.raises(CodecError, match="3 frames"):
        fake(body).encode(made_planes("gray", 12, (4, 32, 48)), PARAMS)


def test_no_program_is_a_reason_that_says_what_helps(monkeypatch, tmp_path):
    monkeypatch.delenv("XVCOMP_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = codecs.probe("libaom-av1")
    assert not found.usable
    assert "install FFmpeg" in found.reason
    monkeypatch.setenv("XVCOMP_FFMPEG", str(tmp_path / "nope"))
    assert "which is no program" in codecs.probe("libaom-av1").reason


def test_what_calls_itself_ffmpeg_must_answer_like_it(monkeypatch, tmp_path):
    path = tmp_path / "ffmpeg"
    path.write_text("#!/bin/sh\necho hello\n")
    path.chmod(0o755)
    monkeypatch.setenv("XVCOMP_FFMPEG", str(path))
    assert "is no FFmpeg" in codecs.probe("libaom-av1").reason


def test_a_program_that_never_answers_is_waited_for_once(monkeypatch, tmp_path):
    path = tmp_path / "ffmpeg"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    monkeypatch.setenv("XVCOMP_FFMPEG", str(path))
    monkeypatch.setattr(program, "_SECONDS", 0.5)
    started = time.monotonic()
    reasons = {codecs.probe(name).reason for name in ("libaom-av1", "librav1e", "libopenjpeg")}
    assert time.monotonic() - started < 1.4
    (reason,) = reasons
    assert "does not answer" in reason
    assert "XVCOMP_FFMPEG" in reason


def test_a_missing_ffmpeg_python_is_a_reason_with_the_extra_to_install(monkeypatch):
    find_program_or_skip()
    monkeypatch.setitem(sys.modules, "ffmpeg", None)
    assert "xvcomp[ffmpeg]" in str(LibAom().missing())


def test_capabilities_are_asked_again_when_the_program_changes(fake, monkeypatch, tmp_path):
    pytest.importorskip("ffmpeg")
    monkeypatch.setenv("XVCOMP_CACHE", str(tmp_path / "cache"))
    codec = fake("sys.exit('broken')")
    assert "broken" in str(codecs.probe(codec.name).reason)
    before = codec.stamp()
    fake("sys.exit('mended: no')")
    assert codec.stamp() != before
    assert "mended" in str(codecs.probe(codec.name).reason)


def test_a_hang_is_forgotten_sooner_than_an_absence(fake, monkeypatch, tmp_path):
    monkeypatch.setenv("XVCOMP_CACHE", str(tmp_path / "cache"))
    codec = fake("pass")
    key = (codec.name, codec.stamp())
    old = time.time() - 3600
    for reason, is_kept in (("no driver", True), ("it hung: no answer in 1 s", False)):
        capabilities._store(key, codecs.Capabilities(reason=reason))
        os.utime(capabilities._file(key), (old, old))
        assert (capabilities._load(key) is not None) == is_kept


def test_every_gop_of_an_intra_codec_starts_at_a_keyframe_and_only_there():
    codec = usable("libopenjpeg")
    clip = made_planes("gray", 12, (7, 32, 48))
    _, gops = split(codec.encode(clip, StreamParams(bit_depth=12, quantizer=1, gop=3)))
    assert [len(gop) for gop in gops] == [3, 3, 1]


def test_libaom_goes_beyond_what_x265_reaches():
    codec = usable("libaom-av1")
    clip = made_planes("gray", 12, (4, 64, 96))
    info, gops = split(codec.encode(clip, StreamParams(bit_depth=12, quantizer=1, gop=4)))
    (decoded,) = codec.decode([p for gop in gops for p in gop], info, chroma="gray")
    mse = np.square(decoded.astype(np.float64) - clip[0]).mean()
    assert 10 * np.log10(4095**2 / mse) > 66


def cube():
    rng = np.random.default_rng(2)
    t, y, x = np.meshgrid(np.arange(8), np.arange(40), np.arange(48), indexing="ij")
    values = np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7) + 0.02 * rng.normal(size=t.shape)
    return xr.Dataset({"v": (("time", "y", "x"), values.astype("f4"))})


@pytest.mark.parametrize("name", ["libaom-av1", "librav1e", "libopenjpeg"])
def test_a_cube_coded_by_the_program_keeps_its_promise_and_reads_without_it(
    tmp_path, monkeypatch, name
):
    usable(name)
    path = tmp_path / "c.mp4"
    report = xvcomp.encode(cube(), path, target=xvcomp.Psnr(45), encoder=name, preset="fast")
    assert report.groups[0].codec == name
    monkeypatch.setenv("PATH", str(tmp_path))
    assert xvcomp.verify(path, cube()).set_psnr_db[""] >= 45


def test_an_error_bound_holds_with_a_codec_of_the_program(tmp_path):
    usable("libopenjpeg")
    target = xvcomp.MaxError(0.01)
    xvcomp.encode(cube(), tmp_path / "c.mp4", target=target, encoder="libopenjpeg", preset="fast")
    assert abs(xvcomp.open(tmp_path / "c.mp4").v - cube().v).max() <= 0.01


def test_without_the_program_nothing_else_changes(tmp_path, monkeypatch):
    xvcomp.encode(cube(), tmp_path / "a.mp4", target=xvcomp.Psnr(45), preset="fast")
    monkeypatch.setenv("PATH", str(tmp_path))
    xvcomp.encode(cube(), tmp_path / "b.mp4", target=xvcomp.Psnr(45), preset="fast")
    assert Path(tmp_path / "a.mp4").read_bytes() == Path(tmp_path / "b.mp4").read_bytes()
    with pytest.raises(PlanError, match=r"cannot be used here.*install FFmpeg"):
        xvcomp.encode(cube(), tmp_path / "d.mp4", encoder="libaom-av1")
