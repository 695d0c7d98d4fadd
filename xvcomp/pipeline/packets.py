"""Encode a group by packets alone, without video: to the bit, or within a bound."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from .. import residual
from ..errors import CodecError
from ..parallel import cpu_count, map_ordered
from ..spec import BandGroup, GroupPlan, ResidualSpec
from .correct import Correction
from .encoded import (
    Clock,
    EncodedGroup,
    EncodedWindow,
    collect,
    correction_packets,
    forms_of,
    group_of,
    mask_packets,
    measure_window,
)
from .prepare import Prepared, WindowData
from .reconstruct import DecodePart, VariableForm, decode_part
from .spool import spooled
from .windows import GroupInput, Window

__all__ = ["encode_bounded", "encode_lossless"]


def encode_lossless(
    prepared: Prepared, plan: GroupPlan, *, on_window: Callable[[Window], None] | None = None
) -> EncodedGroup:
    """Encode a group without loss.

    The bits of every stored value are kept, so that there is no mask.

    Raises
    ------
    CodecError
        If a decoded window differs.
    """
    return _encode(_Packets(prepared, plan, None), on_window)


def encode_bounded(
    prepared: Prepared,
    plan: GroupPlan,
    correction: Correction,
    *,
    on_window: Callable[[Window], None] | None = None,
) -> EncodedGroup:
    """Encode a group so that every sample keeps the limits of a correction."""
    return _encode(_Packets(prepared, plan, correction), on_window)


@dataclass(frozen=True, slots=True)
class _Packets:
    prepared: Prepared
    plan: GroupPlan
    correction: Correction | None

    @property
    def group(self) -> BandGroup:
        """Everything but checksums and the place in a file."""
        bounded = self.correction
        return group_of(
            self.prepared,
            self.plan,
            residual=bounded.spec if bounded else ResidualSpec(kind="bits"),
            bit_exact=bounded is None,
        )


def _encode(what: _Packets, on_window: Callable[[Window], None] | None) -> EncodedGroup:
    group, forms, clock = what.group, forms_of(what.prepared.data), Clock()

    def work(window: Window) -> EncodedWindow:
        encoded = _window(what, group, forms, window, clock)
        if on_window is not None:
            on_window(window)
        return encoded

    found = map_ordered(work, what.prepared.windows, _workers(what.prepared))
    parts = spooled(found, what.prepared.data.memory.spool_nbytes)
    return collect(group, parts, clock, ceiling=None)


def _workers(prepared: Prepared) -> int:
    """Return how many windows may be at work at a time; each takes more than for a video."""
    largest = max(math.prod(window.shape) for window in prepared.windows)
    samples = largest * prepared.data.shape[1]
    return prepared.data.memory.workers(samples, cpu_count(), packets=True)


def _window(
    what: _Packets,
    group: BandGroup,
    forms: tuple[VariableForm, ...],
    window: Window,
    clock: Clock,
) -> EncodedWindow:
    """Encode a window, decode it again, and measure."""
    started = time.perf_counter()
    data = what.prepared.read(window)
    if what.correction is None:
        payloads = _lossless_packets(what.prepared.data, group, data)
    else:
        payloads = correction_packets(group, forms, data, None, what.correction)
    gaps = mask_packets(group, data.classes)
    encoded = time.perf_counter()
    part = DecodePart(shape=window.shape, streams=(), masks=gaps, residuals=payloads)
    values = decode_part(group, forms, part)
    clock.encode += encoded - started
    clock.decode += time.perf_counter() - encoded
    if what.correction is None:
        for before, after in zip(data.stored, values, strict=True):
            if before.tobytes() != after.tobytes():
                raise CodecError(f"group {group.name!r} did not come back bit for bit")
    return EncodedWindow(
        window=window,
        segments=(),
        checksums=(),
        masks=gaps,
        residuals=payloads,
        nbytes=sum(map(len, (*gaps, *payloads))),
        stats=measure_window(what.prepared.data, data, values),
    )


def _lossless_packets(source: GroupInput, group: BandGroup, data: WindowData) -> tuple[bytes, ...]:
    pairs = list(zip(source.variables, data.stored, strict=True))
    return tuple(
        residual.pack(
            [
                residual.encode_lossless(
                    values[start : start + group.window], apart=variable.fill_values
                )
                for variable, values in pairs
            ]
        )
        for start in range(0, len(data.classes), group.window)
    )
