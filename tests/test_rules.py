"""The house rules, as tests: light import, layers, __all__, docstrings, help, no printing."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import xvcomp
from xvcomp_cli.main import cli

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "xvcomp").rglob("*.py"))
SOURCES = LIBRARY + sorted((ROOT / "cli").rglob("*.py"))
HEAVY = {
    "av", "cfgrib", "dask", "distributed", "fsspec", "huggingface_hub", "matplotlib", "netCDF4",
    "rioxarray", "scipy", "skimage", "zarr",
}  # fmt: skip
MAX_FUNCTION_LINES = 60


def _names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_importing_the_library_loads_nothing_heavy():
    code = "import sys, json, xvcomp; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & HEAVY


def test_imports_point_down_only():
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [lint, "--no-cache"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=_names)
def test_every_module_says_in_one_line_what_it_is_for(path):
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc, f"{path} has no docstring"
    assert doc.splitlines()[0].rstrip().endswith((".", ":"))


@pytest.mark.parametrize("path", SOURCES, ids=_names)
def test_no_function_is_longer_than_a_screen(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            documented = ast.get_docstring(node) is not None and len(body) > 1
            first = body[1].lineno if documented else node.lineno
            assert (node.end_lineno or first) - first < MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", LIBRARY, ids=_names)
def test_the_library_never_prints(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert "print" not in {call.func.id for call in calls}


def _modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(xvcomp.__path__, "xvcomp.")]
    return ["xvcomp", *found]


@pytest.mark.parametrize("name", _modules())
def test_all_is_defined_and_true(name):
    module = importlib.import_module(name)
    assert isinstance(module.__all__, list), f"{name} has no __all__"
    assert len(set(module.__all__)) == len(module.__all__)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


def _commands() -> list[tuple[str, click.Command]]:
    return [("", cli), *cli.commands.items()]


@pytest.mark.parametrize(("name", "command"), _commands(), ids=str)
def test_every_command_has_help_with_an_example(name, command):
    done = CliRunner().invoke(cli, [*filter(None, [name]), "--help"])
    assert done.exit_code == 0
    assert "Example:" in done.stdout
    assert f"xvcomp {name or 'encode'} " in done.stdout.split("Example:")[1] + " "
    assert all(o.help for o in command.params if isinstance(o, click.Option)), (
        "an option without help"
    )
