"""Between samples and codes in slabs that fit a processor's cache: quick, and little memory.

Whole windows of float64 would take several times the memory of the samples themselves,
and pass through it once per operation.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import planes
from ..parallel import map_ordered, map_slabs
from ..spec import BandGroup, Klt, Layout, Planes, Quantization
from ..transforms import folding, interpolating, klt, post_filter, quantize
from .samples import VariableForm, clip, to_dtype

__all__ = [
    "band_slabs",
    "cast_into",
    "codes_of",
    "folded_slabs",
    "map_folded",
    "neighbourhoods",
    "samples_of",
    "slabs",
]

_SLAB = 1 << 18
"""Samples of a slab: two megabytes of float64. With less, threads get in the way of each other."""

_FILTER_SLAB = 1 << 16
"""The same where each sample has all kinds of neighbours beside it: larger than a cache, but the
interpreter is in the way of other threads less often."""

_AT_ONCE = 1 << 22
"""Samples that may be filtered at the same time: 64 megabytes of values and levels."""

_Frames = NDArray[np.float64]
_Slab = tuple[slice, slice, _Frames]
"""Frames and rows, and values of shape (time, band, y, x) there."""

_T = TypeVar("_T")


def folded_slabs(filled: NDArray[Any], fold: int) -> Iterator[NDArray[np.float64]]:
    """Yield gap-free samples, folded and as float64, a few frames at a time."""
    return map_folded(lambda folded: folded, filled, fold, threads=1)


def map_folded(
    function: Callable[[_Frames], _T], filled: NDArray[Any], fold: int, threads: int
) -> Iterator[_T]:
    """Apply a function to slabs of folded samples.

    Parameters
    ----------
    function : callable
        Of an ndarray of float64, shape (frame, fold * band, y, x).
    filled : ndarray of float, shape (time, band, y, x)
        Gap-free.
    fold : int
    threads : int
        Slabs at a time, at most.

    Yields
    ------
    What the function returns, in the order of the slabs.
    """
    time, bands, height, width = filled.shape
    step = fold * max(1, 2 * _SLAB // (fold * bands * height * width))

    def applied(start: int) -> _T:
        return function(folding.fold(filled[start : start + step].astype(np.float64), fold))

    return map_slabs(applied, range(0, time, step), threads)


def codes_of(
    filled: NDArray[Any],
    fold: int,
    transform: Klt,
    quantization: Quantization,
    threads: int = 1,
) -> NDArray[np.uint16]:
    """Fold, transform and quantise gap-free samples.

    Parameters
    ----------
    filled : ndarray of float, shape (time, band, y, x)
    fold : int
    transform : Klt
    quantization : Quantization
    threads : int
        Slabs at a time, at most; the codes are the same with any number.

    Returns
    -------
    ndarray of uint16, shape (ceil(time / fold), component, y, x)

    Raises
    ------
    ValueError
        If there is a NaN.
    """
    time, bands, height, width = filled.shape
    frames = -(-time // fold)
    codes = np.empty((frames, transform.n_components, height, width), dtype=np.uint16)

    def code(slab: tuple[slice, slice]) -> None:
        span, rows = slab
        part = filled[span.start * fold : span.stop * fold, :, rows]
        components = klt.forward(folding.fold(part, fold), transform)
        codes[span, :, rows] = quantize.quantize(components, quantization)

    _do(code, slabs(frames, height, fold * bands * width), threads)
    return codes


def _do(work: Callable[[_T], None], items: Iterable[_T], threads: int) -> None:
    """Work at items that return nothing, in some threads."""
    for _ in map_slabs(work, items, threads):
        pass


def samples_of(
    group: BandGroup,
    forms: Sequence[VariableForm],
    streams: Sequence[Planes],
    shape: tuple[int, int, int],
    threads: int = 1,
) -> list[NDArray[Any]]:
    """Undo layout, quantisation, transform and folding, and cast to the stored dtypes.

    Parameters
    ----------
    group : BandGroup
    forms : sequence of VariableForm
    streams : sequence of Planes
    shape : (int, int, int)
        (time, y, x) of the samples.
    threads : int
        Groups of frames, or frames to filter, at a time, at most. The rows of a frame that is
        larger than a slab are one thread's work.

    Returns
    -------
    list of ndarray, shape (time, band, y, x)
        One per variable: the bits that whole arrays would give, for every operation is
        elementwise or an exact sum.
    """
    time, height, width = shape
    out = [np.empty((time, form.bands, height, width), dtype=form.dtype) for form in forms]
    limits = list(zip(group.valid_min, group.valid_max, strict=True))

    def cast(slab: _Slab) -> None:
        span, rows, values = slab
        start = 0
        for target, form, (low, high) in zip(out, forms, limits, strict=True):
            part = values[:, start : start + form.bands]
            cast_into(part, low, high, target[span, :, rows])
            start += form.bands

    def cast_frames(made: Callable[[], Iterator[_Slab]]) -> None:
        for slab in made():
            cast(slab)

    if group.interpolation or group.post_filter:
        for slab in band_slabs(group, streams, shape, threads):
            cast(slab)
    else:
        _do(cast_frames, _unfiltered(group, streams, shape), threads)
    return out


def band_slabs(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int], threads: int = 1
) -> Iterator[_Slab]:
    """Undo layout, quantisation, transform and folding, and filter, slab by slab.

    Yields
    ------
    time, rows : slice
        Where the slab lies.
    values : ndarray of float64, shape (time, band, y, x)
        In stored units; the caller's own.
    """
    if not group.interpolation:
        yield from _coded_slabs(group, streams, shape, threads)
        return
    field, size = group.interpolation, shape[1:]
    coarse = (shape[0], *interpolating.coarse_size(field, *size))
    for span, whole in _whole_frames(_coded_slabs(group, streams, coarse, threads), coarse):
        # Folded frames are many at once.
        for frames, _ in slabs(len(whole), 1, math.prod((whole.shape[1], *size))):
            at = slice(span.start + frames.start, span.start + frames.stop)
            yield at, slice(0, size[0]), interpolating.refine(whole[frames], field, size)


def _coded_slabs(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int], threads: int
) -> Iterator[_Slab]:
    """Do what `band_slabs` does on the grid that is coded."""
    if not group.post_filter:
        yield from _unfiltered_slabs(group, streams, shape)
        return
    time, height, _ = shape

    def filtered(part: tuple[slice, _Frames, _Frames]) -> tuple[slice, _Frames]:
        span, values, levels = part
        _filter(group, values, levels)
        return span, values

    parts = itertools.chain.from_iterable(
        neighbourhoods(group, streams, shape, start) for start in range(0, time, group.window)
    )
    frame = group.shape[1] * shape[1] * shape[2]
    workers = max(1, min(threads, _AT_ONCE // max(frame, _SLAB)))
    for span, values in map_ordered(filtered, parts, workers):
        yield span, slice(0, height), values


def _filter(group: BandGroup, values: _Frames, levels: _Frames) -> None:
    """Filter whole frames in place, a few rows at a time."""
    frames, bands, height, width = values.shape
    widths = _widths(group)
    assert group.post_filter  # only then it is called
    for span, rows in slabs(frames, height, bands * width, _FILTER_SLAB):
        near = post_filter.around(levels, span, rows)
        post_filter.correct(values[span, :, rows], near, group.post_filter, widths)


def _widths(group: BandGroup) -> NDArray[np.float64]:
    if group.klt is None or group.quantization is None:
        raise ValueError("it has a filter, but no bands to filter")
    return post_filter.units(group.klt, group.quantization.step, group.shape[1])


def neighbourhoods(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int], start: int
) -> Iterator[tuple[slice, _Frames, _Frames]]:
    """Yield the frames of the GOP that begins at ``start``, unfiltered, some at a time.

    ``shape`` is that of the grid that is coded.

    Yields
    ------
    span : slice
    values : ndarray of float64, shape (time, band, y, x)
        The caller's own.
    levels : ndarray of float64
        `post_filter.padded` by the frames before and after, but not beyond the GOP, so that
        each can be read without its neighbours.
    """
    time = min(group.window, shape[0] - start)
    first = start // group.fold
    own = [tuple(plane[first : first + group.gop] for plane in stream) for stream in streams]
    held: tuple[slice, _Frames, _Frames] | None = None
    before: _Frames | None = None
    size, widths = (time, *shape[1:]), _widths(group)
    assert group.klt is not None  # or it has no widths
    for part, values in _whole_frames(_unfiltered_slabs(group, own, size), size):
        levels = post_filter.levels_of(values, group.klt, widths)
        if held is not None:
            yield *held[:2], post_filter.padded(held[2], before, levels[:1])
            before = held[2][-1:]
        held = slice(start + part.start, start + part.stop), values, levels
    if held is not None:
        yield *held[:2], post_filter.padded(held[2], before, None)


def _whole_frames(
    parts: Iterator[_Slab], shape: tuple[int, int, int]
) -> Iterator[tuple[slice, _Frames]]:
    """Join slabs of some rows to whole frames."""
    height = shape[1]
    whole = np.empty((0, 0, 0, 0))
    for span, rows, values in parts:
        if rows.start == 0:
            whole = np.empty((*values.shape[:2], *shape[1:]))
        whole[:, :, rows] = values
        if rows.stop == height:
            yield span, whole


def _unfiltered_slabs(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int]
) -> Iterator[_Slab]:
    """Do what `band_slabs` does on the grid that is coded, without the group's post-filter."""
    for parts in _unfiltered(group, streams, shape):
        yield from parts()


