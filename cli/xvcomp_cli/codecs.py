"""``xvcomp codecs``: what this machine was seen to do."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .options import example, json_option
from .render import echo_json, table

if TYPE_CHECKING:
    from xvcomp.codecs.abc import Capabilities

__all__ = ["codecs"]


@click.command(epilog=example("xvcomp codecs", "xvcomp codecs --json"))
@json_option
def codecs(*, as_json: bool) -> None:
    """Show the codecs and the formats that encoded and decoded correctly here, just now."""
    from xvcomp.codecs.capabilities import all_capabilities

    found = all_capabilities()
    if as_json:
        echo_json({name: asdict(one) | {"usable": one.usable} for name, one in found.items()})
    else:
        header = ("codec", "lossy and lossless", "lossless", "sizes", "device")
        click.echo(table(header, [_row(name, one) for name, one in found.items()]))


def _row(name: str, found: "Capabilities") -> list[str]:
    if not found.usable:
        return [name, f"not here: {found.reason or 'no format works'}", "", "", ""]
    low, high = found.min_size, found.max_size
    return [
        name,
        _formats(found.formats),
        _formats(found.lossless) or "none",
        f"{low[0]}x{low[1]} to {high[0]}x{high[1]}",
        found.device,
    ]


def _formats(formats: tuple[tuple[str, int], ...]) -> str:
    """Write ``gray 8/10/12, 420 8/10``."""
    depths: dict[str, list[str]] = {}
    for chroma, bits in formats:
        depths.setdefault(chroma, []).append(str(bits))
    return ", ".join(f"{chroma} {'/'.join(bits)}" for chroma, bits in depths.items())
