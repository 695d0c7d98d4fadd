"""Recipes: what a user decided about an encoding, as TOML <-> ``Options``.

::

    psnr = 48                  # or bpppb, ratio, ssim, max_error, quality, lossless = true
    preset = "best"
    lossless = ["SCL", "*QA"]  # these variables, whatever they look like
    optional = true            # names that do not occur in a cube are left out

    [variables.B08]
    psnr = 52

    [groups.red_edge]
    variables = ["B05", "B06", "B07"]
    codec = "libx265"
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w

from .errors import PlanError
from .keywords import checked
from .memory import parse_nbytes
from .recipes import named_recipe
from .results import Options, Override
from .spec import (
    Bpppb,
    GroupPlan,
    LayoutKind,
    Lossless,
    MaxError,
    Plan,
    Preset,
    Psnr,
    Quality,
    Ratio,
    Ssim,
    Target,
)

__all__ = ["dump_recipe", "load_recipe", "parse_max_error", "parse_recipe"]

_T = TypeVar("_T")

_TARGETS: dict[str, Callable[[float], Target]] = {
    "psnr": Psnr,
    "bpppb": Bpppb,
    "ratio": Ratio,
    "ssim": Ssim,
    "quality": Quality,
}
_TARGET_KEYS = (*_TARGETS, "max_error", "lossless")
_RELATIVE = ("absolute", "range", "pointwise")
_CHOICE_KEYS = ("codec", "encoder", "preset", "bits", "gop", "layout", "klt", "fold", "tile")
_TOP_KEYS = (
    *_TARGET_KEYS,
    "peak",
    *_CHOICE_KEYS,
    "description",
    "vars",
    "lossy",
    "optional",
    "per_variable",
    "memory",
    "variables",
    "groups",
    "ignore",
)


def load_recipe(path: str | os.PathLike[str]) -> Options:
    """Read a recipe file, or one that comes with the package.

    Parameters
    ----------
    path : path
        A file, or else the name of a packaged recipe (`recipes.recipe_names`).

    Raises
    ------
    FileNotFoundError
        If there is no such file, nor a recipe of that name.
    PlanError
        If it is not TOML, or holds a key or a value that has no meaning.
    """
    text = Path(path).read_bytes() if Path(path).exists() else named_recipe(os.fspath(path))
    try:
        return parse_recipe(text.decode("utf-8"))
    except (PlanError, UnicodeDecodeError) as error:
        raise PlanError(f"recipe {os.fspath(path)}: {error}") from error


def parse_recipe(text: str) -> Options:
    """Read a recipe from its TOML text.

    Raises
    ------
    PlanError
        If it is not TOML, or holds a key or a value that has no meaning.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"not TOML: {error}") from error
    _check_keys(table, _TOP_KEYS, "the recipe")
    lossless = table.get("lossless")
    _get(table, "description", str, "the recipe")
    return Options(
        target=_target(table, "the recipe"),
        preset=_preset(table, "the recipe") or "balanced",
        variables=_names(table, "vars") if "vars" in table else None,
        lossy=_names(table, "lossy"),
        lossless=_names(table, "lossless") if isinstance(lossless, list) else (),
        per_variable=_get(table, "per_variable", bool, "the recipe") or False,
        memory=parse_nbytes(table["memory"]) if "memory" in table else None,
        optional=_get(table, "optional", bool, "the recipe") or False,
        defaults=_choices(table, "the recipe"),
        by_variable={
            name: _override(inner, f"[variables.{name}]")
            for name, inner in _tables(table, "variables").items()
        },
        **_groups(_tables(table, "groups")),
        ignore=checked({"ignore": table.get("ignore")}).get("ignore", {}),
    )


def dump_recipe(plan: Plan, options: Options | None = None) -> str:
    """Write the recipe that leads to this plan again, with the planner's reasons as comments.

    Parameters
    ----------
    plan : Plan
        Each of its groups becomes a ``[groups.NAME]`` with every choice spelled out.
    options : Options or None
        What the user said; keeps ``vars``, ``per_variable``, ``ignore``, ``memory``
        and ``tile``.
    """
    options = options or Options()
    head: dict[str, Any] = _target_table(plan.target)
    if options.variables is not None:
        head["vars"] = list(options.variables)
    if options.per_variable:
        head["per_variable"] = True
    if options.ignore:
        head["ignore"] = {name: list(values) for name, values in options.ignore.items()}
    if options.memory is not None:
        head["memory"] = options.memory
    if options.defaults.tile is not None:
        head["tile"] = options.defaults.tile
    parts = ["# The plan that xvcomp used; give it back with --recipe.\n" + tomli_w.dumps(head)]
    for name, reason in plan.sidecar.items():
        parts[0] += f"# {_one_line(name)} is kept beside the video: {_one_line(reason)}\n"
    parts += [_dump_group(group, plan.target) for group in plan.groups]
    return "\n".join(parts)


def parse_max_error(value: object) -> MaxError:
    """Read an error bound: ``0.01`` in the reader's units, ``"0.1%"`` of the range, or a table.

    ``"0.1%range"`` is the same as ``"0.1%"``.

    Raises
    ------
    PlanError
        If it is none of them.
    """
    try:
        if isinstance(value, Mapping) and value.get("relative", "absolute") in _RELATIVE:
            return MaxError(**value)
        if isinstance(value, str) and value.strip().removesuffix("range").strip().endswith("%"):
            return MaxError(float(value.split("%")[0]) / 100, "range")
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return MaxError(float(value))
    except (TypeError, ValueError):
        pass
    raise PlanError(
        f"max_error is {value!r}; give a positive number, or one with % of the value range"
    )


