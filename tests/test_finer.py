"""x265 below QP 0: tables, and encoders that take turns."""

import hashlib
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.codecs import StreamParams, finer, registry, split
from xvcomp.codecs.software import X265
from xvcomp.errors import CodecError
from xvcomp.spec import Chroma, Planes, Preset

TABLES = Path(finer.__file__).parent / "x265_tables"
ENTRIES = (16, 8)


@pytest.fixture(scope="module")
def noisy() -> Planes:
    """Smooth waves under noise, which no predictor foresees."""
    rng = np.random.default_rng(7)
    t, y, x = np.indices((6, 64, 96), dtype=np.float64)
    wave = 2048 + 900 * np.sin(x / 11 + t / 3) * np.cos(y / 9)
    return (np.rint(wave + rng.normal(0, 25, wave.shape)).astype(np.uint16),)


def params(quantizer: int, chroma: Chroma = "gray", **more: object) -> StreamParams:
    given = {"preset": "best", "gop": 6, "threads": 1} | more
    return StreamParams(chroma=chroma, bit_depth=12, quantizer=quantizer, **given)  # type: ignore[arg-type]


def error_and_size(planes: Planes, given: StreamParams) -> tuple[float, int]:
    codec = registry.get("libx265")
    info, gops = split(codec.encode(planes, given))
    packets = [packet for gop in gops for packet in gop]
    back = codec.decode(packets, info, chroma=given.chroma)
    squares = [
        np.square(a - b.astype(np.float64)).mean() for a, b in zip(planes, back, strict=True)
    ]
    return math.sqrt(max(squares)), sum(map(len, packets))


def digest(planes: Planes, quantizer: int) -> str:
    return hashlib.md5(registry.get("libx265").encode(planes, params(quantizer))).hexdigest()


def numbers(path: Path) -> list[float]:
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "".join(line for line in lines if not line.startswith("#"))
    return [float(each) for each in text.split(",") if each.strip()]


@pytest.mark.parametrize("entry", ENTRIES)
def test_tables_hold_the_lagrange_factors_of_finer_steps(entry: int) -> None:
    ratio = 16 / entry
    factors = [round(2 ** (q / 6 + 2), 4) / ratio for q in range(70)]
    # x265 4.2 has four decimals of the squares, cut off.
    cut = [math.floor(0.038 * math.exp(0.234 * q) * 1e4) / 1e4 for q in range(70)]
    squares = [each * 256 / ratio**2 for each in cut]
    assert numbers(TABLES / f"lagrange{entry}.txt") == pytest.approx(factors + squares, rel=1e-12)


@pytest.mark.parametrize("entry", ENTRIES)
def test_tables_can_be_read_where_decimals_follow_a_comma(entry: int) -> None:
    lines = (TABLES / f"lagrange{entry}.txt").read_text(encoding="utf-8").splitlines()
    assert not any("." in line for line in lines if not line.startswith("#"))


def test_the_tables_between_uses_are_those_of_x265_itself() -> None:
    script = """
import hashlib, numpy as np, sys
from xvcomp.codecs import StreamParams, finer, registry
if sys.argv[1] == "loaded":
    finer._load(finer.FLAT)
noise = np.random.default_rng(3).normal(2048, 60, (5, 64, 96)).astype(np.uint16)
for qp in (0, 2, 3, 6, 9, 20):
    for preset in ("fast", "best"):
        params = StreamParams(bit_depth=12, quantizer=qp, preset=preset, gop=5, threads=1)
        print(qp, hashlib.md5(registry.get("libx265").encode((noise,), params)).hexdigest())
"""
    found = [
        subprocess.run([sys.executable, "-c", script, how], capture_output=True, check=True).stdout
        for how in ("as it is", "loaded")
    ]
    assert found[0] == found[1]
    assert found[0].count(b"\n") == 12


def test_lists_are_flat_and_complete() -> None:
    lines = (TABLES / "flat8.txt").read_text(encoding="utf-8").split("\n")
    heads = [line for line in lines if "=" in line]
    values = [int(v) for line in lines if "=" not in line for v in line.split(",") if v]
    assert len(heads) == 24 + 12  # four sizes, intra and inter, three planes; two with DC
    assert values == [8] * (6 * 16 + 18 * 64 + 12)


@pytest.mark.parametrize(("qp", "given"), [(5, (5, 16)), (0, (0, 16)), (-1, (5, 8)), (-6, (0, 8))])
def test_a_qp_is_split_into_one_that_x265_takes_and_a_list(qp: int, given: tuple[int, int]) -> None:
    assert finer.split_qp(qp) == given


@pytest.mark.parametrize("preset", ["fast", "balanced", "best"])
def test_only_the_best_preset_goes_below_qp_0(preset: Preset) -> None:
    codec = registry.get("libx265")
    lowest = min(codec.worthwhile(12, preset))
    assert lowest == (finer.FINEST if preset == "best" else 0)
    assert min(codec.worthwhile(10, preset)) == 0


def test_six_qps_below_zero_halve_the_error(noisy: Planes) -> None:
    (error, size), (finer_error, finer_size) = (error_and_size(noisy, params(q)) for q in (0, -6))
    assert 0.4 < finer_error / error < 0.6
    assert size < finer_size


