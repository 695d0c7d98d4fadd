"""Decoded planes back to stored samples: the one way, for trials, verification and reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks, planes, residual
from ..errors import ContainerError
from ..spec import BandGroup, Planes
from ..transforms import folding, klt, quantize

__all__ = ["DecodePart", "VariableForm", "decode_part"]


@dataclass(frozen=True, slots=True)
class VariableForm:
    """What decoding must know of a variable: how many bands it has, and their dtype."""

    bands: int
    dtype: np.dtype[Any]


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
    """

    shape: tuple[int, int, int]
    streams: Sequence[Planes]
    masks: Sequence[bytes] = ()
    residuals: Sequence[bytes] = ()


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
        bands = _bands(group, part) if group.klt is not None else None
        classes = _classes(group, forms, part)
        payloads = _residuals(group, part)
        return [
            _variable(group, number, form, bands, classes, payloads, part.shape, start)
            for number, (form, start) in enumerate(zip(forms, _starts(forms), strict=True))
        ]
    except (ValueError, IndexError) as error:
        raise ContainerError(f"group {group.name!r} is damaged: {error}") from error


def _starts(forms: Sequence[VariableForm]) -> list[int]:
    return [sum(form.bands for form in forms[:i]) for i in range(len(forms))]


def _bands(group: BandGroup, part: DecodePart) -> NDArray[np.float64]:
    """Undo layout, quantisation, transform and folding."""
    if group.layout is None or group.quantization is None or group.klt is None:
        raise ValueError("it has a transform but no layout or quantisation")
    time, height, width = part.shape
    components = group.klt.n_components
    geo = planes.geometry(group.layout, components, height, width, (1, 1))
    codes = planes.unpack(list(part.streams), group.layout, geo, (components, height, width))
    levels = quantize.dequantize(codes, group.quantization)
    bands = klt.inverse(levels, group.klt, group.quantization.step)
    return folding.unfold(bands, group.fold, time)


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


def _residuals(group: BandGroup, part: DecodePart) -> list[tuple[int, list[bytes]]]:
    if group.residual is None:
        return []
    spans = _spans(group, part)
    return [
        (frames, residual.unpack(payload))
        for payload, frames in zip(part.residuals, spans, strict=True)
    ]


def _variable(
    group: BandGroup,
    number: int,
    form: VariableForm,
    bands: NDArray[np.float64] | None,
    classes: NDArray[np.uint8] | None,
    payloads: list[tuple[int, list[bytes]]],
    shape: tuple[int, int, int],
    start: int,
) -> NDArray[Any]:
    chosen = slice(start, start + form.bands)
    own = None if classes is None else classes[:, chosen]
    specials = None if group.mask is None else group.mask.specials[number].numpy()
    if bands is None:
        return _lossless(number, form, payloads, shape)
    base = clip(bands[:, chosen], group.valid_min[number], group.valid_max[number])
    if payloads and group.residual is not None and group.residual.steps[number]:
        values = _corrected(group, number, form, base, payloads)
    else:
        values = to_dtype(base, form.dtype)
    if specials is None or own is None:
        return values
    values = step_off(values, specials, group.valid_min[number], group.valid_max[number])
    return masks.restore(values, own, specials)


def _lossless(
    number: int,
    form: VariableForm,
    payloads: list[tuple[int, list[bytes]]],
    shape: tuple[int, int, int],
) -> NDArray[Any]:
    _, height, width = shape
    parts = [
        residual.decode_lossless(each[number], (frames, form.bands, height, width), form.dtype)
        for frames, each in payloads
    ]
    return np.concatenate(parts)


def _corrected(
    group: BandGroup,
    number: int,
    form: VariableForm,
    base: NDArray[np.float64],
    payloads: list[tuple[int, list[bytes]]],
) -> NDArray[Any]:
    raise ValueError("correction layers are not supported yet")


def clip(
    values: NDArray[np.float64], low: float | None, high: float | None
) -> NDArray[np.float64]:
    """Limit samples to the range of the valid ones, if there are any."""
    return values if low is None or high is None else np.clip(values, low, high)


def to_dtype(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast to the stored dtype, rounding and saturating integers."""
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    rounded = np.rint(values)
    limits = np.iinfo(dtype)
    # float64 cannot hold the largest 64-bit integers: casting them would wrap around.
    high = np.nextafter(float(limits.max), 0.0) if limits.bits == 64 else float(limits.max)
    return np.clip(rounded, float(limits.min), high).astype(dtype)


def step_off(
    values: NDArray[Any], specials: NDArray[Any], low: float | None, high: float | None
) -> NDArray[Any]:
    """Move samples that came out equal to a special value to its nearest neighbour.

    Otherwise a valid sample would turn into the fill value.
    """
    if low is None or high is None:
        return values
    finite = [value for value in specials if np.isfinite(value)]
    for value in finite:
        hit = values == value
        if not hit.any():
            continue
        values = values.copy() if not values.flags.writeable else values
        values[hit] = _neighbour(value, finite, low, high)
    return values


def _neighbour(value: Any, taken: list[Any], low: float, high: float) -> Any:
    """Find the nearest value that is no special one, within the range of valid samples."""
    up = down = value
    for _ in range(len(taken) + 1):
        up, down = _next(up, True), _next(down, False)
        for candidate in (up, down):
            if low <= candidate <= high and candidate not in taken:
                return candidate
    raise ValueError(f"no valid neighbour of the fill value {value}")


def _next(value: Any, upwards: bool) -> Any:
    if value.dtype.kind == "f":
        return np.nextafter(value, value.dtype.type(np.inf if upwards else -np.inf))
    limits = np.iinfo(value.dtype)
    if value == (limits.max if upwards else limits.min):
        return value
    return value.dtype.type(int(value) + (1 if upwards else -1))
