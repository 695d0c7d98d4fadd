import errno
import io
import os
import pickle
import zipfile
from functools import cache
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from conformance.container_suite import (
    ContainerSuite,
    assert_equal_frames,
    decode_segment,
    ffv1,
    x265,
)

from xvcomp.containers import reader as reader_module
from xvcomp.containers import writer as writer_module
from xvcomp.containers.abc import ByteRange
from xvcomp.containers.mp4 import Mp4Reader, Mp4Writer, is_xvcomp
from xvcomp.containers.source import (
    BufferSource,
    FsspecSource,
    LocalSource,
    RangeSource,
    SliceSource,
    open_source,
    read_coalesced,
)
from xvcomp.errors import ContainerError


class TestMp4(ContainerSuite):
    def writer(self, path):
        return Mp4Writer(path)

    def reader(self, source):
        return Mp4Reader(source)


class TestMp4WithPlainHeader(TestMp4):
    def writer(self, path):
        return Mp4Writer(path, compress_header=False)


@cache
def segments():
    return x265(0, 8), x265(8, 16), x265(16, 20)


def cube(compress=True, manifest="{}", parts=None, n_tracks=1, packets=True):
    writer = Mp4Writer(None, compress_header=compress)
    for _ in range(n_tracks):
        track = writer.add_track()
        for segment in parts or segments():
            writer.add_segment(track, segment)
    for frame in (0, 8, 16) if packets else ():
        writer.add_packet(frame, 0, b"packet" * (frame + 1))
    return writer.to_bytes(manifest)


class CountingSource(RangeSource):
    """Memory that counts requests."""

    def __init__(self, data):
        self.name, self.nbytes, self.data, self.reads = "counted", len(data), data, []

    def _read(self, offset, nbytes):
        self.reads.append((offset, nbytes))
        return self.data[offset : offset + nbytes]


@pytest.mark.parametrize("compress", [True, False])
def test_ordinary_readers_decode_all_frames_in_order(compress):
    expected = [frame for segment in segments() for frame in decode_segment(segment)]
    with av.open(io.BytesIO(cube(compress, manifest="hello"))) as container:
        assert container.metadata["xvcomp"] == "hello"
        found = list(container.decode(video=0))
        assert [frame.time for frame in found] == pytest.approx(np.arange(20) / 10)
    assert_equal_frames([frame.to_ndarray() for frame in found], expected)


@pytest.mark.parametrize("compress", [True, False])
def test_ordinary_readers_find_the_timed_packets(compress):
    with av.open(io.BytesIO(cube(compress))) as container:
        found = [packet for packet in container.demux(data=0) if packet.size]
        assert [float(packet.pts * packet.time_base) for packet in found] == [0, 0.8, 1.6]
        assert [bytes(packet) for packet in found] == [b"packet" * n for n in (1, 9, 17)]


def test_ordinary_readers_seek_to_a_gop():
    with av.open(io.BytesIO(cube())) as container:
        stream = container.streams.video[0]
        container.seek(int(0.8 / stream.time_base), stream=stream)
        assert next(container.decode(stream)).time == pytest.approx(0.8)


def test_decoding_times_increase_and_precede_display():
    with av.open(io.BytesIO(cube())) as container:
        times = [(p.dts, p.pts) for p in container.demux(video=0) if p.size]
    dts, pts = np.array(times).T
    assert (np.diff(dts) > 0).all()
    assert (dts <= pts).all()
    assert sorted(pts) == sorted(set(pts))


def test_folded_tracks_last_as_long_as_their_frames():
    writer = Mp4Writer(None)
    writer.add_segment(writer.add_track(), x265(0, 8))
    writer.add_segment(writer.add_track(frame_duration=8), x265(0, 1))
    with av.open(io.BytesIO(writer.to_bytes("{}"))) as container:
        assert [float(s.duration * s.time_base) for s in container.streams.video] == [0.8, 0.8]


