"""``xvcomp verify``: whether a cube file is whole, and how far it is from the original."""

from pathlib import Path

import click

from .options import example, group_option, json_option
from .render import echo_json, report_text

__all__ = ["verify"]


@click.command(epilog=example("xvcomp verify cube.mp4", "xvcomp verify cube.mp4 cube.nc --json"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("original", required=False)
@group_option
@json_option
def verify(file: Path, original: str | None, *, group: str | None, as_json: bool) -> None:
    """Decode all of FILE and check every checksum; with ORIGINAL, measure the errors too.

    Fails when FILE is damaged, or when it breaks the target that is written in it.
    """
    import xvcomp
    from xvcomp.sources import open_source

    if original is None:
        report = xvcomp.verify(file)
    else:
        with open_source(original, group=group) as reference:
            report = xvcomp.verify(file, reference)
    if as_json:
        echo_json(report.to_dict())
    else:
        click.echo(report_text(report))
