"""One picture of one frame: panels side by side, their titles, the date, the colours' range."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .colours import table
from .labels import short
from .looks import Look

__all__ = [
    "BACKGROUND",
    "Panel",
    "Style",
    "draw_legend",
    "draw_picture",
    "enlarge",
    "font",
    "picture_size",
    "plain",
    "write_text",
]

BACKGROUND = (18, 22, 28)
INK = (240, 243, 246)
_SOFT = (160, 170, 180)
_GAP_LIGHT, _GAP_DARK = (128, 132, 137), (98, 102, 107)
_HATCH = 8
_MARGIN = 6
_MIN_WIDTH = 240
_LIKE = str.maketrans({"\u03bc": "u", "\u2212": "-", "\u2013": "-", "\u2014": "-",
                       "\u00d7": "x", "\u22c5": "\u00b7", "\u2044": "/"})  # fmt: skip
_POWER = re.compile("(?<=[0-9])(?=[\u207a\u207b]?[\u00b2\u00b3\u00b9\u2070-\u2079])")
_NO_GLYPH = "\uffff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A frame to be drawn.

    Parameters
    ----------
    title : str
        Stands above it; empty for a panel alone.
    rgb : ndarray of uint8, shape (y, x, 3)
    missing : ndarray of bool, shape (y, x)
        Where there is no value: hatched.
    """

    title: str
    rgb: NDArray[np.uint8]
    missing: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Sizes in pixels of the picture: ``scale`` is that of one pixel of the cube."""

    scale: int
    text: int = 15

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return self.text + 8

    def small(self) -> "Style":
        """Return the same with smaller text."""
        return replace(self, text=max(9, self.text - 3))


def font(size: int) -> Any:
    """Return Pillow's own font: no font has to be installed."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def plain(text: str) -> str:
    r"""Write a line with what the font has: no micro sign, superscripts or accents.

    Examples
    --------
    >>> plain("\u00b5g m\u207b\u00b2")
    'ug m-2'
    """
    powers = _POWER.sub("^", " ".join(text.split()))  # or else a thousand would read as 103
    parts = unicodedata.normalize("NFKD", powers).translate(_LIKE)
    return " ".join("".join(c for c in parts if _has_glyph(c)).split())


@cache
def _has_glyph(character: str) -> bool:
    if not character.isprintable():
        return False
    if character.isascii():
        return True
    face = font(16)
    drawn, box = face.getmask(character), face.getmask(_NO_GLYPH)
    return bool((drawn.size, bytes(drawn)) != (box.size, bytes(box)))


def _fitted(text: str, face: Any, width: int) -> str:
    """Write a line that is at most so wide; a longer one ends in dots."""
    line = plain(text)
    if face.getlength(line) <= width:
        return line
    while line and face.getlength(line + "...") > width:
        line = line[:-1]
    return f"{line.rstrip()}..." if line else ""


def picture_size(panels: int, titled: bool, tall: int, wide: int, style: Style) -> tuple[int, int]:
    """Return the height and width, both even, of panels side by side with their captions."""
    width = max(_MIN_WIDTH, panels * wide + _MARGIN * (panels - 1))
    height = (style.line if titled else 0) + tall + 2 * style.line + _MARGIN
    return height + height % 2, width + width % 2


def enlarge(panel: Panel, scale: int) -> NDArray[np.uint8]:
    """Repeat pixels, and hatch what is missing; shape (y * scale, x * scale, 3)."""
    rgb = panel.rgb.repeat(scale, axis=0).repeat(scale, axis=1)
    missing = panel.missing.repeat(scale, axis=0).repeat(scale, axis=1)
    rows, columns = np.arange(missing.shape[0])[:, None], np.arange(missing.shape[1])
    stripe = (rows + columns) % _HATCH < _HATCH // 2
    rgb[missing & stripe] = _GAP_LIGHT
    rgb[missing & ~stripe] = _GAP_DARK
    return rgb


def draw_picture(
    panels: Sequence[Panel], date: str, label: str, look: Look, unit: str, style: Style
) -> NDArray[np.uint8]:
    """Draw a frame of a video.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Height and width are even.
    """
    from PIL import Image, ImageDraw

    tiles = [enlarge(panel, style.scale) for panel in panels]
    tall, wide = tiles[0].shape[:2]
    titled = any(panel.title for panel in panels)
    top = style.line if titled else 0
    height, width = picture_size(len(tiles), titled, tall, wide, style)
    picture = Image.new("RGB", (width, height), BACKGROUND)
    ink = ImageDraw.Draw(picture)
    for k, (panel, tile) in enumerate(zip(panels, tiles, strict=True)):
        left = k * (wide + _MARGIN)
        picture.paste(Image.fromarray(tile), (left, top))
        write_text(ink, (left + 3, 2), panel.title, style.text, wide - 6)
    write_text(ink, (_MARGIN, top + tall + 4), date, style.text, width - 2 * _MARGIN)
    legend = (_MARGIN, top + tall + style.line + 3, width - 2 * _MARGIN)
    draw_legend(picture, legend, label, look, unit, style.small())
    return np.asarray(picture)


def draw_legend(
    picture: Any, place: tuple[int, int, int], label: str, look: Look, unit: str, style: Style
) -> None:
    """Write what is shown and, beside it, the colours and their range.

    Parameters
    ----------
    picture : PIL.Image.Image
        Drawn upon.
    place : (int, int, int)
        Left, top and width.
    """
    from PIL import Image, ImageDraw

    left, top, width = place
    ink = ImageDraw.Draw(picture)
    if look.colours is None:
        write_text(ink, (left, top), label, style.text, width, _SOFT)
        return
    face = font(style.text)
    shown_unit = _fitted(unit, face, width // 3)
    low, high = short(look.low), f"{short(look.high)} {shown_unit}".strip()
    low_width, high_width = (int(face.getlength(text)) for text in (low, high))
    bar = max(24, min(140, (width - low_width - high_width) // 3))
    bar_left = left + width - high_width - 6 - bar
    write_text(ink, (left, top), label, style.text, bar_left - left - low_width - 16, _SOFT)
    strip = table(look.colours, bar)[None].repeat(style.text - 2, axis=0)
    picture.paste(Image.fromarray(strip), (bar_left, top + 3))
    ink.text((bar_left - 6 - low_width, top), low, font=face, fill=INK)
    ink.text((bar_left + bar + 6, top), high, font=face, fill=INK)


def write_text(
    ink: Any,
    at: tuple[int, int],
    text: str,
    size: int,
    width: int,
    fill: tuple[int, int, int] = INK,
) -> None:
    """Write a line; one that is too long ends in dots."""
    face = font(size)
    ink.text(at, _fitted(text, face, width), font=face, fill=fill)
