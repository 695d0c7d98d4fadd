"""``xvcomp import-xarrayvideo``: archives of xarrayvideo to cube files, NetCDF or Zarr."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    encoding_options,
    example,
    json_option,
    library_keywords,
    names_option,
    overwrite_option,
    quiet_option,
)
from .progress import ProgressBar
from .render import echo_json, format_bytes, table

if TYPE_CHECKING:
    from xvcomp.importing import Imported

__all__ = ["import_xarrayvideo"]


@click.command(
    "import-xarrayvideo",
    short_help="Convert archives of the package xarrayvideo.",
    epilog=example(
        "xvcomp import-xarrayvideo cubes/-111.49_38.60 cube.nc",
        "xvcomp import-xarrayvideo DeepExtremeCubes-video.taco cubes.tacozip --psnr 50",
    ),
)
@click.argument("src")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["mp4", "nc", "zarr"]), default="mp4", show_default=True,
              help="What cubes become when OUT is a folder.")  # fmt: skip
@names_option("--ids", help="Only these cubes: names or patterns.")
@click.option("--swap-xy", is_flag=True,
              help="Rows and columns are the wrong way round, as in early versions.")  # fmt: skip
@encoding_options
@overwrite_option
@json_option
@quiet_option
def import_xarrayvideo(src: str, out: Path, **given: Any) -> None:
    """Convert SRC, a cube's folder, a .taco or .tortilla (v1), a URL of one, or a folder of these.

    OUT is a file for one cube (.mp4, .nc, .zarr), a folder for many, or a .tacozip. Without
    a target, .mp4 files keep the decoded values to the bit. Cubes that fail are listed, and
    those that are there already are skipped: start it again to go on.
    """
    from xvcomp.importing import import_xarrayvideo as convert

    with ProgressBar(quiet=given["quiet"]) as bar:
        found = convert(
            src,
            out,
            to=given["to"],
            ids=given["ids"] or (),
            swap_xy=given["swap_xy"],
            overwrite=given["overwrite"],
            on_progress=bar.update,
            **library_keywords(given),
        )
    if given["as_json"]:
        echo_json([asdict(each) for each in found])
    elif not given["quiet"]:
        click.echo(_text(found))
    failed = [each for each in found if each.error]
    if failed:
        first = f"{failed[0].id}: {failed[0].error}"
        raise click.ClickException(f"{len(failed)} of {len(found)} cubes failed; {first}")


def _text(found: "list[Imported]") -> str:
    rows = [
        (
            each.id,
            ",".join(each.variables) or "-",
            format_bytes(each.source_nbytes) if each.source_nbytes else "-",
            format_bytes(each.nbytes) if each.path else "-",
            each.error or ("there already" if each.skipped else f"{each.seconds:.1f} s"),
        )
        for each in found
    ]
    return table(("cube", "variables", "before", "after", "result"), rows)
