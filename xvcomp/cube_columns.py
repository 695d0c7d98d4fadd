"""What the table of a dataset says of a cube: STAC columns, and how it is coded."""

import hashlib
import math
import os
from pathlib import Path
from typing import Any

from .containers.source import open_source
from .errors import PlanError
from .opening import open_cube
from .reading import CubeFile
from .results import Report
from .spec import BandGroup
from .stac_columns import stac_columns

__all__ = ["SPLITS", "cube_columns", "load_columns"]

SPLITS = ("train", "test", "validation")
"""The values of the column ``split`` that TACO knows."""

_CHUNK = 1 << 22


def cube_columns(
    cube: str | os.PathLike[str] | CubeFile, report: Report | None = None
) -> dict[str, object]:
    """Describe a cube file in the columns of a dataset's table.

    Parameters
    ----------
    cube : str, path or CubeFile
        Only its header is read, and of a path or URL all bytes once, for the checksum.
    report : Report, optional
        Of its encoding or verification. Without it, quality is what the file says that was
        measured when it was written.

    Returns
    -------
    dict
        ``stac:crs``, ``stac:geotransform``, ``stac:centroid``, ``stac:tensor_shape`` and
        ``stac:time_start``, ``_middle``, ``_end`` where the cube's metadata tell them; and
        ``xvcomp:format_version``, ``bands``, ``codec``, ``pix_fmt``, ``frames``, ``gop``,
        ``psnr`` (dB, of the worst quality set; infinite where all is lossless),
        ``max_error`` (the largest of any variable, in its own units), ``raw_nbytes``,
        ``nbytes`` and ``sha256``. What is not known is ``None`` or not there.

    Raises
    ------
    ContainerError
        If it is not an xvcomp file, or damaged.
    """
    if isinstance(cube, CubeFile):
        return _described(cube, report)
    opened = CubeFile(cube)
    try:
        return _described(opened, report) | {"xvcomp:sha256": _sha256(cube)}
    finally:
        opened.close()


def _described(cube: CubeFile, report: Report | None) -> dict[str, object]:
    manifest = cube.manifest
    # The largest grid is the cube; others lie beside it.
    main = max(manifest.groups, key=lambda group: math.prod(group.shape), default=None)
    found: dict[str, object] = {}
    if main is not None:
        with open_cube(cube) as dataset:
            dims = {"y_dim": main.y_dim, "x_dim": main.x_dim, "frame_dim": main.frame_dim}
            found = stac_columns(dataset, **dims)
            found["stac:tensor_shape"] = _tensor_shape(cube, main, dict(dataset.sizes))
    return found | _coding(cube, main) | _quality(cube, report)


def _tensor_shape(cube: CubeFile, main: BandGroup, sizes: dict[Any, int]) -> list[int]:
    """Return time, bands, y and x of all variables on the main grid."""
    dims = (main.frame_dim, main.y_dim, main.x_dim)
    bands = sum(
        group.shape[1]
        for group in cube.manifest.groups
        if (group.frame_dim, group.y_dim, group.x_dim) == dims
    )
    time, y, x = (1 if dim is None else int(sizes[dim]) for dim in dims)
    return [time, bands, y, x]


def _coding(cube: CubeFile, main: BandGroup | None) -> dict[str, object]:
    manifest = cube.manifest
    return {
        "xvcomp:format_version": manifest.format_version,
        "xvcomp:bands": [name for group in manifest.groups for name in group.variables],
        "xvcomp:codec": _listed(group.codec for group in manifest.groups),
        "xvcomp:pix_fmt": _listed(track.pix_fmt for track in cube.reader.tracks) or None,
        "xvcomp:frames": None if main is None else main.shape[0],
        "xvcomp:gop": None if main is None else main.window,
        "xvcomp:raw_nbytes": manifest.raw_nbytes,
        "xvcomp:nbytes": cube.reader.nbytes,
    }


def _listed(names: Any) -> str:
    return ",".join(dict.fromkeys(names))


def _quality(cube: CubeFile, report: Report | None) -> dict[str, object]:
    """Return PSNR and largest error; of lossless groups these are infinite and 0."""
    if report is not None:
        psnr: list[Any] = list(report.set_psnr_db.values())
        errors: list[Any] = [group.max_error for group in report.groups]
    else:
        lossy = [group for group in cube.manifest.groups if not group.lossless]
        psnr = [group.measured.get("psnr_db") for group in lossy]
        errors = [group.measured.get("max_error") for group in lossy]
    known = [value for value in psnr if value is not None and not math.isnan(value)]
    # One group that was not measured leaves the whole unknown.
    whole = None not in psnr and None not in errors
    sizes = [value for value in errors if value is not None and not math.isnan(value)]
    return {
        "xvcomp:psnr": min(known, default=math.inf) if whole else None,
        "xvcomp:max_error": max(sizes, default=0.0) if whole else None,
    }


def _sha256(source: str | os.PathLike[str]) -> str:
    opened = open_source(source)
    try:
        digest = hashlib.sha256()
        for offset in range(0, opened.nbytes, _CHUNK):
            digest.update(opened.read(offset, min(_CHUNK, opened.nbytes - offset)))
        return digest.hexdigest()
    finally:
        opened.close()


def load_columns(path: str | os.PathLike[str]) -> dict[str, dict[str, object]]:
    """Read a user's columns from a CSV or Parquet file.

    Parameters
    ----------
    path : path
        A table with a column ``id`` and any others, ``split`` among them. In a CSV file,
        types are found by looking at the whole column; empty cells are missing.

    Returns
    -------
    dict
        The other columns of each sample, by its id.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    PlanError
        If it cannot be read, has no column ``id``, an id twice, or a ``split`` that is not
        ``train``, ``test`` or ``validation``; or if pyarrow is not installed.
    """
    table = _read_table(Path(path))
    if "id" not in table.column_names:
        raise PlanError(f"{path} has no column 'id'; it has {', '.join(table.column_names)}")
    found: dict[str, dict[str, object]] = {}
    for row in table.to_pylist():
        name = str(row.pop("id"))
        if name in found:
            raise PlanError(f"{path} has the id {name!r} twice")
        if row.get("split") not in (None, *SPLITS):
            raise PlanError(f"{path}: split {row['split']!r} is none of {', '.join(SPLITS)}")
        found[name] = row
    return found


def _read_table(path: Path) -> Any:
    from .containers.taco.rows import import_pyarrow

    arrow = import_pyarrow()
    from pyarrow import csv

    if not path.exists():
        raise FileNotFoundError(2, "no such file", str(path))
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return arrow.parquet.read_table(path)
        options = csv.ConvertOptions(column_types={"id": arrow.string()}, strings_can_be_null=True)
        return csv.read_csv(path, convert_options=options)
    except (arrow.ArrowException, OSError) as error:
        raise PlanError(f"{path} cannot be read as a table: {error}") from error
