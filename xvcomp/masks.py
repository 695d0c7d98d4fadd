"""Validity masks: which samples are valid, how that is packed, and what goes under the rest.

A mask holds *classes*: 0 for a valid sample, ``k`` for the ``k``-th of the special
values (NaN, infinities, fill values) that the array holds. Masks come back exactly;
what ``fill`` puts under them never reaches a reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._mask_packets import MAX_SPECIALS, pack, unpack

__all__ = ["MAX_SPECIALS", "classify", "fill", "pack", "restore", "specials_of", "unpack"]

Mask = NDArray[np.uint8]

_IN_CACHE = 1 << 17
"""Samples of a few frames that are filled at a time."""


def specials_of(values: NDArray[Any], fill_values: Sequence[Any] = ()) -> NDArray[Any]:
    """List the distinct special values that an array holds.

    Parameters
    ----------
    values : ndarray of bool, integer or float (at most 8 bytes), any shape
        In the stored dtype.
    fill_values : sequence of scalars
        Values that mean "no data". Those that the dtype cannot hold are ignored.

    Returns
    -------
    ndarray of ``values.dtype``, shape (n,)
        NaN (all its payloads are one), -inf, +inf, then fill values in ascending order.

    Raises
    ------
    ValueError
        If the dtype is no plain number, or there are more than ``MAX_SPECIALS``.

    Notes
    -----
    Readers compare with ``==``, so a fill value of 0.0 also means -0.0: the two are
    specials of their own, so that the sign comes back too.

    Examples
    --------
    >>> specials_of(np.array([1.0, np.nan, -999.0]), [-999.0])
    array([  nan, -999.])
    """
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise ValueError(f"dtype {values.dtype} is not bool, integer or float of up to 8 bytes")
    candidates = _possible(values, _candidates(values.dtype, fill_values))
    found = candidates[[bool(_same(values, value).any()) for value in candidates]]
    if len(found) > MAX_SPECIALS:
        raise ValueError(f"{len(found)} special values; at most {MAX_SPECIALS} are allowed")
    return found


def classify(values: NDArray[Any], specials: NDArray[Any]) -> Mask:
    """Mark each sample as valid (0) or as the ``k``-th special value (``k`` from 1).

    Parameters
    ----------
    values : ndarray, any shape
    specials : ndarray of the same dtype, shape (n,), at most ``MAX_SPECIALS``
        What ``specials_of`` returned.

    Raises
    ------
    ValueError
        If the dtypes differ, or there are too many specials.
    """
    _check_specials(values, specials)
    classes = np.zeros(values.shape, np.uint8)
    for k, special in enumerate(specials, start=1):
        classes[_same(values, special)] = k
    return classes


def restore(values: NDArray[Any], classes: Mask, specials: NDArray[Any]) -> NDArray[Any]:
    """Write special values back where the classes say, in place; returns ``values``.

    Parameters
    ----------
    values : ndarray, any shape
        Changed, for a copy of a long series takes as long as decoding some of it.
    classes : ndarray of uint8, same shape
    specials : ndarray of the dtype of ``values``, shape (n,)

    Raises
    ------
    ValueError
        If shapes or dtypes differ, or a class has no special value.
    """
    _check_specials(values, specials)
    if values.shape != classes.shape:
        raise ValueError(f"values have shape {values.shape}, their classes {classes.shape}")
    if classes.size and classes.max() > len(specials):
        raise ValueError(f"class {classes.max()} in a mask of {len(specials)} special values")
    hit = classes > 0
    values[hit] = specials[classes[hit] - 1]
    return values


def fill(
    values: NDArray[np.floating[Any]],
    valid: NDArray[np.bool_],
    default: NDArray[np.floating[Any]] | None = None,
) -> NDArray[Any]:
    """Put values that code cheaply under the invalid samples of one window.

    Parameters
    ----------
    values : ndarray of float, shape (time, band, y, x)
        Anything, NaN included, where not valid.
    valid : ndarray of bool, same shape
    default : ndarray of float, shape (band,), optional
        For bands without a valid sample. By default the mean of the other bands' valid
        samples, or 0 if there are none.

    Returns
    -------
    ndarray of ``values.dtype``, same shape
        Finite everywhere, and equal to ``values`` where valid.

    Raises
    ------
    ValueError
        If shapes differ, or a valid sample is not finite.

    Notes
    -----
    A gap takes the pixel's next valid sample, or the last one when none follows. Pixels
    that are never valid are filled from their surroundings, coarse to fine.
    """
    if values.ndim != 4 or values.shape != valid.shape:
        raise ValueError(f"values have shape {values.shape}, their validity {valid.shape}")
    filled = np.zeros(values.shape, values.dtype)
    np.copyto(filled, values, where=valid)
    if not np.isfinite(filled).all():
        raise ValueError("a valid sample is not finite; mark NaN and infinities as invalid")
    if valid.all():
        return filled
    holes = ~np.asarray(valid.any(axis=0))
    _fill_in_time(filled, valid, holes)
    empty = holes.all(axis=(1, 2))
    for band in np.flatnonzero(holes.any(axis=(1, 2)) & ~empty):
        _fill_in_space(filled[:, band], holes[band])
    if default is not None:
        filled[:, empty] = default[empty, None, None]
    elif not empty.all():
        filled[:, empty] = np.mean(values[valid], dtype=np.float64)
    return filled


def _candidates(dtype: np.dtype[Any], fill_values: Sequence[Any]) -> NDArray[Any]:
    """All values to look for, distinct by bit pattern, in the order of the classes."""
    fills = [v for v in (_as_dtype(value, dtype) for value in fill_values) if v is not None]
    ordered: list[Any] = sorted(v for v in fills if np.isfinite(v))
    if dtype.kind == "f":
        finite = [w for v in ordered for w in ((-0.0, 0.0) if v == 0 else (v,))]
        ordered = [np.nan, -np.inf, np.inf, *finite]
    candidates = np.array(ordered, dtype=dtype)
    _, first = np.unique(_bits(candidates), return_index=True)
    return candidates[np.sort(first)]


def _possible(values: NDArray[Any], candidates: NDArray[Any]) -> NDArray[Any]:
    """Leave out what lies beyond the extremes, which take no memory to find."""
    if not (values.size and candidates.size):
        return candidates[:0]
    low, high = values.min(), values.max()
    if np.isnan(low):
        return candidates
    return np.asarray(candidates[(candidates >= low) & (candidates <= high)])


def _as_dtype(value: Any, dtype: np.dtype[Any]) -> Any:
    """Convert a fill value to the stored dtype; None if no sample can equal it."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if not np.isfinite(value) or int(value) != value:
        return None
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return dtype.type(int(value)) if low <= int(value) <= high else None


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """View numbers as unsigned integers, to tell -0.0 from 0.0."""
    dtype = values.dtype
    return values.view(np.dtype(f"u{dtype.itemsize}").newbyteorder(dtype.byteorder))


