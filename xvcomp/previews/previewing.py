"""A preview from any cube: what is shown, how large, how often, and the file of it."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..results import OnProgress, Progress
from .channels import Grid, channels_of
from .drawing import Panel, Style, draw_picture
from .labels import frame_labels
from .looks import ERROR_GAIN, Look, fit_look
from .movie import write_movie
from .opening import Lookable, opened, selected
from .pictures import contact_sheet, write_gif
from .scenes import Scene, choose_scene, same_in

__all__ = ["Preview", "Show", "preview"]

Kind = Literal["mp4", "gif", "png"]
_MAX_FRAMES: dict[Kind, int] = {"mp4": 600, "gif": 120, "png": 24}
_SIZES: dict[Kind, int] = {"mp4": 480, "gif": 384, "png": 192}
_BLOCK_NBYTES = 64 << 20
_KEYS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What was drawn.

    Parameters
    ----------
    path : str
    kind : {"mp4", "gif", "png"}
    label : str
        The bands, the index or the field.
    frames, frames_of : int
        How many of how many frames are in it.
    low, high : float
        Values of the first and the last colour.
    nbytes : int
    """

    path: str
    kind: Kind
    label: str
    frames: int
    frames_of: int
    low: float
    high: float
    nbytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, for JSON."""
        return asdict(self)


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
        """Choose frames, at most ``max_frames``, and pixels, about ``size`` on a side."""
        frames, height, width = scene.first.shape
        chosen = np.unique(np.linspace(0, frames - 1, min(frames, max_frames)).astype(int))
        stride = max(1, math.ceil(max(height, width) / (2 * size)))
        return cls(
            scene=scene,
            original=original,
            look=fit_look(original or scene, percent),
            grid=Grid(tuple(int(k) for k in chosen), stride),
        )

    def style(self, size: int) -> Style:
        """Return how large pixels are drawn: small cubes are enlarged to ``size``."""
        _, height, width = self.scene.first.shape
        return Style(scale=max(1, round(size * self.grid.stride / max(height, width))))

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

    def pictures(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Draw frame by frame, with captions."""
        style = self.style(size)
        for date, panels in zip(self.dates, self.panels(), strict=True):
            yield draw_picture(panels, date, self.scene.label, self.look, self.unit, style)


def _missing(frame: NDArray[np.float64]) -> NDArray[np.bool_]:
    gaps: NDArray[np.bool_] = np.isnan(frame)
    if frame.ndim == 3:
        gaps = np.asarray(gaps.any(axis=-1))
    return gaps


