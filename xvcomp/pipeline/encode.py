"""Encode a group at a given quantiser step, decode it again, and measure."""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks, planes, residual
from ..codecs import registry
from ..codecs.abc import Codec, StreamParams
from ..codecs.capabilities import probe
from ..codecs.segments import split
from ..errors import CodecError
from ..metrics import ErrorStats
from ..spec import (
    Array,
    BandGroup,
    GroupPlan,
    Klt,
    Layout,
    MaskSpec,
    Planes,
    ResidualSpec,
)
from ..transforms import folding, klt, quantize
from .parallel import cpu_count, map_ordered
from .prepare import Prepared, WindowData
from .reconstruct import DecodePart, VariableForm, decode_part
from .windows import GroupInput, Window

__all__ = ["EncodedGroup", "EncodedWindow", "encode_lossless", "trial"]

_DROP = 1 / 60
"""Components whose variance is below this part of step**2 are not coded: all that they
could still take off the error is a few hundredths of what the quantiser leaves."""


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """One window's bytes: a segment per stream, and per GOP a mask and a residual packet."""

    window: Window
    segments: tuple[bytes, ...]
    checksums: tuple[tuple[int, ...], ...]
    masks: tuple[bytes, ...]
    residuals: tuple[bytes, ...]
    nbytes: int
    stats: tuple[ErrorStats, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedGroup:
    """A group encoded once and decoded once.

    Parameters
    ----------
    group : BandGroup
        Complete but for its place in a file (``first_track``, ``slot``).
    nbytes : int
        Of all packets.
    stats : tuple of ErrorStats
        Per variable, over all its samples, in unpacked units.
    at_ceiling : bool
        The codec could not have used a finer step.
    """

    group: BandGroup
    windows: tuple[EncodedWindow, ...]
    nbytes: int
    stats: tuple[ErrorStats, ...]
    at_ceiling: bool
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coding:
    """All choices for one trial."""

    group: BandGroup
    forms: tuple[VariableForm, ...]
    codec: Codec
    params: StreamParams
    smallest: tuple[int, int]
    at_ceiling: bool


def trial(
    prepared: Prepared,
    plan: GroupPlan,
    step: float,
    *,
    only: Sequence[Window] | None = None,
    on_window: Callable[[Window], None] | None = None,
) -> EncodedGroup:
    """Encode a group with a quantiser of width ``step``, decode it, and measure.

    Parameters
    ----------
    prepared : Prepared
    plan : GroupPlan
    step : float
        In unpacked units.
    only : sequence of Window, optional
        Encode just these, for an estimate.
    on_window : callable, optional
        Called after each window.

    Raises
    ------
    CodecError
        If the codec fails.
    """
    coding = _coding(prepared, plan, step)
    chosen = list(prepared.windows if only is None else only)
    clock = _Clock()

    def work(window: Window) -> EncodedWindow:
        encoded = _encode_window(prepared, coding, window, clock)
        if on_window is not None:
            on_window(window)
        return encoded

    parts = tuple(map_ordered(work, chosen))
    return _collect(coding, prepared, parts, clock)


class _Clock:
    """Seconds that threads spent encoding and decoding, added up."""

    def __init__(self) -> None:
        self.encode = 0.0
        self.decode = 0.0


def _coding(prepared: Prepared, plan: GroupPlan, step: float) -> _Coding:
    codec = registry.get(plan.codec)
    transform = _transform(prepared, plan, step)
    low, high = prepared.extremes(transform)
    finest = quantize.smallest_step(low, high, plan.bit_depth)
    quantizer, code_step = _choose_quantizer(codec, plan.bit_depth, step, finest)
    layout, smallest = _layout(plan, codec, transform.n_components)
    group = BandGroup(
        name=plan.name,
        variables=plan.variables,
        frame_dim=plan.frame_dim,
        y_dim=plan.y_dim,
        x_dim=plan.x_dim,
        shape=prepared.data.shape,
        repeat=plan.repeat,
        fold=plan.fold,
        gop=plan.gop,
        block=plan.block,
        codec=plan.codec,
        preset=plan.preset,
        quantizer=quantizer,
        quantization=quantize.fit(low, high, plan.bit_depth, code_step),
        klt=transform,
        layout=layout,
        mask=_mask_spec(prepared),
        residual=None,
        first_track=0,
        slot=0,
        valid_min=_limits(prepared.valid_min),
        valid_max=_limits(prepared.valid_max),
        checksums=_EMPTY,
        packet_checksums=_EMPTY,
        quality_set=plan.quality_set,
    )
    params = StreamParams(
        chroma=planes.chroma_of(plan.layout),
        bit_depth=plan.bit_depth,
        quantizer=quantizer,
        preset=plan.preset,
        gop=plan.gop,
        threads=1 if len(prepared.windows) >= cpu_count() else 0,
    )
    width = code_step * codec.quantizers(plan.bit_depth)[quantizer]
    return _Coding(
        group=group,
        forms=_forms(prepared.data),
        codec=codec,
        params=params,
        smallest=smallest,
        at_ceiling=width > step * 1.0001,
    )


_EMPTY = Array.of(np.zeros((0, 0), dtype=np.uint32))


def _forms(data: GroupInput) -> tuple[VariableForm, ...]:
    return tuple(VariableForm(v.bands, v.dtype) for v in data.variables)


def _limits(values: tuple[float, ...]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else value for value in values)


def _mask_spec(prepared: Prepared) -> MaskSpec | None:
    if not prepared.has_gaps:
        return None
    return MaskSpec(specials=tuple(Array.of(special) for special in prepared.specials))


def _transform(prepared: Prepared, plan: GroupPlan, step: float) -> Klt:
    weights = np.tile(prepared.data.weights, plan.fold)
    if plan.transform == "none":
        return klt.identity(prepared.moments, weights)[0]
    basis, variances = klt.fit(prepared.moments, weights)
    kept = np.flatnonzero(variances >= _DROP * step**2)
    return klt.select(basis, kept if kept.size else np.array([0]))


def _choose_quantizer(
    codec: Codec, bit_depth: int, step: float, finest: float
) -> tuple[int, float]:
    """Split a step into the codec's quantiser and the width of a code.

    The codec's quantisers are integers, the width of a code is not: so any step can be
    had. The codes are used to the full, as a fine code costs nothing but precision.
    """
    widths = codec.quantizers(bit_depth)
    fitting = [q for q, width in widths.items() if width * finest <= step]
    quantizer = max(fitting, key=lambda q: widths[q]) if fitting else min(widths, key=widths.__getitem__)
    return quantizer, max(step / widths[quantizer], finest)


def _layout(plan: GroupPlan, codec: Codec, components: int) -> tuple[Layout, tuple[int, int]]:
    limits = probe(codec.name)
    layout = Layout(kind=plan.layout)
    if plan.layout == "tiled":
        tile = planes.geometry(layout, 1, *plan.block, (1, 1)).tile
        columns = planes.choose_columns(components, *tile, limits.max_size)
        layout = replace(layout, columns=columns)
    return layout, limits.min_size


def _encode_window(
    prepared: Prepared, coding: _Coding, window: Window, clock: _Clock
) -> EncodedWindow:
    data = prepared.read(window)
    group = coding.group
    started = time.perf_counter()
    streams = _planes(coding, data)
    segments = tuple(coding.codec.encode(planes_, coding.params) for planes_ in streams)
    encoded = time.perf_counter()
    gops = [split(segment) for segment in segments]
    decoded = [_decode(coding, info, packets) for info, packets in gops]
    mask_packets = _mask_packets(group, data.classes)
    part = DecodePart(shape=window.shape, streams=decoded, masks=mask_packets)
    values = decode_part(group, coding.forms, part)
    finished = time.perf_counter()
    clock.encode += encoded - started
    clock.decode += finished - encoded
    nbytes = sum(len(p) for _, packets in gops for gop in packets for p in gop)
    return EncodedWindow(
        window=window,
        segments=segments,
        checksums=tuple(tuple(_crc(gop) for gop in packets) for _, packets in gops),
        masks=mask_packets,
        residuals=(),
        nbytes=nbytes + sum(map(len, mask_packets)),
        stats=_measure(prepared.data, data, values),
    )


def _planes(coding: _Coding, data: WindowData) -> list[Planes]:
    group = coding.group
    assert group.klt is not None and group.quantization is not None and group.layout is not None
    components = klt.forward(folding.fold(data.filled, group.fold), group.klt)
    codes = quantize.quantize(components, group.quantization)
    geo = planes.geometry(
        group.layout, codes.shape[1], codes.shape[2], codes.shape[3], coding.smallest
    )
    return planes.pack(codes, group.layout, geo)


def _decode(coding: _Coding, info: Any, gops: list[list[bytes]]) -> Planes:
    packets = [packet for gop in gops for packet in gop]
    return coding.codec.decode(packets, info, chroma=coding.params.chroma, threads=1)


def _crc(packets: Sequence[bytes]) -> int:
    value = 0
    for packet in packets:
        value = zlib.crc32(packet, value)
    return value


def _mask_packets(group: BandGroup, classes: NDArray[np.uint8]) -> tuple[bytes, ...]:
    if group.mask is None:
        return ()
    return tuple(
        masks.pack(classes[start : start + group.window])
        for start in range(0, len(classes), group.window)
    )


def _measure(
    data: GroupInput, read: WindowData, values: Sequence[NDArray[Any]]
) -> tuple[ErrorStats, ...]:
    """Compare with what was read, in unpacked units; ignored samples do not count."""
    found = []
    for number, (variable, bands) in enumerate(zip(data.variables, data.band_slices, strict=True)):
        valid = read.classes[:, bands] == 0
        if read.ignored is not None:
            valid &= ~read.ignored[:, bands]
        found.append(
            ErrorStats.of(read.stored[number], values[number], valid).scaled(
                variable.scale, variable.offset
            )
        )
    return tuple(found)


def _collect(
    coding: _Coding, prepared: Prepared, parts: tuple[EncodedWindow, ...], clock: _Clock
) -> EncodedGroup:
    stats = list(parts[0].stats)
    for part in parts[1:]:
        stats = [a + b for a, b in zip(stats, part.stats, strict=True)]
    group = replace(
        coding.group,
        checksums=_checksums(parts),
        packet_checksums=_packet_checksums(parts),
    )
    return EncodedGroup(
        group=group,
        windows=parts,
        nbytes=sum(part.nbytes for part in parts),
        stats=tuple(stats),
        at_ceiling=coding.at_ceiling,
        encode_seconds=clock.encode,
        decode_seconds=clock.decode,
    )


def _by_block(parts: Sequence[EncodedWindow]) -> list[list[EncodedWindow]]:
    blocks = sorted({part.window.block for part in parts})
    return [[part for part in parts if part.window.block == block] for block in blocks]


def _checksums(parts: Sequence[EncodedWindow]) -> Array:
    """One row per track: block by block, and stream by stream within a block."""
    if not parts[0].segments:
        return _EMPTY
    rows = [
        [crc for part in block for crc in part.checksums[stream]]
        for block in _by_block(parts)
        for stream in range(len(parts[0].segments))
    ]
    return Array.of(np.array(rows, dtype=np.uint32).reshape(len(rows), -1))


def _packet_checksums(parts: Sequence[EncodedWindow]) -> Array:
    if not (parts[0].masks or parts[0].residuals):
        return _EMPTY
    blocks = [
        [
            [_crc([payload]) for part in block for payload in part.masks],
            [_crc([payload]) for part in block for payload in part.residuals],
        ]
        for block in _by_block(parts)
    ]
    gops = max(len(row) for block in blocks for row in block)
    padded = [[row or [0] * gops for row in block] for block in blocks]
    return Array.of(np.array(padded, dtype=np.uint32))


def encode_lossless(prepared: Prepared, plan: GroupPlan) -> EncodedGroup:
    """Encode a group without loss and without video: one packet per GOP and block.

    The bits of every stored value are kept, so that there is no mask.
    """
    group = _lossless_group(prepared, plan)
    clock = _Clock()
    forms = _forms(prepared.data)

    def work(window: Window) -> EncodedWindow:
        started = time.perf_counter()
        data = prepared.read(window)
        payloads = _lossless_packets(group, data)
        encoded = time.perf_counter()
        part = DecodePart(shape=window.shape, streams=(), residuals=payloads)
        values = decode_part(group, forms, part)
        clock.encode += encoded - started
        clock.decode += time.perf_counter() - encoded
        for before, after in zip(data.stored, values, strict=True):
            if before.tobytes() != after.tobytes():
                raise CodecError(f"group {plan.name!r} did not come back bit for bit")
        return EncodedWindow(
            window=window,
            segments=(),
            checksums=(),
            masks=(),
            residuals=payloads,
            nbytes=sum(map(len, payloads)),
            stats=_measure(prepared.data, data, values),
        )

    parts = tuple(map_ordered(work, prepared.windows))
    coding = _Coding(
        group=group,
        forms=forms,
        codec=None,  # type: ignore[arg-type]
        params=StreamParams(bit_depth=8, quantizer=None, gop=group.gop),
        smallest=(1, 1),
        at_ceiling=False,
    )
    return _collect(coding, prepared, parts, clock)


def _lossless_packets(group: BandGroup, data: WindowData) -> tuple[bytes, ...]:
    time_steps = len(data.stored[0])
    return tuple(
        residual.pack(
            [
                residual.encode_lossless(values[start : start + group.window])
                for values in data.stored
            ]
        )
        for start in range(0, time_steps, group.window)
    )


def _lossless_group(prepared: Prepared, plan: GroupPlan) -> BandGroup:
    return BandGroup(
        name=plan.name,
        variables=plan.variables,
        frame_dim=plan.frame_dim,
        y_dim=plan.y_dim,
        x_dim=plan.x_dim,
        shape=prepared.data.shape,
        repeat=plan.repeat,
        gop=plan.gop,
        block=plan.block,
        codec="none",
        preset=plan.preset,
        quantizer=None,
        quantization=None,
        klt=None,
        layout=None,
        mask=None,
        residual=ResidualSpec(kind="bits", steps=()),
        first_track=0,
        slot=0,
        valid_min=(),
        valid_max=(),
        checksums=_EMPTY,
        packet_checksums=_EMPTY,
        quality_set=plan.quality_set,
    )
