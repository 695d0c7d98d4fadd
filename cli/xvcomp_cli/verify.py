"""``xvcomp verify``: whether a cube file is whole, and keeps its promises to the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import example, group_option, json_option, quiet_option
from .progress import ProgressBar
from .render import echo_json, format_bytes, format_target, report_text, table

if TYPE_CHECKING:
    import xarray as xr

    from xvcomp.results import OnProgress, PromiseReport, Report

__all__ = ["verify"]


@click.command(
    short_help="Check a cube file, and its promises.",
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
    """Decode all of FILE and check every checksum; with ORIGINAL, check its promises too.

    Every promise that FILE records (error bounds, lossless, PSNR, SSIM, size) is measured
    against ORIGINAL. Fails when FILE is damaged, or when a promise does not hold.
    """
    import xvcomp
    from xvcomp.errors import ErrorBoundExceeded
    from xvcomp.sources import open_source

    broken = None
    with ProgressBar(quiet=quiet) as bar:
        try:
            if original is None:
                report = xvcomp.verify(file, on_progress=bar.update)
            else:
                with open_source(original, group=group) as reference:
                    report = _compare(file, reference, bar.update)
        except ErrorBoundExceeded as error:
            if not isinstance(error.report, xvcomp.Report):
                raise
            report, broken = error.report, error
    found = report.to_dict() if original is not None else _without_errors(report)
    if as_json:
        echo_json(found | {"compared": original is not None})
    elif not quiet:
        click.echo(_whole(report) if original is None else _compared(report))
    if broken is not None:
        raise broken


def _compare(file: Path, reference: "xr.Dataset", on_progress: "OnProgress") -> "Report":
    """Compare as stored, or else as xarray decodes it: the cube may have been made of either."""
    import xarray as xr

    import xvcomp
    from xvcomp.errors import ErrorBoundExceeded

    try:
        return xvcomp.verify(file, reference, stored=True, on_progress=on_progress)
    except ErrorBoundExceeded as error:
        if error.report is not None:
            raise
        differs = error
    try:
        return xvcomp.verify(file, xr.decode_cf(reference), on_progress=on_progress)
    except (ErrorBoundExceeded, ValueError) as error:
        if getattr(error, "report", None) is not None:
            raise
        raise differs from None


def _compared(report: "Report") -> str:
    """Write what was measured, then a line per promise."""
    if not report.promises:
        return report_text(report)
    rows = [
        [
            each.variable or "the file",
            format_target(each.target),
            _found(each),
            "kept" if each.kept else "BROKEN",
        ]
        for each in report.promises
    ]
    header = ("variable", "promised", "found", "promise")
    return f"{report_text(report)}\n\n{table(header, rows)}"


def _found(promise: "PromiseReport") -> str:
    """Write a measurement in the words of its target."""
    kind = getattr(promise.target, "kind", "")
    if kind == "lossless":
        return f"{promise.found:.0f} values differ" if promise.found else "equal"
    forms = {"psnr": "{:.2f} dB", "ssim": "{:.5f}", "bpppb": "{:.4f} bpppb", "ratio": "{:.1f}"}
    return forms.get(kind, "|error| <= {:.6g}").format(promise.found)


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
