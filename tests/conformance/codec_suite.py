"""What every codec must do. Another codec passes by running these on itself.

Use ``CodecSuite`` with a parametrisation of the ``case`` fixture: one ``Case`` for each
(codec, chroma, bit depth) that the machine can run, as ``cases`` lists them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from xvcomp.codecs import Capabilities, Codec, StreamParams, split
from xvcomp.codecs.probing import made_planes
from xvcomp.errors import CodecError, CodecUnavailable
from xvcomp.spec import Chroma, Planes, StreamInfo

SHAPE = (7, 34, 70)

# FFmpeg's VP9 decoder reads zeros past the end of a packet, and the FFV1 decoder may
# find other slices in what is left of one.
HIDE_DAMAGE = ("libvpx-vp9", "ffv1")


@dataclass(frozen=True)
class Case:
    """One codec with one of the formats that its probe reported."""

    codec: Codec
    capabilities: Capabilities
    chroma: Chroma
    depth: int

    @property
    def lossless(self) -> bool:
        return (self.chroma, self.depth) in self.capabilities.lossless

    @property
    def quantizers(self) -> list[int | None]:
        """A fine one, a coarse one, and lossless where the codec can."""
        steps = self.codec.quantizers(self.depth)
        wanted = [2**self.depth / 256, 2**self.depth / 16] if steps else []
        lossy = [min(steps, key=lambda q: abs(steps[q] - w)) for w in wanted]
        return [*lossy, None] if self.lossless else [*lossy]

    def params(self, quantizer: int | None, gop: int = 3) -> StreamParams:
        return StreamParams(
            chroma=self.chroma,
            bit_depth=self.depth,
            quantizer=quantizer,
            preset="fast",
            gop=gop,
            threads=1,
        )

    def clip(self, shape: tuple[int, int, int] = SHAPE) -> Planes:
        return made_planes(self.chroma, self.depth, shape)

    def encode(self, planes: Planes, params: StreamParams) -> tuple[StreamInfo, list[list[bytes]]]:
        return split(self.codec.encode(planes, params))

    def decode(self, gops: Iterable[Iterable[bytes]], info: StreamInfo, threads: int = 1) -> Planes:
        packets = [packet for gop in gops for packet in gop]
        return self.codec.decode(packets, info, chroma=self.chroma, threads=threads)

    def round_trip(self, planes: Planes, quantizer: int | None, gop: int = 3) -> Planes:
        info, gops = self.encode(planes, self.params(quantizer, gop))
        return self.decode(gops, info)


def cases(codec: Codec, capabilities: Capabilities) -> list[Case]:
    return [Case(codec, capabilities, chroma, depth) for chroma, depth in capabilities.formats]


def mse(a: Planes, b: Planes) -> float:
    errors = [np.square(x.astype(np.float64) - y).mean() for x, y in zip(a, b, strict=True)]
    return float(np.max(errors))


def assert_equal(a: Planes, b: Planes) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


class CodecSuite:
    """Subclass it, and parametrise ``case``."""

    def test_every_frame_comes_back_in_its_place(self, case):
        clip = case.clip()
        # Frames with a mean of their own: a swap or a shift would be seen.
        marks = np.linspace(0.1, 0.9, SHAPE[0]) * (2**case.depth - 1)
        for plane in clip:
            plane[...] = plane // 8 + (marks[:, None, None] * 7 / 8).astype(np.uint16)
        for quantizer in case.quantizers:
            decoded = case.round_trip(clip, quantizer)
            for plane, found in zip(clip, decoded, strict=True):
                assert found.shape == plane.shape
                assert found.dtype == np.uint16
                means = found.mean(axis=(1, 2))
                distance = np.abs(means[:, None] - plane.mean(axis=(1, 2))[None])
                np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(SHAPE[0]))

    def test_lossless_is_exact(self, case):
        if not case.lossless:
            pytest.skip("not lossless")
        assert_equal(case.round_trip(case.clip(), None), case.clip())
        noise = np.random.default_rng(1)
        planes = tuple(
            noise.integers(0, 2**case.depth, p.shape).astype(np.uint16) for p in case.clip()
        )
        assert_equal(case.round_trip(planes, None), planes)

    def test_gops_start_where_asked_and_decode_alone(self, case):
        info, gops = case.encode(case.clip(), case.params(case.quantizers[0]))
        assert [len(gop) for gop in gops] == [3, 3, 1]
        whole = case.decode(gops, info)
        for number, gop in enumerate(gops):
            alone = case.decode([gop], info)
            assert_equal(alone, tuple(p[3 * number : 3 * number + 3] for p in whole))

    @pytest.mark.parametrize(("n_frames", "gop"), [(1, 30), (4, 1), (9, 8)])
    def test_any_number_of_frames_and_any_gop(self, case, n_frames, gop):
        clip = case.clip((n_frames, *SHAPE[1:]))
        info, gops = case.encode(clip, case.params(case.quantizers[-1], gop))
        assert len(gops) == -(-n_frames // gop)
        decoded = case.decode(gops, info)
        if case.quantizers[-1] is None:
            assert_equal(decoded, clip)
        assert decoded[0].shape == clip[0].shape

    def test_odd_sizes_work_or_are_refused(self, case):
        clip = case.clip((2, SHAPE[1] + 1, SHAPE[2] + 1))
        if case.chroma in case.capabilities.odd_sizes:
            for quantizer in case.quantizers:
                decoded = case.round_trip(clip, quantizer)
                assert [p.shape for p in decoded] == [p.shape for p in clip]
                assert mse(decoded, clip) < (2**case.depth / 16) ** 2
        else:
            with pytest.raises(CodecUnavailable, match=str(SHAPE[1] + 1)):
                case.codec.encode(clip, case.params(case.quantizers[0]))

    def test_smallest_size_works_and_smaller_ones_are_refused(self, case):
        low = case.capabilities.min_size
        even = tuple(n + n % 2 for n in low)
        size = low if case.chroma in case.capabilities.odd_sizes else even
        decoded = case.round_trip(case.clip((2, *size)), case.quantizers[-1])
        assert decoded[0].shape == (2, *size)
        if low[0] > 1:
            with pytest.raises(CodecUnavailable, match="height x width"):
                case.codec.encode(case.clip((2, low[0] - 1, 64)), case.params(case.quantizers[0]))

    @pytest.mark.parametrize("level", [0.0, 0.37, 1.0])
    def test_constant_frames_come_back_nearly_constant(self, case, level):
        code = round(level * (2**case.depth - 1))
        clip = tuple(np.full_like(p, code) for p in case.clip())
        for quantizer in case.quantizers:
            decoded = case.round_trip(clip, quantizer)
            step = 0.0 if quantizer is None else case.codec.quantizers(case.depth)[quantizer]
            for plane in decoded:
                assert np.abs(plane.astype(int) - code).max() <= step

    def test_black_and_white_noise_keeps_its_range(self, case):
        rng = np.random.default_rng(2)
        top = 2**case.depth - 1
        clip = tuple(rng.integers(0, 2, p.shape).astype(np.uint16) * top for p in case.clip())
        fine = case.quantizers[0]
        decoded = case.round_trip(clip, fine)
        step = 0.0 if fine is None else case.codec.quantizers(case.depth)[fine]
        assert mse(decoded, clip) <= step**2
        assert all(p.max() <= top for p in decoded)
        # Limited range would stop at 16/255 and 235/255.
        assert decoded[0].min() < top * 0.02
        assert decoded[0].max() > top * 0.98

    def test_coarser_quantizers_err_more_and_cost_less(self, case):
        steps = case.codec.quantizers(case.depth)
        if not steps:
            pytest.skip("lossless only")
        assert list(steps) == sorted(steps)
        assert np.all(np.diff(list(steps.values())) > 0)
        chosen = sorted(steps)[:: max(1, len(steps) // 5)]
        clip, errors, sizes = case.clip((5, *SHAPE[1:])), [], []
        for quantizer in chosen:
            info, gops = case.encode(clip, case.params(quantizer, gop=5))
            errors.append(mse(case.decode(gops, info), clip))
            sizes.append(sum(len(p) for gop in gops for p in gop))
        assert errors == sorted(errors)
        assert sizes == sorted(sizes, reverse=True)

    def test_decoding_does_not_depend_on_the_number_of_threads(self, case):
        info, gops = case.encode(case.clip(), case.params(case.quantizers[0]))
        one = case.decode(gops, info, threads=1)
        for threads in (0, 3):
            assert_equal(case.decode(gops, info, threads=threads), one)

    def test_encoding_twice_gives_the_same_bytes(self, case):
        params = case.params(case.quantizers[0])
        assert case.codec.encode(case.clip(), params) == case.codec.encode(case.clip(), params)

    def test_missing_and_empty_packets_are_errors(self, case):
        info, gops = case.encode(case.clip(), case.params(case.quantizers[0]))
        with pytest.raises(CodecError):
            case.codec.decode([*gops[0][:-1], b""], info, chroma=case.chroma)
        with pytest.raises(CodecError):
            case.codec.decode([b"\x00" * 40], info, chroma=case.chroma)

    def test_cut_packets_are_errors(self, case):
        if case.codec.name in HIDE_DAMAGE:
            pytest.skip("its decoder does not always notice; the file's checksums do")
        info, gops = case.encode(case.clip(), case.params(case.quantizers[0]))
        for number in range(3):
            for keep in (0.1, 0.5, 0.9):
                cut = list(gops[0])
                cut[number] = cut[number][: max(1, int(len(cut[number]) * keep))]
                with pytest.raises(CodecError):
                    case.codec.decode(cut, info, chroma=case.chroma)

    def test_what_it_cannot_do_is_refused(self, case):
        params = case.params(case.quantizers[0])
        for wrong in (min(case.codec.quantizers(case.depth), default=0) - 1, 9999):
            with pytest.raises(CodecUnavailable, match=str(wrong)):
                case.codec.encode(case.clip(), replace(params, quantizer=wrong))
        with pytest.raises(CodecError, match="gop"):
            case.codec.encode(case.clip(), replace(params, gop=0))
        with pytest.raises(CodecError, match="codes must be"):
            case.codec.encode(tuple(p.astype(np.int32) for p in case.clip()), params)
        if case.depth < 16:
            with pytest.raises(CodecError, match="codes must be"):
                case.codec.encode(tuple(p + 2 ** (case.depth - 1) for p in case.clip()), params)
        with pytest.raises(CodecError, match="planes"):
            case.codec.encode(case.clip() * 2, params)
