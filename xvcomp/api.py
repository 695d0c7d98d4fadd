"""Encode, open, describe and verify cube files."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import xarray as xr

from .choosing import Trial, choose, span_of, tries
from .codecs.encoders import Encoders
from .dataset import StoredVariable, as_dataset, describe
from .errors import PlanError
from .evaluation import evaluate
from .ignoring import ignores, resolve_ignored
from .inputs import NotRepeated, group_input
from .jobs import Job, NotInterpolated, quality_sets, step_of, with_measures
from .keywords import CHOICES, checked
from .memory import Memory
from .opening import open_cube, open_source
from .pipeline import EncodedGroup, prepare
from .planner import plan as make_plan
from .planner import without_video
from .promises import check_promises, promised, promises_of, stats_of
from .reading import CubeFile
from .recipe import load_recipe
from .reporting import GroupWork, make_report
from .results import OnProgress, Options, Progress, Report
from .solving import located, solve
from .spec import GroupPlan, Ignored, Interpolation, Manifest, MaxError, Plan, Ssim, StreamInfo
from .ssim_promises import ssim_promises
from .survey import Looks, survey
from .verifying import check_metadata, check_sidecar, measure_all
from .writing import Contents, write_file

__all__ = ["Info", "encode", "info", "open", "options_of", "plan", "verify"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """What a file says of itself, without decoding any sample."""

    path: str
    nbytes: int
    manifest: Manifest
    tracks: tuple[StreamInfo, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, for JSON."""
        manifest = self.manifest
        samples = sum(_samples(manifest, group.variables) for group in manifest.groups)
        return {
            "path": self.path,
            "nbytes": self.nbytes,
            "raw_nbytes": manifest.raw_nbytes,
            "ratio": manifest.raw_nbytes / self.nbytes,
            "bpppb": 8 * self.nbytes / samples if samples else None,
            "format_version": manifest.format_version,
            "created_by": manifest.created_by,
            "target": asdict(manifest.target),  # type: ignore[call-overload]
            "dims": dict(manifest.dims),
            "variables": [
                {"name": v.name, "dims": list(v.dims), "shape": list(v.shape), "dtype": v.dtype}
                for v in manifest.variables
            ],
            "groups": [_group_info(group) for group in manifest.groups],
            "sidecar": [entry.name for entry in manifest.sidecar],
            "notes": list(manifest.notes),
        }


def _samples(manifest: Manifest, names: Iterable[str]) -> int:
    shapes = {spec.name: spec.shape for spec in manifest.variables}
    return sum(int(np.prod(shapes[name], dtype=np.int64)) for name in names)


def _group_info(group: Any) -> dict[str, Any]:
    return {
        "name": group.name,
        "variables": list(group.variables),
        "codec": group.codec,
        "preset": group.preset,
        "quantizer": group.quantizer,
        "bit_depth": group.quantization.bit_depth if group.quantization else None,
        "layout": group.layout.kind if group.layout else None,
        "components": group.klt.n_components if group.klt else 0,
        "shape": list(group.shape),
        "gop": group.gop,
        "fold": group.fold,
        "post_filter": bool(group.post_filter),
        "repeat": list(group.repeat),
        "interpolation": _interpolation_info(group.interpolation),
        "tracks": group.checksums.shape[0],
        "mask": group.mask is not None,
        "quality_set": group.quality_set,
    }


def _interpolation_info(field: Interpolation | msgspec.UnsetType) -> dict[str, Any] | None:
    return {"kernel": field.kernel, "factors": list(field.factors)} if field else None


