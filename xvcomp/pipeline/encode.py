"""Encode a group at a given quantiser step, decode it again, and measure."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import planes
from ..codecs import registry
from ..codecs.abc import Codec, StreamParams
from ..codecs.capabilities import probe
from ..codecs.segments import split
from ..errors import CodecError
from ..parallel import cpu_count, map_ordered
from ..spec import (
    BandGroup,
    GroupPlan,
    Klt,
    Layout,
    Planes,
    PostFilter,
    StreamInfo,
)
from ..transforms import interpolating, klt, quantize
from ..transforms.wiener import Evidence
from .correct import Correction
from .encoded import (
    Clock,
    EncodedGroup,
    EncodedWindow,
    collect,
    correction_packets,
    crc32_of,
    forms_of,
    group_of,
    mask_packets,
    measure_window,
)
from .filtering import evidence_of, learned, pays
from .prepare import Prepared, WindowData
from .reconstruct import DecodePart, VariableForm, decode_bands, decode_part
from .slabs import codes_of
from .spool import spooled
from .windows import Window

__all__ = ["trial"]

_log = logging.getLogger(__name__)

_ALIGN = 8
_UNSOUND_STEPS = 0.9
"""No frame of a sound software encoder is further off: up to 0.73 steps (RMS) were seen.

SVT-AV1 with fine quantisers leaves that range where contrasts are high.
"""

_GARBAGE_STEPS = 2.0
"""The same for devices and other programs, whose steps are known less well."""

_DROP = 1 / 300
"""Components whose variance is below this part of step**2 are not coded, if they are small:
all that they could still take off the error is a hundredth of what the quantiser leaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coding:
    """All choices for one trial."""

    group: BandGroup
    forms: tuple[VariableForm, ...]
    codec: Codec
    params: StreamParams
    smallest: tuple[int, int]
    ceiling: float | None
    correction: Correction | None
    replaceable: bool
    step: float
    filtered: bool


def trial(
    prepared: Prepared,
    plan: GroupPlan,
    step: float,
    *,
    correction: Correction | None = None,
    only: Sequence[Window] | None = None,
    min_components: int = 1,
    options: Mapping[str, str] | None = None,
    on_window: Callable[[Window], None] | None = None,
) -> EncodedGroup:
    """Encode a group with a quantiser of width ``step``, decode it, and measure.

    Parameters
    ----------
    prepared : Prepared
    plan : GroupPlan
    step : float
        In unpacked units.
    correction : Correction, optional
        What is to be added to the video, so that a bound is kept.
    only : sequence of Window, optional
        Encode just these, for an estimate.
    min_components : int
        Code at least so many components, even where they hardly pay.
    options : Mapping, optional
        Of the encoder, beyond those of the preset.
    on_window : callable, optional
        Called after each window.

    Raises
    ------
    CodecError
        If the codec fails.
    """
    chosen = list(prepared.windows if only is None else only)

    def attempt(*, risky: bool) -> EncodedGroup:
        coding = _coding(prepared, plan, step, correction, min_components, options or {}, risky)
        try:
            return _encoded(prepared, coding, chosen, on_window)
        except CodecError as error:
            if (coding.params.quantizer or 0) >= 0:
                raise
            _log.info("group %r is not coded below quantiser 0: %s", plan.name, error)
        return attempt(risky=False)

    return attempt(risky=True)


def _encoded(
    prepared: Prepared,
    coding: _Coding,
    chosen: Sequence[Window],
    on_window: Callable[[Window], None] | None,
) -> EncodedGroup:
    clock = Clock()
    evidence = Evidence.none(coding.group.shape[1])

    def work(window: Window) -> tuple[EncodedWindow, Evidence | None]:
        encoded = _encode_window(prepared, coding, window, clock)
        if on_window is not None:
            on_window(window)
        return encoded

    def gathered() -> Iterator[EncodedWindow]:
        nonlocal evidence
        for encoded, own in map_ordered(work, chosen, prepared.workers):
            if own is not None:
                evidence += own
            yield encoded

    parts = spooled(gathered(), prepared.data.memory.spool_nbytes)
    plain = collect(coding.group, parts, clock, ceiling=coding.ceiling)
    found = learned(coding.group, prepared, evidence, coding.step, plain.nbytes)
    return plain if found is None else _filtered(prepared, coding, plain, found)


