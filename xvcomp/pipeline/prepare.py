"""Read a group once: what is valid, between which extremes, and how bands correlate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks
from ..parallel import cpu_count, map_ordered
from ..spec import Interpolation, Klt
from ..transforms import interpolating, klt, rotating
from ..transforms.rotating import Patches
from .slabs import folded_slabs, map_folded
from .windows import GroupInput, VariableInput, Window, windows

__all__ = ["Prepared", "WindowData", "prepare"]

_Range = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Smallest and largest value of each band."""

_Seen = tuple[NDArray[np.float64], NDArray[np.float64], klt.Moments]
"""The same, and the bands' moments."""

_OCTAVES = 1000
"""Steps of which a power of two is still a number."""

_NEAR = 1.25
"""Octaves of steps that a basis serves: its gain changes little within them."""

_OVERSHOT = 1.5
"""Least squares may need coarse samples a little beyond the range of the field."""

_EXACT_IN_FLOAT32 = ("f2", "f4", "i1", "u1", "i2", "u2")
"""Types of samples that float32 holds exactly, in half the memory of float64."""


@dataclass(frozen=True, slots=True)
class WindowData:
    """One window, read: stored samples per variable, and all bands without gaps.

    ``classes`` and ``filled`` have the shape (time, band, y, x); class 0 is valid.
    ``filled`` is float32 where that holds every sample exactly; it may be ``stored[0]`` itself, so
    neither is written to. Of an interpolated group it
    is the coarse grid, from which samples differ by ``misfit``: a sum of squares per band,
    of those that count, in stored units.
    """

    stored: tuple[NDArray[Any], ...]
    classes: NDArray[np.uint8]
    filled: NDArray[np.floating[Any]]
    ignored: NDArray[np.bool_] | None
    misfit: NDArray[np.float64] | None = None


