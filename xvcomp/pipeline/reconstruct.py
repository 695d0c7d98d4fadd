"""Decoded planes back to stored samples: the one way, for trials, verification and reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks, residual
from ..errors import ContainerError
from ..spec import BandGroup, Planes
from .correct import correct
from .samples import VariableForm, step_off
from .slabs import band_slabs, samples_of

__all__ = ["DecodePart", "VariableForm", "decode_bands", "decode_part"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodePart:
    """Everything that was stored for a run of GOPs in one spatial block.

    Parameters
    ----------
    shape : (int, int, int)
        (time, y, x) of the part.
    streams : sequence of Planes
        Decoded, one per stream of the layout; empty for a group without video.
    masks, residuals : sequence of bytes
        One payload per GOP; empty where the group has none.
    threads : int
        That may work at it. The result is the same with any number.
    """

    shape: tuple[int, int, int]
    streams: Sequence[Planes]
    masks: Sequence[bytes] = ()
    residuals: Sequence[bytes] = ()
    threads: int = 1


def decode_part(
    group: BandGroup, forms: Sequence[VariableForm], part: DecodePart
) -> list[NDArray[Any]]:
    """Rebuild the stored samples of every variable of a group.

    Returns
    -------
    list of ndarray, shape (time, band, y, x)
        One per variable, of its stored dtype, special values in place.

    Raises
    ------
    ContainerError
        If a payload does not fit the group.
    """
    try:
        if group.lossless:
            return _lossless(group, forms, part)
        classes = _classes(group, forms, part)
        if group.residual is None:
            values = _plain(group, forms, part, classes)
        else:
            values = _corrected(group, forms, part, classes)
        return _with_specials(group, forms, values, classes)
    except (ValueError, IndexError) as error:
        raise ContainerError(f"group {group.name!r} is damaged: {error}") from error


def _starts(forms: Sequence[VariableForm]) -> list[int]:
    return [sum(form.bands for form in forms[:i]) for i in range(len(forms))]


def decode_bands(group: BandGroup, part: DecodePart) -> NDArray[np.float64]:
    """Undo layout, quantisation, transform and folding, and filter: (time, band, y, x)."""
    time, height, width = part.shape
    bands = np.empty((time, group.shape[1], height, width))
    for span, rows, values in band_slabs(group, part.streams, part.shape, part.threads):
        bands[span, :, rows] = values
    return bands


def _classes(
    group: BandGroup, forms: Sequence[VariableForm], part: DecodePart
) -> NDArray[np.uint8] | None:
    if group.mask is None:
        return None
    _, height, width = part.shape
    bands = sum(form.bands for form in forms)
    spans = _spans(group, part)
    parts = [
        masks.unpack(payload, (frames, bands, height, width))
        for payload, frames in zip(part.masks, spans, strict=True)
    ]
    return np.concatenate(parts)


def _spans(group: BandGroup, part: DecodePart) -> list[int]:
    """Frames of each GOP of a part; only the last may be shorter."""
    time = part.shape[0]
    return [min(group.window, time - start) for start in range(0, time, group.window)]


def _lossless(
    group: BandGroup, forms: Sequence[VariableForm], part: DecodePart
) -> list[NDArray[Any]]:
    _, height, width = part.shape
    gops = [
        [
            residual.decode_lossless(each, (frames, form.bands, height, width), form.dtype)
            for each, form in zip(residual.unpack(payload), forms, strict=True)
        ]
        for payload, frames in zip(part.residuals, _spans(group, part), strict=True)
    ]
    return [np.concatenate(variable) for variable in zip(*gops, strict=True)]


def _plain(
    group: BandGroup,
    forms: Sequence[VariableForm],
    part: DecodePart,
    classes: NDArray[np.uint8] | None,
) -> list[NDArray[Any]]:
    """Turn what a video holds into samples."""
    found = samples_of(group, forms, part.streams, part.shape, part.threads)
    if group.mask is None or classes is None:
        return found
    limits = zip(group.valid_min, group.valid_max, strict=True)
    return [
        step_off(values, specials.numpy(), low, high)
        for values, specials, (low, high) in zip(found, group.mask.specials, limits, strict=True)
    ]


def _corrected(
    group: BandGroup,
    forms: Sequence[VariableForm],
    part: DecodePart,
    classes: NDArray[np.uint8] | None,
) -> list[NDArray[Any]]:
    """Correct GOP by GOP."""
    time, height, width = part.shape
    out = [np.empty((time, form.bands, height, width), dtype=form.dtype) for form in forms]
    start = 0
    for payload, frames in zip(part.residuals, _spans(group, part), strict=True):
        span = slice(start, start + frames)
        coded = slice(start // group.fold, start // group.fold + group.gop)
        start += frames
        correct(
            group,
            forms,
            payload,
            out=[values[span] for values in out],
            classes=None if classes is None else classes[span],
            streams=[tuple(plane[coded] for plane in stream) for stream in part.streams],
        )
    return out


def _with_specials(
    group: BandGroup,
    forms: Sequence[VariableForm],
    values: list[NDArray[Any]],
    classes: NDArray[np.uint8] | None,
) -> list[NDArray[Any]]:
    if group.mask is None or classes is None:
        return values
    return [
        masks.restore(each, classes[:, start : start + form.bands], special.numpy())
        for each, form, start, special in zip(
            values, forms, _starts(forms), group.mask.specials, strict=True
        )
    ]
