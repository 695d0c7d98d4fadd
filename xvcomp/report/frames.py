"""Frames for the report: original, decoded, error map, and how often each error occurs."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..dataset import describe
from ..evaluation.grouping import groups_of_file
from ..evaluation.pairs import Pair
from ..opening import open_cube
from ..pipeline.windows import Window
from ..reading import CubeFile
from . import png, svg

__all__ = ["Picture", "Subject", "draw", "originals", "subjects"]

_MAX_VARIABLES = 4
_MAX_PIXELS = 384
_FRAMES = 8
_BINS = 61


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A variable and the frame of it that is shown.

    Parameters
    ----------
    name, unit, caption : str
    frame, band : int
    sample : tuple of int
        Frames whose errors are counted.
    low, high : float
        Range of colours, from the original.
    every : int
        Every how many pixels are shown.
    """

    name: str
    unit: str
    caption: str
    frame: int
    band: int
    sample: tuple[int, ...]
    low: float
    high: float
    every: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A decoded frame, its errors, and the histogram of errors."""

    decoded: str
    error: str
    limit: float
    rmse: float
    histogram: str


def subjects(reference: xr.Dataset, path: Path, *, stored: bool) -> list[Subject]:
    """Choose what to show: lossy variables, of every group one before of any two."""
    with _opened(path, reference, stored) as found:
        units = [unit for unit in found if not unit.exact]
        ranked = sorted(
            ((n, k) for k, unit in enumerate(units) for n in range(len(unit.pairs))),
        )[:_MAX_VARIABLES]
        return [_subject(units[k].pairs[n]) for n, k in sorted(ranked, key=lambda r: r[::-1])]


@contextmanager
def _opened(path: Path, reference: xr.Dataset, stored: bool) -> Iterator[list[Any]]:
    """Give the groups of a file, each variable beside its original."""
    variables = {v.spec.name: v for v in describe(reference, stored=stored)[0]}
    with closing(CubeFile(path)) as cube:
        decoded = describe(open_cube(cube, decode_cf=False), stored=True)[0]
        yield groups_of_file(cube, variables, {v.spec.name: v for v in decoded}, None)


def _by_name(groups: list[Any]) -> dict[str, Pair]:
    return {pair.name: pair for group in groups for pair in group.pairs}


def _subject(pair: Pair) -> Subject:
    """Take a frame near the middle, of those with the most valid samples."""
    frames, bands, height, width = pair.shape
    sample = tuple(int(t) for t in np.unique(np.linspace(0, frames - 1, _FRAMES).astype(int)))
    band = bands // 2
    seen = []
    for frame in sample:
        values, valid = pair.read_reference(_window(pair, frame))
        share = float(valid[0, band].mean())
        seen.append((round(share, 2), -abs(frame - frames // 2), frame, share))
    _, _, frame, share = max(seen)
    values, valid = pair.read_reference(_window(pair, frame))
    shown = values[0, band][valid[0, band]].astype(np.float64)
    shown = shown * pair.reference.scale + pair.reference.offset
    low, high = np.percentile(shown, (1, 99)) if shown.size else (0.0, 1.0)
    every = -(-max(height, width) // _MAX_PIXELS)
    band_text = f", band {band} of {bands}" if bands > 1 else ""
    unit = str(pair.reference.attrs.get("units", ""))
    return Subject(
        name=pair.name,
        unit="" if unit == "1" else unit,
        caption=f"frame {frame} of {frames}{band_text}, {100 * share:.0f} % valid",
        frame=frame,
        band=band,
        sample=sample,
        low=float(low),
        high=float(high),
        every=every,
    )


def _window(pair: Pair, frame: int) -> Window:
    _, _, height, width = pair.shape
    return Window(0, 0, slice(frame, frame + 1), slice(0, height), slice(0, width))


def originals(
    reference: xr.Dataset, path: Path, chosen: Sequence[Subject], *, stored: bool
) -> dict[str, str]:
    """Draw the original frames, by variable."""
    with _opened(path, reference, stored) as found:
        pairs = _by_name(found)
        return {each.name: _original(pairs[each.name], each) for each in chosen}


def _original(pair: Pair, subject: Subject) -> str:
    frame, _, valid = _read(pair, subject, subject.frame)
    shown = np.where(valid, frame, np.nan)[:: subject.every, :: subject.every]
    return png.data_uri(shown, subject.low, subject.high, png.SEQUENTIAL)


def _read(
    pair: Pair, subject: Subject, frame: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    samples = pair.read(_window(pair, frame))
    reference, decoded = pair.unpack(samples)
    return reference[0, subject.band], decoded[0, subject.band], samples.valid[0, subject.band]


def draw(
    reference: xr.Dataset, path: Path, chosen: Sequence[Subject], *, stored: bool
) -> dict[str, Picture]:
    """Draw what a cube file makes of the subjects."""
    with _opened(path, reference, stored) as found:
        pairs = _by_name(found)
        return {each.name: _picture(pairs[each.name], each) for each in chosen}


def _picture(pair: Pair, subject: Subject) -> Picture:
    errors = []
    shown: dict[str, NDArray[np.float64]] = {}
    for frame in sorted({*subject.sample, subject.frame}):
        reference, decoded, valid = _read(pair, subject, frame)
        errors.append((decoded - reference)[valid])
        if frame == subject.frame:
            shown["decoded"] = np.where(valid, decoded, np.nan)
            shown["error"] = np.where(valid, decoded - reference, np.nan)
    every = subject.every
    found = np.concatenate(errors)
    finite = found[np.isfinite(found)]
    limit = float(np.percentile(np.abs(finite), 99.5)) if finite.size else 0.0
    limit = limit or 1e-12
    counts, _ = np.histogram(np.clip(finite, -limit, limit), bins=_BINS, range=(-limit, limit))
    return Picture(
        decoded=png.data_uri(
            shown["decoded"][::every, ::every], subject.low, subject.high, png.SEQUENTIAL
        ),
        error=png.data_uri(shown["error"][::every, ::every], -limit, limit, png.DIVERGING),
        limit=limit,
        rmse=float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0,
        histogram=svg.histogram([int(n) for n in counts], limit, subject.unit),
    )
