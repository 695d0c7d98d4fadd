"""``xvcomp ls``: the samples of a TACO dataset."""

import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from xvcomp.errors import PlanError

from .options import example, json_option, names_option
from .render import counted, echo_json, format_bytes, table

if TYPE_CHECKING:
    from xvcomp.containers.taco import Condition, TacoReader

__all__ = ["conditions", "ls"]

_SHOWN = (
    "id", "split", "stac:time_start", "stac:centroid", "xvcomp:bands", "xvcomp:codec",
    "xvcomp:psnr", "xvcomp:nbytes",
)  # fmt: skip
_LIMIT = 50
_WIDTH = 64


def conditions(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple["Condition", ...]:
    """Read ``--where``."""
    from xvcomp.containers.taco import parse_condition

    try:
        return tuple(parse_condition(value) for value in values)
    except PlanError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    short_help="List the samples of a TACO dataset.",
    epilog=example(
        "xvcomp ls data.tacozip",
        "xvcomp ls data.tacozip --where split=train --where 'xvcomp:psnr>=45' --columns id,split",
        "xvcomp ls https://host/data.tacozip --where 'stac:time_start>=2020-01-01' --json",
    ),
)
@click.argument("dataset")
@click.option(
    "--where", multiple=True, metavar="CONDITION", callback=conditions,
    help="Only samples that meet it: column>=value, split=train, id~cube. May be repeated.",
)  # fmt: skip
@names_option("--columns", help="Show these columns.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N",
    help=f"At most N samples [default: {_LIMIT}; with --json all].",
)  # fmt: skip
@json_option
def ls(
    dataset: str,
    *,
    where: tuple["Condition", ...],
    columns: tuple[str, ...] | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the samples of DATASET: a .tacozip, a folder of parts, or a URL of one.

    Reads the dataset's table alone, whatever the size of the cubes.
    """
    from xvcomp.containers.taco import open_taco

    with open_taco(dataset) as reader:
        if as_json:
            rows = reader.rows(columns=columns, where=where, limit=limit)
            echo_json([{name: _value(value) for name, value in row.items()} for row in rows])
        else:
            click.echo(_text(reader, where, columns, limit or _LIMIT))


def _text(
    reader: "TacoReader",
    where: tuple["Condition", ...],
    columns: tuple[str, ...] | None,
    limit: int,
) -> str:
    known = reader.columns
    chosen = list(columns or [name for name in _SHOWN if name in known])
    found = list(itertools.islice(reader.rows(columns=chosen, where=where), limit + 1))
    rows = [[_cell(name, row[name]) for name in chosen] for row in found[:limit]]
    told = counted(len(reader), "sample")
    if len(found) > limit:
        told += (
            f"; the first {limit}{' that meet the conditions' if where else ''} are shown (--limit)"
        )
    elif where:
        told += f"; the conditions hold for {len(rows)}"
    return f"{table(chosen, rows)}\n\n{told}"


def _cell(name: str, value: Any) -> str:
    """Write a value for people."""
    value = _value(value)
    if value is None:
        return "-"
    if name.endswith("nbytes") and isinstance(value, int):
        return format_bytes(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        value = ",".join(_cell("", each) for each in value)
    text = str(value)
    # An id is there to be copied.
    return text if name == "id" or len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _value(value: Any) -> Any:
    """Make times text, and of a point longitude and latitude."""
    from xvcomp.containers.taco.extent import unpack_point

    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, bytes):
        point = unpack_point(value)
        return value.hex() if point is None else list(point)
    return value
