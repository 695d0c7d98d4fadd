"""``xvcomp sweep``: what each codec, preset and quality costs and gives, for one cube."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from xvcomp.spec import Preset

from .options import example, group_option, json_option, quiet_option, variables_option
from .progress import ProgressBar
from .render import echo_json, table

if TYPE_CHECKING:
    from xvcomp.report import Sweep, SweepPoint

__all__ = ["sweep"]


def _words(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    return None if value is None else tuple(word.strip() for word in value.split(",") if word)


def _presets(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    words = _words(ctx, param, value)
    for word in words or ():
        if word not in get_args(Preset):
            raise click.BadParameter(f"{word!r} is not one of {', '.join(get_args(Preset))}")
    return words


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    words = _words(ctx, param, value)
    try:
        return None if words is None else tuple(float(word) for word in words)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers, such as 35,45") from error


@click.command(
    short_help="Encode a cube in many ways; write a report.",
    epilog=example(
        "xvcomp sweep cube.nc --out sweep",
        "xvcomp sweep cube.nc --out sweep --codecs libx265 --presets fast --qualities 40,45,50",
    ),
)
@click.argument("src")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True,
              metavar="DIR", help="Folder for the results; made when missing.")  # fmt: skip
@click.option("--encoders", "--codecs", "codecs", metavar="A,B", callback=_words,
              help="[default: libx265 and libsvtav1]")  # fmt: skip
@click.option("--presets", metavar="A,B", callback=_presets,
              help="Of fast, balanced, best [default: all]")  # fmt: skip
@click.option("--qualities", metavar="Q,R", callback=_numbers,
              help="Nominal dB [default: 30,35,40,45,50,55]")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), metavar="N",
              help="Encodings at a time [default: one per core].")  # fmt: skip
@variables_option
@group_option
@json_option
@quiet_option
def sweep(src: str, **given: Any) -> None:
    """Encode SRC with every codec, preset and quality, and report what each costs and gives.

    DIR gets report.html (plots and frames, to open in a browser), sweep.json, sweep.csv
    and the cube files. A sweep that was interrupted goes on where it was.
    """
    import xvcomp
    from xvcomp.sources import open_source

    names = ("codecs", "presets", "qualities", "jobs", "variables")
    keywords = {name: given[name] for name in names if given[name] is not None}
    with (
        open_source(src, group=given["group"]) as source,
        ProgressBar(quiet=given["quiet"]) as bar,
    ):
        done = xvcomp.sweep(
            source, given["out"], stored=True, name=src, on_progress=bar.update, **keywords
        )
    if all(point.error is not None for point in done.points):
        raise click.ClickException(f"no point could be made: {done.points[0].error}")
    if given["as_json"]:
        echo_json(done.to_dict())
    elif not given["quiet"]:
        click.echo(_text(done))


def _text(done: "Sweep") -> str:
    header = (
        "Pareto front", "preset", "quality", "bpppb", "ratio", "PSNR dB", "SSIM", "encode s",
        "decode s",
    )  # fmt: skip
    failed = [
        f"not made: {each.codec} {each.preset} {each.quality_db:g}: {each.error}"
        for each in done.points
        if each.error is not None
    ]
    return "\n".join([
        table(header, map(_row, done.front)),
        "",
        f"{len(done.front)} of {len(done.points)} points: none is both smaller and better",
        *failed,
        f"report: {done.report}",
    ])  # fmt: skip


def _row(point: "SweepPoint") -> list[str]:
    return [
        point.codec,
        point.preset,
        f"{point.quality_db:g}",
        f"{point.bpppb:.4f}",
        f"{point.ratio:.1f}",
        "exact" if math.isinf(point.psnr_db) else f"{point.psnr_db:.2f}",
        "-" if math.isnan(point.ssim) else f"{point.ssim:.4f}",
        f"{point.encode_seconds:.2f}",
        f"{point.decode_seconds:.2f}",
    ]
