"""The page of the Python interface, from docstrings and signatures."""

import ast
import inspect
import re
import textwrap
from typing import Any

import xvcomp
from xvcomp.errors import XvcompError
from xvcomp.spec import Target

__all__ = ["python_page"]

_HEAD = """# Python interface

Written by `python -m xvcomp_cli.reference` from the docstrings; do not edit. These are the names
in `xvcomp`; everything else may change. `import xvcomp` also registers the accessor `ds.video`
(alias `ds.xvcomp`, with `to_mp4`, `plan`, `evaluate` and `preview`), the xarray engine
`engine="xvcomp"`, and the Zarr codec `xvcomp`. Errors are also builtins, as the table says.
"""
_HEADINGS = {
    "Parameters": "**Parameters**",
    "Attributes": "**Attributes**",
    "Returns": "**Returns**",
    "Yields": "**Yields**",
    "Raises": "**Raises**",
    "Notes": "",
    "References": "**References**",
}
_SECTION = re.compile(r"^(\w+)\n-+\n", flags=re.M)


def python_page() -> str:
    """Return the page: functions, targets, other classes, errors."""
    public = [(name, getattr(xvcomp, name)) for name in xvcomp.__all__ if name != "__version__"]
    errors = [each for each in public if _is_a(each[1], XvcompError)]
    targets = [each for each in public if _is_a(each[1], Target)]
    functions = [each for each in public if inspect.isfunction(each[1])]
    rest = [each for each in public if each not in (*errors, *targets, *functions)]
    parts = [_HEAD]
    for title, members in (("Functions", functions), ("Targets", targets), ("Classes", rest)):
        parts += [f"## {title}\n", *(_entry(*member) for member in members)]
    rows = [f"| `{name}` | {_builtin(kind)} | {_summary(kind)} |" for name, kind in errors]
    parts += ["## Errors\n", "\n".join(["| error | also a | when |", "|---|---|---|", *rows])]
    parts += ["\n`xvcomp.__version__` is the version, a string.\n"]
    return "\n".join(parts)


def _is_a(value: object, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def _builtin(kind: type[BaseException]) -> str:
    names = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
    return f"`{names[0]}`"


def _summary(value: object) -> str:
    return _plain(" ".join((inspect.getdoc(value) or "").split("\n\n")[0].split()))


def _entry(name: str, value: Any) -> str:
    heading = f"### {name}\n\n```text\nxvcomp.{name}{_signature(value)}\n```\n"
    methods = [each for each in _methods(value) if inspect.getdoc(each)]
    listed = [f"- `{each.__name__}{_signature(each)}`: {_summary(each)}" for each in methods]
    more = ["**Methods**\n\n" + "\n".join(listed) + "\n"] if listed else []
    return "\n".join([heading, _markdown(inspect.getdoc(value) or ""), *more])


def _methods(value: Any) -> list[Any]:
    if not isinstance(value, type):
        return []
    found = [each for name, each in vars(value).items() if not name.startswith("_")]
    return [getattr(each, "__func__", each) for each in found if inspect.isroutine(each)]


def _signature(value: Any) -> str:
    """Write names and defaults as the source has them: types are in the text."""
    node = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    if isinstance(node, ast.FunctionDef):
        return _arguments(node)
    if not isinstance(node, ast.ClassDef):
        return ""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _arguments(each)
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    shown = [f"{ast.unparse(f.target)}{_default(f)}" for f in fields if _name(f) != "kind"]
    return f"({', '.join(shown)})" if shown else ""


def _name(field: ast.AnnAssign) -> str:
    return ast.unparse(field.target)


def _default(field: ast.AnnAssign) -> str:
    if field.value is None:
        return ""
    text = ast.unparse(field.value)
    return "=..." if text.startswith("field(") else f"={text}"


def _arguments(function: ast.FunctionDef) -> str:
    arguments = function.args
    for each in ast.walk(arguments):
        if isinstance(each, ast.arg):
            each.annotation = None
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        del arguments.args[0]
    return f"({ast.unparse(arguments)})"


def _markdown(doc: str) -> str:
    """Turn a numpydoc docstring into Markdown; its examples are tested where they are."""
    pieces = _SECTION.split(doc)
    out = [_paragraphs(pieces[0])]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if title in _HEADINGS:
            listed = title not in ("Notes", "References")
            out.append(_HEADINGS[title])
            out.append(_items(body) if listed else _paragraphs(body))
    return "\n\n".join(filter(None, out)) + "\n"


def _paragraphs(text: str) -> str:
    kept = [each for each in re.split(r"\n\s*\n", text.strip()) if not _is_code(each)]
    return "\n\n".join(" ".join(_plain(each).split()) for each in kept)


def _plain(text: str) -> str:
    return text.replace("::", ":").replace("``", "`")


def _is_code(paragraph: str) -> bool:
    return paragraph.startswith((" ", ">>>"))


def _items(body: str) -> str:
    """Make a list of ``name : type`` lines, each with the indented text below it."""
    found: list[str] = []
    for line in body.strip().splitlines():
        if line.startswith(" "):
            found[-1] += f" {line.strip()}"
        elif line:
            name, _, kind = line.partition(" : ")
            found.append(f"- `{name}`" + (f" ({kind})" if kind else "") + ":")
    return "\n".join(_plain(each.removesuffix(":")) for each in found)
