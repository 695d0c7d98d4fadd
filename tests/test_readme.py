"""Every console and python block of the README runs, in order, beside the bundled cube."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import Block, blocks

from xvcomp.recipe import parse_recipe

README = Path(__file__).parent.parent / "README.md"


def _line(block: Block) -> str:
    return f"line {block.line}"


@pytest.mark.parametrize("block", blocks(README, "console", "python"), ids=_line)
def test_the_block_runs_by_itself(block, crop, tmp_path):
    shutil.copy(crop, tmp_path)
    runner = Path(__file__).with_name("doc_blocks.py")
    done = subprocess.run(
        [sys.executable, runner, README, str(block.line)],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert f"line {block.line}\n" in done.stdout


@pytest.mark.parametrize("block", blocks(README, "toml"), ids=_line)
def test_recipes_are_recipes(block):
    assert parse_recipe(block.text)


def test_there_are_blocks_of_each_kind():
    assert all(blocks(README, kind) for kind in ("console", "python", "toml"))


def test_every_command_is_in_the_table():
    from xvcomp_cli.main import cli

    text = README.read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"| `xvcomp {name}" not in text] == []
