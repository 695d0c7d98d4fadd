"""A second reader of cube files, written from ``xvcomp/docs/format.md`` alone.

It uses nothing of xvcomp but the dictionary that the format names. Section numbers are those
of the document; residual packets are in the modules beside this one. It reads groups whose
variables are of one dtype, and no sidecars of objects.
"""

import base64
import bz2
import itertools
import json
import lzma
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from format_corrections import corrected
from format_residuals import lossless, unpack

PACKET_ENTRY = b"mett" + bytes(6) + b"\0\1" + b"\0application/x-xvcomp\0"
CONFIGURATIONS = (b"hvcC", b"av1C", b"avcC", b"vvcC", b"glbl")


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Section 2: kinds and payloads."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if size < head or at + size > len(data):
            raise ValueError(f"box {kind!r} does not fit")
        found.append((kind, data[at + head : at + size]))
        at += size
    return found


def child(data: bytes, *path: bytes) -> bytes:
    for wanted in path:
        data = next(payload for kind, payload in boxes(data) if kind == wanted)
    return data


def header(data: bytes) -> bytes:
    """Section 2: the plain payload of ``moov``."""
    moov = child(data, b"moov")
    if boxes(moov)[0][0] != b"cmov":
        return moov
    assert child(moov, b"cmov", b"dcom") == b"zlib"
    packed = child(moov, b"cmov", b"cmvd")
    plain = zlib.decompress(packed[4:])
    assert len(plain) == struct.unpack(">I", packed[:4])[0]
    return child(plain, b"moov")


def manifest(moov: bytes, dictionary: bytes) -> dict[str, Any]:
    """Section 3."""
    meta = child(moov, b"meta")[4:]
    keys = [payload for _, payload in boxes(child(meta, b"keys")[8:])]
    number = struct.pack(">I", 1 + keys.index(b"xvcomp"))
    envelope = json.loads(child(meta, b"ilst", number, b"data")[8:])
    assert envelope["format_version"] == 1
    packed = base64.b64decode(envelope["deflate"])
    body = zlib.decompressobj(-15, dictionary).decompress(packed)
    assert zlib.crc32(body) == envelope["crc32"]
    return json.loads(body)


def table(data: bytes, columns: int, dtype: str = ">u4") -> np.ndarray:
    rows = struct.unpack_from(">I", data, 4)[0]
    return np.frombuffer(data, dtype, rows * columns, 8).reshape(rows, columns).astype(int)


@dataclass
class Track:
    """Section 2: where the packets of a track are."""

    handler: bytes
    name: str
    entry: bytes
    offsets: list[int]
    sizes: list[int]
    keyframes: list[int]
    times: list[int]

    def gop(self, number: int) -> range:
        ends = [*self.keyframes[1:], len(self.sizes)]
        return range(self.keyframes[number], ends[number])

    def size(self) -> tuple[int, int]:
        return struct.unpack_from(">HH", self.entry, 32)

    def extradata(self) -> bytes:
        return next((p for kind, p in boxes(self.entry[86:]) if kind in CONFIGURATIONS), b"")


def track_of(trak: bytes) -> Track:
    media = child(trak, b"mdia")
    handler, tables = child(media, b"hdlr"), child(media, b"minf", b"stbl")
    known = dict(boxes(tables))
    stsz = known[b"stsz"]
    count = struct.unpack_from(">I", stsz, 8)[0]
    sizes = np.frombuffer(stsz, ">u4", count, 12).astype(int).tolist()
    wide = b"co64" in known
    chunks = table(known[b"co64" if wide else b"stco"], 1, ">u8" if wide else ">u4")[:, 0].tolist()
    runs = table(known[b"stsc"], 3)[:, :2].tolist()
    offsets: list[int] = []
    for number, chunk in enumerate(chunks, 1):
        at = chunk
        for _ in range(next(length for first, length in reversed(runs) if first <= number)):
            offsets.append(at)
            at += sizes[len(offsets) - 1]
    durations = np.repeat(*table(known[b"stts"], 2).T[::-1])
    keys = table(known[b"stss"], 1)[:, 0] - 1 if b"stss" in known else np.arange(count)
    times = empty_edit(trak) + np.cumsum(durations) - durations
    stsd = known[b"stsd"][8:]
    entry = stsd[: struct.unpack_from(">I", stsd)[0]]
    name = handler[24:].rstrip(b"\0").decode()
    return Track(handler[8:12], name, entry, offsets, sizes, keys.tolist(), times.tolist())


