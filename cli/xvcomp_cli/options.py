"""The options that commands share, and what they mean to the library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from xvcomp.errors import PlanError
from xvcomp.memory import parse_nbytes
from xvcomp.recipe import dump_recipe, load_recipe, parse_max_error
from xvcomp.results import Options, Override
from xvcomp.spec import (
    Bpppb,
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

__all__ = [
    "encoding_options",
    "example",
    "group_option",
    "ignore_option",
    "isel_option",
    "json_option",
    "library_keywords",
    "names_option",
    "overwrite_option",
    "quiet_option",
    "recipe_text",
    "size_callback",
    "variables_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_TARGET_OPTIONS = (
    "psnr",
    "bpppb",
    "ratio",
    "ssim",
    "max_error",
    "max_rel_error",
    "quality",
    "lossless",
)


def example(*lines: str) -> str:
    """Return a help epilog that keeps its line breaks."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def _split_names(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    names = tuple(name.strip() for value in values for name in value.split(","))
    if any(not name for name in names):
        raise click.BadParameter(f"{','.join(values)!r} holds an empty name")
    return names or None


@dataclass(frozen=True)
class _Bounds:
    """What ``--max-error`` said: for all variables, for single ones, or both."""

    common: MaxError | None
    own: Mapping[str, Override]


