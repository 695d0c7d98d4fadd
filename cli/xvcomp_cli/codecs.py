"""``xvcomp codecs``: what this machine was seen to do."""

import textwrap
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
    this machine, this build and this program. Formats are chroma and bit depth (--json names the
    pixel formats, too); sizes are height x width. "by ffmpeg" are those of the system's program
    (on the PATH, or XVCOMP_FFMPEG), "by PyAV" those of FFmpeg's libraries inside PyAV.
    """
    from xvcomp.codecs.capabilities import all_capabilities

    found = all_capabilities(refresh=refresh)
    if as_json:
        echo_json({name: asdict(one) | {"usable": one.usable} for name, one in found.items()})
    else:
        click.echo(_text(found))


def _text(found: "Mapping[str, Capabilities]") -> str:
    from xvcomp.codecs.encoders import NEVER

    header = ("codec", "formats", "lossless", "sizes", "device", "by")
    text = table(header, [_row(name, one) for name, one in found.items() if one.usable])
    absent: dict[str, list[str]] = {}
    for name, one in found.items():
        if not one.usable:
            reason = (one.reason or "no format works").replace(name, "it")
            absent.setdefault(reason, []).append(name)
    for name, reason in NEVER.items():
        absent.setdefault(reason, []).append(name)
    lines = [_wrapped(f"{', '.join(names)}: {reason}") for reason, names in absent.items()]
    return "\n".join([text, "", "not usable here:", *lines]) if absent else text


def _wrapped(text: str) -> str:
    """Fold a line for terminals; neither names nor paths are cut."""
    return textwrap.fill(
        text,
        width=80,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(name: str, found: "Capabilities") -> list[str]:
    low, high = found.min_size, found.max_size
    exact = "all" if found.lossless == found.formats else _formats(found.lossless) or "none"
    sizes = f"{low[0]}x{low[1]}-{high[0]}x{high[1]}"
    if not found.odd_sizes:
        sizes += f" by {found.align}"
    return [name, _formats(found.formats), exact, sizes, found.device, found.via]


def _formats(formats: "tuple[tuple[Chroma, int], ...]") -> str:
    """Write ``gray/444 8-16, 420 8/10`` for pairs of chroma and bit depth."""
    depths: dict[str, list[int]] = {}
    for chroma, bits in formats:
        depths.setdefault(chroma, []).append(bits)
    alike: dict[str, list[str]] = {}
    for name, each in depths.items():
        alike.setdefault(_depths(each), []).append(name)
    return ", ".join(f"{'/'.join(names)} {written}" for written, names in alike.items())


def _depths(bits: list[int]) -> str:
    if len(bits) > 2 and bits == list(range(bits[0], bits[-1] + 1)):
        return f"{bits[0]}-{bits[-1]}"
    return "/".join(map(str, bits))