def empty_edit(trak: bytes) -> int:
    if b"edts" not in dict(boxes(trak)):
        return 0
    elst = child(trak, b"edts", b"elst")
    duration, media_time = struct.unpack_from(">Qq" if elst[0] else ">Ii", elst, 8)
    return duration if media_time == -1 else 0


def array(packed: dict[str, Any]) -> np.ndarray:
    """Section 3.2: an Array."""
    values = np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])
    return values.reshape(packed["shape"])


class FormatReader:
    """An open file: ``manifest``, ``kept`` (the sidecar) and ``read`` (a coded variable)."""

    def __init__(self, path: Path, dictionary: bytes) -> None:
        self.data = path.read_bytes()
        moov = header(self.data)
        self.manifest = manifest(moov, dictionary)
        tracks = [track_of(payload) for kind, payload in boxes(moov) if kind == b"trak"]
        self.videos = [track for track in tracks if track.handler == b"vide"]
        self.packets: dict[tuple[int, int], bytes] = {}
        for track in tracks:
            if track.entry[4:] == PACKET_ENTRY:
                for time, at, size in zip(track.times, track.offsets, track.sizes, strict=True):
                    self.packets[divmod(time, 4096)] = self.data[at : at + size]
        self.specs = {spec["name"]: spec for spec in self.manifest["variables"]}

    def kept(self) -> dict[str, np.ndarray]:
        """Section 5."""
        blob = self.manifest["sidecar_data"]
        blob = self.packets[0, 0] if blob is None else base64.b64decode(blob)
        assert zlib.crc32(blob) == self.manifest["sidecar_crc32"]
        found, at = {}, 0
        for entry in self.manifest["sidecar"]:
            spec = self.specs[entry["name"]]
            data = blob[at : at + entry["nbytes"]]
            at += entry["nbytes"]
            found[entry["name"]] = kept_array(data, entry["coder"], spec["dtype"], spec["shape"])
        assert at == len(blob)
        return found

    def read(self, name: str) -> np.ndarray:
        """Sections 3.2, 3.3, 6 and 7."""
        group = next(g for g in self.manifest["groups"] if name in g["variables"])
        values = self.group(group)[:, bands_of(group, name, self.specs)]
        spec = self.specs[name]
        rows, columns = group["repeat"]
        values = values.repeat(rows, axis=2).repeat(columns, axis=3)
        sizes = dict(zip(spec["dims"], spec["shape"], strict=True))
        frame, y, x = group["frame_dim"], group["y_dim"], group["x_dim"]
        values = values[:, :, : sizes[y], : sizes[x]]
        extra = [dim for dim in spec["dims"] if dim not in (frame, y, x)]
        order = [*([frame] if frame else []), *extra, y, x]
        shaped = values.reshape([sizes[dim] for dim in order])
        return shaped.transpose([order.index(dim) for dim in spec["dims"]])

    def group(self, group: dict[str, Any]) -> np.ndarray:
        """All bands of a group, (time, band, y, x), in the dtype of its variables."""
        time, bands, height, width = group["shape"]
        dtypes = {self.specs[name]["dtype"] for name in group["variables"]}
        (dtype,) = dtypes  # a test cube has one dtype per group
        out = np.empty((time, bands, height, width), dtype)
        window = group["gop"] * group["fold"]
        corners = itertools.product(
            range(0, height, group["block"][0]), range(0, width, group["block"][1])
        )
        for block, (top, left) in enumerate(corners):
            ys = slice(top, min(top + group["block"][0], height))
            xs = slice(left, min(left + group["block"][1], width))
            for gop, start in enumerate(range(0, time, window)):
                span = slice(start, min(start + window, time))
                shape = (span.stop - span.start, ys.stop - ys.start, xs.stop - xs.start)
                out[span, :, ys, xs] = self.part(group, block, gop, shape, out.dtype)
        return out

    def part(
        self,
        group: dict[str, Any],
        block: int,
        gop: int,
        shape: tuple[int, int, int],
        dtype: np.dtype,
    ) -> np.ndarray:
        """One GOP of one block: sections 6 to 9."""
        counts = [
            own.stop - own.start
            for own in (bands_of(group, name, self.specs) for name in group["variables"])
        ]
        whole = (shape[0], sum(counts), *shape[1:])
        spec = group["residual"]
        if spec is not None and spec["kind"] == "bits":
            parts = unpack(self.packet(group, block, gop, 1))
            sizes = [(shape[0], count, *shape[1:]) for count in counts]
            found = [lossless(p, size, dtype) for p, size in zip(parts, sizes, strict=True)]
            return np.concatenate(found, axis=1)
        values = self.video(group, block, gop, shape) if group["klt"] else None
        classes = None
        if group["mask"] is not None:
            classes = mask(self.packet(group, block, gop, 0), whole)
        if spec is None:
            out = cast(values, group, dtype, self.specs)
        else:
            limits = list(zip(group["valid_min"], group["valid_max"], strict=True))
            payload = self.packet(group, block, gop, 1)
            dtypes = [dtype] * len(counts)
            parts = corrected(payload, spec, counts, dtypes, limits, whole, classes, values)
            out = np.concatenate(parts, axis=1)
        return out if classes is None else self.special(group, out, classes)

    def packet(self, group: dict[str, Any], block: int, gop: int, kind: int) -> bytes:
        """Section 3.2: a mask (kind 0) or a residual packet."""
        frame = gop * group["gop"] * group["fold"]
        packet = self.packets.get((frame, group["slot"] + 2 * block + kind), b"")
        assert zlib.crc32(packet) == array(group["packet_checksums"])[block, kind, gop]
        return packet

    def video(
        self, group: dict[str, Any], block: int, gop: int, shape: tuple[int, int, int]
    ) -> np.ndarray:
        """Sections 6.2 to 6.4."""
        field = group.get("interpolation")
        size = shape[1:]
        if field:
            size = (len(coded(field, 0, shape[1])), len(coded(field, 1, shape[2])))
        found = components(group, self.planes(group, block, gop), size)
        levels = found - np.array(group["quantization"]["offsets"])[:, None, None]
        values = unfolded(inverse(levels, group), group["fold"], group["shape"][1])[: shape[0]]
        values = filtered(values, group) if "post_filter" in group else values
        return interpolated(values, field, shape[1:]) if field else values

    def special(self, group: dict[str, Any], out: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Section 7: put special values in place."""
        for name, packed in zip(group["variables"], group["mask"]["specials"], strict=True):
            own = bands_of(group, name, self.specs)
            for number, special in enumerate(array(packed), 1):
                finite = np.isfinite(special)
                assert not (finite and (out[:, own][classes[:, own] == 0] == special).any())
                out[:, own][classes[:, own] == number] = special
        return out

    def planes(self, group: dict[str, Any], block: int, gop: int) -> list[list[np.ndarray]]:
        """Section 2: decode the GOP of each stream, with a decoder of its own."""
        checksums = array(group["checksums"])
        blocks = math.prod(
            math.ceil(size / cut)
            for size, cut in zip(group["shape"][2:], group["block"], strict=True)
        )
        streams = len(checksums) // blocks
        found = []
        for row in range(block * streams, (block + 1) * streams):
            track = self.videos[group["first_track"] + row]
            packets = [
                self.data[track.offsets[i] : track.offsets[i] + track.sizes[i]]
                for i in track.gop(gop)
            ]
            assert zlib.crc32(b"".join(packets)) == checksums[row, gop]
            found.append(decode(track, packets))
        return found


def decode(track: Track, packets: list[bytes]) -> list[np.ndarray]:
    context = av.CodecContext.create(track.name.split(" ")[0], "r")
    context.extradata = track.extradata() or None
    context.width, context.height = track.size()
    context.thread_count = 1
    frames = []
    for data in packets:
        packet = av.Packet(len(data))
        packet.update(data)
        frames += context.decode(packet)
    frames += context.decode(None)
    assert len(frames) == len(packets)
    planes = [[plane_of(plane, frame) for plane in frame.planes] for frame in frames]
    return [np.stack(each) for each in zip(*planes, strict=True)]


def plane_of(plane: Any, frame: Any) -> np.ndarray:
    dtype = np.dtype("u1" if frame.format.components[0].bits == 8 else "<u2")
    lines = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return lines[:, : plane.width].astype(np.float64)


def components(
    group: dict[str, Any], streams: list[list[np.ndarray]], size: tuple[int, ...]
) -> np.ndarray:
    """Section 6.1."""
    layout, count = group["layout"], array(group["klt"]["matrix"]).shape[1]
    height, width = size
    if layout["kind"] == "tiled":
        tall, wide = (math.ceil(n / layout["align"]) * layout["align"] for n in size)
        columns = min(layout["columns"], count)
        places = [divmod(number, columns) for number in range(count)]
        luma = streams[0][0]
        tiles = [luma[:, row * tall :, column * wide :] for row, column in places]
        return np.stack([tile[:, :height, :width] for tile in tiles], axis=1)
    per_stream = {"gray": 1, "yuv444": 3, "yuv420": 3}[layout["kind"]]
    planes = []
    for stream in streams:
        luma, *chroma = stream[:per_stream]
        doubled = layout["kind"] == "yuv420"
        planes += [luma, *(double(each) if doubled else each for each in chroma)]
    return np.stack([plane[:, :height, :width] for plane in planes[:count]], axis=1)


def double(plane: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        padding = [(1, 1) if each == axis else (0, 0) for each in range(3)]
        moved = np.moveaxis(np.pad(plane, padding, mode="edge"), axis, 0)
        pairs = [0.25 * moved[:-2] + 0.75 * moved[1:-1], 0.75 * moved[1:-1] + 0.25 * moved[2:]]
        both = np.stack(pairs, axis=1).reshape(-1, *moved.shape[1:])
        plane = np.moveaxis(both, 0, axis)
    return plane


def inverse(levels: np.ndarray, group: dict[str, Any]) -> np.ndarray:
    """Section 6.2."""
    klt = group["klt"]
    matrix, weights, means = (array(klt[name]) for name in ("matrix", "weights", "means"))
    values = np.zeros((levels.shape[0], len(matrix), *levels.shape[2:]))
    for band, row in enumerate(matrix.astype(np.float64)):
        for component, entry in enumerate(row):
            values[:, band] += entry * levels[:, component]
        gain = group["quantization"]["step"] / 2 ** klt["shift"] / weights[band]
        values[:, band] *= gain
        values[:, band] += np.float64(means[band])
    return values


def unfolded(values: np.ndarray, fold: int, bands: int) -> np.ndarray:
    frames = [
        values[i, j * bands : (j + 1) * bands] for i in range(len(values)) for j in range(fold)
    ]
    return np.stack(frames)


def coded(field: dict[str, Any], axis: int, length: int) -> range:
    """Section 6.4: which samples of an axis of the open grid are coded."""
    factor, offset, reach = field["factors"][axis], field["offsets"][axis], REACH[field["kernel"]]
    if factor == 1:
        return range(length)
    if field["edges"] == "open":
        return range((2 * (length - 1) + offset) // (2 * factor) + 2 * reach)
    first = (offset + factor) // (2 * factor) + reach - 1
    return range(first, (2 * (length - 1) + offset + factor) // (2 * factor) + reach)


REACH = {"linear": 1, "cubic": 2}


def keys(d: float, a: float) -> float:
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a


def interpolated(values: np.ndarray, field: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """Section 6.4."""
    for axis, length in enumerate(size):
        factor, offset = field["factors"][axis], field["offsets"][axis]
        kept = coded(field, axis, length)
        if factor == 1:
            continue
        source = np.moveaxis(values, axis - 2, 0)
        made = []
        for i in range(length):
            j, rest = divmod(2 * i + offset, 2 * factor)
            p = rest / (2 * factor)
            weights = [1 - p, p]
            if field["kernel"] == "cubic":
                weights = [keys(d, field["a"]) for d in (1 + p, p, 1 - p, 2 - p)]
            near = [min(max(j + k, kept[0]), kept[-1]) - kept[0] for k in range(len(weights))]
            total = weights[0] * source[near[0]]
            for weight, at in zip(weights[1:], near[1:], strict=True):
                total = total + weight * source[at]
            made.append(total)
        values = np.moveaxis(np.stack(made), 0, axis - 2)
    return values


KINDS = [
    *((0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 1, 1)),
    *((0, 1, 2), (0, 2, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)),
]


def filtered(values: np.ndarray, group: dict[str, Any]) -> np.ndarray:
    """Section 6.3."""
    bands = group["shape"][1]
    weights = array(group["post_filter"]["weights"]).astype(np.int64)
    width = [group["quantization"]["step"] / 64 / w for w in array(group["klt"]["weights"])]
    means = array(group["klt"]["means"]).astype(np.float64)
    levels = [np.rint((values[:, b] - means[b]) / width[b]) for b in range(bands)]
    levels = np.stack(levels).astype(np.int64)
    features = np.zeros((bands, 13, *levels.shape[1:]), dtype=np.int64)
    places = [np.arange(size) for size in levels.shape[1:]]
    for kind, distances in enumerate(KINDS):
        for step in itertools.product(*({d, -d} for d in distances)):
            near = (np.clip(at + d, 0, at[-1]) for at, d in zip(places, step, strict=True))
            features[:, kind] += levels[:, *np.ix_(*near)] - levels
    out = np.empty_like(values)
    for band in range(bands):
        own = weights[band if len(weights) > 1 else 0]
        seen = features if own.shape[1] > 1 else features[band : band + 1]
        found = np.einsum("csk,sktyx->ctyx", own, seen).astype(np.float64)
        reached = [activity(levels[band]) >= each for each in group["post_filter"]["thresholds"]]
        classes = np.sum(reached, axis=0, dtype=int) if reached else np.zeros(levels[0].shape, int)
        total = np.take_along_axis(found, classes[None], axis=0)[0]
        gain = width[band] / 2 ** group["post_filter"]["shift"]
        out[:, band] = values[:, band] + total * gain
    return out


def activity(levels: np.ndarray) -> np.ndarray:
    """Section 6.3, of a band: (time, y, x)."""
    wide = np.pad(levels, ((0, 0), (2, 2), (2, 2)), mode="edge")
    across = np.abs(np.diff(wide, 2, axis=2))[:, 1:-1]
    along = np.abs(np.diff(wide, 2, axis=1))[:, :, 1:-1]
    boxes = np.lib.stride_tricks.sliding_window_view(across + along, (3, 3), axis=(1, 2))
    return boxes.sum(axis=(3, 4))


def bands_of(group: dict[str, Any], name: str, specs: dict[str, Any]) -> slice:
    """Section 3.2: the bands of the variables follow each other."""
    start = 0
    for other in group["variables"]:
        spec = specs[other]
        frame_dims = (group["frame_dim"], group["y_dim"], group["x_dim"])
        sizes = zip(spec["dims"], spec["shape"], strict=True)
        count = math.prod(size for dim, size in sizes if dim not in frame_dims)
        if other == name:
            return slice(start, start + count)
        start += count
    raise KeyError(name)


def cast(
    values: np.ndarray, group: dict[str, Any], dtype: np.dtype, specs: dict[str, Any]
) -> np.ndarray:
    """Section 6.5, without moving samples off special values."""
    for number, name in enumerate(group["variables"]):
        low, high = group["valid_min"][number], group["valid_max"][number]
        own = bands_of(group, name, specs)
        if low is not None:
            values[:, own] = np.clip(values[:, own], low, high)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)


def mask(packet: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Section 7."""
    time, bands, height, width = shape
    if not packet:
        return np.zeros(shape, np.uint8)
    mode, body = packet[0], unpacked(packet)
    count, at = body[0], 1
    table_dtype = np.dtype("u1" if bands <= 256 else "<u4")
    numbers = np.frombuffer(body, table_dtype, bands, at)
    at += numbers.nbytes
    distinct = int(numbers.max()) + 1
    kinds = np.frombuffer(body, np.uint8, time * distinct, at).reshape(time, distinct)
    at += kinds.size
    places = [(t, b) for t in range(time) for b in range(distinct) if kinds[t, b] == 255]
    if mode & 16:
        places.sort(key=lambda place: (place[1], place[0]))
    bits = plane_bits(body[at:], mode, count * len(places), height, width)
    out = np.zeros((time, distinct, height, width), np.uint8)
    for number, place in enumerate(places):
        for plane in range(count):
            out[place] |= bits[plane * len(places) + number] << plane
    for (t, band), kind in np.ndenumerate(kinds):
        if kind == 254:
            out[t, band] = out[t - 1, band]
        elif kind == 253:
            out[t, band] = out[t, band - 1]
        elif kind != 255:
            out[t, band] = kind
    return out[:, numbers]


def unpacked(packet: bytes) -> bytes:
    method, data = packet[0] >> 5, packet[1:]
    if method == 0:
        return zlib.decompress(data, -15)
    if method == 1:
        return bz2.decompress(data)
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]
    return lzma.decompress(data, lzma.FORMAT_RAW, filters=filters)


