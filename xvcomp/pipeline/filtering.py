"""Gather from decoded windows what a post-filter of their group is learned from."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..spec import BandGroup, Planes, PostFilter
from ..transforms import interpolating, post_filter, quantize, wiener
from ..transforms.wiener import Evidence
from .encoded import EncodedGroup
from .prepare import Prepared, WindowData
from .slabs import neighbourhoods, slabs
from .windows import Window

__all__ = ["evidence_of", "learned", "pays"]

_SAMPLES = 1 << 20
"""Samples of a group that are enough to learn from."""

_PIECE = 1 << 14
"""Samples that are drawn together."""


def evidence_of(
    group: BandGroup, data: WindowData, streams: Sequence[Planes], window: Window, step: float
) -> Evidence:
    """Compare a window's decoded bands with its original, in samples of its slabs.

    Parameters
    ----------
    group : BandGroup
        Without a filter.
    data : WindowData
    streams : sequence of Planes
        As decoded.
    window : Window
    step : float
        Width of the quantiser, in unpacked units.
    """
    assert group.klt is not None
    assert group.quantization is not None
    bands = group.shape[1]
    widths = post_filter.units(group.klt, group.quantization.step, bands)
    bounds = _bounds(group, step)
    # Not every n-th slab, which might lie in the same rows of all frames.
    draws = np.random.default_rng(window.key)
    part = min(1.0, _SAMPLES / math.prod(group.shape))
    total = Evidence.none(bands)
    shape = (window.shape[0], *data.filled.shape[2:])
    counted = _counted(group, data)
    for start in range(0, window.shape[0], group.window):
        for span, values, levels in neighbourhoods(group, streams, shape, start):
            chosen = [each for each in _pieces(values.shape) if draws.random() < part]
            for frames, rows in chosen:
                at = slice(span.start + frames.start, span.start + frames.stop)
                near = post_filter.around(levels, frames, rows)
                errors = (data.filled[at, :, rows] - values[frames, :, rows]).swapaxes(0, 1)
                total += Evidence.of(
                    post_filter.features(near),
                    np.searchsorted(bounds, post_filter.activity(near), side="right"),
                    errors / widths[:, None, None, None],
                    None if counted is None else counted[at, rows],
                )
    return total


def _pieces(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    frames, bands, height, width = shape
    return slabs(frames, height, bands * width, _PIECE)


def _counted(group: BandGroup, data: WindowData) -> NDArray[np.bool_] | None:
    """Return where all bands are valid and cared for; ``None`` means everywhere.

    Returns
    -------
    ndarray of bool, shape (time, y, x), or None
        On the grid that is coded.
    """
    valid = data.classes == 0
    if data.ignored is not None:
        valid &= ~data.ignored
    if valid.all():
        return None
    found = np.asarray(valid.all(axis=1))
    if not group.interpolation:
        return found
    rows, columns = (
        interpolating.covering(group.interpolation, axis, found.shape[1 + axis]) for axis in (0, 1)
    )
    return found[:, rows][:, :, columns]


def learned(
    group: BandGroup, prepared: Prepared, evidence: Evidence, step: float, nbytes: int
) -> PostFilter | None:
    """Return the post-filter that is worth its bits, if one is.

    Parameters
    ----------
    group : BandGroup
    prepared : Prepared
    evidence : Evidence
        Of all windows.
    step : float
        Width of the quantiser, in unpacked units.
    nbytes : int
        Of what was encoded.
    """
    if evidence.count == 0 or group.klt is None or group.quantization is None:
        return None
    widths = post_filter.units(group.klt, group.quantization.step, group.shape[1])
    coded = math.prod(prepared.data.coded_shape) / math.prod(prepared.data.shape)
    all_samples = coded * sum(prepared.valid_counts) / group.shape[1] / evidence.count
    squared_steps = (widths * prepared.data.weights / step) ** 2 * all_samples
    worth = squared_steps / quantize.SQUARED_STEPS_PER_BIT
    return wiener.fit(evidence, _bounds(group, step), worth, 8 * nbytes)


def pays(post_filter: PostFilter, plain: EncodedGroup, filtered: EncodedGroup, step: float) -> bool:
    """Say whether a filter saves more than it takes, by the errors that were measured.

    Parameters
    ----------
    post_filter : PostFilter
    plain, filtered : EncodedGroup
    step : float
        Width of the quantiser, in unpacked units.
    """
    per_bit = quantize.SQUARED_STEPS_PER_BIT * step**2
    before, after = (
        math.fsum(stats.sum_squares for stats in each.stats) / per_bit for each in (plain, filtered)
    )
    return wiener.saved_bits(post_filter, before, before - after, 8 * plain.nbytes) > 0


def _bounds(group: BandGroup, step: float) -> tuple[int, ...]:
    """Return the edges of bins; a level is the same part of the step in all bands."""
    assert group.quantization is not None
    return wiener.edges(step * post_filter.LEVELS_PER_CODE / group.quantization.step)
