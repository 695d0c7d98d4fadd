"""What encoding leaves behind, window by window, and the small steps that all ways share."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import masks
from ..metrics import ErrorStats
from ..spec import (
    Array,
    BandGroup,
    GroupPlan,
    Klt,
    Layout,
    MaskSpec,
    Quantization,
    ResidualSpec,
)
from .correct import Correction, Gop, encode_correction
from .prepare import Prepared, WindowData
from .samples import VariableForm
from .windows import GroupInput, Window

__all__ = [
    "Clock",
    "EncodedGroup",
    "EncodedWindow",
    "collect",
    "correction_packets",
    "crc32_of",
    "forms_of",
    "group_of",
    "mask_packets",
    "measure_window",
]

_EMPTY = Array.of(np.zeros((0, 0), dtype=np.uint32))


class Payload(Protocol):
    """Bytes, or something that reads them when they are wanted."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """One window's bytes: a segment per stream, and per GOP a mask and a residual packet."""

    window: Window
    segments: tuple[Payload, ...]
    checksums: tuple[tuple[int, ...], ...]
    masks: tuple[Payload, ...]
    residuals: tuple[Payload, ...]
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
    ceiling : float or None
        The finest step that the codec has here, when a finer one was asked for.
    """

    group: BandGroup
    windows: tuple[EncodedWindow, ...]
    nbytes: int
    stats: tuple[ErrorStats, ...]
    ceiling: float | None
    encode_seconds: float
    decode_seconds: float


class Clock:
    """Seconds that threads spent encoding and decoding, added up."""

    def __init__(self) -> None:
        self.encode = 0.0
        self.decode = 0.0


def collect(
    group: BandGroup, parts: tuple[EncodedWindow, ...], clock: Clock, *, ceiling: float | None
) -> EncodedGroup:
    """Join windows to a group."""
    stats = list(parts[0].stats)
    for part in parts[1:]:
        stats = [a + b for a, b in zip(stats, part.stats, strict=True)]
    group = replace(
        group,
        checksums=_checksums(parts),
        packet_checksums=_packet_checksums(parts),
    )
    return EncodedGroup(
        group=group,
        windows=parts,
        nbytes=sum(part.nbytes for part in parts),
        stats=tuple(stats),
        ceiling=ceiling,
        encode_seconds=clock.encode,
        decode_seconds=clock.decode,
    )


def forms_of(data: GroupInput) -> tuple[VariableForm, ...]:
    """Return the form of each variable of a group."""
    return tuple(VariableForm(v.bands, v.dtype) for v in data.variables)


def _limits_of(values: tuple[float, ...]) -> tuple[float | None, ...]:
    """Put ``None`` for the range of a variable without valid samples."""
    return tuple(None if np.isnan(value) else value for value in values)


def group_of(
    prepared: Prepared,
    plan: GroupPlan,
    *,
    fold: int = 1,
    codec: str = "none",
    quantizer: int | None = None,
    quantization: Quantization | None = None,
    klt: Klt | None = None,
    layout: Layout | None = None,
    residual: ResidualSpec | None = None,
    bit_exact: bool = False,
) -> BandGroup:
    """Describe a group: everything but checksums and the place in a file.

    Without a codec, packets alone carry it. What is ``bit_exact`` needs neither a mask nor
    the ranges of its variables.
    """
    return BandGroup(
        name=plan.name,
        variables=plan.variables,
        frame_dim=plan.frame_dim,
        y_dim=plan.y_dim,
        x_dim=plan.x_dim,
        shape=prepared.data.shape,
        repeat=plan.repeat,
        fold=fold,
        gop=plan.gop,
        block=plan.block,
        codec=codec,
        preset=plan.preset,
        quantizer=quantizer,
        quantization=quantization,
        klt=klt,
        layout=layout,
        mask=None if bit_exact else _mask_spec(prepared),
        residual=residual,
        interpolation=plan.interpolation or msgspec.UNSET,
        first_track=0,
        slot=0,
        valid_min=() if bit_exact else _limits_of(prepared.valid_min),
        valid_max=() if bit_exact else _limits_of(prepared.valid_max),
        checksums=_EMPTY,
        packet_checksums=_EMPTY,
        quality_set=plan.quality_set,
    )


def _mask_spec(prepared: Prepared) -> MaskSpec | None:
    """List the special values of a group, if it has any."""
    if not prepared.has_gaps:
        return None
    return MaskSpec(specials=tuple(Array.of(special) for special in prepared.specials))


def mask_packets(group: BandGroup, classes: NDArray[np.uint8]) -> tuple[bytes, ...]:
    """Write the mask of a window, one packet per GOP."""
    if group.mask is None:
        return ()
    return tuple(
        masks.pack(classes[start : start + group.window])
        for start in range(0, len(classes), group.window)
    )


def correction_packets(
    group: BandGroup,
    forms: Sequence[VariableForm],
    data: WindowData,
    base: NDArray[np.float64] | None,
    correction: Correction,
) -> tuple[bytes, ...]:
    """Correct a window GOP by GOP."""
    found = []
    for start in range(0, len(data.classes), group.window):
        span = slice(start, start + group.window)
        gop = Gop(
            stored=[values[span] for values in data.stored],
            classes=data.classes[span],
            filled=data.filled[span].astype(np.float64, copy=False),
            base=None if base is None else base[span],
        )
        found.append(encode_correction(group, forms, gop, correction))
    return tuple(found)


def measure_window(
    data: GroupInput, read: WindowData, values: Sequence[NDArray[Any]], threads: int = 1
) -> tuple[ErrorStats, ...]:
    """Compare with what was read, in unpacked units; ignored samples do not count."""
    found = []
    for number, (variable, bands) in enumerate(zip(data.variables, data.band_slices, strict=True)):
        valid = read.classes[:, bands] == 0
        if read.ignored is not None:
            valid &= ~read.ignored[:, bands]
        found.append(
            ErrorStats.of(read.stored[number], values[number], valid, threads).scaled(
                variable.scale, variable.offset
            )
        )
    return tuple(found)


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
            [crc32_of([bytes(payload)]) for part in block for payload in part.masks],
            [crc32_of([bytes(payload)]) for part in block for payload in part.residuals],
        ]
        for block in _by_block(parts)
    ]
    gops = max(len(row) for block in blocks for row in block)
    padded = [[row or [0] * gops for row in block] for block in blocks]
    return Array.of(np.array(padded, dtype=np.uint32))


def crc32_of(packets: Sequence[bytes]) -> int:
    """Return the checksum of packets, one after the other."""
    value = 0
    for packet in packets:
        value = zlib.crc32(packet, value)
    return value
