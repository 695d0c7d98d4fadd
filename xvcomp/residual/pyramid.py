"""Fields coded within a bound, or without loss: each sample predicted from coarser ones.

Samples are visited from coarse to fine in time and space (``stencils``). Each is predicted
linearly from its neighbours, from the same place in the nearest known frames and in the
bands before, by weights that were fitted to the data (``weights``). What is left is
rounded to multiples of the step and coded by its expected magnitude (``contexts``).
Predictions are made from rebuilt values, so that errors do not add up. All arithmetic that
a decoder repeats is elementwise, in a fixed order: it gives the same bits everywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contexts import ContextReader, ContextWriter, classify
from .framing import join_varints, pack, split_varints, unpack, unzigzag, zigzag
from .stencils import (
    OFFSETS,
    PHASES,
    Batch,
    Phase,
    coarsest,
    frame_batches,
    merge,
    outer,
    ring,
    split,
)
from .weights import WeightReader, WeightWriter, combine

__all__ = ["decode_pyramid", "encode_pyramid"]

Field = NDArray[np.float64]
Valid = NDArray[np.bool_] | None

_BATCH_SAMPLES = 1 << 20
_BANDS = 3
"""Bands before, at most, from which one is predicted."""
_LARGEST_K = 2.0**52
_WIDEST = 1e6
_START = 4.0
"""Root of the magnitude that is expected where nothing is known yet."""


def encode_pyramid(
    values: Field, steps: Sequence[float], *, rounded: Sequence[bool], valid: Valid = None
) -> tuple[bytes, Field]:
    """Code gap-free bands to within half a step.

    Parameters
    ----------
    values : ndarray of float64, shape (time, band, y, x)
        Finite everywhere.
    steps : sequence of float
        Per band, positive.
    rounded : sequence of bool
        Per band, whether values and step are integers; then so is the result.
    valid : ndarray of bool, same shape, optional
        Samples that matter; the others cost nothing, and come back as predicted.

    Returns
    -------
    payload : bytes
    rebuilt : ndarray of float64, same shape
        Exactly what ``decode_pyramid`` gives. Up to rounding errors of float64, within
        half a step of every valid sample.
    """
    widths = np.array(steps, dtype=np.float64)[:, None, None]
    codes = values / widths
    centres = [_centre(codes[:, band], _part(valid, band)) for band in range(len(steps))]
    codes -= np.array(centres, dtype=np.float64)[:, None, None]
    writer = _Writer(codes, steps, rounded, valid)
    rebuilt = _walk(values.shape, writer)
    head = join_varints(zigzag(centre) for centre in centres)
    return pack([head, *writer.write()]), _scaled(rebuilt, centres, widths, rounded)


def decode_pyramid(
    payload: bytes,
    shape: tuple[int, ...],
    steps: Sequence[float],
    *,
    rounded: Sequence[bool],
    valid: Valid = None,
) -> Field:
    """Undo ``encode_pyramid``.

    Raises
    ------
    ValueError
        If the payload is damaged, or was made for another shape or mask.
    """
    parts = unpack(payload)
    if len(parts) != 3 or len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"a pyramid of shape {shape} has 3 parts, got {len(parts)}")
    codes, rest = split_varints(parts[0], len(steps))
    if rest:
        raise ValueError(f"{len(rest)} bytes follow the centres")
    centres = [unzigzag(code) for code in codes]
    reader = _Reader(parts[1:], shape, steps, rounded, valid)
    # Damaged weights may blow values up; they are garbage then, but no crash.
    with np.errstate(all="ignore"):
        rebuilt = _walk(shape, reader)
        return _scaled(rebuilt, centres, np.array(steps)[:, None, None], rounded)


def _centre(codes: Field, valid: Valid) -> int:
    chosen = codes if valid is None else codes[valid]
    return int(np.rint(chosen.mean())) if chosen.size else 0


def _part(valid: Valid, band: int) -> Valid:
    return None if valid is None else valid[:, band]


def _scaled(
    rebuilt: Field, centres: Sequence[int], widths: Field, rounded: Sequence[bool]
) -> Field:
    """Return to the values' own units, as (time, band, y, x)."""
    moved = rebuilt.transpose(1, 0, 2, 3) + np.array(centres, dtype=np.float64)[:, None, None]
    moved *= widths
    for band, whole in enumerate(rounded):
        if whole:
            np.rint(moved[:, band], out=moved[:, band])
    return moved


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """Samples that are predicted at once, and all that is known of them.

    ``base`` plus the weighted features is the prediction; the weighted ``activity`` is
    the root of the magnitude that its error is expected to have.
    """

    kind: tuple[Any, ...]
    base: Field
    features: list[Field]
    default: list[float]
    activity: list[NDArray[Any]]
    expected: list[float]
    place: tuple[Any, ...]
    band: int