def _error_bounds(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> _Bounds | None:
    if value is None:
        return None
    common, own = None, {}
    try:
        for part in value.split(","):
            name, _, bound = part.rpartition("=")
            if name.strip():
                own[name.strip()] = Override(target=parse_max_error(bound))
            elif common is None:
                common = parse_max_error(bound)
            else:
                raise click.BadParameter(f"{value!r} has two bounds without a variable's name")
    except PlanError as error:
        raise click.BadParameter(str(error)) from error
    return _Bounds(common, own)


def _ignored(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[str, ...]] | None:
    found: dict[str, tuple[str, ...]] = {}
    for value in values:
        name, equals, flags = value.partition("=")
        own = tuple(flag.strip() for flag in flags.split(","))
        if not (equals and name.strip() and all(own)):
            raise click.BadParameter(f"{value!r} is no MASK=VALUES, such as SCL=3,8")
        found[name.strip()] = (*found.get(name.strip(), ()), *own)
    return found or None


ignore_option = click.option(
    "--ignore-mask",
    "ignore",
    multiple=True,
    metavar="MASK=V,V",
    callback=_ignored,
    help="Samples that do not count: where MASK has one of the values or CF flags, such as "
    "SCL=3,8,9,10 or 'SCL=cloud_*'. When encoding they are filled, and cost almost nothing.",
)


def size_callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Read a number of bytes, such as ``2GB``, for an option."""
    try:
        return None if value is None else parse_nbytes(value)
    except PlanError as error:
        raise click.BadParameter(str(error)) from error


def _names(flags: tuple[str, ...], text: str) -> Callable[[_F], _F]:
    return click.option(*flags, multiple=True, metavar="A,B", callback=_split_names, help=text)


def names_option(*flags: str, help: str) -> Callable[[_F], _F]:
    """Return an option that takes names, once or several times, with commas or without."""
    return _names(flags, help)


_ENCODING_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--psnr", type=float, metavar="DB", help="At least this PSNR, in dB."),
    click.option("--bpppb", type=float, metavar="B", help="At most B bits per pixel per band."),
    click.option("--ratio", type=float, metavar="R", help="At least R times smaller."),
    click.option("--ssim", type=float, metavar="S", help="At least this mean SSIM."),
    click.option(
        "--max-error",
        metavar="E[%]",
        callback=_error_bounds,
        help="No sample off by more than E, or E % of the range; or B02=E,B08=E.",
    ),
    click.option(
        "--max-rel-error",
        type=float,
        metavar="E",
        help="No sample off by more than E times itself (0.01 is 1 %).",
    ),
    click.option("--quality", type=float, metavar="Q", help="Nominal dB; no search, no promise."),
    click.option("--lossless", is_flag=True, help="Every sample equal."),
    click.option("--peak", type=float, metavar="P", help="Peak for --psnr [default: data range]."),
    _names(("--vars", "variables"), "Only these variables (and the coordinates)."),
    _names(("--lossy", "--lossy-vars", "lossy"), "Code these lossily, whatever they look like."),
    _names(("--lossless-vars", "lossless_vars"), "Keep these exactly."),
    ignore_option,
    click.option("--per-variable", is_flag=True, help="The target holds for each variable."),
    click.option(
        "--encoder",
        "--codec",
        "codec",
        metavar="NAME",
        help="auto, software, hardware, or a name that `xvcomp codecs` shows [default: auto]",
    ),
    click.option("--preset", type=click.Choice(get_args(Preset)), help="[default: balanced]"),
    click.option(
        "--bits",
        "bit_depth",
        type=click.Choice(["8", "10", "12"]),
        callback=lambda _c, _p, v: None if v is None else int(v),
        help="Bit depth of the video.",
    ),
    click.option("--gop", type=click.IntRange(1), metavar="N", help="Frames between keyframes."),
    click.option("--layout", type=click.Choice(get_args(LayoutKind)), help="Planes of a frame."),
    click.option("--no-klt", is_flag=True, help="Code bands as they are, without the KLT."),
    click.option("--fold", type=click.IntRange(1), metavar="N", help="Code N frames as bands."),
    click.option(
        "--tile",
        type=click.IntRange(64),
        metavar="N",
        help="Cut frames into tiles of at most N x N pixels.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        callback=size_callback,
        help="Take no more than this, such as 2GB, at the peak.",
    ),
    click.option(
        "--recipe",
        type=click.Path(path_type=Path),
        metavar="FILE|NAME",
        help="Choices from a TOML file or a packaged recipe (`xvcomp recipes`); options win.",
    ),
)


def encoding_options(command: _F) -> _F:
    """Add every option that says how to encode."""
    for option in reversed(_ENCODING_OPTIONS):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Strict JSON on stdout.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress and no table.")


def _selections(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, int | slice]:
    """Read ``time=10``, ``time=10:20`` or ``x=0:256:2``: positions along a dim."""
    found: dict[str, int | slice] = {}
    for value in values:
        dim, _, text = value.partition("=")
        try:
            numbers = [int(part) if part.strip() else None for part in text.split(":")]
            if not dim or not text or len(numbers) > 3 or numbers[2:] == [0]:
                raise ValueError
            found[dim] = int(text) if len(numbers) == 1 else slice(*numbers)
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is not like time=10, time=10:20 or x=0:256:2"
            ) from None
    return found


isel_option = click.option(
    "--isel",
    "selections",
    multiple=True,
    metavar="DIM=START:STOP",
    callback=_selections,
    help="Only these positions along a dim; negative ones count from its end.",
)
variables_option = _names(("--vars", "variables"), "Only these variables.")
group_option = click.option(
    "--group", metavar="NAME", help="Group of a NetCDF file or Zarr store; / is the root alone."
)


def library_keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn parsed encoding options into keywords of ``xvcomp.encode`` and ``xvcomp.plan``.

    Raises
    ------
    click.UsageError
        If options contradict each other, or a target is out of its range.
    """
    keywords = {
        "target": _target(given),
        "lossless": given["lossless_vars"],
        "per_variable": given["per_variable"] or None,
        "transform": "none" if given["no_klt"] else None,
        "by_variable": (given["max_error"].own or None) if given["max_error"] else None,
    }
    same = (
        "variables",
        "ignore",
        "lossy",
        "codec",
        "preset",
        "bit_depth",
        "gop",
        "layout",
        "fold",
        "tile",
        "memory",
        "recipe",
    )
    keywords |= {name: given[name] for name in same}
    return {name: value for name, value in keywords.items() if value is not None}


def recipe_text(plan: Plan, keywords: Mapping[str, Any]) -> str:
    """Write a plan as a recipe, together with the selection that it was made for."""
    said = load_recipe(keywords["recipe"]) if "recipe" in keywords else Options()
    return dump_recipe(
        plan,
        Options(
            variables=keywords.get("variables", said.variables),
            per_variable=keywords.get("per_variable", said.per_variable),
            ignore=keywords.get("ignore", said.ignore),
            memory=keywords.get("memory", said.memory),
            defaults=Override(tile=keywords.get("tile", said.defaults.tile)),
        ),
    )


def _target(given: Mapping[str, Any]) -> Target | None:
    names = [name for name in _TARGET_OPTIONS if given[name] not in (None, False)]
    flags = [f"--{name.replace('_', '-')}" for name in names]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(flags)} exclude each other; give one target")
    if given["peak"] is not None and names != ["psnr"]:
        raise click.UsageError("--peak belongs to --psnr, which was not given")
    if not names:
        return None
    try:
        return _make_target(names[0], given)
    except ValueError as error:
        raise click.UsageError(f"{flags[0]}: {error}") from error


def _make_target(name: str, given: Mapping[str, Any]) -> Target | None:
    value = given[name]
    if name == "psnr":
        return Psnr(value, given["peak"])
    if name == "lossless":
        return Lossless()
    if name == "max_error":
        common: MaxError | None = value.common
        return common
    if name == "max_rel_error":
        return MaxError(value, "pointwise")
    single: dict[str, Callable[[float], Target]] = {
        "bpppb": Bpppb,
        "ratio": Ratio,
        "ssim": Ssim,
        "quality": Quality,
    }
    return single[name](value)
