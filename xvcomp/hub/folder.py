"""Cubes -> a folder that is ready to publish: the files, a card, and checksums."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..containers.taco.reader import open_taco
from ..cube_columns import cube_columns
from ..errors import PlanError
from ..packing import cube_files
from ..reading import CubeFile
from ..results import OnProgress, Progress
from .card import Card, Numbers, card_text, numbers_of
from .pushing import check_repo_id

__all__ = ["Published", "make_dataset"]

_CAT = ".tacocat"
_NEEDED = ("xvcomp:raw_nbytes", "xvcomp:nbytes", "xvcomp:bands", "xvcomp:codec", "xvcomp:psnr")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A folder that was made.

    Parameters
    ----------
    folder : str
    files : int
        The card and the checksums included.
    nbytes : int
    numbers : Numbers
    """

    folder: str
    files: int
    nbytes: int
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class _Content:
    """The files by their path in the repository, and what they hold."""

    files: Mapping[str, Path]
    numbers: Numbers
    example: str
    collection: Mapping[str, Any] | None = None


def make_dataset(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    repo_id: str = "ORG/NAME",
    title: str | None = None,
    licence: str | None = None,
    description: str | None = None,
    citation: str | None = None,
    tags: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Published:
    """Make a folder that can be pushed as it is.

    Parameters
    ----------
    sources : sequence of path
        One ``.tacozip``, or the folder of a dataset of parts (with its ``.tacocat``), or
        cube files and folders of them. Files are linked, not copied, where that works.
    out : path
        The folder; appears when it is complete.
    repo_id : str
        Where it will be, for the card.
    title, licence, description, citation : str, optional
        By default what the dataset says in its ``COLLECTION.json``.
    tags : sequence of str
        More tags.
    overwrite : bool
        Replace the folder.

    Raises
    ------
    PlanError
        If there are no cubes, no licence is known, or names collide.
    ContainerError
        If a file is no cube, or damaged.
    FileExistsError
        If ``out`` exists and ``overwrite`` is false.
    """
    check_repo_id(repo_id)
    target = Path(out)
    if target.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, "it exists already", str(target))
    content = _content([Path(source) for source in sources], on_progress)
    told = _told(content.collection or {})
    card = Card(
        title=title or told.get("title") or repo_id.split("/")[1],
        licence=licence or told.get("licence") or _no_licence(),
        description=description or told.get("description", ""),
        citation=citation or told.get("citation"),
        numbers=content.numbers,
        example=content.example,
        repo_id=repo_id,
        tags=tuple(tags),
        taco=content.collection is not None,
    )
    files, nbytes = _publish(target, content.files, card_text(card), on_progress)
    return Published(folder=str(target), files=files, nbytes=nbytes, numbers=content.numbers)


def _no_licence() -> str:
    raise PlanError("a dataset needs a licence, such as CC-BY-4.0: give one with --licence")


def _told(collection: Mapping[str, Any]) -> dict[str, str]:
    """Read what the card needs from a dataset's own description."""
    licences = collection.get("licenses") or []
    papers = collection.get("publications") or []
    cited = "\n\n".join(str(each.get("citation") or each.get("doi") or "") for each in papers)
    found = {
        "title": collection.get("title"),
        "description": collection.get("description"),
        "licence": licences[0] if len(licences) == 1 else ", ".join(map(str, licences)),
        "citation": cited.strip(),
    }
    return {key: str(value) for key, value in found.items() if value}


def _content(sources: Sequence[Path], on_progress: OnProgress | None) -> _Content:
    if not sources:
        raise PlanError("give a .tacozip, a folder of parts, or cube files")
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(2, "no such file or folder", str(source))
    dataset = _dataset_of(sources)
    if dataset is not None:
        return _taco_content(dataset)
    files = cube_files(sources)
    names = {f"cubes/{path.name}": path for path in files}
    if len(names) != len(files):
        raise PlanError("two cube files have the same name: names must differ")
    numbers = numbers_of(_columns(files, on_progress))
    return _Content(names, numbers, example=next(iter(names)))


def _dataset_of(sources: Sequence[Path]) -> Path | None:
    """Tell a dataset from cube files; several of them are no one dataset."""
    found = [path for path in sources if path.suffix == ".tacozip" or (path / _CAT).is_dir()]
    for folder in (path for path in sources if path.is_dir() and path not in found):
        found += sorted(folder.glob("*.tacozip"))
    if not found:
        return None
    if len(found) > 1 or len(sources) > 1:
        raise PlanError(
            f"{len(found)} datasets were given ({found[0].name} ...); a repository holds one: "
            "for parts, give the folder with their .tacocat"
        )
    return found[0]


def _taco_content(dataset: Path) -> _Content:
    with open_taco(dataset) as reader:
        columns = [name for name in _NEEDED if name in reader.columns]
        numbers = numbers_of(reader.rows(columns=columns))
        first = next(iter(reader.rows(columns=["id"], limit=1)))["id"]
        collection = dict(reader.collection)
    if dataset.is_file():
        files = {dataset.name: dataset}
        return _Content(files, numbers, f"{dataset.name}::{first}", collection)
    paths = sorted([*dataset.glob("*.tacozip"), *(dataset / _CAT).rglob("*")])
    files = {path.relative_to(dataset).as_posix(): path for path in paths if path.is_file()}
    return _Content(files, numbers, f"{_CAT}::{first}", collection)


def _columns(files: Sequence[Path], on_progress: OnProgress | None) -> Iterator[dict[str, Any]]:
    for number, path in enumerate(files):
        if on_progress is not None:
            on_progress(
                Progress(
                    stage="read", done=number, total=len(files), unit="cubes", detail=path.name
                )
            )
        cube = CubeFile(path)
        try:
            yield cube_columns(cube)
        finally:
            cube.close()


def _publish(
    target: Path, files: Mapping[str, Path], card: str, on_progress: OnProgress | None
) -> tuple[int, int]:
    """Fill a folder beside the target, then give it its name; returns files and bytes."""
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(target.parent))
    made = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        made.mkdir()
        for name, path in files.items():
            _link(path, made / name)
        (made / "README.md").write_text(card, encoding="utf-8")
        names = sorted([*files, "README.md"])
        lines = [f"{digest}  {name}\n" for digest, name in _digests(made, names, on_progress)]
        (made / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
        nbytes = sum((made / name).stat().st_size for name in [*names, "SHA256SUMS"])
        _replace(made, target)
        return len(names) + 1, nbytes
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _link(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), place)
    except OSError:  # another disk, or a filesystem without links
        shutil.copyfile(path, place)


def _digests(
    folder: Path, names: Iterable[str], on_progress: OnProgress | None
) -> Iterator[tuple[str, str]]:
    for name in names:
        if on_progress is not None:
            on_progress(Progress(stage="checksum", done=0, total=0, unit="files", detail=name))
        with (folder / name).open("rb") as file:
            yield hashlib.file_digest(file, "sha256").hexdigest(), name


def _replace(made: Path, target: Path) -> None:
    """Rename; a folder cannot replace another, so the old one steps aside first."""
    if not target.exists():
        made.replace(target)
        return
    aside = made.with_suffix(".old")
    target.replace(aside)
    try:
        made.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
