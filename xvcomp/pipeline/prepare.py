"""Read a group once: what is valid, between which extremes, and how bands correlate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks
from ..spec import Klt
from ..transforms import folding, klt
from .parallel import map_ordered
from .windows import GroupInput, VariableInput, Window, windows

__all__ = ["Prepared", "WindowData", "prepare"]

_CACHE_BYTES = 1 << 29
"""Groups whose gap-free form is smaller than this are read and filled only once."""


@dataclass(frozen=True, slots=True)
class WindowData:
    """One window, read: stored samples per variable, and all bands without gaps.

    ``classes`` and ``filled`` have the shape (time, band, y, x); class 0 is valid.
    """

    stored: tuple[NDArray[Any], ...]
    classes: NDArray[np.uint8]
    filled: NDArray[np.float64]
    ignored: NDArray[np.bool_] | None


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
    """

    data: GroupInput
    windows: Sequence[Window]
    fold: int
    specials: tuple[NDArray[Any], ...]
    valid_min: tuple[float, ...]
    valid_max: tuple[float, ...]
    moments: klt.Moments
    valid_counts: tuple[int, ...]
    cache: dict[tuple[int, int], WindowData] = field(default_factory=dict)
    ranges: dict[bytes, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )

    def read(self, window: Window) -> WindowData:
        """Read a window, or take it from the cache."""
        known = self.cache.get(window.key)
        return known if known is not None else _read(self.data, window, self.specials)

    @property
    def has_gaps(self) -> bool:
        """Whether any stored value is not a sample."""
        return any(len(special) for special in self.specials)

    @property
    def constant(self) -> bool:
        """Whether no variable varies, so that there is nothing for a video to hold."""
        pairs = zip(self.valid_min, self.valid_max, strict=True)
        return all(low == high or np.isnan(low) for low, high in pairs)

    def extremes(self, transform: Klt) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and largest value of each component over the whole group."""
        key = transform.matrix.data + transform.means.data
        if key not in self.ranges:
            found = list(map_ordered(lambda w: self._window_extremes(w, transform), self.windows))
            low = np.min([each[0] for each in found], axis=0)
            high = np.max([each[1] for each in found], axis=0)
            self.ranges[key] = (low, high)
        return self.ranges[key]

    def _window_extremes(
        self, window: Window, transform: Klt
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        folded = folding.fold(self.read(window).filled, self.fold)
        components = klt.forward(folded, transform)
        return components.min(axis=(0, 2, 3)), components.max(axis=(0, 2, 3))


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
    first = _Scan.of(data, parts[0], fold, None)
    scans = [first]
    scans += map_ordered(lambda w: _Scan.of(data, w, fold, first.moments.origin), parts[1:])
    total = scans[0]
    for scan in scans[1:]:
        total = total + scan
    prepared = Prepared(
        data=data,
        windows=parts,
        fold=fold,
        specials=tuple(map(_with_fill_values, data.variables, total.specials)),
        valid_min=total.low,
        valid_max=total.high,
        moments=total.moments,
        valid_counts=total.counts,
    )
    if np.prod(data.shape) * 8 <= _CACHE_BYTES:
        found = map_ordered(lambda w: _read(data, w, prepared.specials), parts)
        prepared.cache.update(zip([part.key for part in parts], found, strict=True))
    return prepared


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one window says of its group; scans add up."""

    specials: tuple[NDArray[Any], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    counts: tuple[int, ...]
    moments: klt.Moments

    @classmethod
    def of(
        cls, data: GroupInput, window: Window, fold: int, origin: NDArray[np.float64] | None
    ) -> "_Scan":
        stored = _stored(data, window)
        pairs = list(zip(data.variables, stored, strict=True))
        specials = tuple(masks.specials_of(values, v.fill_values) for v, values in pairs)
        read = _assemble(data, window, stored, specials)
        valid = [read.classes[:, bands] == 0 for bands in data.band_slices]
        kept = [values[mask] for values, mask in zip(stored, valid, strict=True)]
        folded = folding.fold(read.filled, fold)
        centre = folded.mean(axis=(0, 2, 3)) if origin is None else origin
        return cls(
            specials,
            tuple(float(v.min()) if v.size else np.nan for v in kept),
            tuple(float(v.max()) if v.size else np.nan for v in kept),
            tuple(v.size for v in kept),
            klt.Moments.of(folded, centre),
        )

    def __add__(self, other: "_Scan") -> "_Scan":
        return _Scan(
            tuple(map(_union, self.specials, other.specials)),
            tuple(float(np.fmin(a, b)) for a, b in zip(self.low, other.low, strict=True)),
            tuple(float(np.fmax(a, b)) for a, b in zip(self.high, other.high, strict=True)),
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            self.moments + other.moments,
        )


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


def _assemble(
    data: GroupInput,
    window: Window,
    stored: tuple[NDArray[Any], ...],
    specials: tuple[NDArray[Any], ...],
) -> WindowData:
    classes = np.concatenate(
        [masks.classify(values, special) for values, special in zip(stored, specials, strict=True)],
        axis=1,
    )
    bands = np.concatenate([values.astype(np.float64) for values in stored], axis=1)
    valid = classes == 0
    ignored = _ignored(data, window)
    known = valid if ignored is None else valid & ~ignored
    filled = bands if known.all() else masks.fill(bands, known)
    return WindowData(stored, classes, filled, ignored)


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
