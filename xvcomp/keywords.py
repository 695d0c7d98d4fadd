"""Keywords of the Python interface: one name for each, values of the right kind."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, get_args

from .errors import PlanError
from .memory import Memory, parse_nbytes
from .results import Options, Override
from .spec import LayoutKind, Preset, Target

__all__ = ["CHOICES", "checked"]

CHOICES = {each.name for each in fields(Override)} - {"target", "preset"}
"""Keywords that hold for every group."""

_OPTIONS = {each.name for each in fields(Options)} - {"defaults"}
_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "preset": get_args(Preset),
    "layout": get_args(LayoutKind),
    "transform": ("klt", "none"),
}


def checked(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that say something, each of the kind that it has to be.

    Raises
    ------
    PlanError
        If a keyword is not known, or its value is none that it takes.
    """
    given = _one_encoder({key: each for key, each in keywords.items() if each is not None})
    unknown = set(given) - CHOICES - _OPTIONS
    if unknown:
        raise PlanError(
            f"unknown options: {', '.join(sorted(unknown))}; "
            f"known: {', '.join(sorted(CHOICES | _OPTIONS))}"
        )
    return {key: _KINDS[key](key, each) if key in _KINDS else each for key, each in given.items()}


def _one_encoder(given: dict[str, Any]) -> dict[str, Any]:
    """Take ``encoder`` as the other name of ``codec``."""
    encoder = given.pop("encoder", None)
    if encoder is None:
        return given
    if given.get("codec") not in (None, encoder):
        raise PlanError(f"encoder {encoder!r} and codec {given['codec']!r}: they are one option")
    return {**given, "codec": encoder}


def _target(key: str, value: Any) -> Any:
    if not isinstance(value, Target):
        names = ", ".join(kind.__name__ for kind in Target.__subclasses__())
        raise PlanError(f"{key} is {value!r}; give one of {names}, such as Psnr(45)")
    return value


def _one_of(key: str, value: Any) -> Any:
    if value not in _ALLOWED[key]:
        raise PlanError(f"{key} is {value!r}; allowed: {', '.join(_ALLOWED[key])}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{key} is {value!r}; give a name")
    return value


def _number(key: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise PlanError(f"{key} is {value!r}; give a whole number")
    return number


def _size(key: str, value: Any) -> int:
    number = _number(key, value)
    if number < 1:
        raise PlanError(f"{key} is {value!r}; give a whole number from 1 up")
    return number


def _names(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    names = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(name, str) for name in names):
        raise PlanError(f"{key} is {value!r}; give names of variables")
    return names


def _groups(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{key} is {value!r}; give the variables of each group by its name")
    return {_text(key, name): _names(f"group {name!r}", own) for name, own in value.items()}


def _ignore(key: str, value: Any) -> dict[str, tuple[int | str, ...]]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{key} is {value!r}; give the values to ignore by the mask's name")
    found = {}
    for name, own in value.items():
        single = isinstance(own, str) or not isinstance(own, Iterable)
        values = tuple(own if not single else (own,))
        found[_text(key, name)] = tuple(
            each if isinstance(each, str) else _number(f"{key} {name!r}", each) for each in values
        )
    return found


def _overrides(key: str, value: Any) -> Any:
    if not (isinstance(value, Mapping) and all(isinstance(v, Override) for v in value.values())):
        raise PlanError(f"{key} is {value!r}; give an Override for each name")
    return value


def _memory(_key: str, value: Any) -> int | None:
    return Memory(parse_nbytes(value)).limit


_KINDS: Mapping[str, Callable[[str, Any], Any]] = {
    "target": _target,
    "codec": _text,
    "preset": _one_of,
    "layout": _one_of,
    "transform": _one_of,
    "bit_depth": _number,
    "gop": _number,
    "fold": _number,
    "tile": _size,
    "variables": _names,
    "lossy": _names,
    "lossless": _names,
    "groups": _groups,
    "ignore": _ignore,
    "by_variable": _overrides,
    "by_group": _overrides,
    "memory": _memory,
}
