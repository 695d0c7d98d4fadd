"""How much of a cube a page can hold: which fields, every how many pixels and frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..previews.channels import Channel, Grid

__all__ = ["Budget", "fit_budget"]

_MAX_CHANNELS = 24
_FINE, _COARSE = 160, 48
_MANY_FRAMES, _FEW_FRAMES = 200, 24
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What is kept of a cube.

    Parameters
    ----------
    channels : tuple of Channel
    stride : int
        Every how many rows and columns of the finest grid.
    max_frames : int
    notes : tuple of str
        What was left out, in sentences for the reader of the page.
    """

    channels: tuple[Channel, ...]
    stride: int
    max_frames: int
    notes: tuple[str, ...]

    def grid(self, channel: Channel) -> Grid:
        """Return the frames and pixels that are kept of a field."""
        frames, height, width = channel.shape
        chosen = np.unique(np.linspace(0, frames - 1, min(frames, self.max_frames)).astype(int))
        # Coarser fields have pixels to spare: thinned less, if at all.
        longest = max(max(each.shape[1:]) for each in self.channels)
        stride = max(1, round(self.stride * max(height, width) / longest))
        return Grid(tuple(int(k) for k in chosen), stride)

    def n_samples(self) -> int:
        """Count the samples that are kept."""
        return sum(_count(each, self.grid(each)) for each in self.channels)


def _count(channel: Channel, grid: Grid) -> int:
    _, height, width = channel.shape
    return len(grid.frames) * -(-height // grid.stride) * -(-width // grid.stride)


def fit_budget(channels: Sequence[Channel], max_samples: int) -> Budget:
    """Thin out a cube until it fits: pixels first, then frames, and last whole fields.

    Parameters
    ----------
    channels : sequence of Channel
        The most important first.
    max_samples : int
    """
    kept = tuple(channels[:_MAX_CHANNELS])
    frames = max(each.shape[0] for each in kept)
    longest = max(max(each.shape[1:]) for each in kept)
    stride, max_frames = 1, frames
    found = Budget(channels=kept, stride=1, max_frames=frames, notes=())
    while found.n_samples() > max_samples:
        pixels = longest // stride
        if pixels > _FINE or (pixels > _COARSE and max_frames <= _FEW_FRAMES):
            stride += 1
        elif max_frames > _MANY_FRAMES:
            max_frames = max(_MANY_FRAMES, int(0.8 * max_frames))
        elif len(kept) > 4:
            kept = kept[:-1]
        elif max_frames > _FEW_FRAMES:
            max_frames = max(_FEW_FRAMES, int(0.8 * max_frames))
        elif len(kept) > 1:
            kept = kept[:-1]
        else:
            stride += 1
        found = Budget(channels=kept, stride=stride, max_frames=max_frames, notes=())
    notes = _notes(found, len(channels), frames)
    return Budget(channels=kept, stride=stride, max_frames=max_frames, notes=notes)


def _notes(budget: Budget, n_channels: int, frames: int) -> tuple[str, ...]:
    notes = []
    if budget.stride > 1:
        notes.append(
            f"only every {_ordinal(budget.stride)} row and column of the finest grid is here"
        )
    if budget.max_frames < frames:
        notes.append(f"only {budget.max_frames} of {frames} frames are here, evenly spaced")
    if len(budget.channels) < n_channels:
        notes.append(f"only {len(budget.channels)} of {n_channels} fields are here")
    return tuple(notes)


def _ordinal(n: int) -> str:
    teens = 10 < n % 100 < 20
    return f"{n}th" if teens else f"{n}{_ENDINGS.get(n % 10, 'th')}"
