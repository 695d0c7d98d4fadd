"""Which encoder is taken, what its constraints are, and what happens when it fails.

The capability dumps in ``data/capabilities`` are of machines that nobody had: pixel formats
as builds of FFmpeg list them without a device, limits as the makers specify them.
"""

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import xarray as xr
from av.codec.hwaccel import hwdevices_available

import xvcomp
from xvcomp.codecs import (
    Encoders,
    StreamParams,
    capabilities,
    hwdecode,
    processes,
    registry,
    split,
)
from xvcomp.codecs._frames import allocate_planes, fill_frame, raw_frame, read_frame
from xvcomp.codecs.abc import Capabilities
from xvcomp.codecs.device import DeviceCodec
from xvcomp.codecs.hardware import HardwareCodec, hardware_codecs
from xvcomp.codecs.isolated import _answer, _read_request, _request, encode_in_child
from xvcomp.codecs.probing import made_planes
from xvcomp.codecs.pyav import PyavCodec
from xvcomp.codecs.software import X265
from xvcomp.codecs.vvc import VvEnc
from xvcomp.errors import CodecError, CodecUnavailable, PlanError
from xvcomp.planner.encoder import choose_encoder, encoders_to_try, replacements
from xvcomp.recipe import parse_recipe
from xvcomp.results import Override
from xvcomp.spec import Bpppb, Psnr

DUMPS = sorted((Path(__file__).parent / "data" / "capabilities").glob("*.json"))
GRAY_10 = Capabilities(formats=(("gray", 8), ("gray", 10)), device="hardware")
PSNR_45 = Psnr(45)
GONE = Capabilities(device="hardware", reason="it needs a GPU: there is none")


class FakeHardware(X265):
    """Is said to be a device, and fails in a way of its own once it is used."""

    device = "hardware"
    depths = (8, 10)

    def __init__(self, fail):
        super().__init__()
        self.name = "hevc_fake"
        self.fail, self.calls = fail, 0

    def probe(self):
        return Capabilities(
            formats=(("gray", 8), ("gray", 10)), min_size=(16, 17), device="hardware"
        )

    def encode(self, planes, params):
        self.calls += 1
        return self.fail(planes, params)


def missing_device(planes, params):
    raise CodecUnavailable("hevc_fake does not open: no capable devices found")


def error_mid_stream(planes, params):
    raise CodecError("hevc_fake failed: device lost after 3 frames")


def _in_a_process(code):
    def fail(planes, params):
        command = [sys.executable, "-c", code]
        chunks = [plane.tobytes() for plane in planes]
        finished = processes.run(command, chunks, name="hevc_fake", stall=0.5)
        return _answer("hevc_fake", finished)[0]

    return fail


hang = _in_a_process("import time; time.sleep(60)")
crash = _in_a_process("import os; os.kill(os.getpid(), 11)")
no_stream = _in_a_process("import sys; sys.stdin.buffer.read(); sys.stdout.write('{}')")


def wrong_output(planes, params):
    return X265().encode(tuple(1023 - plane for plane in planes), params)


def other_length(planes, params):
    return X265().encode(tuple(plane[:-1] for plane in planes), params)


FAILURES = {
    "missing device at open": missing_device,
    "error mid-stream": error_mid_stream,
    "hang": hang,
    "wrong output": wrong_output,
    "another number of frames": other_length,
    "crash": crash,
    "no stream": no_stream,
}


@pytest.fixture(params=FAILURES)
def broken(request, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    fake = FakeHardware(FAILURES[request.param])
    registry.register(fake)
    return fake


def cube():
    rng = np.random.default_rng(2)
    t, y, x = np.meshgrid(np.arange(6), np.arange(40), np.arange(48), indexing="ij")
    values = np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7) + 0.02 * rng.normal(size=t.shape)
    return xr.Dataset({"v": (("time", "y", "x"), values.astype("f4"))})


