"""What every container must do: subclass, say how to write and read, and run.

Segments come straight from PyAV here, so that a codec's fault is not a container's.
"""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import av
import numpy as np
import pytest

from xvcomp.codecs.scheduling import ordinary_priority
from xvcomp.errors import ContainerError

X265 = "keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:info=0:log-level=none:ctu=16:{extra}"
B_FRAMES = "bframes=3:b-adapt=0:qp=20"


@cache
def frames(n=20, height=48, width=64, seed=0):
    rng = np.random.default_rng(seed)
    y, x, t = np.arange(height)[:, None], np.arange(width), np.arange(n)[:, None, None]
    waves = 1500 + 800 * np.sin((x + y + 2 * t) / 7) + rng.normal(0, 20, (n, height, width))
    return waves.astype("u2")


def encode(values, codec="libx265", pix_fmt="gray12le", options=None):
    """Return a fragmented MP4, as a codec would."""
    buffer = io.BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(buffer, "w", format="mp4", options=flags) as container:
        stream = container.add_stream(codec, rate=1, options=options or {})
        stream.height, stream.width = values.shape[1:]
        stream.pix_fmt = pix_fmt
        with ordinary_priority():
            stream.codec_context.open()
        packets = []
        for i, plane in enumerate(values):
            packets += stream.encode(video_frame(plane, i, pix_fmt))
        packets += stream.encode(None)
        # x265 leaves decoding times undefined in streams of a few frames.
        delay = max(i - packet.pts for i, packet in enumerate(packets))
        for i, packet in enumerate(packets):
            packet.dts = i - delay
            container.mux(packet)
    return buffer.getvalue()


