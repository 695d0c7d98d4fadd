"""Recipes for common collections, by name; each is a TOML file beside this module."""

import errno
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import PurePath

__all__ = ["named_recipe", "recipe_names", "recipe_summaries"]

_SUFFIX = ".toml"


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    found = (each.name for each in files(__name__).iterdir() if each.name.endswith(_SUFFIX))
    return sorted(name.removesuffix(_SUFFIX) for name in found)


def named_recipe(name: str) -> bytes:
    """Return the TOML of a packaged recipe.

    Raises
    ------
    FileNotFoundError
        If there is none of that name; the message lists those there are.
    """
    if name not in recipe_names():
        known = ", ".join(recipe_names())
        hint = "" if PurePath(name).suffix else f"; recipes that come with xvcomp: {known}"
        raise FileNotFoundError(errno.ENOENT, f"no such recipe{hint}", name)
    return files(__name__).joinpath(name + _SUFFIX).read_bytes()


def recipe_summaries() -> Iterator[tuple[str, str]]:
    """Yield each name with the line that the recipe says of itself."""
    for name in recipe_names():
        table = tomllib.loads(named_recipe(name).decode("utf-8"))
        yield name, str(table["description"])
