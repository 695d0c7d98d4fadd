"""Which variables are measured together: a file's own groups, or those of equal units."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..dataset import StoredVariable
from ..errors import PlanError
from ..pipeline.windows import Window, windows
from ..planner import frame_axes
from ..planner.roles import role
from ..reading import CubeFile
from ..results import Options
from ..spec import Psnr
from ..survey import Looks, survey
from .pairs import Axes, Pair, check_coordinates, check_shape

__all__ = ["Unit", "groups_by_units", "groups_of_file"]

_MAX_TILE = 2048
_TILE = 1024
_WINDOW_SAMPLES = 4_000_000
_LARGE = 1 << 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Variables that get common numbers.

    Parameters
    ----------
    name : str
    pairs : tuple of Pair
        On one grid.
    quality_set : str
    exact : bool
        Is not lossy, so it takes no part in its quality set.
    repeat : (int, int)
        Rows and columns over which values are repeated: errors count once for them.
    span : int
        Frames to read at a time.
    """

    name: str
    pairs: tuple[Pair, ...]
    quality_set: str
    exact: bool
    repeat: tuple[int, int] = (1, 1)
    span: int

    @property
    def windows(self) -> Sequence[Window]:
        """Spans of frames, in tiles where frames are large.

        The tiles are part of the definition of SSIM and of the spectrum: they do not
        depend on how a cube is coded.
        """
        frames, bands, height, width = self.pairs[0].shape
        large = max(height, width) > _MAX_TILE
        tile = (min(height, _TILE), min(width, _TILE)) if large else (height, width)
        return windows((frames, bands, height, width), self.span, tile)


def groups_of_file(
    cube: CubeFile,
    reference: Mapping[str, StoredVariable],
    decoded: Mapping[str, StoredVariable],
    chosen: Collection[str] | None,
) -> list[Unit]:
    """Take the groups as they were coded.

    Raises
    ------
    PlanError
        If the reference lacks a variable of the file, or its grid differs.
    """
    units = []
    for group in cube.manifest.groups:
        names = [name for name in group.variables if chosen is None or name in chosen]
        missing = [name for name in names if name not in reference]
        if missing:
            raise PlanError(f"the reference lacks {', '.join(missing)}: choose variables")
        if names:
            axes = (group.frame_dim, str(group.y_dim), str(group.x_dim))
            units.append(
                Unit(
                    name=group.name,
                    pairs=tuple(_pair(name, reference, decoded, axes) for name in names),
                    quality_set=group.quality_set,
                    exact=group.lossless,
                    repeat=group.repeat,
                    span=group.window,
                )
            )
    return units


def _pair(
    name: str,
    reference: Mapping[str, StoredVariable],
    decoded: Mapping[str, StoredVariable],
    axes: Axes,
) -> Pair:
    check_shape(reference[name], decoded[name])
    check_coordinates(reference, decoded, axes)
    return Pair(reference=reference[name], decoded=decoded[name], axes=axes)


def groups_by_units(
    reference: Mapping[str, StoredVariable],
    decoded: Mapping[str, StoredVariable],
    chosen: Collection[str] | None,
) -> tuple[list[Unit], dict[str, str]]:
    """Group what two cubes have in common; also return what was left out, with the reason.

    Variables of equal units, dims and sizes make a group; groups of equal units make a
    quality set; flags and classes, which no codec should touch, are alone.

    Raises
    ------
    PlanError
        If the grids differ, or there is nothing to compare.
    """
    skipped: dict[str, str] = {}
    clusters: dict[tuple[object, ...], list[Pair]] = {}
    for name, each in reference.items():
        if each.spec.is_coord or (chosen is not None and name not in chosen):
            continue
        reason = _why_not(each, decoded.get(name))
        if reason:
            skipped[name] = reason
            continue
        axes = frame_axes(each.spec.dims, each.spec.shape)
        assert axes is not None  # _why_not has refused the others
        exact = _is_exact(each)
        key = name if exact else str(each.attrs.get("units", ""))
        cluster = (exact, key, axes, each.spec.dims, each.spec.shape)
        clusters.setdefault(cluster, []).append(_pair(name, reference, decoded, axes))
    if not clusters:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise PlanError(f"the two cubes have no variable to compare ({why or 'none is there'})")
    return [_unit(cluster, pairs) for cluster, pairs in clusters.items()], skipped


def _why_not(reference: StoredVariable, decoded: StoredVariable | None) -> str:
    """Say why a variable cannot be compared, or nothing."""
    if decoded is None:
        return "not in the decoded cube"
    for each in (reference, decoded):
        dtype = each.variable.dtype
        if not isinstance(dtype, np.dtype) or dtype.kind not in "iufb" or dtype.itemsize > 8:
            return f"dtype {dtype} is not numeric"
    if frame_axes(reference.spec.dims, reference.spec.shape) is None:
        return "no image dims"
    return "empty" if 0 in reference.spec.shape else ""


def _is_exact(each: StoredVariable) -> bool:
    """Tell flags and classes from measurements, as the planner does."""
    if each.variable.dtype.kind == "f":
        return False
    (facts,) = survey([_thinned(each)], Looks(repeated=False, interpolated=False))
    found, _ = role(facts, Options(), Psnr(50.0), _LARGE)
    return found != "lossy"


def _thinned(each: StoredVariable) -> StoredVariable:
    """Keep some rows and columns, for whole frames may not fit into memory."""
    steps = {dim: slice(None, None, max(1, n // 256)) for dim, n in each.variable.sizes.items()}
    part = each.variable.isel(steps)
    return replace(each, variable=part, spec=replace(each.spec, shape=part.shape))


def _unit(cluster: tuple[object, ...], pairs: list[Pair]) -> Unit:
    exact, key = bool(cluster[0]), str(cluster[1])
    _, bands, height, width = pairs[0].shape
    frame = bands * len(pairs) * min(height * width, _MAX_TILE**2)
    names = [pair.name for pair in pairs]
    return Unit(
        name=names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}",
        pairs=tuple(pairs),
        quality_set=key,
        exact=exact,
        span=max(1, _WINDOW_SAMPLES // max(1, frame)),
    )
