"""Make one cube of a batch, and turn whatever goes wrong into a sentence."""

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from .. import api, masks, opening, sources
from ..containers.source import is_url
from ..containers.source import open_source as open_bytes
from ..dataset import StoredVariable, describe
from ..errors import CodecError, ContainerError, ErrorBoundExceeded, PlanError, TargetError
from ..local_copies import local_copy
from ..planner.facts import frame_axes
from ..results import Options, Report
from .identity import sha256_of
from .items import CubeResult, FailureKind, Task
from .listing import CUBE_SUFFIXES, is_sample

__all__ = ["Job", "make_cube", "opened"]

_COPY = 1 << 23
_MAGIC = {b"\x89HDF": ".nc", b"CDF": ".nc", b"GRIB": ".grib", b"II*\0": ".tif",
          b"MM\0*": ".tif", b"PK": ".zarr.zip"}  # fmt: skip
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job(Task):
    """Everything that a process needs to make one cube.

    Parameters
    ----------
    options : Options
    group : str or None
        Group of a NetCDF file or Zarr store.
    dims : tuple of str
        Dims that the cube must have.
    """

    options: Options
    group: str | None = None
    dims: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """Return what a Dask worker has to know."""
        return Task(key=self.key, id=self.id, source=self.source, folder=self.folder)


def make_cube(job: Job) -> CubeResult:
    """Encode and verify a cube. No exception comes out of it."""
    try:
        with opened(job.source, job.group, Path(job.folder) / job.key) as (dataset, nbytes):
            _check(dataset, job)
            report = api.encode(dataset, job.path, stored=True, options=job.options, overwrite=True)
        return _result(job, report, nbytes)
    except Exception as error:
        job.path.unlink(missing_ok=True)
        kind, reason = _explain(error, job)
        return job.failed(kind, reason)


def _result(job: Job, report: Report, source_nbytes: int) -> CubeResult:
    lossy = [group for group in report.groups if not group.lossless]
    return CubeResult(
        key=job.key,
        id=job.id,
        source=job.source,
        sha256=sha256_of(job.path),
        nbytes=report.nbytes,
        raw_nbytes=report.raw_nbytes,
        source_nbytes=source_nbytes,
        ratio=report.ratio,
        bpppb=report.bpppb,
        psnr_db=min(report.set_psnr_db.values(), default=math.nan),
        max_error=max((group.max_error for group in lossy), default=math.nan),
        seconds=report.encode_seconds + report.verify_seconds,
        notes=report.notes,
    )


@contextmanager
def opened(source: str, group: str | None, scratch: Path) -> Iterator[tuple[xr.Dataset, int]]:
    """Open a source of any kind with its values as stored.

    Parameters
    ----------
    source : str
        As in `Item`.
    group : str or None
    scratch : Path
        Folder for what has to be on disk to be read; removed at the end.

    Yields
    ------
    dataset : Dataset
    nbytes : int
        Size of the source where it lies; 0 when not known.
    """
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        name = _readable(source, scratch, stack)
        if name.lower().endswith(CUBE_SUFFIXES) or is_sample(name):
            dataset = opening.open_source(name, decode_cf=False)
        else:
            dataset = sources.open_source(name, group=group)
        yield stack.enter_context(dataset), _nbytes(name)


def _readable(source: str, scratch: Path, stack: ExitStack) -> str:
    """Return what a reader can open: the source itself, or a copy on this machine."""
    if is_sample(source):
        return _unpacked(source, scratch)
    if not is_url(source) or source.lower().endswith(CUBE_SUFFIXES):
        return source
    if sources.source_kind(source) == "zarr" and not source.lower().endswith(".zip"):
        return source
    return str(stack.enter_context(local_copy(source)))


def _unpacked(source: str, scratch: Path) -> str:
    """Copy a sample that is no cube file out of its dataset; the others are read in place."""
    with closing(open_bytes(source)) as member:
        suffix = _suffix(member.read(0, min(8, member.nbytes)))
        if suffix in CUBE_SUFFIXES:
            return source
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / f"sample{suffix}"
        with path.open("wb") as file:
            for start in range(0, member.nbytes, _COPY):
                file.write(member.read(start, min(_COPY, member.nbytes - start)))
    return str(path)


def _suffix(head: bytes) -> str:
    """Tell a format by its first bytes; ids of samples need not have a suffix."""
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return suffix
    return CUBE_SUFFIXES[0]


def _nbytes(name: str) -> int:
    if is_url(name):
        return 0
    path = Path(name)
    if not path.is_dir():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _check(dataset: xr.Dataset, job: Job) -> None:
    """Refuse what would be encoded without complaint, but is surely not what was meant."""
    missing = [dim for dim in job.dims if dim not in dataset.sizes]
    has = ", ".join(f"{name}: {size}" for name, size in dataset.sizes.items()) or "none"
    if missing:
        raise PlanError(f"{job.source} has no dim {missing[0]!r}; its dims are {has}")
    cubes = [each for each in _measurements(dataset, job.options) if _is_cube(each)]
    if not cubes:
        raise PlanError(
            f"{job.source} is no cube: no variable has two image dims and one for frames; "
            f"its dims are {has}"
        )
    if not any(_has_valid(each) for each in cubes):
        names = ", ".join(each.spec.name for each in cubes)
        raise PlanError(f"{job.source} has no valid sample, only gaps: {names}")


def _measurements(dataset: xr.Dataset, options: Options) -> list[StoredVariable]:
    """Return what the cube is about: floats and packed numbers, or all numbers if none is."""
    kept = [n for n in dataset.data_vars if options.variables is None or n in options.variables]
    numeric = [v for v in describe(dataset[kept], stored=True)[0] if _is_numeric(v)]
    measured = [v for v in numeric if _is_measured(v)]
    return measured if any(map(_is_cube, measured)) else numeric


def _is_numeric(each: StoredVariable) -> bool:
    return not each.spec.is_coord and each.variable.dtype.kind in "iufb"


def _is_measured(each: StoredVariable) -> bool:
    return each.variable.dtype.kind == "f" or "scale_factor" in each.attrs or "units" in each.attrs


def _is_cube(each: StoredVariable) -> bool:
    axes = frame_axes(each.spec.dims, each.spec.shape)
    return axes is not None and axes[0] is not None and 0 not in each.variable.shape


def _has_valid(each: StoredVariable) -> bool:
    """Look at one frame after the other until there is a valid sample."""
    for frame in range(each.variable.shape[0]):
        values = np.asarray(each.variable[frame].values)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        if (masks.classify(native, masks.specials_of(native, each.fill_values)) == 0).any():
            return True
    return False


def _explain(error: Exception, job: Job) -> tuple[FailureKind, str]:
    """Sort an error, and say it in a sentence."""
    text = str(error) or type(error).__name__
    if getattr(error, "errno", None) in _DISK or not os.access(job.folder, os.W_OK):
        return "disk", getattr(error, "strerror", None) or text
    match error:
        case TargetError():
            return "target", text
        case ErrorBoundExceeded():
            return "promise", text
        case CodecError():
            return "encoder", text
        case PlanError() | ContainerError() | FileNotFoundError():
            return "input", text
        case MemoryError():
            return "memory", "it ran out of memory; choose fewer variables, or set memory"
        case OSError() | RuntimeError() if "NetCDF:" in text:
            # A RuntimeError comes when a file opens whose data are damaged.
            why = getattr(error, "strerror", None) or text
            return "input", f"cannot read {job.source}: {why}; it may be damaged or cut short"
        case OSError():
            return "input", f"cannot read {job.source}: {error.strerror or text}"
    return "internal", f"{type(error).__name__}: {text}"