def video_frame(plane, pts, pix_fmt):
    frame = av.VideoFrame(plane.shape[1], plane.shape[0], pix_fmt)
    for i, target in enumerate(frame.planes):
        padded = np.full((target.height, target.line_size // 2), 512, "u2")
        if i == 0:
            padded[:, : plane.shape[1]] = plane
        target.update(padded)
    frame.pts = pts
    return frame


@cache
def x265(start, stop, gop=8, extra=B_FRAMES, width=64):
    params = {"preset": "ultrafast", "x265-params": X265.format(gop=gop, extra=extra)}
    return encode(frames(width=width, n=max(stop, 20))[start:stop], options=params)


@cache
def ffv1(start, stop):
    return encode(frames()[start:stop], "ffv1", "gray16le", {"level": "3", "g": "4"})


@cache
def av1(start, stop):
    options = {"preset": "10", "crf": "20", "svtav1-params": "keyint=7:lp=1"}
    return encode(frames(height=64)[start:stop] >> 2, "libsvtav1", "yuv420p10le", options)


def packets_of(segment):
    with av.open(io.BytesIO(segment)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def decode_segment(segment):
    with av.open(io.BytesIO(segment)) as container:
        return [np.array(frame.to_ndarray(), copy=True) for frame in container.decode(video=0)]


def decode_packets(info, packets):
    """Decode whole GOPs with nothing but what the reader gives."""
    context = av.CodecContext.create(info.decoder, "r")
    context.extradata = info.extradata or None
    context.width, context.height = info.width, info.height
    found = []
    for i, packet in enumerate(packets):
        fed = av.Packet(packet)
        fed.pts = fed.dts = i
        found += context.decode(fed)
    found += context.decode(None)
    return [frame.to_ndarray() for frame in found]


def assert_equal_frames(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@cache
def tracks():
    """Four tracks of one to three segments, with B-frames, 20 frames at most."""
    return (
        (x265(0, 8), x265(8, 16), x265(16, 20)),
        (ffv1(0, 12), ffv1(12, 20)),
        (av1(0, 7), av1(7, 14)),
        (x265(0, 1),),
    )


PACKETS = tuple(
    (frame, slot, bytes([frame, slot % 256]) * (1 + 37 * frame + slot))
    for frame in (16, 0, 8)
    for slot in (3, 0, 4095)
)


class ContainerSuite:
    """Subclasses give ``writer(path)`` and ``reader(source)``."""

    def writer(self, path):
        raise NotImplementedError

    def reader(self, source):
        raise NotImplementedError

    def write(self, path, tracks=(), packets=(), manifest="{}"):
        """``tracks`` are lists of segments; returns the size that ``close`` told."""
        with self.writer(path) as writer:
            for segments in tracks:
                track = writer.add_track()
                for segment in segments:
                    writer.add_segment(track, segment)
            for frame, slot, payload in packets:
                writer.add_packet(frame, slot, payload)
            nbytes = writer.close(manifest)
            writer.publish()
        return nbytes

    def test_every_packet_comes_back_byte_for_byte(self, tmp_path):
        path = tmp_path / "cube.mp4"
        self.write(path, tracks(), PACKETS)
        with self.reader(path) as reader:
            assert len(reader.tracks) == len(tracks())
            for track, segments in enumerate(tracks()):
                gops = reader.read_gops(track, 0, len(reader.gops(track)))
                expected = [packet for segment in segments for packet in packets_of(segment)]
                assert [packet for gop in gops for packet in gop] == expected
            assert reader.packet_keys() == sorted((f, s) for f, s, _ in PACKETS)
            for frame, slot, payload in PACKETS:
                assert reader.read_packet(frame, slot) == payload

    def test_gops_are_cut_at_keyframes(self, tmp_path):
        self.write(tmp_path / "cube.mp4", tracks())
        with self.reader(tmp_path / "cube.mp4") as reader:
            counts = [[len(gop.packets) for gop in reader.gops(i)] for i in range(4)]
        assert counts == [[8, 8, 4], [4] * 5, [7, 7], [1]]

    @pytest.mark.parametrize("track", range(4))
    def test_each_gop_decodes_alone_and_bit_exactly(self, tmp_path, track):
        self.write(tmp_path / "cube.mp4", tracks())
        expected = [f for segment in tracks()[track] for f in decode_segment(segment)]
        with self.reader(tmp_path / "cube.mp4") as reader:
            info = reader.tracks[track]
            actual = [
                frame
                for i in range(len(reader.gops(track)))
                for frame in decode_packets(info, reader.read_gops(track, i, i + 1)[0])
            ]
        assert_equal_frames(actual, expected)

    def test_tracks_say_what_a_decoder_needs(self, tmp_path):
        self.write(tmp_path / "cube.mp4", tracks())
        with self.reader(tmp_path / "cube.mp4") as reader:
            for info, segments in zip(reader.tracks, tracks(), strict=True):
                with av.open(io.BytesIO(segments[0])) as container:
                    context = container.streams.video[0].codec_context
                    assert info.decoder == context.name
                    assert info.pix_fmt == context.pix_fmt
                    assert (info.width, info.height) == (context.width, context.height)
                    assert info.extradata == context.extradata

    def test_a_gop_lies_in_one_piece(self, tmp_path):
        self.write(tmp_path / "cube.mp4", tracks(), PACKETS)
        with self.reader(tmp_path / "cube.mp4") as reader:
            for track in range(4):
                for gop in reader.gops(track):
                    ends = [place.offset + place.nbytes for place in gop.packets]
                    assert ends[:-1] == [place.offset for place in gop.packets[1:]]

    @pytest.mark.parametrize(
        "manifest", ["", "{}", "Grüße, 温度 ☀ \U0001f30d", "0123456789" * 100_000]
    )
    def test_the_manifest_comes_back_exactly(self, tmp_path, manifest):
        self.write(tmp_path / "cube.mp4", [[x265(0, 1)]], manifest=manifest)
        with self.reader(tmp_path / "cube.mp4") as reader:
            assert reader.manifest == manifest

    def test_packets_alone_make_a_file(self, tmp_path):
        nbytes = self.write(tmp_path / "cube.mp4", packets=[(70, 2, b"mask"), (5, 0, b"")])
        assert nbytes == (tmp_path / "cube.mp4").stat().st_size
        with self.reader(tmp_path / "cube.mp4") as reader:
            assert list(reader.packet_keys()) == [(5, 0), (70, 2)]
            assert reader.read_packet(70, 2) == b"mask"
            assert reader.read_packet(5, 0) == b""
            assert not reader.tracks
            assert reader.nbytes == nbytes

    def test_a_missing_packet_is_named(self, tmp_path):
        self.write(tmp_path / "cube.mp4", packets=[(0, 0, b"sidecar")])
        with (
            self.reader(tmp_path / "cube.mp4") as reader,
            pytest.raises(ContainerError, match="frame 3, slot 1"),
        ):
            reader.read_packet(3, 1)

    def test_gops_that_do_not_exist_are_refused(self, tmp_path):
        self.write(tmp_path / "cube.mp4", [[x265(0, 8)]])
        with (
            self.reader(tmp_path / "cube.mp4") as reader,
            pytest.raises(IndexError, match="1 GOPs"),
        ):
            reader.read_gops(0, 0, 2)

    @pytest.mark.parametrize(("frame", "slot"), [(0, 1), (-1, 0), (0, -1), (0, 4096)])
    def test_bad_packet_positions_are_refused(self, tmp_path, frame, slot):
        with self.writer(tmp_path / "cube.mp4") as writer:
            writer.add_packet(0, 1, b"first")
            with pytest.raises(ValueError, match=r"frame|packet"):
                writer.add_packet(frame, slot, b"second")

    @pytest.mark.parametrize(
        "other",
        [
            lambda: x265(8, 16, width=80),
            lambda: ffv1(0, 12),
            lambda: x265(8, 16, extra="bframes=0:qp=20"),
        ],
        ids=["size", "codec", "parameters"],
    )
    def test_segments_that_one_decoder_cannot_read_are_refused(self, tmp_path, other):
        with self.writer(tmp_path / "cube.mp4") as writer:
            track = writer.add_track()
            writer.add_segment(track, x265(0, 8))
            with pytest.raises(ContainerError, match=f"track {track}"):
                writer.add_segment(track, other())

    def test_what_is_no_segment_is_refused(self, tmp_path):
        with self.writer(tmp_path / "cube.mp4") as writer:
            track = writer.add_track()
            for segment in (b"", b"not an MP4 at all", x265(0, 8)[:200]):
                with pytest.raises(ContainerError):
                    writer.add_segment(track, segment)

    def test_a_track_without_segments_is_refused(self, tmp_path):
        with self.writer(tmp_path / "cube.mp4") as writer:
            writer.add_track()
            with pytest.raises(ContainerError, match="no segments"):
                writer.close("{}")
        assert not list(tmp_path.iterdir())

    def test_nothing_has_the_name_before_publish(self, tmp_path):
        path = tmp_path / "cube.mp4"
        path.write_bytes(b"an older file")
        with self.writer(path) as writer:
            writer.add_segment(writer.add_track(), x265(0, 8))
            nbytes = writer.close("{}")
            assert path.read_bytes() == b"an older file"
            assert writer.temporary.stat().st_size == nbytes
            with self.reader(writer.temporary) as reader:
                assert reader.manifest == "{}"
            writer.publish()
        assert path.stat().st_size == nbytes
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("closed", [False, True])
    def test_abort_leaves_nothing(self, tmp_path, closed):
        writer = self.writer(tmp_path / "cube.mp4")
        writer.add_segment(writer.add_track(), x265(0, 8))
        if closed:
            writer.close("{}")
        writer.abort()
        writer.abort()
        assert not list(tmp_path.iterdir())

    def test_an_exception_leaves_nothing(self, tmp_path):
        def fail():
            with self.writer(tmp_path / "cube.mp4") as writer:
                writer.add_packet(0, 0, b"sidecar")
                writer.close("{}")
                assert writer.temporary.exists()
                raise RuntimeError("verification failed")

        with pytest.raises(RuntimeError, match="verification failed"):
            fail()
        assert not list(tmp_path.iterdir())

    def test_equal_input_gives_equal_files(self, tmp_path):
        for name in ("one.mp4", "two.mp4"):
            self.write(tmp_path / name, tracks(), PACKETS)
        assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()

    def test_a_file_cut_anywhere_is_refused(self, tmp_path):
        self.write(tmp_path / "cube.mp4", [tracks()[0]], PACKETS)
        data = (tmp_path / "cube.mp4").read_bytes()
        cuts = np.random.default_rng(0).integers(0, len(data), 200)
        for cut in [0, 1, 7, 8, len(data) - 1, *cuts.tolist()]:
            with pytest.raises(ContainerError):
                self.reader(data[:cut])

    def test_a_reader_serves_many_threads(self, tmp_path):
        self.write(tmp_path / "cube.mp4", tracks(), PACKETS)
        with self.reader(tmp_path / "cube.mp4") as reader, ThreadPoolExecutor(8) as pool:
            expected = {key: reader.read_packet(*key) for key in reader.packet_keys()}
            keys = list(expected) * 50
            for key, payload in zip(
                keys, pool.map(lambda k: reader.read_packet(*k), keys), strict=True
            ):
                assert payload == expected[key]

    def test_a_reader_can_be_pickled(self, tmp_path):
        self.write(tmp_path / "cube.mp4", tracks(), PACKETS, manifest="hello")
        with self.reader(tmp_path / "cube.mp4") as reader:
            copy = pickle.loads(pickle.dumps(reader))
            with copy:
                assert copy.manifest == "hello"
                assert copy.read_gops(0, 1, 2) == reader.read_gops(0, 1, 2)

    def test_what_is_no_file_of_ours_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            self.reader(tmp_path / "nothing.mp4")
        with pytest.raises(ContainerError, match="folder"):
            self.reader(tmp_path)
        with pytest.raises(ContainerError, match="not an xvcomp file: it is empty"):
            self.reader(b"")
        with pytest.raises(ContainerError, match="not an xvcomp file"):
            self.reader(b"CDF\x01" + bytes(1000))
        with pytest.raises(ContainerError, match="not an xvcomp file"):
            self.reader(x265(0, 8))

    def test_targets_that_cannot_be_written_are_refused_at_once(self, tmp_path):
        with pytest.raises(ContainerError, match="does not exist"):
            self.writer(tmp_path / "nowhere" / "cube.mp4")
        with pytest.raises(ContainerError, match="is a folder"):
            self.writer(tmp_path)
