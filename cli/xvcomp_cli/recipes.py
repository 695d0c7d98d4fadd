"""``xvcomp recipes``: the recipes that come with the package."""

import click

from .options import example, json_option
from .render import echo_json, table

__all__ = ["recipes"]


@click.command(
    short_help="List the recipes that come with xvcomp, or print one.",
    epilog=example(
        "xvcomp recipes",
        "xvcomp recipes show sentinel2-minicube",
        "xvcomp encode cube.nc cube.mp4 --recipe sentinel2-minicube",
    ),
)
@click.argument("action", type=click.Choice(["list", "show"]), default="list")
@click.argument("name", required=False)
@json_option
def recipes(action: str, name: str | None, as_json: bool) -> None:
    """List recipes for common collections, or print one: `show NAME`.

    Give a name to --recipe as it is. To change a recipe, print it to a file, edit that,
    and give its path to --recipe.
    """
    from xvcomp.recipes import named_recipe, recipe_summaries

    if (action == "show") != (name is not None):
        raise click.UsageError("it is `xvcomp recipes` or `xvcomp recipes show NAME`")
    if name is not None:
        text = named_recipe(name).decode("utf-8")
        echo_json({"name": name, "toml": text}) if as_json else click.echo(text, nl=False)
        return
    found = dict(recipe_summaries())
    if as_json:
        echo_json(found)
    else:
        click.echo(table(("recipe", "for"), found.items()))
