"""A preview from any cube: what is shown, how large, how often, and the file of it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import PlanError
from ..results import OnProgress, Progress
from .movie import write_movie
from .opening import Lookable, fields_of, opened, selected
from .output import check_output, published
from .pictures import contact_sheet, write_gif
from .scenes import choose_scene, same_in
from .showing import Show

__all__ = ["Preview", "preview"]

Kind = Literal["mp4", "gif", "png"]
_MAX_FRAMES: dict[Kind, int] = {"mp4": 600, "gif": 120, "png": 24}
_SIZES: dict[Kind, int] = {"mp4": 480, "gif": 384, "png": 192}
_KEYS = 8
_MAX_SIDE = 16384
"""Of a video by x264."""


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
        The original: also show it and ten times the error, side by side.
    isel : Mapping, optional
        Positions along dims, as for `xarray.Dataset.isel`.
    stretch : (float, float), optional
        Percentiles of the valid samples that get the first and the last colour.
    fps : float
        Frames a second.
    max_frames : int, optional
        At most this many, evenly spaced. Default: 600, 120 or 24 (MP4, GIF, PNG).
    size : int, optional
        Pixels of a panel's longer side: drawn is the nearest to it that every n-th pixel of
        the cube, or each one n times, gives. Default: 480, 384 or 192.
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
    kind = _kind(out)
    path = check_output(out, overwrite=overwrite, sources=(source, compare))
    _check_numbers(fps, max_frames, size, stretch)
    side = size or _SIZES[kind]
    with ExitStack() as stack:
        channels = fields_of(selected(stack.enter_context(opened(source)), isel))
        scene = choose_scene(channels, rgb=rgb, index=index, variable=variable)
        original = None
        if compare is not None:
            theirs = selected(stack.enter_context(opened(compare)), isel)
            original = same_in(fields_of(theirs), scene)
        show = Show.of(
            scene,
            original,
            max_frames=max_frames or _MAX_FRAMES[kind],
            size=side,
            percent=stretch,
        )
        if kind == "mp4":
            _check_picture(show, side)
        with published(path, overwrite=overwrite) as hidden:
            _write(show, hidden, kind, side, fps, on_progress)
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


def _kind(out: str | os.PathLike[str]) -> Kind:
    kinds: dict[str, Kind] = {".mp4": "mp4", ".gif": "gif", ".png": "png"}
    kind = kinds.get(Path(out).suffix.lower())
    if kind is None:
        raise PlanError(f"a preview is one of {', '.join(kinds)}; {out} is none of these")
    return kind


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


def _check_picture(show: Show, size: int) -> None:
    """Refuse pictures that the encoder would refuse."""
    height, width = show.picture_size(size)
    if max(height, width) > _MAX_SIDE:
        fits = (n for n in range(size, 31, -1) if max(show.picture_size(n)) <= _MAX_SIDE)
        raise PlanError(
            f"the picture would be {width} x {height} pixels, and a video has at most "
            f"{_MAX_SIDE} on a side: use size {next(fits)} or less"
        )


def _write(
    show: Show, hidden: Path, kind: Kind, size: int, fps: float, on_progress: OnProgress | None
) -> None:
    """Draw all frames into the file."""
    if kind == "png":
        frames = list(zip(show.dates, _told(show.panels(), show, on_progress), strict=True))
        sheet = contact_sheet(frames, show.scene.label, show.look, show.unit, show.style(size))
        sheet.save(hidden, format="PNG", optimize=True)
    elif kind == "gif":
        keys = list(show.some(_KEYS).pictures(size))
        write_gif(hidden, _told(show.pictures(size), show, on_progress), fps, keys)
    else:
        write_movie(hidden, _told(show.pictures(size), show, on_progress), fps)


def _told(parts: Iterator[Any], show: Show, on_progress: OnProgress | None) -> Iterator[Any]:
    """Pass frames on, and tell how far they go."""
    total = len(show.grid.frames)
    for done, part in enumerate(parts, start=1):
        yield part
        if on_progress is not None:
            on_progress(Progress(stage="preview", done=done, total=total))
