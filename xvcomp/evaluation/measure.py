"""Measure a decoded cube against its reference, in constant memory."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ..dataset import StoredVariable, as_dataset, describe
from ..errors import PlanError
from ..ignoring import ignore_reader, resolve_ignored
from ..opening import open_cube
from ..reading import CubeFile
from ..results import OnProgress
from ..spec import Psnr
from .frames import frame_scales, measure_unit
from .grouping import Unit, groups_by_units, groups_of_file
from .indices import index_scores
from .pairs import Pair
from .results import Evaluation
from .scoring import Sizes, cube_file_scores, group_scores, plain_file_scores, set_scores

__all__ = ["evaluate"]

Variables = Mapping[str, StoredVariable]


def evaluate(
    reference: xr.Dataset | xr.DataArray,
    decoded: xr.Dataset | xr.DataArray | str | os.PathLike[str],
    *,
    stored: bool = False,
    peak: float | None = None,
    per_time: bool = False,
    variables: Collection[str] | None = None,
    indices: Sequence[tuple[str, str]] | None = None,
    ignore: Mapping[str, Sequence[int | str]] | None = None,
    nbytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Compare a decoded cube with its reference: errors, structure, spectra and cost.

    Parameters
    ----------
    reference : Dataset or DataArray
        Is not changed; lazy data are read a window at a time.
    decoded : Dataset, DataArray, path or URL
        A path or URL names an xvcomp file: its groups, quality sets, peaks and bits are
        then those of the encoder's report. Any other cube is given as a Dataset.
    stored : bool
        The values of Datasets are as on disk (opened with ``decode_cf=False``): packed
        integers with ``scale_factor`` and ``_FillValue`` among their attributes.
    peak : float, optional
        For PSNR and SSIM, in unpacked units. Default: what the file was made for, or
        the range of the valid reference samples of each quality set.
    per_time : bool
        Also give the numbers of every frame.
    variables : str or collection of str, optional
        Only these. Peaks are then of what was chosen.
    indices : sequence of (str, str), optional
        Band pairs of normalised difference indices, such as ``[("B08", "B04")]``.
        Default: NDVI and NDWI, where bands have their usual names.
    ignore : Mapping[str, sequence of int or str], optional
        Values, or names of CF flags, by the mask variable of the reference: where it has
        them, samples do not count.
    nbytes : int, optional
        Size of the file that a Dataset came from, for the ratio and bpppb.
    on_progress : callable, optional

    Returns
    -------
    Evaluation

    Raises
    ------
    PlanError
        If the cubes cannot be compared: other dims, sizes or places.
    ContainerError
        If the file is damaged.

    Notes
    -----
    Only samples that are valid in the reference count. Where the decoded cube lacks
    one of them, the error is infinite, and ``n_lost`` says how often. Frames over 2048
    pixels are measured in tiles of 1024, whatever coded them.
    """
    if peak is not None and not (np.isfinite(peak) and peak > 0):
        raise ValueError(f"peak must be a positive number, got {peak!r}")
    if isinstance(variables, str):
        variables = (variables,)
    original = as_dataset(reference)
    if isinstance(decoded, xr.Dataset | xr.DataArray):
        sides = _two_datasets(original, as_dataset(decoded), stored, variables)
        # The size of a whole file says nothing of some of its variables.
        sides = replace(sides, nbytes=None if variables is not None else nbytes)
        return _evaluate(_counted(sides, ignore), peak, per_time, indices, on_progress)
    cube = CubeFile(decoded)
    try:
        sides = _file_and_dataset(cube, original, stored, variables, str(decoded))
        return _evaluate(_counted(sides, ignore), peak, per_time, indices, on_progress)
    finally:
        cube.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sides:
    """What is compared."""

    reference: Variables
    units: tuple[Unit, ...]
    skipped: Mapping[str, str]
    cube: CubeFile | None = None
    path: str | None = None
    nbytes: int | None = None

    @property
    def peak(self) -> float | None:
        """The peak that the user gave when the file was made."""
        target = None if self.cube is None else self.cube.manifest.target
        return target.peak if isinstance(target, Psnr) else None


def _two_datasets(
    reference: xr.Dataset,
    decoded: xr.Dataset,
    stored: bool,
    chosen: Collection[str] | None,
) -> _Sides:
    _check_names(chosen, reference)
    # Without encodings, values that a user has decoded are taken as they are.
    both = [each if stored else each.drop_encoding() for each in (reference, decoded)]
    here, there = ({v.spec.name: v for v in describe(each, stored=stored)[0]} for each in both)
    units, skipped = groups_by_units(here, there, chosen)
    return _Sides(reference=here, units=tuple(units), skipped=skipped)


def _file_and_dataset(
    cube: CubeFile,
    reference: xr.Dataset,
    stored: bool,
    chosen: Collection[str] | None,
    path: str,
) -> _Sides:
    _check_names(chosen, reference)
    here = {v.spec.name: v for v in describe(reference, stored=stored)[0]}
    lazy = open_cube(cube, decode_cf=False)
    there = {v.spec.name: v for v in describe(lazy, stored=True)[0]}
    units = groups_of_file(cube, here, there, chosen)
    coded = {name for group in cube.manifest.groups for name in group.variables}
    skipped = {
        name: "kept losslessly beside the video" if name in there else "not in the decoded cube"
        for name, each in here.items()
        if not (each.spec.is_coord or name in coded) and (chosen is None or name in chosen)
    }
    return _Sides(
        reference=here,
        units=tuple(units),
        skipped=skipped,
        cube=cube,
        path=path,
    )


def _check_names(chosen: Collection[str] | None, reference: xr.Dataset) -> None:
    for name in chosen or ():
        if name not in reference.data_vars:
            known = ", ".join(map(str, reference.data_vars)) or "none"
            raise PlanError(f"there is no variable {name!r}; the reference has {known}")


def _counted(sides: _Sides, ignore: Mapping[str, Sequence[int | str]] | None) -> _Sides:
    """Leave samples out of all lossy variables."""
    if not ignore:
        return sides
    ignored = resolve_ignored(ignore, sides.reference)

    def counted(pair: Pair) -> Pair:
        reader = ignore_reader(pair.axes, pair.shape, ignored, sides.reference)
        return replace(pair, ignore=reader)

    units = tuple(
        unit if unit.exact else replace(unit, pairs=tuple(map(counted, unit.pairs)))
        for unit in sides.units
    )
    return replace(sides, units=units)


def _evaluate(
    sides: _Sides,
    peak: float | None,
    per_time: bool,
    indices: Sequence[tuple[str, str]] | None,
    on_progress: OnProgress | None,
) -> Evaluation:
    units = sides.units
    scales = frame_scales(units, peak if peak is not None else sides.peak, on_progress)
    found = [
        measure_unit(unit, scale, on_progress) for unit, scale in zip(units, scales, strict=True)
    ]
    sizes: Sizes = {}
    if sides.cube is None:
        file = plain_file_scores(sides.reference.values(), units, sides.nbytes)
    else:
        sizes, file = cube_file_scores(sides.cube, str(sides.path))
    scored = zip(units, found, scales, strict=True)
    labels = sides.reference if per_time else None
    return Evaluation(
        groups=tuple(group_scores(*each, sizes, labels) for each in scored),
        sets=set_scores(units, found, scales),
        indices=index_scores(units, indices),
        file=file,
        skipped=sides.skipped,
    )
