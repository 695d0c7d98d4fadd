"""Sections 8.1, 8.2, 8.4 and 9 of ``xvcomp/docs/format.md``, written from that document alone."""

import itertools
import lzma
import math
from typing import Any

import numpy as np
from pcodec import standalone

_SMALL = (0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.23, 0.32, 0.45, 0.6, 0.8, 1.1, 1.5, 2.1)
CONTEXTS = np.sqrt([*_SMALL, 3, 4.3, 6, 9, 13, 20, 30, 50, 80, 150])
RINGS = {
    "centre": ["corner 0 0", "corner 0 1", "corner 1 0", "corner 1 1"],
    "side": ["corner 0 0", "corner 1 0", "centre 0 -1", "centre 0 0"],
    "top": ["centre -1 0", "centre 0 0", "corner 0 0", "corner 0 1"],
}
FURTHER = {
    "centre": [
        ["corner -1 0", "corner -1 1"],
        ["corner 2 0", "corner 2 1"],
        ["corner 0 -1", "corner 1 -1"],
        ["corner 0 2", "corner 1 2"],
        ["corner -1 -1", "corner -1 2", "corner 2 -1", "corner 2 2"],
    ],
    "side": [
        ["corner 0 -1", "corner 0 1"],
        ["corner 1 -1", "corner 1 1"],
        ["centre -1 -1", "centre -1 0"],
        ["centre 1 -1", "centre 1 0"],
        ["corner -1 0"],
        ["corner 2 0"],
        ["centre 0 -2"],
        ["centre 0 1"],
    ],
    "top": [
        ["side -1 0"],
        ["side -1 1"],
        ["side 0 0"],
        ["side 0 1"],
        ["centre -2 0"],
        ["centre 1 0"],
        ["corner 0 -1"],
        ["corner 0 2"],
    ],
}
STARTS = {"corner": (0, 0), "centre": (1, 1), "side": (1, 0), "top": (0, 1)}


def varints(data: bytes, count: int) -> tuple[list[int], bytes]:
    values, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        values.append(value)
    return values, data[at:]


def signed(code: int) -> int:
    return -(code + 1) // 2 if code & 1 else code // 2


def unpack(data: bytes) -> list[bytes]:
    (count,), rest = varints(data, 1)
    sizes, rest = varints(rest, count)
    ends = list(itertools.accumulate(sizes, initial=0))
    assert ends[-1] == len(rest)
    return [rest[a:b] for a, b in itertools.pairwise(ends)]


def pco(data: bytes, count: int, dtype: Any) -> np.ndarray:
    out = np.zeros(count, dtype)
    standalone.simple_decompress_into(data, out)
    return out


def ints(data: bytes, count: int) -> np.ndarray:
    kind, rest = data[0], data[1:]
    if kind == 0:
        return np.zeros(count, np.int64)
    if kind == 1:
        return np.full(count, signed(varints(rest, 1)[0][0]))
    if kind == 2:
        return np.array([signed(code) for code in varints(rest, count)[0]], np.int64)
    if kind == 3:
        return pco(rest[1:], count, f"i{2 << rest[0]}").astype(np.int64)
    assert kind == 4
    parts = unpack(rest)
    (some,), _ = varints(parts[0], 1)
    out = np.zeros(count, np.int64)
    out[np.cumsum(ints(parts[1], some) + 1) - 1] = ints(parts[2], some)
    return out


def lzma2(data: bytes, size: int) -> bytes:
    dictionary = min(max(4096, 1 << (size - 1).bit_length()), 1 << 24)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(data, size)


def codes(data: bytes, shape: Any, width: int, valid: np.ndarray | None = None) -> np.ndarray:
    """Section 8.2."""
    long = [size for size in shape if size > 1]
    if len(long) > 4:
        long = [math.prod(long[:-3]), *long[-3:]]
    return _codes(data, tuple(long), np.dtype(f"u{width}"), valid).reshape(shape)


