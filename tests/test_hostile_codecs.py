"""A codec may lie: the file keeps its promise, or there is none."""

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.codecs import Codec, registry
from xvcomp.codecs.capabilities import Capabilities
from xvcomp.codecs.software import X265

BOUND = 0.01


class Liar(Codec):
    """Codes with x265, and returns something else when decoding (or fails when encoding)."""

    name = "liar"

    def __init__(self, lie, when="decode"):
        self._honest = X265()
        self._lie = lie
        self._when = when

    def probe(self):
        return Capabilities(formats=(("gray", 12),), min_size=(16, 17))

    def quantizers(self, bit_depth):
        return self._honest.quantizers(bit_depth)

    def encode(self, planes, params):
        return self._honest.encode(self._changed(planes, "encode"), params)

    def decode(self, packets, info, *, chroma, threads=1):
        planes = self._honest.decode(packets, info, chroma=chroma, threads=threads)
        return self._changed(planes, "decode")

    def _changed(self, planes, where):
        return tuple(self._lie(plane) for plane in planes) if where == self._when else planes


def zeros(plane):
    return np.zeros_like(plane)


def noise(plane):
    rng = np.random.default_rng(0)
    return rng.integers(0, 4096, plane.shape).astype(plane.dtype)


def shifted(plane):
    return np.roll(plane, 1, axis=0)


def negated(plane):
    return 4095 - plane


def out_of_range(plane):
    return np.full_like(plane, 65535)


def one_frame_less(plane):
    return plane[:-1]


def one_row_less(plane):
    return plane[:, :-1]


def nothing(plane):
    return plane[:0]


def crash(plane):
    raise xvcomp.CodecError("out of order")


class Fickle:
    """Decodes rightly for a while, and wrongly after."""

    def __init__(self, calls):
        self._calls = calls

    def __call__(self, plane):
        self._calls -= 1
        return plane if self._calls >= 0 else plane ^ 64


def made():
    rng = np.random.default_rng(5)
    t, y, x = np.meshgrid(np.arange(10), np.arange(40), np.arange(48), indexing="ij")
    values = np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7) + 0.05 * rng.normal(size=t.shape)
    return xr.Dataset({"v": (("time", "y", "x"), values.astype("f4"))})


@pytest.fixture
def register():
    """Register codecs for one test."""
    before = dict(registry._registered)
    yield registry.register
    registry._registered.clear()
    registry._registered.update(before)


def _encode(path, target):
    return xvcomp.encode(made(), path, target=target, codec="liar", preset="fast")


@pytest.mark.parametrize("when", ["encode", "decode"])
@pytest.mark.parametrize("lie", [zeros, noise, shifted, negated, out_of_range])
def test_wrong_samples_cost_bytes_and_never_the_bound(tmp_path, register, lie, when):
    if when == "encode" and lie is out_of_range:
        pytest.skip("the honest encoder refuses it")
    register(Liar(lie, when))
    report = _encode(tmp_path / "c.mp4", xvcomp.MaxError(BOUND))
    assert report.groups[0].codec == "liar"
    back = xvcomp.open(tmp_path / "c.mp4").load()
    error = np.abs(back.v.values.astype("f8") - made().v.values.astype("f8"))
    assert error.max() <= BOUND


@pytest.mark.parametrize("lie", [one_frame_less, one_row_less, nothing, crash])
def test_a_codec_that_returns_something_else_is_an_error(tmp_path, register, lie):
    register(Liar(lie))
    with pytest.raises(xvcomp.XvcompError):
        _encode(tmp_path / "c.mp4", xvcomp.MaxError(BOUND))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("calls", [0, 1])
def test_a_codec_that_changes_its_mind_is_found_out_before_the_file_appears(
    tmp_path, register, calls
):
    register(Liar(Fickle(calls)))
    try:
        _encode(tmp_path / "c.mp4", xvcomp.MaxError(BOUND))
    except xvcomp.XvcompError:
        assert list(tmp_path.iterdir()) == []
        return
    # Wrong from the first call on, it is at least the same in every process.
    assert calls == 0
    back = xvcomp.open(tmp_path / "c.mp4").load()
    error = np.abs(back.v.values.astype("f8") - made().v.values.astype("f8"))
    assert error.max() <= BOUND


@pytest.mark.parametrize("lie", [zeros, noise, shifted, one_frame_less, crash])
def test_a_psnr_is_reached_or_refused(tmp_path, register, lie):
    register(Liar(lie))
    with pytest.raises(xvcomp.XvcompError):
        _encode(tmp_path / "c.mp4", xvcomp.Psnr(45))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lie", [zeros, crash, one_row_less])
def test_what_the_planner_chose_itself_may_fail_and_packets_take_its_place(
    tmp_path, monkeypatch, lie
):
    from xvcomp.codecs import software

    honest = software.X265.decode

    def lying(self, packets, info, *, chroma, threads=1):
        planes = honest(self, packets, info, chroma=chroma, threads=threads)
        return tuple(lie(plane) for plane in planes)

    monkeypatch.setattr(software.X265, "decode", lying)
    target = xvcomp.MaxError(BOUND)
    xvcomp.encode(made(), tmp_path / "c.mp4", target=target, preset="best")
    back = xvcomp.open(tmp_path / "c.mp4").load()
    error = np.abs(back.v.values.astype("f8") - made().v.values.astype("f8"))
    assert error.max() <= BOUND
