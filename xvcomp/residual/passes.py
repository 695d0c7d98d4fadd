"""The passes of a pyramid: what is predicted at once, from what, and in which order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

__all__ = ["Coded", "Pass", "count_fits", "walk"]

Field = NDArray[np.float64]
Coded = tuple[Field, NDArray[np.float32]]
"""Rebuilt samples of a pass, and the roots of their corrections' magnitudes."""

_BATCH_SAMPLES = 1 << 20
_BANDS = 3
"""Bands before, at most, from which one is predicted."""
_WIDEST = 1e6
_START = 4.0
"""Root of the magnitude that is expected where nothing is known yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
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


def count_fits(shape: tuple[int, ...]) -> int:
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


def walk(shape: tuple[int, ...], code: Callable[[Pass], Coded]) -> Field:
    """Visit all samples; returns them as (band, time, y, x), in steps from the centre."""
    time, bands, height, width = shape
    known = _Known(
        np.zeros((bands, time, height, width)), np.zeros((bands, time, height, width), np.float32)
    )
    for batch in frame_batches(time, _batch_frames(height, width)):
        for band in range(bands):
            values, roots = _code_frames(known, batch, band, code)
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


def _code_frames(known: _Known, batch: Batch, band: int, code: Callable[[Pass], Coded]) -> Coded:
    height, width = known.values.shape[2:]
    references = _references(known, batch, band)
    stride = coarsest(height, width)
    values, roots = code(_first_pass(references, batch, band, stride, (height, width)))
    while stride > 1:
        stride //= 2
        rows, columns = -(-height // stride), -(-width // stride)
        fine = split(np.zeros((len(batch.frames), rows, columns)))
        fine_roots = split(np.zeros((len(batch.frames), rows, columns), np.float32))
        fine["corner"], fine_roots["corner"] = values, roots
        for phase in PHASES:
            if fine[phase].size:
                each = _pass(fine, fine_roots, phase, references, batch, band, stride)
                fine[phase], fine_roots[phase] = code(each)
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
) -> Pass:
    """Describe the coarsest grid, which has no neighbours."""
    near = [frame[:, ::stride, ::stride] for frame in references.frames[:2]]
    shape = (len(batch.frames), -(-size[0] // stride), -(-size[1] // stride))
    base = (near[0] + near[1]) * 0.5 if near else np.zeros(shape)
    return Pass(
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
) -> Pass:
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
    return Pass(
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
