"""Where the cubes of xarrayvideo are: folders, archives of them, folders of either."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..containers.source import LocalSource, RangeSource, is_url, open_source
from ..errors import ContainerError, PlanError
from .tortilla import Member, is_tortilla, read_members

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SeedCube", "find_cubes"]

_ARCHIVES = (".taco", ".tortilla")
_MAX_DEPTH = 4
_CHUNK = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedCube:
    """One cube, not opened yet.

    Parameters
    ----------
    id : str
        Name of its folder or of its place in an archive.
    files : tuple of Path
        On disk; or else
    members : tuple of Member
        in an archive.
    columns : Mapping
        What the archive's table says of it.
    """

    id: str
    files: tuple[Path, ...] = ()
    members: tuple[Member, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Size of its files."""
        on_disk = sum(path.stat().st_size for path in self.files)
        return on_disk + sum(member.source.nbytes for member in self.members)

    def load(self, *, swap_xy: bool = False) -> "xr.Dataset":
        """Decode it into memory; see `assembling.assemble_cube`.

        Raises
        ------
        ContainerError
            If files are missing or damaged.
        """
        from .assembling import assemble_cube

        with contextlib.ExitStack() as stack:
            files = self.files
            if self.members:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xvcomp-"))
                files = tuple(_extract(self.members, Path(folder)))
            return assemble_cube(files, swap_xy=swap_xy)


def find_cubes(source: str | os.PathLike[str]) -> Iterator[SeedCube]:
    """Find the cubes in a folder, a ``.taco``, a ``.tortilla``, or below a folder of these.

    Parameters
    ----------
    source : path or URL
        URLs are of archives, which are read by byte range.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ContainerError
        If an archive is damaged.
    PlanError
        If there is no cube.
    """
    name = os.fspath(source)
    if is_url(name) or not Path(name).is_dir():
        found = _in_archive(open_source(name), Path(name.rstrip("/")).stem)
    else:
        found = _in_folder(Path(name))
    first = next(found, None)
    if first is None:
        raise PlanError(f"{name} holds no cube of xarrayvideo: no x.nc beside .mkv files")
    yield first
    yield from found


def _in_folder(folder: Path) -> Iterator[SeedCube]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    videos = [path for path in files if path.suffix in (".mkv", ".jp2")]
    if videos:
        nc = [path for path in files if path.suffix == ".nc"]
        yield SeedCube(id=folder.name, files=(*nc, *videos))
    for path in files:
        if path.suffix in _ARCHIVES:
            yield from _in_archive(LocalSource(path), path.stem)
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()):
        yield from _in_folder(path)


def _in_archive(
    source: RangeSource, name: str, columns: Mapping[str, Any] | None = None, depth: int = 0
) -> Iterator[SeedCube]:
    if depth > _MAX_DEPTH:
        raise ContainerError(f"{source.name} is an archive in more than {_MAX_DEPTH} archives")
    members = read_members(source)
    plain = tuple(member for member in members if not member.nested)
    if plain:
        yield SeedCube(id=name, members=plain, columns=columns or {})
    for member in members:
        if member.nested and is_tortilla(member.source):
            yield from _in_archive(member.source, member.id, member.columns, depth + 1)


def _extract(members: Sequence[Member], folder: Path) -> Iterator[Path]:
    """Write members to disk under names of our own: theirs may lead anywhere."""
    for number, member in enumerate(members):
        path = folder / f"{number:03d}"
        with path.open("wb") as file:
            for offset in range(0, member.source.nbytes, _CHUNK):
                length = min(_CHUNK, member.source.nbytes - offset)
                file.write(member.source.read(offset, length))
        yield path