def preview(
    source: Lookable,
    out: str | os.PathLike[str],
    *,
    rgb: Sequence[str] | None = None,
    index: str | None = None,
    variable: str | None = None,
    compare: Lookable | None = None,
    isel: Mapping[str, Any] | None = None,
    stretch: tuple[float, float] | None = None,
    fps: float = 8.0,
    max_frames: int | None = None,
    size: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Preview:
    """Draw a cube as an ordinary video, an animation or a contact sheet.

    Parameters
    ----------
    source : Dataset, DataArray, path or URL
        A cube, a cube file (also inside of a dataset, ``data.tacozip::cube_0001``), or any
        file or store that can be encoded.
    out : path
        ``.mp4`` (H.264, plays everywhere), ``.gif`` or ``.png`` (contact sheet).
    rgb : sequence of three str, optional
        Bands for red, green and blue.
    index : str, optional
        ``NDVI``, ``NDWI``, or two bands ``"A,B"`` for (A - B) / (A + B).
    variable : str, optional
        One field, in a colour map. Without any of the three: natural colours where the
        cube has them, false colours, or the first field.
    compare : as ``source``, optional
        The original: it, ``source`` and ten times the error are shown side by side.
    isel : Mapping, optional
        Positions along dims, as for `xarray.Dataset.isel`.
    stretch : (float, float), optional
        Percentiles of the valid samples that get the first and the last colour.
    fps : float
        Frames a second.
    max_frames : int, optional
        At most this many, evenly spaced. Default: 600, 120 or 24 (MP4, GIF, PNG).
    size : int, optional
        About how many pixels a panel's longer side has. Default: 480, 384 or 192.
    overwrite : bool
        Replace ``out``.
    on_progress : callable, optional

    Raises
    ------
    FileExistsError
        If ``out`` exists and ``overwrite`` is false.
    PlanError
        If something that was asked for is not there, or a number is out of range.

    Notes
    -----
    The stretch is that of the whole cube, from a sample of its frames: colours mean the
    same in every frame. Missing values are hatched. Values are read a few frames at a
    time, and of large frames only every n-th pixel.
    """
    path, kind = _target(out, overwrite)
    _check_numbers(fps, max_frames, size, stretch)
    side = size or _SIZES[kind]
    with ExitStack() as stack:
        channels = channels_of(selected(stack.enter_context(opened(source)), isel))
        scene = choose_scene(channels, rgb=rgb, index=index, variable=variable)
        original = None
        if compare is not None:
            theirs = selected(stack.enter_context(opened(compare)), isel)
            original = same_in(channels_of(theirs), scene)
        show = Show.of(
            scene,
            original,
            max_frames=max_frames or _MAX_FRAMES[kind],
            size=side,
            percent=stretch,
        )
        _write(show, path, kind, side, fps, on_progress)
    return Preview(
        path=str(path),
        kind=kind,
        label=scene.label,
        frames=len(show.grid.frames),
        frames_of=scene.first.shape[0],
        low=show.look.low,
        high=show.look.high,
        nbytes=path.stat().st_size,
    )


def _target(out: str | os.PathLike[str], overwrite: bool) -> tuple[Path, Kind]:
    path = Path(out)
    kinds: dict[str, Kind] = {".mp4": "mp4", ".gif": "gif", ".png": "png"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise PlanError(f"a preview is one of {', '.join(kinds)}; {path} is none of these")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name or overwrite it")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.absolute().parent}: make it first")
    return path, kind


def _check_numbers(
    fps: float,
    max_frames: int | None,
    size: int | None,
    stretch: tuple[float, float] | None,
) -> None:
    if not 0.1 <= fps <= 100:
        raise PlanError(f"fps must be 0.1 to 100 frames a second, got {fps!r}")
    if max_frames is not None and max_frames < 1:
        raise PlanError(f"max_frames must be at least 1, got {max_frames}")
    if size is not None and not 32 <= size <= 4096:
        raise PlanError(f"size must be 32 to 4096 pixels, got {size}")
    if stretch is not None and not 0 <= stretch[0] < stretch[1] <= 100:
        raise PlanError(f"stretch takes two rising percentiles, such as 2,98; got {stretch}")


def _write(
    show: Show, path: Path, kind: Kind, size: int, fps: float, on_progress: OnProgress | None
) -> None:
    """Write under a hidden name first: nothing half-written gets the file's name."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if kind == "png":
            frames = list(zip(show.dates, _told(show.panels(), show, on_progress), strict=True))
            sheet = contact_sheet(frames, show.scene.label, show.look, show.unit, show.style(size))
            sheet.save(hidden, format="PNG", optimize=True)
        elif kind == "gif":
            keys = list(_keys(show).pictures(size))
            write_gif(hidden, _told(show.pictures(size), show, on_progress), fps, keys)
        else:
            write_movie(hidden, _told(show.pictures(size), show, on_progress), fps)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def _keys(show: Show) -> Show:
    """Take a few frames whose colours stand for all."""
    frames = show.grid.frames
    step = max(1, len(frames) // _KEYS)
    return Show(
        scene=show.scene,
        original=show.original,
        look=show.look,
        grid=Grid(frames[::step], show.grid.stride),
    )


def _told(parts: Iterator[Any], show: Show, on_progress: OnProgress | None) -> Iterator[Any]:
    """Pass frames on, and tell how far they go."""
    total = len(show.grid.frames)
    for done, part in enumerate(parts, start=1):
        yield part
        if on_progress is not None:
            on_progress(Progress(stage="preview", done=done, total=total))
