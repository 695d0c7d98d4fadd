"""``xvcomp codecs``: what this machine was seen to do."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .options import example, json_option
from .render import echo_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xvcomp.codecs.abc import Capabilities
    from xvcomp.spec import Chroma

__all__ = ["codecs"]


@click.command(
    short_help="Show what this machine can code.",
    epilog=example("xvcomp codecs", "xvcomp codecs --json"),
)
@click.option("--refresh", is_flag=True, help="Try all again, whatever is remembered.")
@json_option
def codecs(*, as_json: bool, refresh: bool) -> None:
    """Show the encoders, and the formats that encoded and decoded correctly here.

    Each was tried in a process of its own, with a time limit; what it did is remembered for
    this machine, this build and this program. Formats are chroma and bit depth; sizes are height
    x width. "via ffmpeg" are those of the system's program (on the PATH, or XVCOMP_FFMPEG).
    """
    from xvcomp.codecs.capabilities import all_capabilities

    found = all_capabilities(refresh=refresh)
    if as_json:
        echo_json({name: asdict(one) | {"usable": one.usable} for name, one in found.items()})
    else:
        click.echo(_text(found))


def _text(found: "Mapping[str, Capabilities]") -> str:
    header = ("codec", "formats", "of these lossless", "sizes", "device", "via")
    rows = [_row(name, one) for name, one in found.items() if one.usable]
    text = table(header, rows)
    absent = [
        f"  {name}: {one.reason or 'no format works'}"
        for name, one in found.items()
        if not one.usable
    ]
    return "\n".join([text, "", "not usable here:", *absent]) if absent else text


def _row(name: str, found: "Capabilities") -> list[str]:
    low, high = found.min_size, found.max_size
    exact = "all" if found.lossless == found.formats else _formats(found.lossless) or "none"
    sizes = f"{low[0]}x{low[1]} to {high[0]}x{high[1]}"
    if not found.odd_sizes:
        sizes += f" by {found.align}"
    return [name, _formats(found.formats), exact, sizes, found.device, found.via]


def _formats(formats: "tuple[tuple[Chroma, int], ...]") -> str:
    """Write ``gray 8-16, 420 8/10`` for pairs of chroma and bit depth."""
    depths: dict[str, list[int]] = {}
    for chroma, bits in formats:
        depths.setdefault(chroma, []).append(bits)
    return ", ".join(f"{chroma} {_depths(bits)}" for chroma, bits in depths.items())


def _depths(bits: list[int]) -> str:
    if len(bits) > 2 and bits == list(range(bits[0], bits[-1] + 1)):
        return f"{bits[0]}-{bits[-1]}"
    return "/".join(map(str, bits))