def _dump_group(group: GroupPlan, default: Target) -> str:
    reasons = "".join(f"# {key}: {_one_line(why)}\n" for key, why in group.reasons.items())
    if group.lossless and group.codec == "none":
        # Nothing but the packets' window is chosen for these.
        tables = {name: {"lossless": True, "gop": group.gop} for name in group.variables}
        return reasons + tomli_w.dumps({"variables": tables})
    table: dict[str, Any] = {"variables": list(group.variables)}
    if group.target != default:
        table |= _target_table(group.target)
    table |= {
        "codec": group.codec,
        "preset": group.preset,
        "bits": group.bit_depth,
        "gop": group.gop,
        "layout": group.layout,
        "klt": group.transform == "klt",
        "fold": group.fold,
    }
    return reasons + tomli_w.dumps({"groups": {group.name: table}})


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _target_table(target: Target) -> dict[str, Any]:
    match target:
        case Psnr(db, peak):
            return {"psnr": db} if peak is None else {"psnr": db, "peak": peak}
        case Bpppb(value) | Ratio(value) | Ssim(value) | Quality(value):
            return {target.kind: value}
        case MaxError(value, "absolute"):
            return {"max_error": value}
        case MaxError(value, relative):
            return {"max_error": {"value": value, "relative": relative}}
        case _:
            return {"lossless": True}


def _groups(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two fields of ``Options`` that groups fill."""
    if not tables:
        return {}
    for name, table in tables.items():
        if not table.get("variables"):
            raise PlanError(f"[groups.{name}] needs variables = [...]")
    return {
        "groups": {name: _names(table, "variables") for name, table in tables.items()},
        "by_group": {
            name: _override(
                {k: v for k, v in table.items() if k != "variables"}, f"[groups.{name}]"
            )
            for name, table in tables.items()
        },
    }


def _override(table: Mapping[str, Any], where: str) -> Override:
    _check_keys(table, (*_TARGET_KEYS, "peak", *_CHOICE_KEYS), where)
    _get(table, "lossless", bool, where)
    choices = _choices(table, where)
    given = {f.name: getattr(choices, f.name) for f in fields(choices)}
    return Override(**(given | {"target": _target(table, where), "preset": _preset(table, where)}))


def _choices(table: Mapping[str, Any], where: str) -> Override:
    klt = _get(table, "klt", bool, where)
    layout: LayoutKind | None = _one_of(get_args(LayoutKind), table, "layout", where)
    codec, encoder = (_get(table, key, str, where) for key in ("codec", "encoder"))
    if codec is not None and encoder not in (None, codec):
        raise PlanError(f"{where} names codec {codec!r} and encoder {encoder!r}: they are one key")
    return Override(
        codec=codec or encoder,
        bit_depth=_get(table, "bits", int, where),
        gop=_get(table, "gop", int, where),
        fold=_get(table, "fold", int, where),
        tile=_get(table, "tile", int, where),
        layout=layout,
        transform=None if klt is None else "klt" if klt else "none",
    )


def _preset(table: Mapping[str, Any], where: str) -> Preset | None:
    preset: Preset | None = _one_of(get_args(Preset), table, "preset", where)
    return preset


def _one_of(allowed: tuple[Any, ...], table: Mapping[str, Any], key: str, where: str) -> Any:
    value = table.get(key)
    if value is not None and value not in allowed:
        raise PlanError(f"{key} in {where} is {value!r}; allowed: {', '.join(allowed)}")
    return value


def _target(table: Mapping[str, Any], where: str) -> Target | None:
    given = [k for k in _TARGET_KEYS if k in table and not isinstance(table[k], list)]
    given = [k for k in given if table[k] is not False]
    if len(given) > 1:
        raise PlanError(f"{where} names {len(given)} targets ({', '.join(given)}); give one")
    if "peak" in table and given != ["psnr"]:
        raise PlanError(f"peak in {where} belongs to psnr, which is not there")
    if not given:
        return None
    key = given[0]
    if key == "max_error":
        return parse_max_error(table[key])
    if key == "lossless":
        _get(table, key, bool, where)
        return Lossless()
    value = _number(table, key, where)
    try:
        if key == "psnr" and "peak" in table:
            return Psnr(value, _number(table, "peak", where))
        return _TARGETS[key](value)
    except ValueError as error:
        raise PlanError(f"{where}: {error}") from error


def _number(table: Mapping[str, Any], key: str, where: str) -> float:
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanError(f"{key} in {where} must be a number, got {value!r}")
    return float(value)


def _get(table: Mapping[str, Any], key: str, kind: type[_T], where: str) -> _T | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise PlanError(f"{key} in {where} must be of type {kind.__name__}, got {value!r}")
    return value


def _names(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = table.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PlanError(f"{key} must be a list of variable names, got {names!r}")
    return tuple(names)


def _tables(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = table.get(key, {})
    if not isinstance(inner, dict) or not all(isinstance(v, dict) for v in inner.values()):
        raise PlanError(f"{key} must be tables such as [{key}.NAME]; for a selection use vars")
    return inner


def _check_keys(table: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    allowed = tuple(allowed)
    unknown = sorted(set(table) - set(allowed))
    if unknown:
        raise PlanError(f"{where} has unknown key {unknown[0]!r}; allowed: {', '.join(allowed)}")
