"""Write the reference pages from the program itself: commands and the Python interface.

::

    python -m xvcomp_cli.reference        # into xvcomp/docs of this checkout
"""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click

from .api_reference import python_page
from .main import cli

__all__ = ["cli_page", "write_pages"]

_HEAD = """# Commands

Written by `python -m xvcomp_cli.reference` from the program's own help; do not edit.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 usage,
130 interrupted. Sizes are bytes, or a number with a unit such as `2GB`. `SRC` is NetCDF, Zarr,
GRIB, GeoTIFF, a cube file, `DATA.tacozip::ID`, or a URL of one of them.
"""


def cli_page() -> str:
    """Return the page of all commands, in alphabetical order."""
    commands = sorted(cli.commands.items())
    index = "\n".join(
        f"- [`xvcomp {name}`](#xvcomp-{name}): {command.get_short_help_str(200)}"
        for name, command in commands
    )
    parts = [_HEAD, index + "\n", *(_section(("xvcomp", name), each) for name, each in commands)]
    return "\n".join(parts)


def _section(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    parts = [f"## {' '.join(path)}", f"```text\n{usage}\n```", _prose(command.help or "")]
    parts += [_options(command, context), _example(command.epilog or "")]
    if isinstance(command, click.Group):
        parts += [_section((*path, name), each) for name, each in sorted(command.commands.items())]
    return "\n\n".join(filter(None, map(str.rstrip, parts))) + "\n"


def _prose(text: str) -> str:
    """Return help as Markdown; what click keeps as it is becomes a block."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip(" ").startswith("\b"):
            found.append(f"```text\n{paragraph.strip(chr(8) + chr(10) + ' ')}\n```")
        else:
            found.append(" ".join(paragraph.split()))
    return "\n\n".join(found)


def _options(command: click.Command, context: click.Context) -> str:
    rows = list(_rows(command, context))
    return "\n".join(["| option | meaning |", "|---|---|", *rows]) if rows else ""


def _rows(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            name, meaning = (" ".join(text.split()).replace("|", "\\|") for text in record)
            yield f"| `{name}` | {meaning} |"


def _example(epilog: str) -> str:
    lines = [line.strip() for line in epilog.splitlines()]
    examples = "\n".join(line for line in lines if line.startswith("xvcomp "))
    return f"```sh\n{examples}\n```" if examples else ""


def write_pages(folder: Path) -> None:
    """Write ``cli.md`` and ``python.md`` into a folder."""
    (folder / "cli.md").write_text(cli_page(), encoding="utf-8")
    (folder / "python.md").write_text(python_page(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(str(resources.files("xvcomp").joinpath("docs"))))
