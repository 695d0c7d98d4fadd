"""What a preview shows: three bands as colours, an index of two bands, or one field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from .channels import Channel, Grid
from .matching import match

__all__ = ["Scene", "choose_scene", "find_band", "find_rgb", "is_vegetation", "same_in"]

_SENTINEL_NIR, _SENTINEL_ONLY = "b8", ("b8a", "b12")
"""Landsat's B8 is panchromatic, and it has a B9, a B10 and a B11 of its own."""
_MEANINGS = {
    "red": ("red", "b04", "b4", "b04_10m", "sr_b4", "sur_refl_b01"),
    "green": ("green", "b03", "b3", "b03_10m", "sr_b3", "sur_refl_b04"),
    "blue": ("blue", "b02", "b2", "b02_10m", "sr_b2", "sur_refl_b03"),
    "nir": ("nir", "nir08", "b08", "b08_10m", _SENTINEL_NIR, "b8a", "nir_reflectance", "sr_b5",
            "sur_refl_b02"),
}  # fmt: skip
_INDICES = {"NDVI": ("nir", "red"), "NDWI": ("green", "nir")}
_COLOURS = (("red", "green", "blue"), ("nir", "red", "green"))
_VEGETATION = ("ndvi", "evi", "savi", "lai", "fpar", "kndvi")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn of every frame.

    Parameters
    ----------
    label : str
    channels : tuple of Channel
        Three for colours, two (a, b) for the index (a - b) / (a + b), one for a field;
        on one grid.
    vegetation : bool
        Has the colours that people know from vegetation indices.
    """

    label: str
    channels: tuple[Channel, ...]
    vegetation: bool = False

    @property
    def is_rgb(self) -> bool:
        """Whether bands are shown as colours."""
        return len(self.channels) == 3

    @property
    def first(self) -> Channel:
        """The channel that stands for all: its grid, its dates, its units."""
        return self.channels[0]

    def read(self, grid: Grid) -> NDArray[np.float64]:
        """Read frames, shape (frames, y, x), or (frames, y, x, 3) of colours."""
        values = [channel.read(grid) for channel in self.channels]
        if len(values) == 1:
            return values[0]
        if self.is_rgb:
            return np.stack(values, axis=-1)
        a, b = values
        with np.errstate(divide="ignore", invalid="ignore"):
            index = (a - b) / (a + b)
        index[~np.isfinite(index)] = np.nan
        return index


def choose_scene(
    channels: Sequence[Channel],
    *,
    rgb: Sequence[str] | None = None,
    index: str | None = None,
    variable: str | None = None,
) -> Scene:
    """Take what was asked for, or else natural colours, false colours or the first field.

    Raises
    ------
    PlanError
        If a band is not there, or bands are not on one grid.
    """
    if sum(each is not None for each in (rgb, index, variable)) > 1:
        raise PlanError("rgb, index and variable exclude each other: give one of them")
    if not channels:
        raise PlanError("there is nothing to draw: no numeric variable has two image dims")
    if rgb is not None:
        return _colours(channels, rgb)
    if index is not None:
        return _index(channels, index)
    if variable is not None:
        return _field(_named(channels, variable))
    found = find_rgb(channels)
    return found or _field(min(channels, key=_rank))


def find_rgb(channels: Sequence[Channel]) -> Scene | None:
    """Find natural colours, or else false ones, by what bands are usually called."""
    for meanings in _COLOURS:
        found = [find_band(channels, meaning) for meaning in meanings]
        bands = tuple(each for each in found if each is not None)
        if len(bands) == 3 and len({each.shape for each in bands}) == 1:
            return Scene(label=", ".join(each.name for each in bands), channels=bands)
    return None


def find_band(channels: Sequence[Channel], meaning: str) -> Channel | None:
    """Find a band by its meaning: ``red``, ``green``, ``blue`` or ``nir``."""
    called = {word for each in channels for word in each.words}
    for word in _MEANINGS[meaning]:
        if word == _SENTINEL_NIR and called.isdisjoint(_SENTINEL_ONLY):
            continue
        for each in channels:
            if word in each.words and not each.is_classes:
                return each
    return None


def same_in(channels: Sequence[Channel], scene: Scene) -> Scene:
    """Find the same scene in another cube.

    Raises
    ------
    PlanError
        If a band is missing there, or could be one of several, or has another size or other
        coordinates.
    """
    found = tuple(match(channels, each) for each in scene.channels)
    return Scene(label=scene.label, channels=found, vegetation=scene.vegetation)


def _rank(channel: Channel) -> tuple[bool, bool]:
    """Prefer what moves and is measured."""
    return channel.shape[0] == 1, channel.is_classes


def _named(channels: Sequence[Channel], name: str) -> Channel:
    exact = [each for each in channels if each.name == name or str(each.variable.name) == name]
    word = name.strip().lower()
    loose = [each for each in channels if word in each.words]
    found = exact or loose
    if not found and word in _MEANINGS:
        band = find_band(channels, word)
        found = [] if band is None else [band]
    if not found:
        known = ", ".join(each.name for each in channels[:20])
        raise PlanError(f"there is no field {name!r} to draw; the cube has {known}")
    return found[0]


def _colours(channels: Sequence[Channel], names: Sequence[str]) -> Scene:
    if isinstance(names, str) or len(names) != 3:
        names = [names] if isinstance(names, str) else names
        raise PlanError(f"rgb takes three bands (red, green, blue), got {', '.join(names)!r}")
    bands = tuple(_named(channels, name) for name in names)
    _check_grid(bands)
    return Scene(label=", ".join(each.name for each in bands), channels=bands)


def _index(channels: Sequence[Channel], text: str) -> Scene:
    if text.upper() in _INDICES:
        name = text.upper()
        found = [find_band(channels, meaning) for meaning in _INDICES[name]]
        bands = tuple(each for each in found if each is not None)
        if len(bands) != 2:
            needed = " and ".join(_INDICES[name])
            raise PlanError(
                f"{name} needs a {needed} band, by a usual name: name the two bands, as in B08,B04"
            )
        label = f"{name} ({bands[0].name}, {bands[1].name})"
    else:
        names = [part.strip() for part in text.split(",")]
        if len(names) != 2 or not all(names):
            known = ", ".join(_INDICES)
            raise PlanError(f"no index {text!r}; there is {known}, or two bands as in B08,B04")
        bands = tuple(_named(channels, each) for each in names)
        name = ""
        label = f"({bands[0].name} - {bands[1].name}) / ({bands[0].name} + {bands[1].name})"
    _check_grid(bands)
    return Scene(label=label, channels=bands, vegetation=name == "NDVI")


def _field(channel: Channel) -> Scene:
    return Scene(label=channel.name, channels=(channel,), vegetation=is_vegetation(channel))


def is_vegetation(channel: Channel) -> bool:
    """Tell vegetation indices by their names."""
    name = str(channel.variable.name).lower()
    return any(name == word or name.startswith(f"{word}_") for word in _VEGETATION)


def _check_grid(bands: Sequence[Channel]) -> None:
    if len({each.shape for each in bands}) > 1:
        sizes = "; ".join(f"{each.name}: {_size(each)}" for each in bands)
        raise PlanError(f"bands must be on one grid to be drawn together, got {sizes}")


def _size(channel: Channel) -> str:
    return " x ".join(map(str, channel.shape))