def options_of(
    options: Options | None = None, recipe: str | os.PathLike[str] | None = None, **keywords: Any
) -> Options:
    """Combine an `Options` or a recipe with single keywords; the latter win.

    Parameters
    ----------
    options : Options, optional
    recipe : path, optional
        A TOML recipe (see `recipe.load_recipe`).
    **keywords
        Fields of `Options`, or of `Override` for every group (``codec``, ``bit_depth``,
        ``gop``, ``fold``, ``layout``, ``transform``, ``tile``). ``encoder`` is another
        name of ``codec``. ``memory`` may be a text
        such as ``2GB``. ``None`` changes nothing.

    Raises
    ------
    PlanError
        If a keyword is not known, or its value is none that it takes.
    """
    base = options or (load_recipe(Path(recipe)) if recipe is not None else Options())
    given = checked(keywords)
    choices = {key: given.pop(key) for key in CHOICES & set(given)}
    return replace(base, **given, defaults=replace(base.defaults, **choices))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cube:
    """A dataset as it will be written."""

    dataset: xr.Dataset
    variables: tuple[StoredVariable, ...]
    notes: tuple[str, ...]
    ignored: tuple[Ignored, ...]

    @classmethod
    def of(cls, source: xr.Dataset | xr.DataArray, options: Options, stored: bool) -> "_Cube":
        dataset = _selected(as_dataset(source), options.variables)
        variables, notes = describe(dataset, stored=stored)
        by_name = {each.spec.name: each for each in variables}
        return cls(
            dataset=dataset,
            variables=tuple(variables),
            notes=tuple(notes),
            ignored=resolve_ignored(options.ignore, by_name),
        )

    def by_name(self) -> dict[str, StoredVariable]:
        return {each.spec.name: each for each in self.variables}


def _selected(dataset: xr.Dataset, names: Sequence[str] | None) -> xr.Dataset:
    """Keep some data variables, and the coordinates that go with them."""
    if names is None:
        return dataset
    missing = [name for name in names if name not in dataset.variables]
    if missing:
        known = ", ".join(map(str, dataset.data_vars)) or "none"
        raise PlanError(f"there is no variable {missing[0]!r}; the cube has {known}")
    chosen = [name for name in dataset.data_vars if name in names]
    mappings = {dataset[name].attrs.get("grid_mapping") for name in chosen}
    kept = [name for name in dataset.data_vars if name in chosen or name in mappings]
    return dataset[kept]


def plan(
    source: xr.Dataset | xr.DataArray,
    *,
    stored: bool = False,
    options: Options | None = None,
    recipe: str | os.PathLike[str] | None = None,
    **keywords: Any,
) -> Plan:
    """Decide how each variable would be coded, from a look at a few frames.

    The parameters are those of `encode`.

    Raises
    ------
    PlanError
        If an option names what is not there, or cannot be done.
    """
    chosen = options_of(options, recipe, **keywords)
    return _plan(_Cube.of(source, chosen, stored), chosen, Looks())


def _plan(cube: _Cube, options: Options, looks: Looks) -> Plan:
    if not cube.dataset.data_vars:
        raise PlanError("the dataset has no data variables: there is nothing to encode")
    if cube.ignored and isinstance(options.target, Ssim):
        raise PlanError(
            "an SSIM cannot leave samples out: give a PSNR or a size with an ignore mask"
        )
    masks = [each.variable for each in cube.ignored if each.variable in cube.dataset.data_vars]
    kept = replace(options, lossless=tuple(dict.fromkeys([*options.lossless, *masks])))
    return make_plan(survey(cube.variables, looks), kept, Encoders.of_machine())


