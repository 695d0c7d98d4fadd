"""Convert cubes of xarrayvideo, one after the other; what fails is told, not in the way."""

import errno
import fnmatch
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..api import encode, options_of
from ..containers.taco import Collection, TacoSample, write_taco
from ..containers.taco.scratch import scratch_for
from ..cube_columns import cube_columns
from ..errors import PlanError, XvcompError
from ..results import OnProgress, Options, Progress
from ..sinks import SINK_SUFFIXES, write_dataset
from ..spec import Lossless
from .cubes import SeedCube, find_cubes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Imported", "Kind", "import_xarrayvideo"]

Kind = Literal["mp4", "nc", "zarr"]
_SINGLE = (".mp4", *SINK_SUFFIXES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of one cube.

    Parameters
    ----------
    id : str
    path : str or None
        Of what was written; ``None`` if it failed.
    source_nbytes, nbytes : int
        Size of its files before and after.
    variables : tuple of str
        Data variables.
    skipped : bool
        It was there already.
    seconds : float
    error : str or None
        Why it failed.
    """

    id: str
    path: str | None = None
    source_nbytes: int = 0
    nbytes: int = 0
    variables: tuple[str, ...] = ()
    skipped: bool = False
    seconds: float = 0.0
    error: str | None = None


def import_xarrayvideo(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: Kind = "mp4",
    ids: Sequence[str] = (),
    swap_xy: bool = False,
    overwrite: bool = False,
    options: Options | None = None,
    on_progress: OnProgress | None = None,
    **keywords: Any,
) -> list[Imported]:
    """Convert an archive of xarrayvideo.

    Parameters
    ----------
    source : path or URL
        A cube's folder, a ``.taco`` or ``.tortilla``, or a folder of these.
    out : path
        A file for a single cube (``.mp4``, ``.nc``, ``.zarr`` ...), a ``.tacozip`` for a
        dataset of cube files, or a folder, in which each cube becomes a file of its own.
    to : {"mp4", "nc", "zarr"}
        What becomes of the cubes in a folder.
    ids : sequence of str
        Names or patterns of cubes; none is all.
    swap_xy : bool
        See `assembling.assemble_cube`.
    overwrite : bool
        Replace what is there. In a folder, cubes that are there are skipped otherwise, so
        that an interrupted run goes on.
    options : Options, optional
    **keywords
        As of `xvcomp.encode`, for ``.mp4`` and ``.tacozip``. Without a target the decoded
        values are kept to the bit: they lost enough when they were coded first.

    Returns
    -------
    list of Imported
        One for each cube, failed ones included.

    Raises
    ------
    FileNotFoundError, ContainerError
        If the source is not there, or its table of contents is damaged.
    PlanError
        If there is no cube, or ``out`` does not fit.
    """
    if to not in get_args(Kind):
        raise PlanError(f"cubes become one of {', '.join(get_args(Kind))}, not {to!r}")
    chosen = options_of(options, **keywords)
    if chosen.target is None:
        chosen = options_of(chosen, target=Lossless())
    run = _Run(chosen, swap_xy, overwrite, on_progress)
    cubes = _chosen(find_cubes(source), ids)
    target = Path(out)
    if target.suffix == ".tacozip":
        return _to_taco(run, cubes, target)
    if target.name.lower().endswith(_SINGLE):
        return [run.convert(_only(cubes), target)]
    return _to_folder(run, cubes, target, to)


@dataclass(frozen=True, slots=True)
class _Run:
    """What holds for every cube."""

    options: Options
    swap_xy: bool
    overwrite: bool
    on_progress: OnProgress | None

    def convert(self, cube: SeedCube, path: Path) -> Imported:
        """Convert one cube; errors pass."""
        started = time.perf_counter()
        self.tell(cube.id)
        dataset = cube.load(swap_xy=self.swap_xy)
        self.write(dataset, path)
        return Imported(
            id=cube.id,
            path=str(path),
            source_nbytes=cube.nbytes,
            nbytes=_nbytes(path),
            variables=tuple(map(str, dataset.data_vars)),
            seconds=time.perf_counter() - started,
        )

    def write(self, dataset: "xr.Dataset", path: Path) -> None:
        if path.suffix == ".mp4":
            encode(dataset, path, stored=True, options=self.options, overwrite=self.overwrite)
        else:
            write_dataset(dataset, path, overwrite=self.overwrite)

    def tell(self, name: str, done: int = 0) -> None:
        if self.on_progress is not None:
            self.on_progress(
                Progress(stage="import", done=done, total=0, unit="cubes", detail=name)
            )


def _chosen(cubes: Iterator[SeedCube], patterns: Sequence[str]) -> Iterator[SeedCube]:
    found = False
    for cube in cubes:
        if not patterns or any(fnmatch.fnmatchcase(cube.id, each) for each in patterns):
            found = True
            yield cube
    if not found:
        raise PlanError(f"no cube is called {', '.join(patterns)}")


def _only(cubes: Iterator[SeedCube]) -> SeedCube:
    cube = next(cubes)
    second = next(cubes, None)
    if second is not None:
        raise PlanError(
            f"there are several cubes ({cube.id}, {second.id} ...): give a folder or a "
            ".tacozip, or choose one"
        )
    return cube


def _to_folder(run: _Run, cubes: Iterator[SeedCube], folder: Path, to: Kind) -> list[Imported]:
    if folder.suffix and not folder.is_dir():
        raise PlanError(
            f"cannot tell what to write to {folder}; name a folder, or a file ending in "
            f"{', '.join((*_SINGLE, '.tacozip'))}"
        )
    folder.mkdir(exist_ok=True)

    def place(cube: SeedCube, name: str) -> Imported:
        path = folder / f"{name}.{to}"
        if path.exists() and not run.overwrite:
            return Imported(id=cube.id, path=str(path), nbytes=_nbytes(path), skipped=True)
        return run.convert(cube, path)

    return _each(run, cubes, place)


def _to_taco(run: _Run, cubes: Iterator[SeedCube], path: Path) -> list[Imported]:
    """Convert everything beside the target, then pack it."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: create it first")
    if path.exists() and not run.overwrite:
        raise FileExistsError(errno.EEXIST, "it exists already", str(path))
    tables: dict[str, dict[str, Any]] = {}
    with scratch_for(path) as folder:

        def place(cube: SeedCube, name: str) -> Imported:
            done = run.convert(cube, folder / f"{name}.mp4")
            tables[name] = _columns(cube)
            return done

        found = _each(run, cubes, place)
        samples = (
            TacoSample(
                id=name,
                path=folder / f"{name}.mp4",
                columns={**cube_columns(folder / f"{name}.mp4"), **columns},
            )
            for name, columns in tables.items()
        )
        if tables:
            collection = Collection(id=path.stem, keywords=("xarrayvideo", "xvcomp"))
            write_taco(path, samples, collection, overwrite=run.overwrite)
    return found