@pytest.mark.parametrize("compress", [True, False])
def test_damaged_headers_never_crash(compress):
    data = cube(compress)
    rng = np.random.default_rng(1)
    start, end = 0, data.index(b"mdat")
    refused = 0
    for _ in range(600):
        broken = bytearray(data)
        for position in rng.integers(start, end, rng.integers(1, 4)):
            broken[position] ^= 1 << rng.integers(8)
        try:
            with Mp4Reader(bytes(broken)) as opened:
                for gop in range(len(opened.gops(0)) if opened.tracks else 0):
                    opened.read_gops(0, gop, gop + 1)
                for key in opened.packet_keys():
                    opened.read_packet(*key)
        except ContainerError:
            refused += 1
    assert refused > (550 if compress else 100)


def test_a_damaged_compressed_header_is_noticed_or_means_the_same():
    data, refused = cube(compress=True), 0
    expected = Mp4Reader(data)
    start = data.index(b"cmvd")
    end = start - 4 + int.from_bytes(data[start - 4 : start], "big")
    for position in range(start, end):
        broken = bytearray(data)
        broken[position] ^= 0x10
        try:
            opened = Mp4Reader(bytes(broken))
        except ContainerError:
            refused += 1
            continue
        # Deflate has padding, and can say one thing in several ways.
        assert opened.manifest == expected.manifest
        assert opened.tracks == expected.tracks
        assert opened.read_gops(0, 0, 3) == expected.read_gops(0, 0, 3)
    assert refused > 0.95 * (end - start)


def test_a_header_that_claims_to_inflate_beyond_reason_is_refused():
    data = bytearray(cube())
    position = data.index(b"cmvd") + 4
    data[position : position + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ContainerError, match="claims 4294967295"):
        Mp4Reader(bytes(data))


def test_opening_takes_one_read_and_a_large_header_two():
    source = CountingSource(cube())
    Mp4Reader(source)
    assert len(source.reads) == 1
    noise = np.random.default_rng(0).bytes(200_000).hex()
    source = CountingSource(cube(manifest=noise))
    assert Mp4Reader(source).manifest == noise
    assert len(source.reads) == 2


def test_a_run_of_gops_takes_one_read():
    source = CountingSource(cube(n_tracks=3))
    opened = Mp4Reader(source)
    source.reads.clear()
    gops = opened.read_gops(1, 0, 3)
    assert len(source.reads) == 1
    assert gops == [opened.read_gops(1, i, i + 1)[0] for i in range(3)]


def test_the_packet_at_frame_0_slot_0_comes_first():
    writer = Mp4Writer(None)
    writer.add_segment(writer.add_track(), x265(0, 8))
    writer.add_packet(0, 1, b"mask of frame 0")
    writer.add_packet(0, 0, b"sidecar")
    data = writer.to_bytes("{}")
    assert data[data.index(b"mdat") + 4 :].startswith(b"sidecar")


def test_packets_lie_beside_their_gop():
    data = cube(n_tracks=2)
    opened = Mp4Reader(data)
    for gop, frame in ((1, 8), (2, 16)):
        last = opened.gops(1)[gop].packets[-1]
        payload = opened.read_packet(frame, 0)
        assert data[last.offset + last.nbytes :].startswith(payload)


@pytest.mark.parametrize(("compress", "limit"), [(True, 1000), (False, 3000)])
def test_overhead_of_a_small_cube_stays_small(compress, limit):
    rng = np.random.default_rng(0)
    manifest = rng.bytes(50).hex()
    parts = [x265(i, min(i + 32, 118), gop=32) for i in range(0, 118, 32)]
    data = cube(compress, manifest=manifest, parts=parts)
    opened = Mp4Reader(data)
    payload = sum(place.nbytes for gop in opened.gops(0) for place in gop.packets)
    payload += sum(len(opened.read_packet(*key)) for key in opened.packet_keys())
    assert len(data) - payload <= limit


