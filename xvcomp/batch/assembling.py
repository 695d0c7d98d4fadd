"""Put finished cubes into a TACO dataset, in order of their ids."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..containers.source import is_url
from ..containers.taco import Collection, TacoSample, write_taco
from ..cube_columns import cube_columns
from ..errors import ContainerError
from .items import CubeResult
from .workspace import Workspace

__all__ = ["assemble"]


def assemble(
    space: Workspace,
    cubes: Sequence[CubeResult],
    collection: Collection | None,
    part_nbytes: int | None,
    columns: Mapping[str, Mapping[str, object]],
    *,
    overwrite: bool,
) -> tuple[Path, ...]:
    """Write the dataset; it appears when it is complete.

    Parameters
    ----------
    space : Workspace
        Holds the cube files.
    cubes : sequence of CubeResult
        Those to take, sorted by id.
    collection : Collection or None
        ``None``: the name of the dataset and nothing else.
    part_nbytes : int or None
        As in `write_taco`.
    columns : Mapping
        The user's columns of each sample, by id.
    overwrite : bool
        Whether a dataset that this batch has not made may be replaced.

    Raises
    ------
    ContainerError
        If a cube file is not what the journal says.
    FileExistsError
        If there is a dataset by now.
    """
    name = space.out.name.split(".")[0] or "cubes"
    about = collection or Collection(id=name)
    parts = part_nbytes is not None
    # A batch that was killed here, or had failures before, replaces what it has made.
    replaces = overwrite or space.is_ours(parts)
    space.mark_assembled(parts)
    try:
        samples = _samples(space, cubes, columns)
        files = write_taco(space.out, samples, about, part_nbytes=part_nbytes, overwrite=replaces)
    except FileExistsError:
        space.forget_assembled()
        raise
    return tuple(files)


def _samples(
    space: Workspace, cubes: Sequence[CubeResult], columns: Mapping[str, Mapping[str, object]]
) -> Iterator[TacoSample]:
    for cube in cubes:
        path = space.cube(cube.id)
        found = cube_columns(path)
        if found["xvcomp:sha256"] != cube.sha256:
            raise ContainerError(
                f"{path} was changed since it was made; start the same command again"
            )
        # Where a cube came from on this machine is nobody's business but its maker's.
        source = cube.source if is_url(cube.source) else Path(cube.source).name
        own = columns.get(cube.id, {})
        yield TacoSample(id=cube.id, path=path, columns={**found, "xvcomp:source": source, **own})