def test_finer_steps_are_worth_their_bits(noisy: Planes) -> None:
    # Six decibels cost noise about one bit a sample, or two with the factors of QP 0.
    (error, size), (finer_error, finer_size) = (error_and_size(noisy, params(q)) for q in (0, -6))
    bits = 8 * (finer_size - size) / noisy[0].size
    assert bits / math.log2(error / finer_error) < 1.3


@pytest.mark.parametrize("chroma", ["420", "444"])
def test_colour_planes_gain_as_well(noisy: Planes, chroma: Chroma) -> None:
    half = 2 if chroma == "420" else 1
    planes = (noisy[0], *(np.ascontiguousarray(noisy[0][:, ::half, ::half]),) * 2)
    coarse, _ = error_and_size(planes, params(0, chroma))
    fine, _ = error_and_size(planes, params(-6, chroma))
    assert fine < 0.6 * coarse


def test_coarser_encodes_are_the_same_before_between_and_after_finer_ones(noisy: Planes) -> None:
    before = {q: digest(noisy, q) for q in (3, 20)}
    finest = digest(noisy, -6)
    with ThreadPoolExecutor(4) as pool:
        mixed = list(pool.map(lambda q: (q, digest(noisy, q)), [3, -6, 20, -3, 3, -6, 20] * 2))
    assert {d for q, d in mixed if q == -6} == {finest}
    assert {q: digest(noisy, q) for q in (3, 20)} == before
    assert {(q, d) for q, d in mixed if q in before} == set(before.items())


def test_encoders_wait_for_those_that_need_other_tables() -> None:
    loaded: list[int] = []
    tables = finer.LagrangeTables(loaded.append)
    inside, leave, entered = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with tables.using(8):
            inside.set()
            assert leave.wait(10)

    def second() -> None:
        with tables.using(16):
            entered.set()

    threads = [threading.Thread(target=each) for each in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    with tables.using(8):  # the same tables: no waiting
        threads[1].start()
        assert not entered.wait(0.2)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert entered.is_set()
    assert loaded == [8, 16]


def test_tables_that_cannot_be_read_end_one_encode_only() -> None:
    def load(entry: int) -> None:
        raise CodecError("no such file")

    tables = finer.LagrangeTables(load)
    with pytest.raises(CodecError, match="no such file"), tables.using(8):
        pytest.fail("was entered")
    with tables.using(16):
        pass


def test_an_encode_is_good_though_tables_cannot_be_put_back() -> None:
    def load(entry: int) -> None:
        if entry == finer.FLAT and failing:
            raise CodecError("no such file")
        loaded.append(entry)

    failing, loaded = True, list[int]()
    tables = finer.LagrangeTables(load)
    with tables.using(8):
        pass
    failing = False
    with tables.using(16):
        assert loaded == [8, 16]


def test_interrupted_waiting_leaves_the_tables_to_others() -> None:
    tables = finer.LagrangeTables(lambda entry: None)
    with tables.using(8):
        tables._is_free = _interrupt  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt), tables.using(16):
            pytest.fail("was entered")
        del tables._is_free
    with tables.using(16):
        pass


def _interrupt(ticket: object, entry: int) -> bool:
    raise KeyboardInterrupt


def test_frames_that_come_out_wrong_below_qp_0_are_coded_above_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest, below = X265.encode, []

    def lying(self: X265, planes: Planes, given: StreamParams) -> bytes:
        if given.quantizer is not None and given.quantizer < 0:
            below.append(given.quantizer)
            planes = tuple(4095 - plane for plane in planes)
        return honest(self, planes, given)

    monkeypatch.setattr(X265, "encode", lying)
    rng = np.random.default_rng(1)
    field = rng.normal(280, 5, (6, 48, 64)).cumsum(axis=2).astype("f4")
    ds = xr.Dataset({"t": (("time", "y", "x"), field, {"units": "K"})})
    report = xvcomp.encode(
        ds, tmp_path / "c.mp4", target=xvcomp.Quality(65), preset="best", codec="libx265"
    )
    assert below
    assert [group.quantizer for group in report.groups] == [0]
    assert report.set_psnr_db["K"] > 55


def test_a_missing_table_is_an_error_of_ours(
    noisy: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finer, "_path", lambda name: f"/nowhere/{name}")
    with pytest.raises(CodecError):
        registry.get("libx265").encode(noisy, params(-3))
    monkeypatch.undo()
    registry.get("libx265").encode(noisy, params(3))


def test_folders_of_any_name_hold_tables(
    noisy: Planes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = digest(noisy, -3)
    folder = tmp_path / "it's 5:30 = x\\y"
    folder.mkdir()
    for each in TABLES.iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    monkeypatch.setattr(finer, "_path", lambda name: str(folder / name))
    assert digest(noisy, -3) == wanted


def test_paths_too_long_for_x265_are_an_error_of_ours(
    noisy: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finer, "_path", lambda name: f"/{'long' * 70}/{name}")
    with pytest.raises(CodecError, match="255 characters"):
        registry.get("libx265").encode(noisy, params(-3))
    registry.get("libx265").encode(noisy, params(3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_does_not_wait_for_threads_of_its_parent() -> None:
    script = """
import os, threading
from xvcomp.codecs.finer import lagrange
inside, leave = threading.Event(), threading.Event()
def hold():
    with lagrange.using(8):
        inside.set()
        leave.wait(20)
thread = threading.Thread(target=hold)
thread.start()
inside.wait(20)
child = os.fork()
if not child:
    with lagrange.using(16):
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
leave.set()
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, timeout=60
    )
    assert found.stdout.split() == [b"7"]