def encode(
    source: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    stored: bool = False,
    options: Options | None = None,
    recipe: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    **keywords: Any,
) -> Report:
    """Write a datacube as one video file, and check it by decoding it again.

    Parameters
    ----------
    source : xarray.Dataset or xarray.DataArray
        Is not changed. Lazy data are read a window at a time.
    path : path
        Appears only when the file is complete and verified.
    stored : bool
        The values are as on disk (opened with ``decode_cf=False``), packed integers
        with their ``scale_factor`` and ``_FillValue`` among the attributes.
    options : Options, optional
    recipe : path, optional
        A TOML file of options.
    overwrite : bool
        Replace an existing file.
    on_progress : callable, optional
        Called with `Progress`, from any thread.
    **keywords
        Single fields of `Options` and `Override`: ``target=Psnr(50)``,
        ``preset="best"``, ``variables=["B02"]``, ``codec="libx265"`` ...

    Returns
    -------
    Report
        Sizes, and errors as measured on the finished file.

    Raises
    ------
    PlanError
        If the cube or the options cannot be planned.
    TargetError
        If the target is out of reach.
    CodecError
        If an encoder fails.
    ErrorBoundExceeded
        If verification finds a broken promise; nothing is left behind.
    FileExistsError
        If ``path`` exists and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile, numpy as np, xarray as xr, xvcomp
    >>> cube = xr.DataArray(np.random.rand(8, 64, 64).astype("f4"), dims=("time", "y", "x"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = xvcomp.encode(cube, f"{folder}/cube.mp4", target=xvcomp.Psnr(45))
    >>> report.set_psnr_db[""] >= 45
    True
    """
    chosen = options_of(options, recipe, **keywords)
    Memory(chosen.memory).tighten()
    target_path = _writable(path, overwrite)
    started = time.perf_counter()
    cube = _Cube.of(source, chosen, stored)

    def attempt(looks: Looks) -> tuple[Contents, list[Job]]:
        made, jobs = _prepared(cube, chosen, looks, on_progress)
        _choose(jobs, on_progress)
        contents = Contents.of(cube.dataset, cube.variables, made, cube.notes, cube.ignored)
        solve(
            jobs,
            made.target,
            lambda _: _trial_size(target_path, contents, with_measures(jobs)),
            samples=sum(_coded_samples(cube, job.plan) for job in jobs),
            raw_nbytes=contents.raw_nbytes,
            ssim_of=_SsimMeter(target_path, contents, cube.dataset, stored),
            on_progress=on_progress,
        )
        return contents, jobs

    contents, jobs = _on_coarser_grids(attempt)
    encode_seconds = time.perf_counter() - started
    encoded = with_measures(jobs)
    return _publish(target_path, cube, contents, encoded, jobs, encode_seconds, stored, on_progress)


