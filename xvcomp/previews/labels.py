"""What is written under pictures: dates and positions of frames, and short numbers."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from .channels import Channel, plain_unit

__all__ = ["frame_labels", "frame_times", "short"]


def short(value: float) -> str:
    """Write a number with about four digits."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2g}"
    text = f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return "0" if text == "-0" else text


def frame_labels(channel: Channel, frames: Sequence[int]) -> list[str]:
    """Name frames: dates where there are some, or else the position along the axis."""
    if channel.frame_dim is None:
        return [""]
    coord = channel.array.coords.get(channel.frame_dim)
    if coord is None or coord.ndim != 1:
        return [f"{channel.frame_dim} {k}" for k in frames]
    values = coord.values[list(frames)]
    if values.dtype.kind == "M":
        return _dates(values, frames)
    if values.dtype.kind == "m":
        return _spans(values, frames, channel.frame_dim)
    if values.dtype.kind in "iuf":
        unit = plain_unit(coord.attrs)
        return [f"{channel.frame_dim} {_number(value)} {unit}".strip() for value in values]
    return [str(value) for value in values]


def _number(value: np.number) -> str:
    """Write a position in full: a date written as a number has eight digits."""
    return f"{value:.12g}" if value.dtype.kind == "f" else f"{value}"


def _dates(values: NDArray[np.datetime64], frames: Sequence[int]) -> list[str]:
    """Write days, hours only where they differ from midnight, and seconds to tell frames apart."""
    known = values[~np.isnat(values)]
    whole = bool((known == known.astype("datetime64[D]")).all())
    texts: list[str] = []
    for dtype in ("M8[D]",) if whole else ("M8[m]", "M8[s]", "M8[ms]", "M8[us]", "M8[ns]"):
        texts = [str(text) for text in np.datetime_as_string(values.astype(dtype))]
        if len({*texts} - {"NaT"}) == np.unique(known).size:
            break
    return [
        f"frame {frame}" if text == "NaT" else text.replace("T", " ")
        for frame, text in zip(frames, texts, strict=True)
    ]


def _spans(values: NDArray[np.timedelta64], frames: Sequence[int], dim: Hashable) -> list[str]:
    """Write durations in days, or else in hours."""
    hours = values / np.timedelta64(1, "h")
    whole = bool((hours[np.isfinite(hours)] % 24 == 0).all())
    count, unit = (hours / 24, "d") if whole else (hours, "h")
    return [
        f"{dim} {value:.12g} {unit}" if np.isfinite(value) else f"frame {frame}"
        for frame, value in zip(frames, count, strict=True)
    ]


def frame_times(channel: Channel, frames: Sequence[int]) -> list[float] | None:
    """Return dates as milliseconds since 1970, or ``None`` where there are none."""
    if channel.frame_dim is None:
        return None
    coord = channel.array.coords.get(channel.frame_dim)
    if coord is None or coord.ndim != 1 or coord.dtype.kind != "M":
        return None
    values = coord.values[list(frames)]
    if np.isnat(values).any():
        return None
    return [float(v) for v in values.astype("datetime64[ms]").astype(np.int64)]
