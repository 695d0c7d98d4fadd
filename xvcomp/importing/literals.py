"""Python literals in text -> values, without running anything.

xarrayvideo writes its metadata as ``str(dict)``. Its own reader turns every ``nan`` into
``None`` before it parses, inside of words too ("nanometer" became "Noneometer"), and fails
on what numpy prints; this one knows the few forms that occur.
"""

import ast
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ContainerError

__all__ = ["MAX_CHARS", "parse_literal"]

MAX_CHARS = 1 << 22
"""Far more than any real tag has, and little enough to parse without harm."""

_NAMES = {"nan": math.nan, "NaN": math.nan, "inf": math.inf, "NaT": None}
_DTYPES = ("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
           "float16", "float32", "float64", "str_")  # fmt: skip
_MAX_DEPTH = 60


def parse_literal(text: str, *, lenient: bool = False) -> Any:
    """Evaluate a literal: numbers, text, lists, tuples, dicts, nan, inf, numpy's repr.

    Parameters
    ----------
    text : str
        At most ``MAX_CHARS`` characters.
    lenient : bool
        What is no literal becomes its own source text, instead of an error.

    Raises
    ------
    ContainerError
        If it is too long, nested too deeply, or not a literal.
    """
    if len(text) > MAX_CHARS:
        raise ContainerError(f"metadata of {len(text)} characters; {MAX_CHARS} is the limit")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _value(tree.body, lenient, 0)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise ContainerError(f"metadata that cannot be read: {text[:60]!r} ({what})") from error


def _value(node: ast.expr, lenient: bool, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")

    def inner(each: ast.expr) -> Any:
        return _value(each, lenient, depth + 1)

    match node:
        case ast.Constant(value=value) if not isinstance(value, complex):
            return value
        case ast.List(elts=items):
            return [inner(each) for each in items]
        case ast.Tuple(elts=items):
            return tuple(inner(each) for each in items)
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            pairs = zip(keys, values, strict=True)
            return {inner(key): inner(value) for key, value in pairs if key is not None}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = inner(operand)
            if isinstance(number, int | float | np.number):
                return -number if isinstance(sign, ast.USub) else number
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.Call(func=function, args=[argument], keywords=keywords):
            made = _numpy(_name(function), keywords)
            if made is not None:
                return made(inner(argument))
    if lenient:
        return ast.unparse(node)
    raise ValueError(f"not a literal: {ast.unparse(node)[:60]}")


def _name(node: ast.expr) -> str:
    """Return the last part of ``float32``, ``np.float32`` or ``numpy.float32``."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name):
            return name
    return ""


def _numpy(name: str, keywords: list[ast.keyword]) -> Callable[[Any], Any] | None:
    """Return the constructor that numpy's own text of an array or a number names."""
    if name in _DTYPES and not keywords:
        kind: Callable[[Any], Any] = getattr(np, name)
        return kind
    if name == "array" and all(each.arg == "dtype" for each in keywords):
        dtypes = [_dtype(each.value) for each in keywords]
        if all(dtype in _DTYPES for dtype in dtypes):
            return lambda items: np.array(items, dtype=dtypes[0] if dtypes else None)
    return None


def _dtype(node: ast.expr) -> str:
    return (
        node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        else _name(node)
    )
