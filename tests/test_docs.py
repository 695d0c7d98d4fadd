"""Every page of the documentation runs, links to what exists, and shows measured tables."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import click
import pytest
from doc_blocks import blocks, commands

from xvcomp.recipe import parse_recipe
from xvcomp_cli.main import cli

ROOT = Path(__file__).parent.parent
DOCS = Path(str(resources.files("xvcomp").joinpath("docs")))
PAGES = sorted(DOCS.glob("*.md"))
RUNNING = [page for page in PAGES if blocks(page, "python", "console")]
_SECONDS = 300


def _name(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", RUNNING, ids=_name)
def test_the_page_runs(page, crop, tmp_path):
    shutil.copy(crop, tmp_path)
    runner = Path(__file__).with_name("doc_blocks.py")
    done = subprocess.run(
        [sys.executable, runner, page],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_recipes_of_the_page_are_recipes(page):
    for block in blocks(page, "toml"):
        assert parse_recipe(block.text), f"line {block.line}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=_name)
def test_every_block_says_what_it_is(page):
    assert [f"line {block.line}" for block in blocks(page, "", "bash", "shell")] == []
    for block in blocks(page, "console"):
        commands(block)


def _shown(page: Path) -> list[list[str]]:
    """Return the arguments of each xvcomp command that is only shown."""
    lines = [
        line
        for block in blocks(page, "sh")
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("xvcomp ")
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page in (ROOT / "README.md", *PAGES) for words in _shown(page)],
    ids=lambda each: each.stem if isinstance(each, Path) else " ".join(each),
)
def test_commands_that_are_only_shown_have_options_that_exist(page, words):
    command = cli.commands[words[0]]
    command.make_parser(click.Context(command)).parse_args(words[1:])


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=_name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target for target in targets if not re.match(r"https?://|#", target)]
    assert [to for to in local if not (page.parent / to.split("#")[0]).exists()] == []


def test_the_index_and_the_readme_together_link_to_every_page():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == ["index.md"]
    assert "xvcomp/docs/index.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def _fail(page: Path) -> str:
    runner = Path(__file__).with_name("doc_blocks.py")
    done = subprocess.run(
        [sys.executable, runner, page], check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    return done.stderr


def test_a_page_that_fails_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# P\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    assert f'File "{page}", line 8' in _fail(page)


def test_a_command_that_fails_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ xvcomp info missing.mp4\n```\n")
    assert "RuntimeError: xvcomp info missing.mp4 exited with 1" in _fail(page)