class _Coder(ABC):
    """One side of the coding of passes."""

    def __init__(self, steps: Sequence[float], rounded: Sequence[bool], valid: Valid) -> None:
        self._steps = steps
        self._rounded = rounded
        self._valid = valid

    def code(self, each: _Pass) -> tuple[Field, NDArray[np.float32]]:
        """Return rebuilt samples, and the roots of their corrections' magnitudes."""
        predicted = combine(each.base, each.features, self.weights(each))
        if self._rounded[each.band]:
            step = self._steps[each.band]
            predicted = np.rint(predicted * step) / step
        k = self.corrections(each, predicted).astype(np.float64)
        return predicted + k, np.sqrt(np.abs(k)).astype(np.float32)

    @abstractmethod
    def weights(self, each: _Pass) -> NDArray[np.int64]:
        """Return the weights of a pass's features."""

    @abstractmethod
    def corrections(self, each: _Pass, predicted: Field) -> NDArray[np.int64]:
        """Return the corrections of a pass, zero where samples are not valid."""

    def _mask(self, each: _Pass) -> Valid:
        return None if self._valid is None else self._valid[each.place]


class _Writer(_Coder):
    def __init__(
        self, codes: Field, steps: Sequence[float], rounded: Sequence[bool], valid: Valid
    ) -> None:
        super().__init__(steps, rounded, valid)
        self._codes = codes
        self._weights = WeightWriter()
        self._contexts = ContextWriter()

    def weights(self, each: _Pass) -> NDArray[np.int64]:
        if not each.features:
            return np.zeros(0, np.int64)
        wanted = self._codes[each.place] - each.base
        # Rounding to whole steps leaves a variance of 1/12 in everything rebuilt.
        return self._weights.fit(
            each.kind, each.default, each.features, wanted, self._mask(each), 1 / 12
        )

    def corrections(self, each: _Pass, predicted: Field) -> NDArray[np.int64]:
        valid = self._mask(each)
        wanted = np.rint(self._codes[each.place] - predicted)
        k: NDArray[np.int64] = np.clip(wanted, -_LARGEST_K, _LARGEST_K).astype(np.int64)
        if valid is not None:
            k[~valid] = 0
        kind = ("activity", *each.kind)
        roots = np.sqrt(np.abs(k.astype(np.float64)))
        weights = self._weights.fit(kind, each.expected, each.activity, roots, valid, 1e-3)
        contexts = classify(combine(np.zeros(k.shape), each.activity, weights))
        chosen = slice(None) if valid is None else valid.reshape(-1)
        self._contexts.add(k.reshape(-1)[chosen], contexts.reshape(-1)[chosen])
        return k

    def write(self) -> list[bytes]:
        return [self._weights.write(), self._contexts.write()]


class _Reader(_Coder):
    def __init__(
        self,
        parts: Sequence[bytes],
        shape: tuple[int, ...],
        steps: Sequence[float],
        rounded: Sequence[bool],
        valid: Valid,
    ) -> None:
        super().__init__(steps, rounded, valid)
        self._weights = WeightReader(parts[0], _count_fits(shape))
        samples = int(np.prod(shape)) if valid is None else int(valid.sum())
        self._contexts = ContextReader(parts[1], samples)

    def weights(self, each: _Pass) -> NDArray[np.int64]:
        if not each.features:
            return np.zeros(0, np.int64)
        return self._weights.next(each.kind, each.default)

    def corrections(self, each: _Pass, predicted: Field) -> NDArray[np.int64]:
        weights = self._weights.next(("activity", *each.kind), each.expected)
        contexts = classify(combine(np.zeros(predicted.shape), each.activity, weights))
        valid = self._mask(each)
        if valid is None:
            return self._contexts.take(contexts.reshape(-1)).reshape(predicted.shape)
        k = np.zeros(predicted.shape, np.int64)
        k[valid] = self._contexts.take(contexts[valid])
        return k