@dataclass(kw_only=True, slots=True)
class Prepared:
    """A group with its statistics, and its windows on demand.

    Parameters
    ----------
    data : GroupInput
    windows : sequence of Window
    fold : int
    specials : tuple of ndarray
        Per variable, the invalid stored values that occur.
    valid_min, valid_max : tuple of float
        Per variable, in stored units; NaN without any valid sample.
    moments : klt.Moments
        Of the folded, gap-free bands.
    valid_counts : tuple of int
        Per variable.
    band_range : (ndarray, ndarray) of float64, shape (band,)
        Extremes of the folded, gap-free bands.
    patches : rotating.Patches
        Of the folded, gap-free bands.
    misfit : ndarray of float64, shape (band,), or None
        Of all windows of an interpolated group, see `WindowData`.
    stretch : float
        For a part that stands for a whole: how much wider the whole's range is. Codes
        leave room for it, or the part would be coded more finely than the whole can be.
    cache, ranges, bases, lock
        What has been read, measured and fitted so far: see `read`, `extremes` and `basis`.
    """

    data: GroupInput
    windows: Sequence[Window]
    fold: int
    specials: tuple[NDArray[Any], ...]
    valid_min: tuple[float, ...]
    valid_max: tuple[float, ...]
    moments: klt.Moments
    valid_counts: tuple[int, ...]
    band_range: tuple[NDArray[np.float64], NDArray[np.float64]]
    patches: Patches
    misfit: NDArray[np.float64] | None = None
    stretch: float = 1.0
    cache: dict[tuple[int, int], WindowData] = field(default_factory=dict)
    ranges: dict[bytes, tuple[float, float]] = field(default_factory=dict)
    bases: dict[float, tuple[Klt, NDArray[np.float64]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read(self, window: Window) -> WindowData:
        """Read a window, or take it from the cache."""
        known = self.cache.get(window.key)
        return known if known is not None else _read(self.data, window, self.specials)

    @property
    def workers(self) -> int:
        """Windows that may be at work at a time."""
        largest = max(math.prod(window.shape) for window in self.windows)
        return self.data.memory.workers(largest * self.data.shape[1], cpu_count())

    @property
    def threads(self) -> int:
        """Slabs of a window that may be at work at a time."""
        return self.data.memory.slab_threads(cpu_count())

    @property
    def has_gaps(self) -> bool:
        """Whether any stored value is not a sample."""
        return any(len(special) for special in self.specials)

    @property
    def constant(self) -> bool:
        """Whether no variable varies, so that there is nothing for a video to hold."""
        pairs = zip(self.valid_min, self.valid_max, strict=True)
        return all(low == high or np.isnan(low) for low, high in pairs)

    @property
    def is_huge(self) -> bool:
        """Whether squares of the values overflow, so that no basis can be fitted."""
        weights = np.tile(self.data.weights, self.fold)
        with np.errstate(over="ignore", invalid="ignore"):
            products = self.moments.covariance * np.outer(weights, weights)
        return not bool(np.isfinite(products).all())

    @property
    def is_overshot(self) -> bool:
        """Whether a coarse grid ranges much further than the field that it stands for."""
        low, high = np.fmin.reduce(self.valid_min), np.fmax.reduce(self.valid_max)
        return bool(self.span > _OVERSHOT * (high - low))

    def basis(self, step: float) -> tuple[Klt, NDArray[np.float64]]:
        """Return all components that suit a step, and their variances (see `rotating.fit`).

        Steps near each other share a basis, so that sizes and errors change smoothly with the
        step for as long as a search lasts.
        """
        octave = math.log2(min(max(step, 2.0**-_OCTAVES), 2.0**_OCTAVES))
        # Candidates that are tried side by side need the same one.
        with self.lock:
            known = [each for each in self.bases if abs(octave - each) <= _NEAR]
            if known:
                return self.bases[min(known, key=lambda each: abs(octave - each))]
            weights = np.tile(self.data.weights, self.fold)
            found = rotating.fit(self.moments, weights, self.patches, 2.0**octave)
            self.bases[octave] = found
            return found

    def extremes(self, transform: Klt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and largest value of each component over the whole group."""
        whole = self._all_components(transform)
        names = [_column_name(transform, k, whole) for k in range(transform.n_components)]
        if any(name not in self.ranges for name in names):
            self._measure(transform)
        low, high = np.transpose([self.ranges[name] for name in names])
        room = (high - low) * (self.stretch - 1) / 2
        return low - room, high + room

    @property
    def span(self) -> float:
        """Width of the widest band's range."""
        low, high = self.band_range
        return float((high - low).max())

    def _measure(self, transform: Klt) -> None:
        """Find extremes once for all components that any step may select: reading costs."""
        if np.array_equal(transform.matrix.numpy(), np.eye(len(self.band_range[0]))):
            chosen = transform
            ends = np.stack(self.band_range)[:, :, None, None]
            found = [_range_of(klt.forward(ends, transform))]
        else:
            chosen = self._all_components(transform)
            threads = self.threads if len(self.windows) == 1 else 1
            found = list(
                map_ordered(lambda w: self._window(w, chosen, threads), self.windows, self.workers)
            )
        low = np.min([each[0] for each in found], axis=0)
        high = np.max([each[1] for each in found], axis=0)
        for k in range(chosen.n_components):
            self.ranges[_column_name(chosen, k, chosen)] = (float(low[k]), float(high[k]))

    def _all_components(self, transform: Klt) -> Klt:
        """Return the basis that a transform was selected from, if it is this group's own."""
        own = {_column_name(transform, k) for k in range(transform.n_components)}
        for whole, _ in list(self.bases.values()):
            if own <= {_column_name(whole, k) for k in range(whole.n_components)}:
                return whole
        return transform

    def _window(self, window: Window, transform: Klt, threads: int) -> _Range:
        filled = self.read(window).filled
        found = list(
            map_folded(
                lambda part: _range_of(klt.forward(part, transform)), filled, self.fold, threads
            )
        )
        return np.min([low for low, _ in found], axis=0), np.max(
            [high for _, high in found], axis=0
        )


def _column_name(transform: Klt, component: int, whole: Klt | None = None) -> bytes:
    """Name a component by its column, and by the basis, which decides its values, too."""
    column = transform.matrix.numpy()[:, component].tobytes()
    return column if whole is None else column + whole.matrix.data


def _range_of(values: NDArray[Any]) -> _Range:
    """Return the extremes of each band."""
    axes = (0, 2, 3)
    return values.min(axis=axes).astype(np.float64), values.max(axis=axes).astype(np.float64)


def prepare(data: GroupInput, *, span: int, block: tuple[int, int], fold: int = 1) -> Prepared:
    """Read a whole group, window by window, and gather its statistics.

    Parameters
    ----------
    data : GroupInput
    span : int
        Frames of the variable in a window; a multiple of ``fold``.
    block : (int, int)
        Height and width of the spatial blocks.
    fold : int
    """
    parts = windows(data.shape, span, block)
    keep = math.prod(data.shape) * _kept_per_sample(data) <= data.memory.keep_nbytes
    first = _Scan.of(data, parts[0], fold, keep, threads=data.memory.slab_threads(cpu_count()))
    workers = data.memory.workers(math.prod(parts[0].shape) * data.shape[1], cpu_count())
    total, reads = first, [first.read]
    for scan in map_ordered(lambda w: _Scan.of(data, w, fold, keep, first), parts[1:], workers):
        total = total + scan
        reads.append(scan.read)
    prepared = Prepared(
        data=data,
        windows=parts,
        fold=fold,
        specials=tuple(map(_with_fill_values, data.variables, total.specials)),
        valid_min=total.low,
        valid_max=total.high,
        moments=total.moments,
        valid_counts=total.counts,
        band_range=(total.band_low, total.band_high),
        patches=total.patches,
        misfit=total.misfit,
    )
    for part, read in zip(parts, reads, strict=True):
        if read is not None:
            prepared.cache[part.key] = _reclassified(read, prepared.specials)
    return prepared


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one window says of its group; scans add up."""

    specials: tuple[NDArray[Any], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    counts: tuple[int, ...]
    band_low: NDArray[np.float64]
    band_high: NDArray[np.float64]
    moments: klt.Moments
    patches: Patches
    misfit: NDArray[np.float64] | None
    read: WindowData | None = None

    @classmethod
    def of(
        cls,
        data: GroupInput,
        window: Window,
        fold: int,
        keep: bool,
        first: "_Scan | None" = None,
        threads: int = 1,
    ) -> "_Scan":
        stored = _stored(data, window)
        pairs = list(zip(data.variables, stored, strict=True))
        specials = tuple(masks.specials_of(values, v.fill_values) for v, values in pairs)
        read = _assemble(data, window, stored, specials)
        valid = [_counted(read, bands) for bands in data.band_slices]
        kept = [
            values if mask.all() else values[mask]
            for values, mask in zip(stored, valid, strict=True)
        ]
        if first is None:
            side = rotating.side_of(*read.filled.shape[2:])
            origin = next(folded_slabs(read.filled, fold)).mean(axis=(0, 2, 3), dtype=np.float64)
        else:
            side, origin = first.patches.side, first.moments.origin
        low, high, moments = _bands(read.filled, fold, origin, threads)
        share = math.prod(window.shape) / math.prod((data.shape[0], *data.shape[2:]))
        return cls(
            specials,
            tuple(float(v.min()) if v.size else np.nan for v in kept),
            tuple(float(v.max()) if v.size else np.nan for v in kept),
            tuple(v.size for v in kept),
            low,
            high,
            moments,
            Patches.of(read.filled, fold, origin, side=side, share=share, seed=window.key),
            read.misfit,
            read if keep else None,
        )

    def __add__(self, other: "_Scan") -> "_Scan":
        return _Scan(
            tuple(map(_union, self.specials, other.specials)),
            tuple(float(np.fmin(a, b)) for a, b in zip(self.low, other.low, strict=True)),
            tuple(float(np.fmax(a, b)) for a, b in zip(self.high, other.high, strict=True)),
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            np.minimum(self.band_low, other.band_low),
            np.maximum(self.band_high, other.band_high),
            self.moments + other.moments,
            self.patches + other.patches,
            None if self.misfit is None or other.misfit is None else self.misfit + other.misfit,
        )


def _bands(filled: NDArray[Any], fold: int, origin: NDArray[np.float64], threads: int) -> _Seen:
    """Return extremes and moments of the folded bands of a window."""

    def measured(folded: NDArray[np.float64]) -> tuple[klt.Moments, _Range]:
        return klt.Moments.of(folded, origin), _range_of(folded)

    # One after the other: the moments of many bands are large.
    return reduce(
        _both, ((*ends, own) for own, ends in map_folded(measured, filled, fold, threads))
    )


def _both(one: _Seen, other: _Seen) -> _Seen:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1]), one[2] + other[2]


def _kept_per_sample(data: GroupInput) -> int:
    """Bytes of a sample in `WindowData`."""
    widest = max(variable.dtype.itemsize for variable in data.variables)
    return widest + 1 + _working_dtype([v.dtype for v in data.variables]).itemsize


def _working_dtype(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    small = all(dtype.str[1:] in _EXACT_IN_FLOAT32 for dtype in dtypes)
    return np.dtype(np.float32 if small else np.float64)


def _with_fill_values(variable: VariableInput, found: NDArray[Any]) -> NDArray[Any]:
    """Add the fill values that do not occur: no decoded sample may turn into one."""
    declared = np.array(variable.fill_values, dtype=variable.dtype)
    return _union(found, masks.specials_of(declared, variable.fill_values))


def _union(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Merge lists of special values by their bits, for NaN is not equal to itself."""
    seen = {value.tobytes() for value in first}
    new = [value for value in second if value.tobytes() not in seen]
    return np.concatenate([first, np.array(new, dtype=first.dtype)]) if new else first


def _stored(data: GroupInput, window: Window) -> tuple[NDArray[Any], ...]:
    return tuple(v.read(window.time, window.y, window.x) for v in data.variables)


def _read(data: GroupInput, window: Window, specials: tuple[NDArray[Any], ...]) -> WindowData:
    return _assemble(data, window, _stored(data, window), specials)


def _reclassified(read: WindowData, specials: tuple[NDArray[Any], ...]) -> WindowData:
    """Number the special values of a window as its group does."""
    return replace(read, classes=_classes(read.stored, specials))


def _classes(
    stored: tuple[NDArray[Any], ...], specials: tuple[NDArray[Any], ...]
) -> NDArray[np.uint8]:
    pairs = zip(stored, specials, strict=True)
    return _joined([masks.classify(values, special) for values, special in pairs])


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Join the bands of variables; those of a single one are not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _assemble(
    data: GroupInput,
    window: Window,
    stored: tuple[NDArray[Any], ...],
    specials: tuple[NDArray[Any], ...],
) -> WindowData:
    classes = _classes(stored, specials)
    dtype = _working_dtype([values.dtype for values in stored])
    bands = _joined([values.astype(dtype, copy=False) for values in stored])
    valid = classes == 0
    ignored = _ignored(data, window)
    known = valid if ignored is None else valid & ~ignored
    filled = bands if known.all() else masks.fill(bands, known)
    if data.interpolation is None:
        return WindowData(stored, classes, filled, ignored)
    coarse, misfit = _on_coarse_grid(filled, data.interpolation, known)
    return WindowData(stored, classes, coarse, ignored, misfit)


def _on_coarse_grid(
    filled: NDArray[np.floating[Any]], field: Interpolation, known: NDArray[np.bool_]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    """Undo an interpolation, frame by frame; returns its sums of squared errors, too."""
    time, bands, height, width = filled.shape
    size = interpolating.coarse_size(field, height, width)
    coarse = np.empty((time, bands, *size), dtype=filled.dtype)
    misfit = np.zeros(bands)
    for frame in range(time):
        fine = filled[frame].astype(np.float64)
        coarse[frame] = interpolating.coarsen(fine, field, known[frame])
        made = interpolating.refine(coarse[frame].astype(np.float64), field, (height, width))
        misfit += np.square(np.where(known[frame], made - fine, 0.0)).sum((1, 2))
    return coarse, misfit


def _counted(read: WindowData, bands: slice) -> NDArray[np.bool_]:
    """Return which samples of a variable are valid, and cared for."""
    valid = np.equal(read.classes[:, bands], 0)
    return valid if read.ignored is None else np.asarray(valid & ~read.ignored[:, bands])


def _ignored(data: GroupInput, window: Window) -> NDArray[np.bool_] | None:
    if not any(variable.ignore for variable in data.variables):
        return None
    time, y, x = window.shape
    parts = [
        v.ignore(window.time, window.y, window.x)
        if v.ignore
        else np.zeros((time, v.bands, y, x), dtype=np.bool_)
        for v in data.variables
    ]
    return np.concatenate(
        [
            np.broadcast_to(part, (time, v.bands, y, x))
            for part, v in zip(parts, data.variables, strict=True)
        ],
        axis=1,
    )