def _codes(
    data: bytes, shape: tuple[int, ...], dtype: np.dtype, valid: np.ndarray | None
) -> np.ndarray:
    kind, rest, size = data[0], data[1:], math.prod(shape)
    if kind == 0:
        out = ints(rest[1:], size).reshape(shape).astype(dtype)
        for axis in range(len(shape)):
            if rest[0] >> axis & 1:
                out = np.cumsum(out, axis=axis, dtype=dtype)
        return out
    if kind == 1:
        plain = lzma2(rest, size * dtype.itemsize)
        split = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, size)
        return np.ascontiguousarray(split.T).view(dtype).reshape(shape)
    if kind == 2:
        parts = unpack(rest)
        (count, first), _ = varints(parts[0], 2)
        palette = first + np.cumsum([0, *ints(parts[1], count - 1)])
        return palette.astype(dtype)[codes(parts[2], shape, 1)]
    if kind in (3, 4):
        return np.arange(size).astype(dtype)[:: 1 if kind == 3 else -1]
    if kind == 5:
        y, x = rest[:2]
        thin = None if valid is None else valid.reshape(shape)[..., ::y, ::x]
        coarse = codes(
            rest[2:], (*shape[:-2], -(-shape[-2] // y), -(-shape[-1] // x)), dtype.itemsize, thin
        )
        return coarse.repeat(y, -2).repeat(x, -1)[..., : shape[-2], : shape[-1]]
    if kind == 6:
        cube = {2: (1, 1, *shape), 3: (shape[0], 1, *shape[1:]), 4: shape}[len(shape)]
        kept = None if valid is None else valid.reshape(cube)
        found = pyramid(rest, cube, [1.0] * cube[1], [True] * cube[1], kept)
        top = 2**32 if dtype.itemsize == 8 else np.iinfo(dtype).max
        return np.clip(found, 0, top).astype(dtype).reshape(shape)
    if kind == 7:
        return pco(rest, size, dtype).reshape(shape)
    assert kind == 8
    row = -(-size // 8)
    bits = np.frombuffer(lzma2(rest[1:], rest[0] * row), np.uint8).reshape(rest[0], row)
    planes = np.unpackbits(bits, axis=1, count=size).astype(dtype)
    return sum((plane << dtype.type(i) for i, plane in enumerate(planes)), dtype.type(0)).reshape(
        shape
    )


def ordered_to(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Section 8.1: Ordered."""
    values = values.astype(f"u{dtype.itemsize}")
    if dtype.kind in "bu":
        return values.view(dtype)
    top = values.dtype.type(1 << (8 * dtype.itemsize - 1))
    if dtype.kind == "f":
        return np.where(values & top, values ^ top, ~values).view(dtype)
    return (values ^ top).view(dtype)


def lossless(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Section 9, for plain numbers."""
    parts = unpack(data)
    kind, exponent, offset, factor, width = varints(parts[0], 5)[0]
    exponent = signed(exponent)
    classes = codes(parts[3], shape, 1) if len(parts) == 4 else np.zeros(shape, np.uint8)
    carrier = dtype
    if kind:
        carrier = np.dtype(f"f{exponent}") if kind == 3 else np.dtype("i8")
    unsigned = np.dtype(f"u{carrier.itemsize}").type
    found = codes(parts[1], shape, width, classes == 0).astype(unsigned)
    values = ordered_to(found * unsigned(factor) + unsigned(offset), carrier)
    if kind == 1:
        values = values / 2.0**exponent
    elif kind == 2:
        values = values / 10.0**exponent
    values = values.astype(dtype)
    if len(parts) == 4:
        for number, pattern in enumerate(np.frombuffer(parts[2], dtype), 1):
            values[classes == number] = pattern
    return values


def lattice(data: bytes, shape: tuple[int, ...], valid: np.ndarray | None = None) -> np.ndarray:
    head, body = unpack(data)
    low, width = varints(head, 2)[0]
    return codes(body, shape, width, valid).astype(np.int64) + signed(low)


class Weights:
    def __init__(self, data: bytes, fits: int) -> None:
        parts = unpack(data)
        count = int(ints(parts[0], 1)[0])
        self.flags = iter(ints(parts[1], fits).tolist())
        self.new = ints(parts[2], count).tolist()
        self.latest: dict[Any, list[int]] = {}

    def next(self, kind: Any, default: list[int]) -> list[int]:
        if next(self.flags):
            self.latest[kind], self.new = self.new[: len(default)], self.new[len(default) :]
        return self.latest.get(kind, default)


class Corrections:
    def __init__(self, data: bytes) -> None:
        parts = unpack(data)
        self.first = list(parts[0])
        sizes = ints(parts[1], len(self.first)).tolist()
        self.left = [ints(part, n) for part, n in zip(parts[2:], sizes, strict=True)]

    def take(self, expected: np.ndarray) -> np.ndarray:
        contexts = np.searchsorted(CONTEXTS, expected, side="left")
        streams = np.searchsorted(self.first, contexts, side="right") - 1
        out = np.empty(len(expected), np.int64)
        for number in range(len(self.first)):
            here = streams == number
            out[here] = self.left[number][: here.sum()]
            self.left[number] = self.left[number][here.sum() :]
        return out


def frame_order(time: int, most: int) -> list[tuple[list[int], list[list[int]]]]:
    found: list[tuple[list[int], list[list[int]]]] = [([0], [])]
    stride = 1
    while stride * 2 < time:
        stride *= 2
    while stride and time > 1:
        every = list(range(stride, time, 2 * stride))
        for start in range(0, len(every), most):
            batch = every[start : start + most]
            before = [t - stride for t in batch]
            after = [t + stride if t + stride < time else t - stride for t in batch]
            earlier = [t - 3 * stride if t >= 3 * stride else t - stride for t in batch]
            later = [
                t + 3 * stride if t + 3 * stride < time else other
                for t, other in zip(batch, after, strict=True)
            ]
            found.append((batch, [before, after, earlier, later]))
        stride //= 2
    return found


def mean_of(four: list[np.ndarray]) -> np.ndarray:
    return (((four[0] + four[1]) + four[2]) + four[3]) * four[0].dtype.type(0.25)


def weighted(base: np.ndarray, features: list[np.ndarray], weights: list[int]) -> np.ndarray:
    total = base.astype(np.float64)
    for feature, weight in zip(features, weights, strict=True):
        if weight:
            total = total + feature * feature.dtype.type(weight / 1024)
    return total


class Grid:
    """The grid of one level, by phases."""

    def __init__(self, image: np.ndarray) -> None:
        self.phases = {name: image[:, y::2, x::2] for name, (y, x) in STARTS.items()}

    def at(self, place: str, size: tuple[int, int]) -> np.ndarray:
        name, down, right = place.split()
        source = self.phases[name] if self.phases[name].size else self.phases["corner"]
        rows = np.clip(np.arange(size[0]) + int(down), 0, source.shape[1] - 1)
        columns = np.clip(np.arange(size[1]) + int(right), 0, source.shape[2] - 1)
        return source[:, rows][:, :, columns]

    def ring(self, phase: str, size: tuple[int, int]) -> list[np.ndarray]:
        return [self.at(place, size) for place in RINGS[phase]]


class Pyramid:
    """Section 8.4."""

    def __init__(
        self,
        data: bytes,
        shape: Any,
        steps: list[float],
        rounded: list[bool],
        valid: np.ndarray | None,
    ) -> None:
        self.shape, self.steps, self.rounded, self.valid = shape, steps, rounded, valid
        parts = unpack(data)
        self.centres = [signed(code) for code in varints(parts[0], shape[1])[0]]
        time, bands, height, width = shape
        self.batches = frame_order(time, max(1, 2**20 // (height * width)))
        self.weights = Weights(parts[1], len(self.batches) * bands * self.fits())
        self.corrections = Corrections(parts[2])
        self.values = np.zeros((bands, time, height, width))
        self.roots = np.zeros((bands, time, height, width), np.float32)

    def strides(self) -> list[int]:
        stride = 1
        while max(self.shape[2:]) > 6 * stride:
            stride *= 2
        return [stride >> i for i in range(stride.bit_length())]

    def fits(self) -> int:
        count = 1
        for s in self.strides()[1:]:
            rows, columns = (-(-n // s) for n in self.shape[2:])
            count += 2 * ((rows > 1 and columns > 1) + (rows > 1) + (columns > 1))
        return count

    def decode(self) -> np.ndarray:
        for frames, references in self.batches:
            for band in range(self.shape[1]):
                self.band(frames, references, band)
        out = self.values.transpose(1, 0, 2, 3).copy()
        for band, centre in enumerate(self.centres):
            out[:, band] = (out[:, band] + centre) * self.steps[band]
            if self.rounded[band]:
                out[:, band] = np.rint(out[:, band])
        return out

    def band(self, frames: list[int], references: list[list[int]], band: int) -> None:
        first, *strides = self.strides()
        images = [self.values[band, each] for each in references]
        near = [image[:, ::first, ::first] for image in images[:2]]
        rows, columns = (-(-n // first) for n in self.shape[2:])
        ones = np.ones((len(frames), rows, columns))
        base = (near[0] + near[1]) * 0.5 if near else 0 * ones
        whole = (slice(None, None, first),) * 2
        self.code(frames, band, whole, "first", (base, [], []), ([ones], [4096]))
        others = [self.values[each, frames] for each in range(max(0, band - 3), band)]
        roots = [self.roots[band, each] for each in references[:2]]
        roots += [self.roots[each, frames] for each in range(max(0, band - 3), band)]
        for s in strides:
            for phase in ("centre", "side", "top"):
                self.one_pass(frames, band, s, phase, images, others, roots)

    def one_pass(
        self,
        frames: list[int],
        band: int,
        s: int,
        phase: str,
        images: list[np.ndarray],
        others: list[np.ndarray],
        roots: list[np.ndarray],
    ) -> None:
        grid = Grid(self.values[band, frames][:, ::s, ::s])
        known = Grid(self.roots[band, frames][:, ::s, ::s])
        size = grid.phases[phase].shape[1:]
        if not math.prod(size):
            return
        ring = grid.ring(phase, size)
        mean = mean_of(ring)
        features = [each - mean for each in ring[:3]]
        for group in FURTHER[phase]:
            total = grid.at(group[0], size)
            for place in group[1:]:
                total = total + grid.at(place, size)
            features.append(total - mean * len(group))
        default = [0] * len(features)
        at_place = []
        for number, image in enumerate([*images, *others]):
            other = Grid(image[:, ::s, ::s])
            level = mean_of(other.ring(phase, size))
            at_place.append(other.phases[phase])
            features.append(other.phases[phase] - level)
            default.append(512 if images and number < 2 else 0)
            if number < len(images):
                features.append(level - mean)
                default.append(0)
        high, low = np.max(ring, axis=0), np.min(ring, axis=0)
        activity = [np.ones(mean.shape), mean_of(known.ring(phase, size))]
        activity.append(np.sqrt(np.minimum(high - low, 1e6)))
        activity += [Grid(each[:, ::s, ::s]).phases[phase] for each in roots]
        if images:
            activity.append(np.sqrt(np.minimum(np.abs(at_place[0] - at_place[1]), 1e6)))
        expected = [0, 717, *[0] * (len(activity) - 2)]
        down, right = STARTS[phase]
        place = (slice(down * s, None, 2 * s), slice(right * s, None, 2 * s))
        kind = (phase, len(images), len(others))
        self.code(frames, band, place, kind, (mean, features, default), (activity, expected))

    def code(
        self,
        frames: list[int],
        band: int,
        place: Any,
        kind: Any,
        prediction: tuple[np.ndarray, list[np.ndarray], list[int]],
        activity: tuple[list[np.ndarray], list[int]],
    ) -> None:
        base, features, default = prediction
        weights = self.weights.next(("value", kind), default) if features else []
        predicted = weighted(base, features, weights)
        if self.rounded[band]:
            predicted = np.rint(predicted * self.steps[band]) / self.steps[band]
        weights = self.weights.next(("activity", kind), activity[1])
        expected = weighted(np.zeros(base.shape), activity[0], weights)
        k = np.zeros(base.shape)
        here = np.ones(base.shape, bool)
        if self.valid is not None:
            here = self.valid[:, band][frames][:, place[0], place[1]]
        k[here] = self.corrections.take(expected[here])
        for i, frame in enumerate(frames):
            self.values[band, frame][place] = (predicted + k)[i]
            self.roots[band, frame][place] = np.sqrt(np.abs(k[i])).astype(np.float32)


def pyramid(
    data: bytes, shape: Any, steps: list[float], rounded: list[bool], valid: np.ndarray | None
) -> np.ndarray:
    return Pyramid(data, shape, steps, rounded, valid).decode()
