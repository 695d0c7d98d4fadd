"""What is written under pictures: dates and positions of frames, and short numbers."""

from collections.abc import Sequence

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
    if values.dtype.kind in "iuf":
        unit = plain_unit(coord.attrs)
        return [f"{channel.frame_dim} {value:g} {unit}".strip() for value in values]
    return [f"{value!s:.19}" for value in values]


def _dates(values: NDArray[np.datetime64], frames: Sequence[int]) -> list[str]:
    """Write days, and hours only where they differ from midnight."""
    known = values[~np.isnat(values)]
    whole = bool((known == known.astype("datetime64[D]")).all())
    texts = np.datetime_as_string(values.astype("datetime64[m]"), unit="D" if whole else "m")
    return [
        f"frame {frame}" if np.isnat(value) else str(text).replace("T", " ")
        for frame, value, text in zip(frames, values, texts, strict=True)
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
