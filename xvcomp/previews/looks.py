"""How numbers become colours: one stretch for the whole cube, so that nothing flickers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .channels import Channel, Grid
from .colours import DIVERGING, GREENS, SEQUENTIAL, Colours, paint
from .scenes import Scene

__all__ = ["ERROR_GAIN", "Look", "bright_range", "fit_look"]

ERROR_GAIN = 10.0
_SAMPLE_FRAMES = 16
_SAMPLE_PIXELS = 128
_NDVI_RANGE = (-0.1, 0.9)
_HEADROOM = 1.5
"""Keeps thin clouds and bright soil from saturating."""
_GAMMA = 1.6
"""Brightens colours: half of the light that falls on land is near its darkest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A stretch and the colours for it.

    Parameters
    ----------
    low, high : float
        Values of the first and the last colour (of black and white, for bands as colours).
    colours : Colours or None
        ``None`` for bands as colours.
    """

    low: float
    high: float
    colours: Colours | None

    def draw(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Paint frames as scenes read them; the result has shape (frames, y, x, 3)."""
        shares = (values - self.low) / (self.high - self.low)
        if self.colours is None:
            shares = np.clip(shares, 0.0, 1.0) ** (1.0 / _GAMMA)
        return paint(shares, self.colours)

    def draw_error(self, difference: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Paint errors, ten times as strong as the picture shows values, around the middle."""
        shares = 0.5 + ERROR_GAIN * difference / (self.high - self.low)
        return paint(shares, None if self.colours is None else DIVERGING)


def _spread(channel: Channel, count: int = _SAMPLE_FRAMES) -> Grid:
    """Return a few frames and pixels that stand for all."""
    frames, height, width = channel.shape
    chosen = np.unique(np.linspace(0, frames - 1, count).astype(int))
    return Grid(tuple(int(k) for k in chosen), max(1, max(height, width) // _SAMPLE_PIXELS))


def fit_look(
    scene: Scene,
    percent: tuple[float, float] | None = None,
    frames: NDArray[np.float64] | None = None,
) -> Look:
    """Choose colours and their range from the valid samples of a few frames.

    Parameters
    ----------
    scene : Scene
    percent : (float, float), optional
        Percentiles of the darkest and the brightest colour.
    frames : ndarray of float64, optional
        The few frames, as the scene reads them, where they are known already.
    """
    if frames is None:
        frames = scene.read(_spread(scene.first))
    if scene.is_rgb:
        return _fit_colours(frames, percent)
    sample = frames[np.isfinite(frames)]
    if scene.vegetation and percent is None and _is_index(sample):
        return Look(low=_NDVI_RANGE[0], high=_NDVI_RANGE[1], colours=GREENS)
    if percent is None:
        low, high = _ends(_without_zeros(sample), (1.0, 99.0))
    else:
        low, high = _ends(sample, percent)
    if low < 0 < high and 1 / 3 < -low / high < 3:
        high = max(-low, high)
        return Look(low=-high, high=high, colours=DIVERGING)
    if low > 0 and (sample == 0).any():
        low = 0.0
    return Look(low=low, high=high, colours=GREENS if scene.vegetation else SEQUENTIAL)


def _fit_colours(frames: NDArray[np.float64], percent: tuple[float, float] | None) -> Look:
    if percent is None:
        low, high = bright_range(frames)
    else:
        low, high = _ends(frames[np.isfinite(frames)], percent)
    return Look(low=low, high=high, colours=None)


def bright_range(frames: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of bands that are to be colours: that of land, with room for clouds."""
    dark = _darker_half(frames)
    low, high = _ends(dark[np.isfinite(dark)], (1.0, 99.0))
    return low, low + _HEADROOM * (high - low)


def _darker_half(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the darker frames: with clouds, which are bright, land would drown in black."""
    means = [float(frame[np.isfinite(frame)].mean()) for frame in frames if _any(frame)]
    if not means:
        return frames
    middle = float(np.median(means))
    dark = [frame for frame in frames if _any(frame) and frame[np.isfinite(frame)].mean() <= middle]
    return np.stack(dark)


def _any(frame: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(frame).any())


def _is_index(sample: NDArray[np.float64]) -> bool:
    return bool(sample.size == 0 or (sample.max() <= 1.2 and sample.min() >= -1.2))


def _without_zeros(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the zeros of fields that are mostly zero: of rain, only where it rains."""
    wet = sample[sample != 0]
    rare = 0 < wet.size < 0.6 * sample.size and wet.min() < wet.max()
    return wet if rare else sample


def _ends(sample: NDArray[np.float64], percent: tuple[float, float]) -> tuple[float, float]:
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, percent))
    if not high > low:
        low, high = float(sample.min()), float(sample.max())
    if high > low:
        return low, high
    # Half of one vanishes beside a large number.
    room = max(0.5, 1e-6 * abs(low))
    return low - room, low + room