def _same(values: NDArray[Any], special: Any) -> NDArray[np.bool_]:
    """Where values are a special value: any NaN for NaN, otherwise bit by bit."""
    if np.isnan(special):
        return np.asarray(np.isnan(values))
    same: NDArray[np.bool_] = np.equal(values, special)
    if special == 0 and values.dtype.kind == "f":
        same &= np.signbit(values) == np.signbit(special)
    return same


def _check_specials(values: NDArray[Any], specials: NDArray[Any]) -> None:
    """Refuse specials that were not made for these values."""
    if values.dtype != specials.dtype:
        raise ValueError(f"values are {values.dtype}, their special values {specials.dtype}")
    if len(specials) > MAX_SPECIALS:
        raise ValueError(f"{len(specials)} special values; at most {MAX_SPECIALS} are allowed")


def _fill_in_time(filled: NDArray[Any], valid: NDArray[np.bool_], never: NDArray[np.bool_]) -> None:
    """Fill pixels that are valid now and then, in place; ``never`` marks the others.

    Measured with x265 (fast, fixed QP, GOP 32) at equal PSNR of the valid samples, on two
    Sentinel-2 cubes with 50 % and 40 % clouds, against linear interpolation: the next valid
    sample takes 10.0 % and 4.6 % fewer bits, the last one 4.5 % and 7.6 %. Copies are free
    in video, ramps are not; smoothing under the mask loses. SVT-AV1 prefers copies, too.
    """
    followed = np.zeros_like(never)
    ended: list[tuple[int, NDArray[np.bool_]]] = []
    for frame in range(len(filled) - 1, -1, -1):
        if frame + 1 < len(filled) and not valid[frame].all():
            np.copyto(filled[frame], filled[frame + 1], where=~valid[frame])
        if not (followed | never).all():
            followed |= valid[frame]
            ended.append((frame, ~followed))
    # What no valid sample follows takes the last one, frame after frame.
    for frame, gap in reversed(ended):
        if frame > 0:
            np.copyto(filled[frame], filled[frame - 1], where=gap)