def test_many_tiny_frames_are_indexed():
    segment = ffv1(0, 20)
    writer = Mp4Writer(None)
    track = writer.add_track()
    for _ in range(100):
        writer.add_segment(track, segment)
    opened = Mp4Reader(writer.to_bytes("{}"))
    assert len(opened.gops(0)) == 500
    assert opened.read_gops(0, 495, 500) == opened.read_gops(0, 0, 5)


@pytest.mark.parametrize("n_bytes_until_full", [0, 100, 5000])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch, n_bytes_until_full):
    class FullDisk(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > n_bytes_until_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    real_open = Path.open

    def open_on_full_disk(self, mode="r", *args, **kwargs):
        return FullDisk(self, "x") if mode == "xb" else real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with Mp4Writer(tmp_path / "cube.mp4") as writer:
        writer.add_segment(writer.add_track(), ffv1(0, 12))
        with pytest.raises(
            ContainerError, match=r"cannot write .*cube\.mp4: No space left"
        ) as caught:
            writer.close("{}")
        assert caught.value.errno == errno.ENOSPC
        assert not list(tmp_path.iterdir())


def test_a_full_disk_while_spooling_is_reported(tmp_path, monkeypatch):
    writer = Mp4Writer(tmp_path / "cube.mp4")

    def fail(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer._spool, "write", fail)
    with pytest.raises(ContainerError, match="No space left"):
        writer.add_packet(0, 0, b"sidecar")
    assert not list(tmp_path.iterdir())


def test_large_tracks_are_spooled_to_disk_without_a_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_SPOOL_NBYTES", 1000)
    writer = Mp4Writer(tmp_path / "cube.mp4")
    writer.add_segment(writer.add_track(), ffv1(0, 12))
    assert writer._spool._rolled
    writer.abort()
    assert not list(tmp_path.iterdir())


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    writer = Mp4Writer(tmp_path / "cube.mp4")
    writer.add_packet(0, 0, b"sidecar")
    with pytest.raises(KeyboardInterrupt):
        writer.close("{}")
    assert not list(tmp_path.iterdir())


def test_files_over_4_gib_get_wide_positions(monkeypatch):
    """The header of a file of 6 GB, whose payloads are only claimed."""
    writer = Mp4Writer(None, compress_header=False)
    for frame in range(6):
        writer.add_packet(frame, 1, b"x")
        writer._packets[frame, 1].sizes = [10**9]
    chunks = [writer._packets[key] for key in sorted(writer._packets)]
    header = writer._header("{}", chunks)
    assert header[-16:-8] == b"\0\0\0\x01mdat"

    class Sparse(BufferSource):
        def __init__(self):
            super().__init__(header + bytes(65536))
            self.nbytes = len(header) + 6 * 10**9

    place = Mp4Reader(Sparse())._packets[5, 1]
    assert place == ByteRange(len(header) + 5 * 10**9, 10**9)
    source = Sparse()
    source.nbytes -= 1
    with pytest.raises(ContainerError, match="cut short"):
        Mp4Reader(source)


def test_is_xvcomp_knows_its_own_and_never_raises(tmp_path):
    path = tmp_path / "cube.mp4"
    path.write_bytes(cube())
    assert is_xvcomp(path)
    assert is_xvcomp(str(path))
    assert is_xvcomp(cube(compress=False))
    for foreign in (b"", b"\0", b"ftyp", x265(0, 8), bytes(100), tmp_path, tmp_path / "none.mp4"):
        assert not is_xvcomp(foreign)
    assert not is_xvcomp("nosuchprotocol://cube.mp4")
    assert not is_xvcomp(3)


@pytest.fixture
def memory_url():
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/containers/cube.mp4", cube())
    yield "memory://containers/cube.mp4"
    filesystem.rm("/containers", recursive=True)


def test_urls_are_read_by_range(memory_url):
    with Mp4Reader(memory_url) as opened, Mp4Reader(cube()) as expected:
        assert opened.read_gops(0, 0, 3) == expected.read_gops(0, 0, 3)
        assert pickle.loads(pickle.dumps(opened)).read_packet(8, 0) == b"packet" * 9
    assert is_xvcomp(memory_url)
    with pytest.raises(FileNotFoundError):
        Mp4Reader("memory://containers/none.mp4")
    with pytest.raises(ContainerError, match="folder"):
        Mp4Reader("memory://containers")


def test_a_file_inside_a_zip_is_read_by_url(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/cube.mp4", cube(manifest="zipped"))
    with Mp4Reader(f"zip://a/cube.mp4::file://{tmp_path}/all.zip") as opened:
        assert opened.manifest == "zipped"
        assert opened.read_packet(16, 0) == b"packet" * 17


def test_servers_that_ignore_ranges_are_borne(memory_url):
    source = FsspecSource(memory_url)
    whole = cube()
    source._fs.cat_file = lambda path, start=None, end=None: whole
    try:
        assert source.read(100, 50) == whole[100:150]
    finally:
        del source._fs.cat_file


@pytest.mark.parametrize("kind", ["buffer", "local", "file", "memory", "slice"])
def test_sources_read_exactly_or_raise(tmp_path, kind):
    data = bytes(range(256)) * 4
    (tmp_path / "data").write_bytes(data)
    fsspec.filesystem("memory").pipe("/sources/data", data)
    source = {
        "buffer": lambda: open_source(data),
        "local": lambda: open_source(tmp_path / "data"),
        "file": lambda: open_source(io.BytesIO(data)),
        "memory": lambda: open_source("memory://sources/data"),
        "slice": lambda: SliceSource(BufferSource(b"abc" + data + b"def"), 3, len(data)),
    }[kind]()
    assert source.nbytes == len(data)
    assert source.read(250, 10) == data[250:260]
    assert source.read(1024, 0) == b""
    wanted = [ByteRange(0, 3), ByteRange(500, 20)]
    assert source.read_many(wanted) == [data[:3], data[500:520]]
    with pytest.raises(ContainerError, match="cut short"):
        source.read(1020, 5)
    with pytest.raises(ContainerError, match="cut short"):
        source.read_many([ByteRange(0, 3), ByteRange(1020, 5)])
    source.close()
    source.close()


def test_a_slice_outside_its_parent_is_refused():
    with pytest.raises(ContainerError, match="not in it"):
        SliceSource(BufferSource(bytes(10)), 5, 6)


def test_a_cube_inside_another_file_is_read_in_place():
    data = cube(manifest="inside")
    opened = Mp4Reader(SliceSource(BufferSource(b"before" + data + b"after"), 6, len(data)))
    assert opened.manifest == "inside"
    assert opened.read_packet(8, 0) == b"packet" * 9


def test_ranges_far_apart_are_read_apart():
    source = CountingSource(bytes(10**6))
    wanted = [ByteRange(0, 10), ByteRange(10, 5), ByteRange(60_000, 1), ByteRange(900_000, 7)]
    parts = read_coalesced(source, wanted)
    assert [len(part) for part in parts] == [10, 5, 1, 7]
    assert source.reads == [(0, 60_001), (900_000, 7)]


def test_a_closed_local_file_says_so(tmp_path):
    (tmp_path / "data").write_bytes(b"data")
    source = LocalSource(tmp_path / "data")
    source.close()
    with pytest.raises(ContainerError, match="closed"):
        source.read(0, 1)


def test_caller_keeps_a_source_of_its_own(tmp_path):
    (tmp_path / "data").write_bytes(b"no MP4")
    source = LocalSource(tmp_path / "data")
    with pytest.raises(ContainerError):
        reader_module.Mp4Reader(source)
    assert source.read(0, 2) == b"no"
