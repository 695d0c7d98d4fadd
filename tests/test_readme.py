"""Every console and python block of the README runs, in order, beside the bundled cube."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from xvcomp.recipe import parse_recipe

README = Path(__file__).parent.parent / "README.md"


def _blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def workdir(tmp_path, crop):
    shutil.copy(crop, tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", _blocks("console"))
def test_console_blocks_run(block, workdir):
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    assert commands, "a console block without a command"
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "xvcomp"
        _run([sys.executable, "-m", "xvcomp_cli", *arguments], workdir)


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_blocks_run(block, workdir):
    _run([sys.executable, "-c", block], workdir)


@pytest.mark.parametrize("block", _blocks("toml"))
def test_recipes_are_recipes(block):
    assert parse_recipe(block)
    assert tomllib.loads(block)


def test_there_are_blocks_of_each_kind():
    assert _blocks("console")
    assert _blocks("python")
    assert _blocks("toml")


def test_every_command_is_in_the_table():
    from xvcomp_cli.main import cli

    text = README.read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"| `xvcomp {name}" not in text] == []
