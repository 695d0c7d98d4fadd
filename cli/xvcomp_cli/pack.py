"""``xvcomp pack``: cube files into a TACO dataset."""

from pathlib import Path

import click

from .options import example, json_option, overwrite_option, quiet_option, size_callback
from .progress import ProgressBar
from .render import counted, echo_json, format_bytes

__all__ = ["pack"]


@click.command(
    short_help="Pack cube files into a TACO dataset.",
    epilog=example(
        "xvcomp pack cubes/*.mp4 --out data.tacozip",
        "xvcomp pack cubes/ --out data.tacozip --collection collection.toml "
        "--columns splits.csv --part-size 4GB",
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, metavar="DATA.tacozip", type=click.Path(path_type=Path),
    help="The dataset to write.",
)  # fmt: skip
@click.option(
    "--collection", "collection_file", metavar="FILE", type=click.Path(path_type=Path),
    help="TOML or JSON: id, title, description, licenses, providers, citation ...",
)  # fmt: skip
@click.option(
    "--columns", "columns_file", metavar="FILE", type=click.Path(path_type=Path),
    help="CSV or Parquet with a column id, and more: split, labels ...",
)  # fmt: skip
@click.option(
    "--side", "side_files", multiple=True, metavar="NAME",
    help="A file beside each cube that belongs to it, such as '{id}_mask.tif'.",
)  # fmt: skip
@click.option(
    "--part-size", "part_nbytes", metavar="SIZE", callback=size_callback,
    help="Cut the dataset into parts of about this, such as 4GB.",
)  # fmt: skip
@overwrite_option
@json_option
@quiet_option
def pack(
    files: tuple[Path, ...],
    *,
    out: Path,
    collection_file: Path | None,
    columns_file: Path | None,
    side_files: tuple[str, ...],
    part_nbytes: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Pack the cube FILES, or those in folders, into one dataset that is read in place.

    Each cube is a sample, called like its file. Nothing appears before all is written.
    """
    from xvcomp.containers.taco import Collection, load_collection, write_taco
    from xvcomp.cube_columns import load_columns
    from xvcomp.packing import cube_files, samples_of

    found = cube_files(files)
    told = Collection(id=out.stem) if collection_file is None else load_collection(collection_file)
    columns = {} if columns_file is None else load_columns(columns_file)
    with ProgressBar(quiet=quiet) as bar:
        samples = samples_of(found, columns=columns, side_files=side_files, on_progress=bar.update)
        paths = write_taco(out, samples, told, part_nbytes=part_nbytes, overwrite=overwrite)
    unused = sorted(set(columns) - {path.stem for path in found})
    if unused and not quiet:
        ids = counted(len(unused), "id")
        click.echo(f"note: {columns_file} has {ids} of no cube here: {unused[0]} ...", err=True)
    nbytes = sum(path.stat().st_size for path in paths)
    if as_json:
        echo_json({"paths": [str(path) for path in paths], "samples": len(found), "nbytes": nbytes})
    elif not quiet:
        parts = str(paths[0]) if len(paths) == 1 else f"{paths[0]} .. {paths[-1].name}"
        click.echo(f"{parts}: {counted(len(found), 'sample')}, {format_bytes(nbytes)}")