def _count_fits(shape: tuple[int, ...]) -> int:
    """Count the sets of weights that coding some shape asks for."""
    time, bands, height, width = shape
    batches = sum(1 for _ in frame_batches(time, _batch_frames(height, width)))
    stride, passes = coarsest(height, width), 1
    while stride > 1:
        stride //= 2
        rows, columns = -(-height // stride), -(-width // stride)
        passes += 2 * ((rows > 1 and columns > 1) + (rows > 1) + (columns > 1))
    return batches * bands * passes


def _batch_frames(height: int, width: int) -> int:
    return max(1, _BATCH_SAMPLES // (height * width))


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything rebuilt so far, by band: values and roots of corrections."""

    values: Field
    roots: NDArray[np.float32]


def _walk(shape: tuple[int, ...], coder: _Coder) -> Field:
    """Visit all samples; returns them as (band, time, y, x), in steps from the centre."""
    time, bands, height, width = shape
    known = _Known(
        np.zeros((bands, time, height, width)), np.zeros((bands, time, height, width), np.float32)
    )
    for batch in frame_batches(time, _batch_frames(height, width)):
        for band in range(bands):
            values, roots = _code_frames(known, batch, band, coder)
            known.values[band, batch.frames] = values
            known.roots[band, batch.frames] = roots
    return known.values


@dataclass(frozen=True, slots=True)
class _References:
    """Images of the same places: other frames of the band, then other bands."""

    frames: list[Field]
    bands: list[Field]
    roots: list[NDArray[np.float32]]


def _references(known: _Known, batch: Batch, band: int) -> _References:
    before = range(max(0, band - _BANDS), band)
    frames = [known.values[band, each] for each in batch.references]
    roots = [known.roots[band, each] for each in batch.references[:2]]
    roots += [known.roots[each, batch.frames] for each in before]
    return _References(frames, [known.values[each, batch.frames] for each in before], roots)


def _code_frames(
    known: _Known, batch: Batch, band: int, coder: _Coder
) -> tuple[Field, NDArray[np.float32]]:
    height, width = known.values.shape[2:]
    references = _references(known, batch, band)
    stride = coarsest(height, width)
    values, roots = coder.code(_first_pass(references, batch, band, stride, (height, width)))
    while stride > 1:
        stride //= 2
        rows, columns = -(-height // stride), -(-width // stride)
        fine = split(np.zeros((len(batch.frames), rows, columns)))
        fine_roots = split(np.zeros((len(batch.frames), rows, columns), np.float32))
        fine["corner"], fine_roots["corner"] = values, roots
        for phase in PHASES:
            if fine[phase].size:
                each = _pass(fine, fine_roots, phase, references, batch, band, stride)
                fine[phase], fine_roots[phase] = coder.code(each)
        shape = (len(batch.frames), rows, columns)
        values, roots = merge(fine, shape), merge(fine_roots, shape)
    return values, roots


def _place(batch: Batch, band: int, offset: tuple[int, int], stride: int) -> tuple[Any, ...]:
    """Index a pass's samples in arrays of shape (time, band, y, x)."""
    # One index array and slices: band is a slice, for mixing it in would reorder the axes.
    rows, columns = (slice(start, None, stride) for start in offset)
    return batch.frames, band, rows, columns


def _first_pass(
    references: _References, batch: Batch, band: int, stride: int, size: tuple[int, int]
) -> _Pass:
    """Describe the coarsest grid, which has no neighbours."""
    near = [frame[:, ::stride, ::stride] for frame in references.frames[:2]]
    shape = (len(batch.frames), -(-size[0] // stride), -(-size[1] // stride))
    base = (near[0] + near[1]) * 0.5 if near else np.zeros(shape)
    return _Pass(
        kind=("first",),
        base=base,
        features=[],
        default=[],
        activity=[np.ones(shape)],
        expected=[_START],
        place=_place(batch, band, (0, 0), stride),
        band=band,
    )


def _pass(
    fine: dict[Phase, Field],
    roots: dict[Phase, NDArray[np.float32]],
    phase: Phase,
    references: _References,
    batch: Batch,
    band: int,
    stride: int,
) -> _Pass:
    """Describe one phase of one level."""
    around = ring(fine, phase)
    mean = _mean(around)
    features = [each - mean for each in around[:3]]
    features += [total - mean * count for total, count in outer(fine, phase)]
    default = [0.0] * len(features)
    at_place: list[Field] = []
    for number, image in enumerate([*references.frames, *references.bands]):
        other = split(image[:, ::stride, ::stride])
        level = _mean(ring(other, phase))
        features.append(other[phase] - level)
        at_place.append(other[phase])
        default.append(0.5 if number < 2 and references.frames else 0.0)
        if number < len(references.frames):
            features.append(level - mean)
            default.append(0.0)
    activity = _activity(around, roots, phase, references, at_place, stride)
    down, right = OFFSETS[phase]
    return _Pass(
        kind=(phase, len(references.frames), len(references.bands)),
        base=mean,
        features=features,
        default=default,
        activity=activity,
        expected=[0.0, 0.7, *[0.0] * (len(activity) - 2)],
        place=_place(batch, band, (down * stride, right * stride), 2 * stride),
        band=band,
    )


def _mean(around: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.asarray((around[0] + around[1] + around[2] + around[3]) * 0.25)


def _activity(
    around: Sequence[Field],
    roots: dict[Phase, NDArray[np.float32]],
    phase: Phase,
    references: _References,
    at_place: Sequence[Field],
    stride: int,
) -> list[NDArray[Any]]:
    """List what tells how large a correction will be."""
    high = np.maximum(np.maximum(around[0], around[1]), np.maximum(around[2], around[3]))
    low = np.minimum(np.minimum(around[0], around[1]), np.minimum(around[2], around[3]))
    down, right = OFFSETS[phase]
    found = [np.ones(high.shape), _mean(ring(roots, phase)), _root(high - low)]
    found += [
        each[:, down * stride :: 2 * stride, right * stride :: 2 * stride]
        for each in references.roots
    ]
    if references.frames:
        found.append(_root(np.abs(at_place[0] - at_place[1])))
    return found


def _root(spread: Field) -> Field:
    return np.sqrt(np.minimum(spread, _WIDEST))
