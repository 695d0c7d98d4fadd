"""Encode a cube in many ways, and report what each costs and gives."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, get_args

import xarray as xr

from .. import api
from ..codecs.encoders import Encoders
from ..dataset import as_dataset
from ..errors import PlanError
from ..planner import check_encoder
from ..results import OnProgress
from ..spec import Preset
from ..version import __version__
from . import strict
from .journal import Journal, fingerprint, key_of, sole_user
from .page import write_page
from .points import Sweep, Task
from .runner import Runner, cores_here

__all__ = ["DEFAULT_QUALITIES", "sweep"]

DEFAULT_QUALITIES = (30.0, 35.0, 40.0, 45.0, 50.0, 55.0)
_CODECS = ("libx265", "libsvtav1")


def sweep(
    source: xr.Dataset | xr.DataArray,
    out: str | os.PathLike[str],
    *,
    codecs: Sequence[str] | None = None,
    presets: Sequence[Preset] = ("fast", "balanced", "best"),
    qualities: Sequence[float] = DEFAULT_QUALITIES,
    jobs: int | None = None,
    stored: bool = False,
    name: str | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Sweep:
    """Encode a cube with every codec, preset and quality, and write a report.

    Finished points are kept in a journal. A sweep that was interrupted, in whatever way,
    goes on where it was: call it again with the same cube, options and folder.

    Parameters
    ----------
    source : Dataset or DataArray
    out : path
        Folder for the journal, the cube files, ``sweep.json``, ``sweep.csv`` and
        ``report.html``; made if missing.
    codecs : sequence of str, optional
        Default: libx265 and libsvtav1, as far as they work here.
    presets : sequence of {"fast", "balanced", "best"}
    qualities : sequence of float
        Nominal qualities in dB (see `Quality`).
    jobs : int, optional
        Encodings at a time, each in a process with its share of the cores. Default: one
        per core.
    stored : bool
        The values are as on disk (opened with ``decode_cf=False``).
    name : str, optional
        What the commands call the source. Default: the file that it was opened from.
    on_progress : callable, optional
    **options
        Held fixed for all points: fields of `Options` and `Override`, as in `encode`.

    Returns
    -------
    Sweep

    Raises
    ------
    PlanError
        If there is nothing to sweep over, an option is not known, or another sweep is
        writing to the folder.

    Notes
    -----
    Keys of points hold the cube's content, all options and the version of xvcomp, so
    that nothing stale is taken for new. The report shows the points that were asked for
    last; others stay in the journal.
    """
    dataset = as_dataset(source)
    folder = Path(out)
    tasks = _tasks(dataset, _chosen_codecs(codecs), presets, qualities, options)
    api.options_of(**options)
    (folder / "cubes").mkdir(parents=True, exist_ok=True)
    count = max(1, min(jobs or len(cores_here()), len(tasks)))
    run = Runner(
        dataset=dataset,
        stored=stored,
        folder=folder,
        source=name or str(dataset.encoding.get("source", "cube.nc")),
        options=dict(options),
        jobs=count,
        journal=Journal(folder / "points.jsonl"),
    )
    with sole_user(folder):
        points = run.all(tasks, on_progress)
        done = Sweep(
            source=run.source, folder=folder, points=points, context=_context(dataset, count)
        )
        (folder / "sweep.json").write_text(strict.dumps(done.to_dict(), indent=1) + "\n")
        (folder / "sweep.csv").write_text(done.to_csv())
        write_page(done, dataset, stored=stored)
    return done


def _chosen_codecs(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Find out before the long work which codecs there are."""
    encoders = Encoders.of_machine()
    for name in wanted or ():
        check_encoder(name, encoders)
    chosen = tuple(wanted or encoders.usable(_CODECS))
    if not chosen:
        raise PlanError(f"neither of {', '.join(_CODECS)} works here: see `xvcomp codecs`")
    return chosen


def _tasks(
    dataset: xr.Dataset,
    codecs: Sequence[str],
    presets: Sequence[Preset],
    qualities: Sequence[float],
    options: Mapping[str, Any],
) -> list[Task]:
    for preset in presets:
        if preset not in get_args(Preset):
            raise PlanError(f"no preset {preset!r}; there is {', '.join(get_args(Preset))}")
    for quality in qualities:
        if not math.isfinite(quality):
            raise PlanError(f"a quality must be a finite number of dB, got {quality!r}")
    taken = {"target", "codec", "preset"} & set(options)
    if taken:
        raise PlanError(f"{', '.join(sorted(taken))}: a sweep chooses these itself")
    content = fingerprint(dataset)
    tasks = []
    for codec, preset, quality in dict.fromkeys(product(codecs, presets, qualities)):
        choices = {"codec": codec, "preset": preset, "quality_db": float(quality), **options}
        key = key_of(content, __version__, choices)
        tasks.append(Task(key=key, codec=codec, preset=preset, quality_db=float(quality)))
    if not tasks:
        raise PlanError("nothing to sweep over: give codecs, presets and qualities")
    return tasks


def _context(dataset: xr.Dataset, jobs: int) -> dict[str, Any]:
    return {
        "xvcomp": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(cores_here()),
        "jobs": jobs,
        "dims": {str(dim): int(size) for dim, size in dataset.sizes.items()},
        "variables": [str(name) for name in dataset.data_vars],
        "nbytes": int(dataset.nbytes),
    }
