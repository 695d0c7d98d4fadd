"""Pictures to an animated GIF, or side by side on a contact sheet."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drawing import BACKGROUND, Panel, Style, draw_legend, enlarge, write_text
from .looks import Look

__all__ = ["contact_sheet", "write_gif"]

_GAP = 8


def write_gif(
    path: Path, pictures: Iterable[NDArray[np.uint8]], fps: float, keys: Sequence[NDArray[np.uint8]]
) -> int:
    """Write an animation that loops for ever.

    Parameters
    ----------
    path : Path
    pictures : iterable of ndarray of uint8, shape (height, width, 3)
        All of one size.
    fps : float
        Pictures a second; a GIF counts in hundredths of a second.
    keys : sequence of such pictures
        Their colours are those of all.

    Returns
    -------
    int
        How many pictures it holds.
    """
    from PIL import Image

    palette = Image.fromarray(np.concatenate(list(keys))).quantize(256)
    count = 0

    def indexed() -> Iterable[Any]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)

    frames = iter(indexed())
    first = next(frames)
    duration = 10 * max(2, round(100 / fps))
    first.save(path, format="GIF", save_all=True, append_images=frames, duration=duration, loop=0)
    return count


def contact_sheet(
    frames: Sequence[tuple[str, Sequence[Panel]]],
    title: str,
    look: Look,
    unit: str,
    style: Style,
    columns: int | None = None,
) -> Any:
    """Draw frames side by side, each with its date.

    Parameters
    ----------
    frames : sequence of (str, sequence of Panel)
        The date and the panels of each; all of one size.
    title : str
    look : Look
    unit : str
    style : Style
    columns : int, optional
        Default: about as wide as 3/2 of its height.

    Returns
    -------
    PIL.Image.Image
    """
    from PIL import Image

    cells = [_cell(date, panels, style) for date, panels in frames]
    tall, wide = cells[0].shape[:2]
    across = columns or _columns(len(cells), tall, wide)
    down = -(-len(cells) // across)
    top = style.line + _GAP
    width = max(400, across * (wide + _GAP) + _GAP)
    sheet = Image.new("RGB", (width, top + down * (tall + _GAP) + _GAP // 2), BACKGROUND)
    for k, cell in enumerate(cells):
        row, column = divmod(k, across)
        sheet.paste(
            Image.fromarray(cell), (_GAP + column * (wide + _GAP), top + row * (tall + _GAP))
        )
    draw_legend(sheet, (_GAP, _GAP // 2, width - 2 * _GAP), title, look, unit, style)
    return sheet


def _columns(count: int, tall: int, wide: int) -> int:
    return max(1, min(count, round(math.sqrt(1.5 * count * tall / wide))))


def _cell(date: str, panels: Sequence[Panel], style: Style) -> NDArray[np.uint8]:
    """Draw a frame with its date above it, without a legend."""
    from PIL import Image, ImageDraw

    tiles = [enlarge(panel, style.scale) for panel in panels]
    tall, wide = tiles[0].shape[:2]
    titled = any(panel.title for panel in panels)
    lines = 2 if titled else 1
    width = len(tiles) * wide + 4 * (len(tiles) - 1)
    cell = Image.new("RGB", (width, tall + lines * style.line), BACKGROUND)
    ink = ImageDraw.Draw(cell)
    write_text(ink, (0, 2), date, style.text, width)
    for k, (panel, tile) in enumerate(zip(panels, tiles, strict=True)):
        left = k * (wide + 4)
        cell.paste(Image.fromarray(tile), (left, lines * style.line))
        write_text(ink, (left, style.line + 1), panel.title, style.small().text, wide)
    return np.asarray(cell)
