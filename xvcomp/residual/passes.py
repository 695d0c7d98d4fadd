"""The passes of a pyramid: what is predicted at once, from what, and in which order."""

from collections.abc import Callable, Iterator, Sequence
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
    count_outer,
    frame_batches,
    outer,
    pad,
    ring,
    split,
)

__all__ = ["Coded", "Part", "Pass", "count_fits", "walk"]

Field = NDArray[np.float64]
Coded = tuple[Field, NDArray[np.float32]]
"""Rebuilt samples of a pass, and the roots of their corrections' magnitudes."""

_BATCH_SAMPLES = 1 << 20
_PART_SAMPLES = 1 << 14
"""Samples of a part of a pass: 128 KiB of float64."""
_BANDS = 3
"""Bands before, at most, from which one is predicted."""
_RING_PHASES: tuple[Phase, ...] = ("corner", "centre")
"""All that the four nearest are ever taken from."""
_WIDEST = 1e6
_START = 4.0
"""Root of the magnitude that is expected where nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of some frames of a pass; features are made as they are asked for.

    ``base`` plus the weighted features is the prediction; the weighted ``activity`` is
    the root of the magnitude that its error is expected to have.
    """

    base: Field
    features: Iterator[Field]
    activity: Iterator[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """Samples that are predicted at once, with one set of weights.

    ``part`` describes a span of its frames: all operations are elementwise, so that cutting
    a pass into parts which fit a processor's cache changes no bit.
    """

    kind: tuple[Any, ...]
    shape: tuple[int, int, int]
    default: list[float]
    expected: list[float]
    place: tuple[Any, ...]
    band: int
    part: Callable[[slice], Part]

    def spans(self) -> Iterator[slice]:
        """Cut the frames into spans of few samples."""
        step = max(1, _PART_SAMPLES // (self.shape[1] * self.shape[2]))
        for start in range(0, self.shape[0], step):
            yield slice(start, min(start + step, self.shape[0]))


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


@dataclass(frozen=True, slots=True)
class _Level:
    """What is known while one level of one band's frames is refined.

    ``values`` and ``roots`` hold the phases that are known by then, ``images`` the phases of
    each reference; the nearest two of each with their edges repeated.
    """

    stride: int
    values: dict[Phase, Field]
    roots: dict[Phase, NDArray[np.float32]]
    images: list[tuple[dict[Phase, Field], dict[Phase, Field]]]


def _references(known: _Known, batch: Batch, band: int) -> _References:
    before = range(max(0, band - _BANDS), band)
    frames = [known.values[band, each] for each in batch.references]
    roots = [known.roots[band, each] for each in batch.references[:2]]
    roots += [known.roots[each, batch.frames] for each in before]
    return _References(frames, [known.values[each, batch.frames] for each in before], roots)


def _level(references: _References, values: Field, roots: NDArray[Any], stride: int) -> _Level:
    images = []
    for image in (*references.frames, *references.bands):
        plain = split(image[:, ::stride, ::stride])
        near = {each: pad(plain[each]) for each in _RING_PHASES if plain[each].size}
        images.append((plain, near))
    return _Level(stride, {"corner": pad(values)}, {"corner": pad(roots)}, images)


def _code_frames(known: _Known, batch: Batch, band: int, code: Callable[[Pass], Coded]) -> Coded:
    height, width = known.values.shape[2:]
    references = _references(known, batch, band)
    stride = coarsest(height, width)
    values, roots = code(_first_pass(references, batch, band, stride, (height, width)))
    while stride > 1:
        stride //= 2
        level = _level(references, values, roots, stride)
        shape = (len(batch.frames), -(-height // stride), -(-width // stride))
        fine, fine_roots = np.empty(shape), np.empty(shape, np.float32)
        targets, root_targets = split(fine), split(fine_roots)
        targets["corner"][...], root_targets["corner"][...] = values, roots
        for phase in PHASES:
            target, root_target = targets[phase], root_targets[phase]
            if not target.size:
                continue
            each = _pass(level, phase, (target.shape[1], target.shape[2]), references, batch, band)
            target[...], root_target[...] = code(each)
            if phase != "top":
                level.values[phase] = pad(target)
                level.roots[phase] = pad(root_target)
        values, roots = fine, fine_roots
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

    def part(span: slice) -> Part:
        base = (near[0][span] + near[1][span]) * 0.5 if near else np.zeros(shape)[span]
        return Part(base, iter(()), iter([np.ones(base.shape)]))

    return Pass(
        kind=("first",),
        shape=shape,
        default=[],
        expected=[_START],
        place=_place(batch, band, (0, 0), stride),
        band=band,
        part=part,
    )


def _pass(
    level: _Level,
    phase: Phase,
    size: tuple[int, int],
    references: _References,
    batch: Batch,
    band: int,
) -> Pass:
    """Describe one phase of one level."""
    frames, bands, down, right = len(references.frames), len(references.bands), *OFFSETS[phase]
    # Two before and after their level; each frame gives two features, each band one.
    default = [0.0] * (3 + count_outer(phase))
    for number in range(frames + bands):
        default += [0.5 if number < 2 and frames else 0.0, 0.0][: 1 + (number < frames)]
    known = 3 + len(references.roots) + (frames > 0)
    return Pass(
        kind=(phase, frames, bands),
        shape=(len(batch.frames), *size),
        default=default,
        expected=[0.0, 0.7, *[0.0] * (known - 2)],
        place=_place(batch, band, (down * level.stride, right * level.stride), 2 * level.stride),
        band=band,
        part=lambda span: _part(level, phase, size, references, span),
    )


def _part(
    level: _Level, phase: Phase, size: tuple[int, int], references: _References, span: slice
) -> Part:
    values = {name: image[span] for name, image in level.values.items()}
    around = ring(values, phase, size)
    mean = _mean(around)
    features = _features(level, phase, size, len(references.frames), values, mean, span)
    return Part(mean, features, _activity(level, around, phase, size, references, span))


def _features(
    level: _Level,
    phase: Phase,
    size: tuple[int, int],
    frames: int,
    values: dict[Phase, Field],
    mean: Field,
    span: slice,
) -> Iterator[Field]:
    """Make what predictions are weighted sums of."""
    for each in ring(values, phase, size)[:3]:
        yield each - mean
    for total, count in outer(values, phase, size):
        yield total - mean * count
    for number, (plain, near) in enumerate(level.images):
        there = _mean(ring({name: image[span] for name, image in near.items()}, phase, size))
        yield plain[phase][span] - there
        if number < frames:
            yield np.subtract(there, mean, out=there)


def _mean(around: Sequence[NDArray[Any]]) -> NDArray[Any]:
    total = around[0] + around[1]
    total += around[2]
    total += around[3]
    total *= total.dtype.type(0.25)
    return np.asarray(total)


def _activity(
    level: _Level,
    around: Sequence[Field],
    phase: Phase,
    size: tuple[int, int],
    references: _References,
    span: slice,
) -> Iterator[NDArray[Any]]:
    """Make what tells how large a correction will be."""
    yield np.ones(around[0].shape)
    yield _mean(ring({name: each[span] for name, each in level.roots.items()}, phase, size))
    high, low = np.maximum(around[0], around[1]), np.minimum(around[0], around[1])
    for other in around[2:]:
        np.maximum(high, other, out=high)
        np.minimum(low, other, out=low)
    high -= low
    yield _root(high)
    down, right = (level.stride * each for each in OFFSETS[phase])
    step = 2 * level.stride
    for each in references.roots:
        yield each[span, down::step, right::step]
    if references.frames:
        (first, _), (second, _) = level.images[:2]
        apart = first[phase][span] - second[phase][span]
        yield _root(np.abs(apart, out=apart))


def _root(spread: Field) -> Field:
    """Take roots in place."""
    np.minimum(spread, _WIDEST, out=spread)
    return np.sqrt(spread, out=spread)