def _columns(cube: SeedCube) -> dict[str, Any]:
    """Keep what the archive's table said of a cube, under a name of its own."""
    found: dict[str, Any] = {"xarrayvideo:id": cube.id}
    for key, value in cube.columns.items():
        plain = re.sub(r"\W", "_", key.removeprefix("tortilla:"))
        if isinstance(value, str | int | float | bool) and not key.startswith("internal:"):
            found[f"xarrayvideo:{plain}"] = value
    return found


def _each(
    run: _Run, cubes: Iterator[SeedCube], place: Callable[[SeedCube, str], Imported]
) -> list[Imported]:
    found: list[Imported] = []
    taken: set[str] = set()
    for number, cube in enumerate(cubes):
        run.tell(cube.id, number)
        name = _file_name(cube.id)
        try:
            if name in taken:
                raise PlanError(f"two cubes are called {name}")
            taken.add(name)
            found.append(place(cube, name))
        except (XvcompError, ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
            what = str(error) or type(error).__name__
            found.append(Imported(id=cube.id, error=" ".join(what.split())))
    return found


def _file_name(name: str) -> str:
    """Make an archive's id a plain file name: it may hold anything, ``../`` included."""
    plain = re.sub(r"[^\w.+-]", "_", name).strip(".")[:150]
    return plain or "cube"


def _nbytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
