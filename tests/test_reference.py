"""The reference pages say what the program says, and leave nothing out."""

from importlib import resources

import click
import pytest

import xvcomp
from xvcomp_cli.api_reference import python_page
from xvcomp_cli.main import cli
from xvcomp_cli.reference import cli_page, write_pages

DOCS = resources.files("xvcomp").joinpath("docs")


@pytest.mark.parametrize(("name", "page"), [("cli.md", cli_page), ("python.md", python_page)])
def test_the_page_is_up_to_date(name, page):
    written = DOCS.joinpath(name).read_text(encoding="utf-8")
    assert written == page(), "run `python -m xvcomp_cli.reference`"


def test_every_command_and_option_is_there():
    text = cli_page()
    for name, command in cli.commands.items():
        section = text.split(f"\n## xvcomp {name}\n")[1].split("\n## ")[0]
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert [o.opts[0] for o in options if f"{o.opts[0]}" not in section] == []
        assert f"xvcomp {name} " in section.split("```sh")[1] + " "


def test_every_public_name_is_there():
    text = python_page()
    names = {name for name in xvcomp.__all__ if f"### {name}\n" not in text}
    errors = {name for name in names if f"| `{name}` | `" in text}
    assert names - errors == {"__version__"}


def test_parameters_are_those_of_the_source():
    text = python_page()
    assert "xvcomp.Psnr(db, peak=None)" in text
    assert "xvcomp.verify(" in text
    assert "- `reference` (Dataset or DataArray)" in text


def test_pages_are_written_where_asked(tmp_path):
    write_pages(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cli.md", "python.md"]
