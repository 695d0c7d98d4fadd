"""Turn what was measured of frames into scores of groups, sets and the file."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from .. import metrics
from ..dataset import StoredVariable
from ..metrics import ErrorStats
from ..reading import CubeFile
from ..reporting import make_report
from .frames import Frame
from .grouping import Unit
from .results import FileScores, GroupScores, SetScores, TimeScores, VariableScores
from .tally import FrameScale, numbers, total

__all__ = ["Sizes", "cube_file_scores", "group_scores", "plain_file_scores", "set_scores"]

Sizes = Mapping[str, tuple[int, float]]
"""Bytes and bpppb of groups, where they are known."""


def cube_file_scores(cube: CubeFile, path: str) -> tuple[Sizes, FileScores]:
    """Count the bytes of a cube file, as the encoder's report does."""
    nothing = {g.name: tuple(ErrorStats() for _ in g.variables) for g in cube.manifest.groups}
    report = make_report(cube, path, cube.manifest.target, nothing)
    return {group.name: (group.nbytes, group.bpppb) for group in report.groups}, FileScores(
        path=path,
        nbytes=report.nbytes,
        raw_nbytes=report.raw_nbytes,
        ratio=report.ratio,
        bpppb=report.bpppb,
    )


def plain_file_scores(
    reference: Iterable[StoredVariable], units: Sequence[Unit], nbytes: int | None
) -> FileScores:
    """Relate the size of any other file to the arrays and samples that it holds."""
    raw = sum(int(each.variable.size) * each.variable.dtype.itemsize for each in reference)
    samples = sum(int(np.prod(pair.shape)) for unit in units for pair in unit.pairs)
    return FileScores(
        path=None,
        nbytes=nbytes,
        raw_nbytes=raw,
        ratio=None if not nbytes else metrics.ratio(raw, nbytes),
        bpppb=None if nbytes is None else metrics.bpppb(nbytes, samples),
    )


def group_scores(
    unit: Unit,
    frames: Sequence[Frame],
    scale: FrameScale,
    sizes: Sizes,
    labels: Mapping[str, StoredVariable] | None,
) -> GroupScores:
    """Sum up a group; with ``labels`` (variables of the reference) also frame by frame."""
    by_variable = [total(column) for column in zip(*frames, strict=True)]
    whole = total(by_variable)
    nbytes, bpppb = sizes.get(unit.name, (None, None))
    return GroupScores(
        name=unit.name,
        variables=tuple(pair.name for pair in unit.pairs),
        quality_set=unit.quality_set,
        exact=unit.exact,
        nbytes=nbytes,
        bpppb=bpppb,
        sam_rad=whole.angle.value,
        per_variable=tuple(
            VariableScores(name=pair.name, **numbers(tally, scale.peak))
            for pair, tally in zip(unit.pairs, by_variable[:-1], strict=True)
        ),
        per_time=() if labels is None else _time_scores(unit, frames, scale.peak, labels),
        **numbers(whole, scale.peak),
    )


def _time_scores(
    unit: Unit, frames: Sequence[Frame], peak: float, variables: Mapping[str, StoredVariable]
) -> tuple[TimeScores, ...]:
    labels = _labels(variables, unit.pairs[0].axes[0], len(frames))
    return tuple(
        TimeScores(
            index=number, time=label, sam_rad=frame[-1].angle.value, **numbers(total(frame), peak)
        )
        for number, (label, frame) in enumerate(zip(labels, frames, strict=True))
    )


def _labels(
    reference: Mapping[str, StoredVariable], dim: str | None, count: int
) -> list[str | None]:
    """Write the frame coordinate as text: dates as dates."""
    found = reference.get(dim) if dim is not None else None
    if found is None or found.spec.dims != (dim,):
        return [None] * count
    variable = xr.conventions.decode_cf_variable(str(dim), found.variable)
    return [str(value).removesuffix(".000000000") for value in np.asarray(variable.values)]


def set_scores(
    units: Sequence[Unit], found: Sequence[Sequence[Frame]], scales: Sequence[FrameScale]
) -> tuple[SetScores, ...]:
    """Add the errors up over each quality set, as a PSNR target does."""
    sums: dict[str, ErrorStats] = {}
    peaks: dict[str, float] = {}
    for unit, frames, scale in zip(units, found, scales, strict=True):
        if unit.exact:
            continue
        errors = total(tally for frame in frames for tally in frame).errors
        counted = errors.times(unit.repeat[0] * unit.repeat[1])
        known = sums.get(unit.quality_set)
        sums[unit.quality_set] = counted if known is None else known + counted
        peaks[unit.quality_set] = scale.peak
    return tuple(
        SetScores(name=name, psnr_db=errors.psnr_db(peaks[name]), peak=peaks[name])
        for name, errors in sums.items()
    )
