"""``xvcomp eval``: how far any decoded cube is from its reference."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    example,
    group_option,
    ignore_option,
    json_option,
    quiet_option,
    variables_option,
)
from .progress import ProgressBar
from .render import echo_json, format_bytes, table

if TYPE_CHECKING:
    from xvcomp.evaluation import Evaluation, GroupScores

__all__ = ["evaluate"]


def _band_pairs(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...] | None:
    pairs = []
    for value in values:
        names = [name.strip() for name in value.split(",")]
        if len(names) != 2 or not all(names):
            raise click.BadParameter(f"{value!r} is not a pair of bands, such as B08,B04")
        pairs.append((names[0], names[1]))
    return tuple(pairs) or None


@click.command(
    "eval",
    short_help="Measure a decoded cube against its reference.",
    epilog=example(
        "xvcomp eval cube.nc cube.mp4",
        "xvcomp eval cube.nc decoded_by_another_tool.nc --peak 1 --json",
    ),
)
@click.argument("ref")
@click.argument("file")
@click.option("--per-time", is_flag=True, help="Also the numbers of every frame.")
@click.option("--peak", type=click.FloatRange(0, min_open=True), metavar="P",
              help="Peak of PSNR and SSIM [default: data range].")  # fmt: skip
@variables_option
@click.option("--index", "indices", multiple=True, metavar="A,B", callback=_band_pairs,
              help="Error of (A-B)/(A+B) too [default: NDVI and NDWI, by band names].")  # fmt: skip
@ignore_option
@group_option
@json_option
@quiet_option
def evaluate(ref: str, file: str, **given: Any) -> None:
    """Compare FILE (an xvcomp MP4, NetCDF, Zarr ...) with REF, the cube that it was made of.

    Only samples that are valid in REF count. Errors are in unpacked units; PSNR refers to
    the range of all variables with the same units, or to --peak.
    """
    with ProgressBar(quiet=given["quiet"]) as bar:
        found = _measure(ref, file, given, bar.update)
    if given["as_json"]:
        echo_json(found.to_dict())
    elif not given["quiet"]:
        click.echo(_text(found))


def _measure(
    ref: str, file: str, given: dict[str, Any], on_progress: Callable[[Any], None]
) -> "Evaluation":
    import xvcomp
    from xvcomp.sources import open_source

    keywords = {key: given[key] for key in ("per_time", "peak", "variables", "indices", "ignore")}
    keywords |= {"stored": True, "on_progress": on_progress}
    with open_source(ref, group=given["group"]) as reference:
        if file.split("?", 1)[0].lower().endswith((".mp4", ".m4v")):
            return xvcomp.evaluate(reference, file, **keywords)
        with open_source(file) as decoded:
            return xvcomp.evaluate(reference, decoded, nbytes=_size(Path(file)), **keywords)


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else None


def _text(found: "Evaluation") -> str:
    """Write an evaluation: variables, groups, quality sets, indices, frames, the file."""
    header = (
        "variable", "PSNR dB", "peak", "RMSE", "MAE", "bias", "max error", "R2", "SSIM",
        "gradient", "spectrum dB", "valid %",
    )  # fmt: skip
    rows = [_score_row(one.name, one) for group in found.groups for one in group.per_variable]
    parts = [table(header, rows), table(_GROUP_HEADER, map(_group_row, found.groups))]
    if found.sets:
        sets = [(each.name or "-", _psnr(each.psnr_db), _digits(each.peak)) for each in found.sets]
        parts.append(table(("quality set (units)", "PSNR dB", "peak"), sets))
    if found.indices:
        rows = [
            [each.name, f"{each.a},{each.b}", *map(_digits, (each.rmse, each.bias, each.max_error))]
            for each in found.indices
        ]
        parts.append(table(("index", "bands", "RMSE", "bias", "max error"), rows))
    parts += [_frames(group) for group in found.groups if group.per_time]
    return "\n\n".join([*parts, *_notes(found)])


_GROUP_HEADER = ("group", "size", "bpppb", "PSNR dB", "RMSE", "max error", "SSIM", "SAM mrad")


def _group_row(group: "GroupScores") -> list[str]:
    return [
        group.name,
        "-" if group.nbytes is None else format_bytes(group.nbytes),
        "-" if group.bpppb is None else f"{group.bpppb:.4f}",
        _psnr(group.psnr_db),
        _digits(group.rmse),
        _digits(group.max_error),
        _fixed(group.ssim, 4),
        _fixed(1000 * group.sam_rad, 2),
    ]


def _score_row(name: str, one: Any) -> list[str]:
    return [
        name,
        _psnr(one.psnr_db),
        _digits(one.peak),
        _digits(one.rmse),
        _digits(one.mae),
        _digits(one.bias),
        _digits(one.max_error),
        _fixed(one.r2, 5),
        _fixed(one.ssim, 4),
        _fixed(one.gradient_error, 4),
        _fixed(one.power_spectrum_error_db, 2),
        _fixed(100 * one.valid_fraction, 1),
    ]


def _frames(group: "GroupScores") -> str:
    header = (f"frames of {group.name}", "time", "PSNR dB", "RMSE", "max error", "SSIM", "valid %")
    rows = [
        [
            str(one.index),
            one.time or "-",
            _psnr(one.psnr_db),
            _digits(one.rmse),
            _digits(one.max_error),
            _fixed(one.ssim, 4),
            _fixed(100 * one.valid_fraction, 1),
        ]
        for one in group.per_time
    ]
    return table(header, rows)


def _notes(found: "Evaluation") -> list[str]:
    file = found.file
    notes = []
    if file.nbytes is not None and file.ratio is not None:
        bpppb = "" if file.bpppb is None else f", {file.bpppb:.4f} bpppb"
        notes.append(
            f"{file.path or 'file'}: {format_bytes(file.nbytes)}, {file.ratio:.1f} times smaller "
            f"than {format_bytes(file.raw_nbytes)}{bpppb}"
        )
    notes += [
        f"note: {one.name} lacks {one.n_lost} samples that the reference has, "
        f"and has {one.n_invented} that it lacks"
        for group in found.groups
        for one in group.per_variable
        if one.n_lost or one.n_invented
    ]
    notes += [f"not compared: {name} ({why})" for name, why in found.skipped.items()]
    return ["\n".join(notes)] if notes else []


def _psnr(psnr_db: float) -> str:
    if math.isnan(psnr_db):
        return "-"
    return ("exact" if psnr_db > 0 else "-inf") if math.isinf(psnr_db) else f"{psnr_db:.2f}"


def _digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _fixed(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
