"""Cube files on disk as the samples of a dataset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .containers.taco import TacoSample
from .cube_columns import cube_columns
from .errors import PlanError
from .results import OnProgress, Progress

__all__ = ["cube_files", "samples_of"]

_SUFFIXES = (".mp4", ".m4v")


def cube_files(sources: Iterable[Path]) -> list[Path]:
    """List cube files: the given ones, and those in given folders, by name.

    Raises
    ------
    FileNotFoundError
        If one is not there.
    PlanError
        If a folder holds none.
    """
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(2, "no such file or folder", str(source))
        inside = [source]
        if source.is_dir():
            inside = sorted(p for p in source.iterdir() if p.suffix.lower() in _SUFFIXES)
            if not inside:
                raise PlanError(f"the folder {source} holds no .mp4 files")
        found += inside
    return found


def samples_of(
    files: Sequence[Path],
    *,
    columns: Mapping[str, Mapping[str, object]] | None = None,
    side_files: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Iterator[TacoSample]:
    """Make a sample of each cube file, called like the file without its suffix.

    Parameters
    ----------
    columns : Mapping, optional
        More columns, by id (`cube_columns.load_columns`); they win over the cube's own.
    side_files : sequence of str
        Files that lie beside each cube, such as ``{id}_mask.tif``.

    Raises
    ------
    ContainerError
        If a file is not a cube file, or damaged.
    FileNotFoundError
        If a side file is not there.
    """
    for done, path in enumerate(files):
        name = path.stem
        if on_progress is not None:
            step = Progress(stage="pack", done=done, total=len(files), unit="cubes", detail=name)
            on_progress(step)
        beside = tuple(path.parent / each.replace("{id}", name) for each in side_files)
        for each in beside:
            if not each.is_file():
                raise FileNotFoundError(2, "no such file", str(each))
        own = dict((columns or {}).get(name, {}))
        yield TacoSample(id=name, path=path, side_files=beside, columns=cube_columns(path) | own)
