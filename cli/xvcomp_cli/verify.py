"""``xvcomp verify``: whether a cube file is whole, and how far it is from the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import example, group_option, json_option, quiet_option
from .progress import ProgressBar
from .render import echo_json, format_bytes, report_text

if TYPE_CHECKING:
    from xvcomp.results import Report

__all__ = ["verify"]


@click.command(
    short_help="Check a cube file, and measure its errors.",
    epilog=example("xvcomp verify cube.mp4", "xvcomp verify cube.mp4 cube.nc --json"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("original", required=False)
@group_option
@json_option
@quiet_option
def verify(
    file: Path, original: str | None, *, group: str | None, as_json: bool, quiet: bool
) -> None:
    """Decode all of FILE and check every checksum; with ORIGINAL, measure the errors too.

    Fails when FILE is damaged, or when something that is kept exactly differs from ORIGINAL.
    """
    import xvcomp
    from xvcomp.sources import open_source

    with ProgressBar(quiet=quiet) as bar:
        if original is None:
            report = xvcomp.verify(file, on_progress=bar.update)
        else:
            with open_source(original, group=group) as reference:
                report = xvcomp.verify(file, reference, stored=True, on_progress=bar.update)
    found = report.to_dict() if original is not None else _without_errors(report)
    if as_json:
        echo_json(found | {"compared": original is not None})
    elif not quiet:
        click.echo(_whole(report) if original is None else report_text(report))


def _without_errors(report: "Report") -> dict[str, Any]:
    """Leave out what was not measured: the file was compared with itself."""
    keep = ("path", "nbytes", "raw_nbytes", "ratio", "bpppb", "verify_seconds", "notes")
    groups = [{"name": group.name, "variables": group.variables} for group in report.groups]
    return {key: getattr(report, key) for key in keep} | {"groups": groups}


def _whole(report: "Report") -> str:
    count = sum(len(group.variables) for group in report.groups)
    return (
        f"{report.path}: whole; {count} coded variables decoded and every checksum right, "
        f"{format_bytes(report.nbytes)}, {report.verify_seconds:.1f} s "
        "(give the original to measure errors)"
    )
