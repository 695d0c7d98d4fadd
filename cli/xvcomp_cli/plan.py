"""``xvcomp plan``: what would be done with a cube, and why."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .options import (
    encoding_options,
    example,
    group_option,
    json_option,
    library_keywords,
    recipe_text,
)
from .render import echo_json, plan_text

__all__ = ["plan"]


@click.command(
    short_help="Show how a cube would be encoded, and why.",
    epilog=example(
        "xvcomp plan cube.nc --psnr 45",
        "xvcomp plan cube.nc --bpppb 0.1 --write-recipe my.toml",
    ),
)
@click.argument("src")
@encoding_options
@group_option
@click.option("--write-recipe", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the plan as a recipe, to be edited.")  # fmt: skip
@json_option
def plan(src: str, **given: Any) -> None:
    """Show how SRC would be encoded: groups, codecs, depths, and the reasons."""
    import xvcomp
    from xvcomp.sources import open_source

    keywords = library_keywords(given)
    with open_source(src, group=given["group"]) as source:
        planned = xvcomp.plan(source, stored=True, **keywords)
    if given["write_recipe"] is not None:
        with open(given["write_recipe"], "x", encoding="utf-8") as file:
            file.write(recipe_text(planned, keywords))
    if given["as_json"]:
        echo_json(asdict(planned))
    else:
        click.echo(plan_text(planned))