def _fill_in_space(frames: NDArray[Any], hole: NDArray[np.bool_]) -> None:
    """Fill one hole (y, x) in all frames (time, y, x) from a pyramid of valid averages, in place.

    Measured like the above, against zeros: on radar -1 % of the bits, on currents around
    land -3.5 %; nearest neighbours take 2.8 % and 4.5 % more.
    """
    levels = [_Level.of(~hole, frames.dtype)]
    while levels[-1].coarse_hole.any():
        levels.append(_Level.of(~levels[-1].coarse_hole, frames.dtype))
    # A few frames at a time stay in the processor's cache.
    step = max(1, _IN_CACHE // hole.size)
    for start in range(0, len(frames), step):
        pyramid = [frames[start : start + step]]
        for level in levels:
            pyramid.append(level.halved(pyramid[-1]))
        for level in reversed(levels):
            coarse = pyramid.pop()
            level.fill(pyramid[-1], coarse)


@dataclass(frozen=True, slots=True)
class _Level:
    """One step of a pyramid: averages of valid pixels in 2x2 blocks, and the way back.

    ``share`` is each pixel's weight; ``holes`` are the flat places without one, ``corners``
    the flat coarse pixels around each of them: near, beside, below, across.
    """

    share: NDArray[Any]
    coarse_hole: NDArray[np.bool_]
    holes: NDArray[np.intp]
    corners: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, valid: NDArray[np.bool_], dtype: np.dtype[Any]) -> "_Level":
        counts = _sum_of_blocks(valid.astype(dtype)[None])[0]
        per_block = 1 / np.maximum(counts, 1)
        height, width = valid.shape
        share = valid * np.repeat(np.repeat(per_block, 2, 0)[:height], 2, 1)[:, :width]
        y, x = np.nonzero(~valid)
        near_y, near_x = y >> 1, x >> 1
        # The other neighbour of a bilinear pair is on the side where the pixel lies.
        far_y = np.clip(near_y + 2 * (y & 1) - 1, 0, counts.shape[0] - 1)
        far_x = np.clip(near_x + 2 * (x & 1) - 1, 0, counts.shape[1] - 1)
        corners = [(near_y, near_x), (near_y, far_x), (far_y, near_x), (far_y, far_x)]
        places = tuple(row * counts.shape[1] + column for row, column in corners)
        return cls(share.astype(dtype), counts == 0, np.flatnonzero(~valid), places)

    def halved(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Weighted before they are summed: large floats must not overflow."""
        return _sum_of_blocks(frames * self.share)

    def fill(self, frames: NDArray[Any], coarse: NDArray[Any]) -> None:
        """Interpolate the coarser level in the holes of the finer."""
        flat = coarse.reshape(len(coarse), -1)
        quarter = frames.dtype.type(0.25)
        near, side, below, across = (np.take(flat, places, axis=1) for places in self.corners)
        upper, lower = near + quarter * (side - near), below + quarter * (across - below)
        rows, columns = np.divmod(self.holes, frames.shape[2])
        frames[:, rows, columns] = upper + quarter * (lower - upper)


def _sum_of_blocks(frames: NDArray[Any]) -> NDArray[Any]:
    """Sum 2x2 blocks; at odd ends what there is of them."""
    rows = frames[:, ::2].copy()
    rows[:, : frames.shape[1] // 2] += frames[:, 1::2]
    columns = rows[:, :, ::2].copy()
    columns[:, :, : rows.shape[2] // 2] += rows[:, :, 1::2]
    return columns