def _filtered(
    prepared: Prepared, coding: _Coding, plain: EncodedGroup, found: PostFilter
) -> EncodedGroup:
    """Decode again, through a filter; if that pays, it stays."""
    group = replace(coding.group, post_filter=found)
    clock = Clock()

    def measured(part: EncodedWindow) -> EncodedWindow:
        data = prepared.read(part.window)
        started = time.perf_counter()
        streams = [_decoded(coding, *split(bytes(segment))) for segment in part.segments]
        masks = [bytes(each) for each in part.masks]
        threads = min(_threads(coding), prepared.threads)
        whole = DecodePart(shape=part.window.shape, streams=streams, masks=masks, threads=threads)
        values = decode_part(group, coding.forms, whole)
        clock.decode += time.perf_counter() - started
        stats = measure_window(prepared.data, data, values, threads)
        return replace(part, stats=stats)

    clock.encode = plain.encode_seconds
    parts = tuple(map_ordered(measured, plain.windows, prepared.workers))
    filtered = collect(group, parts, clock, ceiling=plain.ceiling)
    return filtered if pays(found, plain, filtered, coding.step) else plain


def _coding(
    prepared: Prepared,
    plan: GroupPlan,
    step: float,
    correction: Correction | None,
    least: int,
    options: Mapping[str, str],
    risky: bool,
) -> _Coding:
    codec = registry.get(plan.codec)
    transform = _transform(prepared, plan, step, least)
    low, high = prepared.extremes(transform)
    finest = quantize.smallest_step(low, high, plan.bit_depth)
    widths = codec.worthwhile(plan.bit_depth, plan.preset)
    if not risky:
        widths = {q: width for q, width in widths.items() if q >= 0}
    quantizer, code_step = _choose_quantizer(widths, step, finest)
    layout, smallest = _layout(plan, codec, transform.n_components)
    group = group_of(
        prepared,
        plan,
        fold=plan.fold,
        codec=plan.codec,
        quantizer=quantizer,
        quantization=quantize.fit(low, high, plan.bit_depth, code_step),
        klt=transform,
        layout=layout,
        residual=None if correction is None else correction.spec,
    )
    params = StreamParams(
        chroma=planes.chroma_of(plan.layout),
        bit_depth=plan.bit_depth,
        quantizer=quantizer,
        preset=plan.preset,
        gop=plan.gop,
        threads=1 if len(prepared.windows) >= cpu_count() else 0,
        mixed=plan.fold > 1,
        options=options,
    )
    width = code_step * widths[quantizer]
    return _Coding(
        group=group,
        forms=forms_of(prepared.data),
        codec=codec,
        params=params,
        smallest=smallest,
        ceiling=width if width > step * 1.0001 else None,
        correction=correction,
        replaceable=bool(plan.fallback),
        step=step,
        filtered=plan.preset == "best" and correction is None,
    )


def _transform(prepared: Prepared, plan: GroupPlan, step: float, least: int) -> Klt:
    if plan.transform == "none" or prepared.is_huge:
        weights = np.tile(prepared.data.weights, plan.fold)
        return klt.identity(prepared.moments, weights)[0]
    basis, variances = prepared.basis(step)
    kept = np.flatnonzero(variances >= _negligible(prepared) * step**2)
    count = min(max(kept.size, least), len(variances))
    return klt.select(basis, np.arange(count))