def test_hardware_that_fails_is_replaced_by_software_under_auto(broken, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        report = xvcomp.encode(
            cube(), tmp_path / "c.mp4", target=xvcomp.Psnr(42), encoder="auto", preset="fast"
        )
    assert broken.calls > 0
    assert report.groups[0].codec == "libx265"
    assert any("in place of hevc_fake" in note for note in report.notes)
    assert any("in place of hevc_fake" in record.getMessage() for record in caplog.records)
    assert xvcomp.verify(tmp_path / "c.mp4", cube()).set_psnr_db[""] >= 42


def test_hardware_that_was_asked_for_is_never_replaced(broken, tmp_path):
    for encoder in ("hevc_fake", "hardware"):
        if encoder == "hardware" and broken.fail is hang:
            continue
        with pytest.raises(CodecError):
            xvcomp.encode(
                cube(), tmp_path / "c.mp4", target=xvcomp.Psnr(42), encoder=encoder, preset="fast"
            )
    assert list(tmp_path.iterdir()) == []


def test_hardware_that_fails_under_an_error_bound_costs_no_promise(broken, tmp_path, caplog):
    target = xvcomp.MaxError(0.01)
    xvcomp.encode(cube(), tmp_path / "c.mp4", target=target, preset="fast")
    assert "hevc_fake" in caplog.text
    assert abs(xvcomp.open(tmp_path / "c.mp4").v - cube().v).max() <= 0.01


def test_hardware_that_works_is_used_under_auto_and_fast(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(FakeHardware(X265().encode))
    report = xvcomp.encode(cube(), tmp_path / "c.mp4", target=xvcomp.Psnr(42), preset="fast")
    assert report.groups[0].codec == "hevc_fake"
    assert not report.notes


def machine(**found):
    """Encoders of a made-up machine: hardware and programs by what they answer."""
    software = {"libx265": (8, 10, 12), "libsvtav1": (8, 10), "ffv1": (8, 12)}
    answers = {
        name: Capabilities(formats=tuple(("gray", d) for d in depths))
        for name, depths in software.items()
    } | found
    return Encoders(
        software=tuple(software),
        programs=tuple(name for name in found if name.startswith("lib")),
        hardware=tuple(name for name in found if not name.startswith("lib")),
        probe=answers.__getitem__,
        lossless_only=("ffv1",),
    )


def chosen(encoders, encoder=None, preset="balanced", target=PSNR_45):
    return choose_encoder(Override(codec=encoder), preset, target, encoders)[0]


def test_auto_takes_hardware_for_speed_and_software_for_quality():
    encoders = machine(h264_qsv=GRAY_10, hevc_qsv=GRAY_10)
    assert chosen(encoders, preset="fast") == "hevc_qsv"
    assert chosen(encoders, "auto", preset="fast") == "hevc_qsv"
    assert chosen(encoders, preset="balanced") == "libx265"
    assert chosen(encoders, preset="fast", target=Psnr(55)) == "libx265"
    assert chosen(encoders, "software", preset="fast") == "libx265"
    assert chosen(encoders, "hardware", preset="best") == "hevc_qsv"


def test_auto_needs_no_hardware():
    assert chosen(machine(hevc_nvenc=GONE), preset="fast") == "libx265"
    assert chosen(machine(), "auto", preset="fast", target=Bpppb(0.05)) == "libsvtav1"


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ("hevc_nvenc", "it needs a GPU.*--encoder auto"),
        ("hardware", "no hardware encoder works here.*it needs a GPU"),
        ("h266", "allowed: auto, software, hardware, or one of"),
        ("ffv1", "lossless only"),
        ("libjxl", "no place for JPEG XL in an MP4"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_help(encoder, words):
    with pytest.raises(PlanError, match=words):
        chosen(machine(hevc_nvenc=GONE), encoder)


def test_only_what_the_planner_chose_has_a_replacement():
    encoders = machine(hevc_qsv=GRAY_10)
    for encoder, expected in [
        (None, (("libx265", 12),)),
        ("auto", (("libx265", 12),)),
        ("hevc_qsv", ()),
        ("hardware", ()),
    ]:
        own = Override(codec=encoder)
        assert replacements(own, "hevc_qsv", Psnr(45), encoders) == expected


def test_software_encoders_replace_each_other():
    encoders, own = machine(), Override()
    assert replacements(own, "libsvtav1", Psnr(30), encoders) == (("libx265", 12),)
    assert replacements(own, "libx265", Psnr(45), encoders) == (("libsvtav1", 10),)


def test_libaom_is_tried_for_the_best_at_high_rates_only():
    deep = Capabilities(formats=(("gray", 10), ("gray", 12)), via="ffmpeg")
    encoders = machine(**{"libaom-av1": deep})

    def tried(preset, target, encoder=None):
        found = encoders_to_try(Override(codec=encoder), preset, target, encoders)
        return ("libaom-av1", 12) in found

    assert tried("best", Psnr(62))
    assert not tried("balanced", Psnr(62))
    assert not tried("best", Psnr(40))
    assert not tried("best", Psnr(62), "libx265")


def test_the_machine_is_asked_only_about_what_may_be_chosen():
    asked = []

    def probe(name):
        asked.append(name)
        return Capabilities(formats=(("gray", 12),))

    encoders = Encoders(software=("libx265",), hardware=("hevc_nvenc",), probe=probe)
    assert chosen(encoders) == "libx265"
    assert set(asked) == {"libx265"}


def test_encoder_and_codec_are_one_option(tmp_path):
    report = xvcomp.encode(cube(), tmp_path / "a.mp4", encoder="libx264", target=xvcomp.Psnr(40))
    assert report.groups[0].codec == "libx264"
    with pytest.raises(PlanError, match="one option"):
        xvcomp.plan(cube(), encoder="libx264", codec="libx265")
    assert parse_recipe('encoder = "hardware"').defaults.codec == "hardware"
    with pytest.raises(PlanError, match="one key"):
        parse_recipe('encoder = "auto"\ncodec = "libx265"')


def dump(path):
    return json.loads(path.read_text())


def test_there_are_dumps_and_all_say_that_nobody_ran_them():
    assert len(DUMPS) >= 5
    for path in DUMPS:
        assert "specification" in dump(path)["origin"], path.name


@pytest.mark.parametrize("path", DUMPS, ids=lambda p: p.stem)
def test_constraints_of_a_device_are_kept(path, monkeypatch):
    known = dump(path)
    for name, encoder in known["encoders"].items():
        codec = registry.builtin()[name]
        monkeypatch.setattr(codec, "listed_formats", lambda e=encoder: frozenset(e["pix_fmts"]))
        for case in encoder["carries"]:
            params = StreamParams(
                chroma=case["chroma"], bit_depth=case["bits"], quantizer=None, gop=8
            )
            if case["pix_fmt"] is None:
                with pytest.raises(CodecUnavailable, match="cannot carry"):
                    codec.carrier(params)
            else:
                assert codec.carrier(params).pix_fmt == case["pix_fmt"]
        for height, width in encoder["refused_sizes"]:
            with pytest.raises(CodecUnavailable, match="height x width"):
                codec._check(StreamParams(bit_depth=8, quantizer=20, gop=8), height, width)
        assert codec.min_size[0] >= encoder["min_size"][0]
        assert codec.min_size[1] >= encoder["min_size"][1]
        assert codec.max_size[0] <= encoder["max_size"][0]
        assert codec.max_size[1] <= encoder["max_size"][1]


@pytest.mark.parametrize("codec", hardware_codecs(), ids=lambda c: c.name)
@pytest.mark.parametrize("preset", ["fast", "balanced", "best"])
def test_settings_ask_for_a_constant_quantiser_and_closed_gops(codec, preset):
    coarse, fine = (
        codec.options(
            StreamParams(bit_depth=8, quantizer=quantizer, gop=12, preset=preset), 128, 256
        )
        for quantizer in (40, 10)
    )
    assert coarse["g"] == "12"
    assert coarse["bf"] == "0"
    changed = {key for key in coarse if coarse[key] != fine[key]}
    assert changed <= {"qp", "qp_i", "qp_p", "global_quality"}
    assert changed


def test_ten_bits_travel_at_the_top_of_sixteen_and_chroma_is_interleaved():
    clip = made_planes("420", 10, (1, 4, 6))
    carrier = HardwareCodec("hevc", "nvenc").carriers("420", 10)[0]
    samples = np.frombuffer(raw_frame(clip, 0, carrier), "<u2")
    assert samples.size == 4 * 6 * 3 // 2
    np.testing.assert_array_equal(samples[:24].reshape(4, 6) >> 6, clip[0][0])
    np.testing.assert_array_equal(samples[24::2].reshape(2, 3) >> 6, clip[1][0])
    np.testing.assert_array_equal(samples[25::2].reshape(2, 3) >> 6, clip[2][0])
    assert not (samples & 63).any()


@pytest.mark.parametrize("interface", ["vaapi", "vulkan"])
def test_device_frames_are_uploaded_and_the_device_is_opened_first(interface, monkeypatch):
    codec = DeviceCodec("hevc", interface)
    monkeypatch.setenv("XVCOMP_VAAPI_DEVICE", "/dev/dri/renderD129; rm -rf /")
    options = codec.options(StreamParams(bit_depth=10, quantizer=20, gop=8), 128, 256)
    assert options["vf"] == "hwupload"
    assert options["qp"] == "20"
    expected = {
        "vaapi": {"vaapi_device": "/dev/dri/renderD129; rm -rf /"},
        "vulkan": {"init_hw_device": "vulkan=gpu", "filter_hw_device": "gpu"},
    }
    assert codec.before_input() == expected[interface]


def test_vvenc_asks_for_a_constant_quantiser_and_no_perceptual_adaptation():
    options = VvEnc().options(StreamParams(bit_depth=10, quantizer=30, gop=16), 64, 96)
    assert (options["qp"], options["qpa"], options["g"]) == ("30", "0", "16")


def test_a_child_process_encodes_like_this_one():
    planes = made_planes("gray", 12, (5, 48, 96))
    params = StreamParams(bit_depth=12, quantizer=20, preset="fast", gop=3, threads=1)
    segment, keyframes = encode_in_child("libx265", planes, params)
    assert segment == X265().encode(planes, params)
    assert keyframes == [True, False, False, True, False]


def test_a_child_tells_an_absent_device_from_a_failure():
    planes = made_planes("gray", 8, (2, 128, 256))
    params = StreamParams(bit_depth=8, quantizer=20, preset="fast", gop=2)
    if registry.builtin()["hevc_nvenc"].missing() is None:
        pytest.skip("there is a driver here")
    with pytest.raises(CodecUnavailable, match="hevc_nvenc"):
        encode_in_child("hevc_nvenc", planes, params)


def test_a_request_survives_its_way_to_the_child():
    planes = made_planes("420", 10, (3, 8, 10))
    params = StreamParams(
        chroma="420", bit_depth=10, quantizer=None, gop=2, options={"a": "b\n\"'"}
    )
    found, asked = _read_request(b"".join(_request(planes, params)))
    assert asked == params
    for before, after in zip(planes, found, strict=True):
        np.testing.assert_array_equal(before, after)


def test_hardware_runs_in_a_process_of_its_own_that_may_hang(monkeypatch):
    calls = []

    def isolated(name, planes, params):
        calls.append(name)
        raise CodecError(f"{name} hung")

    monkeypatch.setattr("xvcomp.codecs.hardware.encode_in_child", isolated)
    monkeypatch.setattr(PyavCodec, "listed_formats", lambda self: frozenset({"nv12"}))
    codec = HardwareCodec("hevc", "nvenc")
    params = StreamParams(bit_depth=8, quantizer=20, gop=2)
    with pytest.raises(CodecError, match="hung"):
        codec.encode(made_planes("gray", 8, (2, 128, 256)), params)
    assert calls == ["hevc_nvenc"]


def test_a_fake_that_hangs_leaves_no_process(tmp_path):
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(CodecError, match="hung"):
        processes.run([sys.executable, "-c", code], [], name="it", stall=1.0)
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), signal.SIGCONT)


def stream(gop=6):
    planes = made_planes("gray", 10, (6, 48, 96))
    params = StreamParams(bit_depth=10, quantizer=20, preset="fast", gop=gop, threads=1)
    info, gops = split(X265().encode(planes, params))
    return [packet for gop in gops for packet in gop], info


@pytest.fixture
def machine_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XVCOMP_CACHE", str(tmp_path / "cache"))
    capabilities.clear()
    yield tmp_path / "cache"
    capabilities.clear()


def test_an_unknown_hwaccel_is_refused_with_the_known_ones(tmp_path):
    xvcomp.encode(cube(), tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    with pytest.raises(CodecUnavailable, match=r"'warp'.*knows"):
        xvcomp.open(tmp_path / "c.mp4", hwaccel="warp")


def test_reading_with_an_absent_device_is_reading_with_software(tmp_path, caplog, machine_cache):
    if "cuda" not in hwdevices_available() or Path("/dev/nvidia0").exists():
        pytest.skip("needs a build that knows cuda, and a machine without")
    xvcomp.encode(cube(), tmp_path / "c.mp4", target=xvcomp.Psnr(40), preset="fast")
    expected = xvcomp.open(tmp_path / "c.mp4").load()
    found = xr.open_dataset(tmp_path / "c.mp4", engine="xvcomp", hwaccel="cuda", cache_bytes=0)
    xr.testing.assert_identical(found.load(), expected)
    assert "cuda is not used for hevc" in caplog.text


@pytest.mark.parametrize(
    ("answer", "trusted"),
    [("exact", True), ("its samples differ from software's", False), ("", False)],
)
def test_a_device_is_trusted_after_one_exact_decode_and_asked_once(
    monkeypatch, machine_cache, answer, trusted
):
    packets, info = stream()
    asked = []

    def child(command, chunks, **_):
        asked.append(b"".join(chunks))
        stdout = b"noise xvcomp-answer " + answer.encode()
        return processes.Finished(stdout=stdout, status=0, last_lines=())

    monkeypatch.setattr(hwdecode, "run", child)
    for _ in range(3):
        assert hwdecode.is_trusted(packets, info, chroma="gray", hwaccel="cuda") is trusted
    capabilities.clear()
    assert hwdecode.is_trusted(packets, info, chroma="gray", hwaccel="cuda") is trusted
    assert len(asked) == 1


def test_a_check_that_hangs_or_crashes_leaves_the_device_untrusted(monkeypatch, machine_cache):
    packets, info = stream()

    def child(*_, **__):
        raise CodecError("cuda hung")

    monkeypatch.setattr(hwdecode, "run", child)
    assert not hwdecode.is_trusted(packets, info, chroma="gray", hwaccel="cuda")


@pytest.mark.parametrize("same", [True, False])
def test_the_check_compares_every_sample(monkeypatch, same):
    packets, info = stream()
    sent = []
    monkeypatch.setattr(
        hwdecode,
        "run",
        lambda _, chunks, **__: (
            sent.append(b"".join(chunks)) or processes.Finished(stdout=b"", status=0, last_lines=())
        ),
    )
    hwdecode._tried(packets, info, "gray", "cuda")
    honest = hwdecode.decode_packets

    def device(packets, info, *, chroma, hwaccel=None):
        planes = honest(packets, info, chroma=chroma)
        if hwaccel and not same:
            planes[0][-1, -1, -1] ^= 1
        return planes

    monkeypatch.setattr(hwdecode, "decode_packets", device)
    assert hwdecode._compare(sent[0]) == ("exact" if same else "its samples differ from software's")


def test_a_trusted_device_that_fails_later_leaves_the_gop_to_software(monkeypatch, caplog):
    packets, info = stream()
    monkeypatch.setattr(hwdecode, "is_trusted", lambda *_, **__: True)
    monkeypatch.setattr(hwdecode, "decode_packets", missing_device_decode)
    assert hwdecode.decode_on_device(packets, info, chroma="gray", hwaccel="cuda") is None
    assert "device lost" in caplog.text


def missing_device_decode(*_, **__):
    raise CodecError("device lost")


@pytest.mark.parametrize(("name", "pix_fmt"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le")])
def test_frames_of_devices_are_read_like_planar_ones(name, pix_fmt):
    bits = 8 if name == "nv12" else 10
    clip = made_planes("420", bits, (2, 32, 48))
    frame = av.VideoFrame(48, 32, name)
    fill_frame(frame, clip, 1, HardwareCodec("hevc", "nvenc").carriers("420", bits)[0])
    for chroma, count in (("420", 3), ("gray", 1)):
        planes = allocate_planes(chroma, 1, 32, 48)
        read_frame(frame, planes, 0, pix_fmt)
        assert len(planes) == count
        for found, plane in zip(planes, clip, strict=False):
            np.testing.assert_array_equal(found[0], plane[1])