def _writable(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Find out before hours of work whether the result could be written."""
    found = Path(path)
    if found.is_dir():
        raise IsADirectoryError(f"{found} is a folder: give the name of a file")
    if found.exists() and not overwrite:
        raise FileExistsError(f"{found} exists already: choose another name or overwrite it")
    if not found.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {found.parent}: create it first")
    if not os.access(found.parent, os.W_OK):
        raise PermissionError(f"the folder {found.parent} is not writable")
    return found


_T = TypeVar("_T")


def _on_coarser_grids(attempt: Callable[[Looks], _T]) -> _T:
    """Do without coarser grids where a sample misled the survey, or a target asks for more."""
    looks = Looks()
    while True:
        try:
            return attempt(looks)
        except NotRepeated as error:
            looks = replace(looks, repeated=False)
            _log.info("once more on the full grid: %s", error)
        except NotInterpolated as error:
            looks = replace(looks, full=looks.full | set(error.names))
            _log.info("once more on the full grid: %s", error)


def _prepared(
    cube: _Cube, options: Options, looks: Looks, on_progress: OnProgress | None
) -> tuple[Plan, list[Job]]:
    made = _plan(cube, options, looks)
    return made, _jobs(cube, made, options, on_progress)


def _jobs(cube: _Cube, made: Plan, options: Options, on_progress: OnProgress | None) -> list[Job]:
    memory = Memory(options.memory, groups=max(1, len(made.groups)))
    return [_job(cube, group, memory, on_progress) for group in made.groups]


def _job(cube: _Cube, group: GroupPlan, memory: Memory, on_progress: OnProgress | None) -> Job:
    if on_progress is not None:
        on_progress(Progress(stage="read", done=0, total=0, detail=group.name))
    ignored = cube.ignored if ignores(group.target) else ()
    data = group_input(group, cube.by_name(), memory, ignored)
    prepared = prepare(data, span=span_of(group, data), block=group.block, fold=group.fold)
    if group.interpolation is not None and (prepared.constant or prepared.is_overshot):
        raise NotInterpolated(group.variables)
    if prepared.constant and not group.lossless:
        group = without_video(group, "no valid sample differs from another")
    return Job(plan=group, prepared=prepared)


def _choose(jobs: Sequence[Job], on_progress: OnProgress | None) -> None:
    """Let trials decide what the plan leaves open."""
    for each in quality_sets([job for job in jobs if not job.plan.lossless]):
        if isinstance(each.target, MaxError):
            continue
        if any(job.plan.preset == "best" and tries(job.plan) for job in each.jobs):
            start = located(each)
            for job in each.jobs:
                job.start = start
        step = step_of(each.start, each.peak)
        for job in each.jobs:
            data, tell = job.prepared.data, _tell(job.plan.name, on_progress)
            plan = choose(job.plan, data, job.own_step(step), tell, span=job.prepared.span)
            if plan.fold != job.plan.fold:
                job.prepared = prepare(
                    job.prepared.data,
                    span=span_of(plan, job.prepared.data),
                    block=plan.block,
                    fold=plan.fold,
                )
            job.plan = plan


def _tell(name: str, on_progress: OnProgress | None) -> Callable[[Trial], None]:
    """Report trials as progress."""

    def tell(found: Trial) -> None:
        if on_progress is not None:
            plan = found.plan
            detail = f"{name}: {plan.codec}, fold {plan.fold}, about {found.nbytes:.0f} bytes"
            on_progress(Progress(stage="choose", done=0, total=0, detail=detail))

    return tell


def _coded_samples(cube: _Cube, group: GroupPlan) -> int:
    by_name = cube.by_name()
    return sum(int(by_name[name].variable.size) for name in group.variables)


def _trial_size(path: Path, contents: Contents, groups: Sequence[EncodedGroup]) -> int:
    """Write a file only to learn its size."""
    writer, nbytes = write_file(path, contents, groups)
    writer.abort()
    return nbytes


@dataclass(frozen=True, slots=True)
class _SsimMeter:
    """Measures the SSIM of encoded groups, as `evaluation` defines it, from a trial file."""

    path: Path
    contents: Contents
    dataset: xr.Dataset
    stored: bool

    def __call__(self, groups: Sequence[EncodedGroup]) -> dict[str, float]:
        coded = {name for each in groups for name in each.group.variables}
        beside = {entry.name for entry in self.contents.sidecar_entries}
        kept = [v for v in self.contents.variables if v.spec.name in coded | beside]
        writer, _ = write_file(self.path, replace(self.contents, variables=kept), groups)
        try:
            found = evaluate(
                self.dataset, writer.temporary, stored=self.stored, variables=sorted(coded)
            )
        finally:
            writer.abort()
        return {group.name: group.ssim for group in found.groups}


def _publish(
    path: Path,
    cube: _Cube,
    contents: Contents,
    encoded: Sequence[EncodedGroup],
    jobs: Sequence[Job],
    encode_seconds: float,
    stored: bool,
    on_progress: OnProgress | None,
) -> Report:
    """Write, verify, and only then give the file its name."""
    writer, _ = write_file(path, contents, encoded)
    try:
        started = time.perf_counter()
        written = CubeFile(writer.temporary)
        try:
            check_metadata(written, cube.variables)
            check_sidecar(written, cube.variables)
            targets = {job.plan.name: job.plan.target for job in jobs}
            inputs = {job.plan.name: job.prepared.data for job in jobs}
            compared = measure_all(written, cube.by_name(), on_progress, targets, inputs)
            report = make_report(
                written,
                str(path),
                contents.target,
                stats_of(compared),
                work=_work(jobs),
                encode_seconds=encode_seconds,
                verify_seconds=time.perf_counter() - started,
            )
            promises = promises_of(report, written.manifest.groups, targets, compared)
        finally:
            written.close()
        similar = ssim_promises(writer.temporary, cube.dataset, stored, targets)
        report = replace(report, promises=(*promises, *similar))
        check_promises(report)
        writer.publish()
        return replace(report, notes=(*report.notes, *(n for job in jobs for n in job.notes)))
    except BaseException:
        writer.abort()
        raise


def _work(jobs: Sequence[Job]) -> dict[str, GroupWork]:
    return {
        job.plan.name: GroupWork(
            encodes=job.encodes,
            encode_seconds=job.encode_seconds,
            decode_seconds=job.encoded.decode_seconds if job.encoded else 0.0,
        )
        for job in jobs
    }


def open(
    source: Any,
    *,
    decode_cf: bool | Mapping[str, Any] = True,
    drop_variables: Iterable[str] = (),
    cache_bytes: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    hwaccel: str | None = None,
) -> xr.Dataset:
    """Open a cube file as a lazy Dataset.

    Parameters
    ----------
    source : path, URL or binary file
        A cube inside of a TACO dataset is ``data.tacozip::cube_0001``, wherever that is.
    decode_cf : bool or Mapping
        ``False`` gives what was stored: packed integers with their attributes. A
        mapping holds arguments for `xarray.decode_cf`.
    drop_variables : iterable of str
    cache_bytes : int, optional
        Decoded bytes to keep of this file alone; by default all files share 256 MiB.
    storage_options : Mapping, optional
        Handed to fsspec, for URLs.
    hwaccel : str, optional
        Decode on such a device: ``cuda``, ``vaapi``, ``qsv`` ... as far as this build of
        FFmpeg knows it. Each type of stream is decoded both ways once on a machine; where
        the samples differ, or there is no device, software decodes and the log says why.

    Returns
    -------
    xarray.Dataset
        Values are decoded when they are looked at, no more GOPs than needed.

    Raises
    ------
    ContainerError
        If it is not an xvcomp file, or damaged; also later, when values are read.
    CodecUnavailable
        If FFmpeg does not know such a ``hwaccel``.
    """
    return open_source(
        os.fspath(source) if isinstance(source, os.PathLike) else source,
        decode_cf=decode_cf,
        drop_variables=drop_variables,
        cache_bytes=cache_bytes,
        storage_options=storage_options,
        hwaccel=hwaccel,
    )


def info(source: Any) -> Info:
    """Describe a cube file without decoding any sample.

    Raises
    ------
    ContainerError
        If it is not an xvcomp file, or damaged.
    """
    cube = CubeFile(source)
    try:
        return Info(
            path=str(source),
            nbytes=cube.reader.nbytes,
            manifest=cube.manifest,
            tracks=tuple(cube.reader.tracks),
        )
    finally:
        cube.close()


def verify(
    source: Any,
    reference: xr.Dataset | xr.DataArray | None = None,
    *,
    stored: bool = False,
    on_progress: OnProgress | None = None,
) -> Report:
    """Decode a whole file, check every checksum, and its promises if a reference is given.

    Parameters
    ----------
    source : path, URL or binary file
    reference : Dataset or DataArray, optional
        Without it errors are reported as 0 and only damage is found.
    stored : bool
        The reference's values are as on disk.

    Returns
    -------
    Report
        With a reference, ``promises`` says what was found for each variable.

    Raises
    ------
    ContainerError
        If a part is damaged; the message names it.
    ErrorBoundExceeded
        If something that was to be kept exactly differs from the reference, or a promise
        that the file records does not hold against it; its ``report`` has the numbers.
    """
    started = time.perf_counter()
    cube = CubeFile(source)
    try:
        against = open_cube(cube, decode_cf=False) if reference is None else as_dataset(reference)
        as_stored = True if reference is None else stored
        known = {spec.name for spec in cube.manifest.variables}
        chosen = [name for name in against.data_vars if name in known]
        variables, _ = describe(against[chosen], stored=as_stored)
        missing = known - {each.spec.name for each in variables}
        if missing:
            raise PlanError(f"the reference lacks {', '.join(sorted(missing))}")
        check_metadata(cube, variables)
        check_sidecar(cube, variables)
        by_name = {each.spec.name: each for each in variables}
        targets = {} if reference is None else promised(cube.manifest)
        compared = measure_all(cube, by_name, on_progress, targets)
        seconds = time.perf_counter() - started
        report = make_report(
            cube, str(source), cube.manifest.target, stats_of(compared), verify_seconds=seconds
        )
        if reference is None:
            return report
        promises = promises_of(report, cube.manifest.groups, targets, compared)
    finally:
        cube.close()
    if isinstance(source, str | os.PathLike):
        promises += ssim_promises(source, against[chosen], stored, targets)
    report = replace(report, promises=promises)
    check_promises(report)
    return report