def _negligible(prepared: Prepared) -> float:
    """Return the variance below which a component is not worth its bits, in units of step**2.

    A smooth component costs its column of the basis and little more; over many samples
    even a small variance is worth that.
    """
    time, bands, y, x = prepared.data.coded_shape
    frames = -(-time // prepared.fold)
    bits = 300 + 16 * bands * prepared.fold + 8 * frames
    return min(_DROP, quantize.SQUARED_STEPS_PER_BIT * bits / (frames * y * x))


def _choose_quantizer(widths: Mapping[int, float], step: float, finest: float) -> tuple[int, float]:
    """Split a step into the codec's quantiser and the width of a code.

    The codec's quantisers are integers, the width of a code is not: so any step can be
    had. The codes are used to the full, as a fine code costs nothing but precision.
    """
    fitting = [q for q, width in widths.items() if width * finest <= step]
    quantizer = (
        max(fitting, key=lambda q: widths[q]) if fitting else min(widths, key=widths.__getitem__)
    )
    return quantizer, max(step / widths[quantizer], finest)


def _layout(plan: GroupPlan, codec: Codec, components: int) -> tuple[Layout, tuple[int, int]]:
    limits = probe(codec.name)
    # Devices that round frames up need tiles of that multiple.
    layout = Layout(kind=plan.layout, align=max(_ALIGN, limits.align))
    if plan.layout == "tiled":
        block = plan.block
        if plan.interpolation is not None:
            block = interpolating.coarse_size(plan.interpolation, *block)
        tile = planes.geometry(layout, 1, *block, (1, 1)).tile
        columns = planes.choose_columns(components, *tile, limits.max_size)
        layout = replace(layout, columns=columns)
    return layout, limits.min_size


def _encode_window(
    prepared: Prepared, coding: _Coding, window: Window, clock: Clock
) -> tuple[EncodedWindow, Evidence | None]:
    data = prepared.read(window)
    group = coding.group
    started = time.perf_counter()
    threads = min(_threads(coding), prepared.threads)
    streams = _planes(coding, data, threads)
    segments = tuple(coding.codec.encode(planes_, coding.params) for planes_ in streams)
    encoded = time.perf_counter()
    gops = [split(segment) for segment in segments]
    decoded = [
        _decode(coding, sent, info, stream)
        for sent, (info, stream) in zip(streams, gops, strict=True)
    ]
    gaps = mask_packets(group, data.classes)
    part = DecodePart(shape=window.shape, streams=decoded, masks=gaps, threads=threads)
    if coding.correction is not None:
        base = decode_bands(group, part)
        packets = correction_packets(group, coding.forms, data, base, coding.correction)
        part = replace(part, residuals=packets)
    values = decode_part(group, coding.forms, part)
    finished = time.perf_counter()
    clock.encode += encoded - started
    clock.decode += finished - encoded
    nbytes = sum(len(packet) for _, stream in gops for gop in stream for packet in gop)
    evidence = evidence_of(group, data, decoded, window, coding.step) if coding.filtered else None
    encoded_window = EncodedWindow(
        window=window,
        segments=segments,
        checksums=tuple(tuple(crc32_of(gop) for gop in stream) for _, stream in gops),
        masks=gaps,
        residuals=tuple(part.residuals),
        nbytes=nbytes + sum(map(len, (*gaps, *part.residuals))),
        stats=measure_window(prepared.data, data, values, threads),
    )
    return encoded_window, evidence


def _planes(coding: _Coding, data: WindowData, threads: int) -> list[Planes]:
    group = coding.group
    assert group.klt is not None
    assert group.quantization is not None
    assert group.layout is not None
    codes = codes_of(data.filled, group.fold, group.klt, group.quantization, threads)
    geo = planes.geometry(
        group.layout, codes.shape[1], codes.shape[2], codes.shape[3], coding.smallest
    )
    return planes.pack(codes, group.layout, geo)


def _decode(coding: _Coding, sent: Planes, info: StreamInfo, gops: list[list[bytes]]) -> Planes:
    """Decode what was just encoded; it must at least be of the same size."""
    planes_ = _decoded(coding, info, gops)
    wanted, got = [plane.shape for plane in sent], [plane.shape for plane in planes_]
    if wanted != got:
        raise CodecError(f"{coding.codec.name} decodes to planes of {got}, not {wanted}")
    if registry.kind(coding.codec.name) != "software":
        _check_error(coding, sent, planes_, _GARBAGE_STEPS)
    elif coding.replaceable or (coding.params.quantizer or 0) < 0:
        _check_error(coding, sent, planes_, _UNSOUND_STEPS)
    return planes_


def _decoded(coding: _Coding, info: StreamInfo, gops: list[list[bytes]]) -> Planes:
    packets = [packet for gop in gops for packet in gop]
    chroma = coding.params.chroma
    return coding.codec.decode(packets, info, chroma=chroma, threads=_threads(coding))


def _threads(coding: _Coding) -> int:
    """Return the threads that may decode a window: one where each core has a window of its own."""
    return coding.params.threads or cpu_count()


def _check_error(coding: _Coding, sent: Planes, decoded: Planes, most: float) -> None:
    """Tell garbage from a coarse quantiser."""
    quantizer = coding.params.quantizer
    assert quantizer is not None  # groups with a video are lossy
    width = coding.codec.quantizers(coding.params.bit_depth)[quantizer]
    for before, after in zip(sent, decoded, strict=True):
        error = max(map(_mean_square, before, after))
        if error > (most * width) ** 2:
            raise CodecError(
                f"{coding.codec.name} wrote a stream that decodes to something else: off by "
                f"{math.sqrt(error):.0f} codes (RMS) at a quantiser step of {width:.0f}"
            )


def _mean_square(sent: NDArray[np.uint16], decoded: NDArray[np.uint16]) -> float:
    """Return the error of a frame; one by one, they stay in the processor's cache."""
    difference = np.subtract(sent, decoded, dtype=np.float32).ravel()
    return float(np.dot(difference, difference)) / difference.size