def plane_bits(data: bytes, mode: int, count: int, height: int, width: int) -> np.ndarray:
    if not count:
        return np.zeros((0, height, width), np.uint8)
    along_x = bool(mode & 8)
    rows, columns = (height, -(-width // 8)) if along_x else (-(-height // 8), width)
    lines = np.frombuffer(data, np.uint8).reshape(count, rows, columns)
    axis, size = (2, width) if along_x else (1, height)
    bits = np.unpackbits(lines, axis=axis, count=size)
    for axis in range(3):
        if mode >> axis & 1:
            bits = np.bitwise_xor.accumulate(bits, axis=axis)
    return bits


def kept_array(data: bytes, coder: str, dtype: str, shape: list[int]) -> np.ndarray:
    """Section 5, but for ``objects``."""
    if coder == "deflate":
        data, coder = zlib.decompress(data, -15), "raw"
    if coder == "raw":
        return np.frombuffer(data, dtype).reshape(shape)
    if coder == "lossless":
        return lossless(data, tuple(shape) or (1,), np.dtype(dtype)).reshape(shape)
    if coder != "ramp":
        raise NotImplementedError(coder)
    kind, a, b = struct.unpack("<Bdd", data)
    i = np.arange(shape[0], dtype=np.float64)
    if kind == 0:
        values = a + i * b
    elif kind == 1:
        values = a + i * ((b - a) / (shape[0] - 1))
        values[-1] = b
    elif kind == 2:
        values = np.array(list(itertools.accumulate([a, *[b] * (shape[0] - 1)])))
    else:
        values = (a + i) / b
    return values.astype(dtype)
