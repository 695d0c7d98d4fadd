"""The frames of a cube as they are to be seen, read and painted a few at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .channels import Grid
from .drawing import Panel, Style, draw_picture, picture_size
from .labels import frame_labels
from .looks import ERROR_GAIN, Look, fit_look
from .scenes import Scene

__all__ = ["Show"]

_BLOCK_NBYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """The frames of a scene, beside those of another cube if there is one."""

    scene: Scene
    original: Scene | None
    look: Look
    grid: Grid

    @classmethod
    def of(
        cls,
        scene: Scene,
        original: Scene | None = None,
        *,
        max_frames: int,
        size: int,
        percent: tuple[float, float] | None = None,
    ) -> "Show":
        """Choose frames, at most ``max_frames``, and pixels, nearest to ``size`` on a side."""
        frames, height, width = scene.first.shape
        chosen = np.unique(np.linspace(0, frames - 1, min(frames, max_frames)).astype(int))
        return cls(
            scene=scene,
            original=original,
            look=fit_look(original or scene, percent),
            grid=Grid(tuple(int(k) for k in chosen), _nearest(max(height, width), size)[0]),
        )

    def style(self, size: int) -> Style:
        """Return how large pixels are drawn: small cubes are enlarged to about ``size``."""
        _, height, width = self.scene.first.shape
        return Style(scale=_nearest(max(height, width), size)[1])

    def picture_size(self, size: int) -> tuple[int, int]:
        """Return the height and width of a picture with its captions."""
        _, height, width = self.scene.first.shape
        stride, scale = _nearest(max(height, width), size)
        tall, wide = (scale * -(-n // stride) for n in (height, width))
        panels = 1 if self.original is None else 3
        return picture_size(panels, panels > 1, tall, wide, self.style(size))

    def panels(self) -> Iterator[list[Panel]]:
        """Read and paint frame by frame, in blocks that fit into memory."""
        _, height, width = self.scene.first.shape
        each = 16 * len(self.scene.channels) * (height // self.grid.stride + 1) * width
        span = max(1, _BLOCK_NBYTES // max(1, each))
        for start in range(0, len(self.grid.frames), span):
            part = Grid(self.grid.frames[start : start + span], self.grid.stride)
            yield from self._block(part)

    def _block(self, grid: Grid) -> Iterator[list[Panel]]:
        decoded = self.scene.read(grid)
        if self.original is None:
            for frame in decoded:
                yield [self._panel("", frame)]
            return
        for theirs, ours in zip(self.original.read(grid), decoded, strict=True):
            error = ours - theirs
            yield [
                self._panel("original", theirs),
                self._panel("decoded", ours),
                Panel(
                    title=f"error x{ERROR_GAIN:g}",
                    rgb=self.look.draw_error(error),
                    missing=_missing(error),
                ),
            ]

    def _panel(self, title: str, frame: NDArray[np.float64]) -> Panel:
        return Panel(title=title, rgb=self.look.draw(frame), missing=_missing(frame))

    @property
    def dates(self) -> list[str]:
        """What is written under each frame."""
        return frame_labels(self.scene.first, self.grid.frames)

    @property
    def unit(self) -> str:
        """Units of the values shown."""
        return self.scene.first.unit if len(self.scene.channels) == 1 else ""

    def some(self, count: int) -> "Show":
        """Return about ``count`` of the frames, evenly spaced."""
        frames = self.grid.frames
        return replace(
            self, grid=replace(self.grid, frames=frames[:: max(1, len(frames) // count)])
        )

    def pictures(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Draw frame by frame, with captions."""
        style = self.style(size)
        for date, panels in zip(self.dates, self.panels(), strict=True):
            yield draw_picture(panels, date, self.scene.label, self.look, self.unit, style)


def _nearest(pixels: int, size: int) -> tuple[int, int]:
    """Return every how many pixels are drawn, and how often each: the nearest to a size."""
    strides = ((n, 1) for n in {1, pixels // size, -(-pixels // size)} if n)
    repeats = ((1, n) for n in {1, size // pixels, -(-size // pixels)} if n)
    return min(
        (*strides, *repeats),
        key=lambda way: abs(math.log(way[1] * -(-pixels // way[0]) / size)),
    )


def _missing(frame: NDArray[np.float64]) -> NDArray[np.bool_]:
    gaps: NDArray[np.bool_] = np.isnan(frame)
    if frame.ndim == 3:
        gaps = np.asarray(gaps.any(axis=-1))
    return gaps
