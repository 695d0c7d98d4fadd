"""``xvcomp encode``: a cube on disk to one verified MP4."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xvcomp.spec import Plan

from .options import (
    encoding_options,
    example,
    group_option,
    json_option,
    library_keywords,
    overwrite_option,
    quiet_option,
    recipe_text,
)
from .progress import ProgressBar
from .render import echo_json, plan_text, report_text

__all__ = ["encode"]


@click.command(
    short_help="Encode a cube to one verified MP4.",
    epilog=example(
        "xvcomp encode cube.nc cube.mp4 --psnr 45",
        "xvcomp encode cube.zarr cube.mp4 --bpppb 0.1 --preset best --write-recipe used.toml",
    ),
)
@click.argument("src")
@click.argument("dst", type=click.Path(path_type=Path))
@encoding_options
@group_option
@click.option("--write-recipe", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the plan that was used, as a recipe.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the plan; write nothing.")
@overwrite_option
@json_option
@quiet_option
def encode(src: str, dst: Path, **given: Any) -> None:
    """Encode SRC (NetCDF, Zarr, GRIB, GeoTIFF, or a URL of one) to the MP4 file DST.

    Without a target, every quality set comes back with at least 50 dB. Whatever was
    written has been decoded and measured before success is reported.
    """
    import xvcomp
    from xvcomp.sources import open_source

    keywords = library_keywords(given)
    _check_recipe_path(given)
    with open_source(src, group=given["group"]) as source:
        if given["dry_run"]:
            _show_plan(xvcomp.plan(source, stored=True, **keywords), as_json=given["as_json"])
            return
        recipe = None
        if given["write_recipe"] is not None:
            recipe = recipe_text(xvcomp.plan(source, stored=True, **keywords), keywords)
        with ProgressBar(quiet=given["quiet"]) as bar:
            report = xvcomp.encode(
                source,
                dst,
                stored=True,
                overwrite=given["overwrite"],
                on_progress=bar.update,
                **keywords,
            )
    if recipe is not None:
        given["write_recipe"].write_text(recipe, encoding="utf-8")
    if given["as_json"]:
        echo_json(report.to_dict())
    elif not given["quiet"]:
        click.echo(report_text(report))


def _check_recipe_path(given: dict[str, Any]) -> None:
    """Fail before the long work, not after it."""
    path = given["write_recipe"]
    if path is None or given["dry_run"]:
        return
    if path.exists() and not given["overwrite"]:
        raise click.ClickException(f"{path} exists already (see --overwrite)")
    if not os.access(path.parent, os.W_OK):
        raise click.ClickException(f"--write-recipe: cannot write to folder {path.parent}")


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        echo_json(asdict(plan))
    else:
        click.echo(plan_text(plan))
