"""``xvcomp view``: one page to look at a cube file in a browser, errors included."""

import webbrowser
from pathlib import Path
from typing import Any

import click

from .options import (
    example,
    isel_option,
    json_option,
    overwrite_option,
    quiet_option,
    size_callback,
    variables_option,
)
from .progress import ProgressBar
from .render import echo_json, format_bytes

__all__ = ["view"]


@click.command(
    short_help="Write a page to look at a cube in a browser.",
    epilog=example(
        "xvcomp view cube.mp4 --open",
        "xvcomp view cube.mp4 --reference cube.nc --out errors.html",
    ),
)
@click.argument("file")
@click.option("--reference", metavar="SRC", help="The original: shows errors, too.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PAGE",
              help="The page [default: FILE's name with .html, in this folder].")  # fmt: skip
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--max-size", "max_nbytes", callback=size_callback, metavar="SIZE",
              help="Of samples, uncompressed; more is thinned out [default: 24MB].")  # fmt: skip
@variables_option
@isel_option
@overwrite_option
@json_option
@quiet_option
def view(file: str, **given: Any) -> None:
    """Write one static page that shows FILE: frames, bands, stretch, series of a pixel.

    FILE is a cube file, a cube in a dataset (data.tacozip::ID), a URL, or anything that can
    be encoded. The page needs no network and no other file. What is too large for a page
    is thinned out, and the page says so; --isel and --vars choose a part to see in full.
    """
    import xvcomp

    keywords = {"max_nbytes": given["max_nbytes"]} if given["max_nbytes"] else {}
    with ProgressBar(quiet=given["quiet"]) as bar:
        done = xvcomp.view(
            file,
            given["out"] or Path(_page_name(file)),
            reference=given["reference"],
            variables=given["variables"],
            isel=given["selections"],
            overwrite=given["overwrite"],
            on_progress=bar.update,
            **keywords,
        )
    if given["as_json"]:
        echo_json(done.to_dict())
    elif not given["quiet"]:
        click.echo(f"{done.path}: {len(done.fields)} fields, {format_bytes(done.nbytes)}")
        for note in done.notes:
            click.echo(f"note: {note}")
    if given["show"]:
        webbrowser.open(Path(done.path).absolute().as_uri())


def _page_name(file: str) -> str:
    """Name a page after a file, a URL or a cube in a dataset."""
    last = file.split("?", 1)[0].rstrip("/").replace("::", "/").rsplit("/", 1)[-1]
    return f"{Path(last).stem or 'cube'}.html"