def _unfiltered(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int]
) -> Iterator[Callable[[], Iterator[_Slab]]]:
    """Yield what makes the slabs of some frames, so that threads may do so."""
    time, height, width = shape
    layout, quantization, transform = group.layout, group.quantization, group.klt
    if layout is None or quantization is None or transform is None:
        raise ValueError("it has neither video nor packets")
    frames, bands = len(streams[0][0]), transform.matrix.shape[0]

    def made(span: slice, parts: Sequence[slice]) -> Iterator[_Slab]:
        codes = _codes(layout, transform.n_components, streams, span, (height, width))
        span_out = slice(span.start * group.fold, min(span.stop * group.fold, time))
        for rows in parts:
            levels = quantize.dequantize(codes[:, :, rows], quantization)
            values = klt.inverse(levels, transform, quantization.step)
            yield span_out, rows, folding.unfold(values, group.fold, span_out.stop - span_out.start)

    own = itertools.groupby(slabs(frames, height, bands * width), key=lambda slab: slab[0])
    for span, parts in own:
        yield partial(made, span, [rows for _, rows in parts])


def cast_into(
    values: NDArray[np.float64], low: float | None, high: float | None, out: NDArray[Any]
) -> None:
    """Do what `clip` and `to_dtype` do, in place, where that takes fewer passes."""
    whole = out.dtype.kind in "iu"
    if low is None or high is None or (whole and out.dtype.itemsize > 4):
        out[...] = to_dtype(clip(values, low, high), out.dtype)
        return
    # The range of valid samples lies within the dtype's own: nothing can saturate.
    np.clip(values, low, high, out=values)
    if whole:
        np.rint(values, out=values)
    np.copyto(out, values, casting="unsafe")


def _codes(
    layout: Layout,
    components: int,
    streams: Sequence[Planes],
    span: slice,
    size: tuple[int, int],
) -> NDArray[Any]:
    geo = planes.geometry(layout, components, *size, (1, 1))
    part = [tuple(plane[span] for plane in stream) for stream in streams]
    return planes.unpack(part, layout, geo, (components, *size))


def slabs(frames: int, height: int, row: int, size: int = _SLAB) -> Iterator[tuple[slice, slice]]:
    """Cut frames into slabs: several frames, or else some rows of one.

    Parameters
    ----------
    row : int
        Samples in a row of a frame, all bands counted.
    size : int
        Samples of a slab, if a row has no more.
    """
    step = max(1, size // (row * height))
    rows = height if row * height <= size else max(1, size // row)
    for start in range(0, frames, step):
        for top in range(0, height, rows):
            yield slice(start, min(start + step, frames)), slice(top, min(top + rows, height))
