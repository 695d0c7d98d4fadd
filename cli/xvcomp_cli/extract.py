"""``xvcomp extract``: cubes out of a TACO dataset."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .ls import conditions
from .options import example, overwrite_option, quiet_option
from .render import counted, format_bytes

if TYPE_CHECKING:
    from xvcomp.containers.taco import Condition

__all__ = ["extract"]


@click.command(
    short_help="Copy cubes out of a TACO dataset.",
    epilog=example(
        "xvcomp extract data.tacozip cube_0001 cube_0002 --out cubes",
        "xvcomp extract data.tacozip --where split=test --out test",
    ),
)
@click.argument("dataset")
@click.argument("ids", nargs=-1)
@click.option(
    "--where", multiple=True, metavar="CONDITION", callback=conditions,
    help="All samples that meet it: column>=value, split=train, id~cube. May be repeated.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="All samples.")
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Folder for the cubes; made if it is not there.",
)  # fmt: skip
@overwrite_option
@quiet_option
def extract(
    dataset: str,
    ids: tuple[str, ...],
    *,
    where: tuple["Condition", ...],
    everything: bool,
    out: Path,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Copy the samples IDS of DATASET to DIR/<id>.mp4, and check their checksums.

    Samples of several files become folders. `xvcomp decode data.tacozip::ID` and
    `xvcomp info data.tacozip::ID` need no copy.
    """
    from xvcomp.containers.taco import extract as copy
    from xvcomp.containers.taco import open_taco

    if bool(ids) + bool(where) + everything != 1:
        raise click.UsageError("give the ids of samples, or --where, or --all: one of them")
    with open_taco(dataset) as reader:
        chosen = ids or [row["id"] for row in reader.rows(columns=["id"], where=where)]
        count = nbytes = 0
        for path in copy(reader, chosen, out, overwrite=overwrite):
            count, nbytes = count + 1, nbytes + path.stat().st_size
    if not quiet:
        samples = counted(len(set(chosen)), "sample")
        click.echo(f"{out}: {samples}, {counted(count, 'file')}, {format_bytes(nbytes)}")
