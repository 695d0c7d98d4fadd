"""Put finished cubes into a TACO dataset, in order of their ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..containers.taco import Collection, TacoSample, write_taco
from ..cube_columns import cube_columns
from .items import CubeResult
from .workspace import Workspace

__all__ = ["assemble"]


def assemble(
    space: Workspace,
    cubes: Sequence[CubeResult],
    collection: Collection | None,
    part_nbytes: int | None,
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
    """
    name = space.out.name.split(".")[0] or "cubes"
    about = collection or Collection(id=name)
    space.mark_assembled()
    return tuple(
        write_taco(
            space.out, _samples(space, cubes), about, part_nbytes=part_nbytes, overwrite=True
        )
    )


def _samples(space: Workspace, cubes: Sequence[CubeResult]) -> Iterator[TacoSample]:
    for cube in cubes:
        path = space.cube(cube.id)
        columns = {**cube_columns(path), "xvcomp:source": cube.source}
        yield TacoSample(id=cube.id, path=path, columns=columns)
