"""``xvcomp preview``: a cube as an ordinary video, an animation or a contact sheet."""

from pathlib import Path
from typing import Any

import click

from .options import example, isel_option, json_option, overwrite_option, quiet_option
from .progress import ProgressBar
from .render import echo_json, format_bytes

__all__ = ["preview", "stretch_callback"]


def _bands(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(","))
    if len(names) != 3 or not all(names):
        raise click.BadParameter(f"{value!r} is not three bands, such as B04,B03,B02")
    return names


def stretch_callback(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    """Read two percentiles, such as ``2,98``, for an option."""
    if value is None:
        return None
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not two percentiles, such as 2,98") from None
    return low, high


@click.command(
    short_help="Draw a cube as a video, a GIF or a contact sheet.",
    epilog=example(
        "xvcomp preview cube.mp4 look.mp4",
        "xvcomp preview cube.nc look.gif --rgb B08,B04,B03 --fps 4",
        "xvcomp preview cube.mp4 errors.mp4 --compare cube.nc --index NDVI",
    ),
)
@click.argument("src")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rgb", metavar="R,G,B", callback=_bands, help="Bands for red, green and blue.")
@click.option("--index", metavar="NAME", help="NDVI, NDWI, or A,B for (A-B)/(A+B).")
@click.option("--var", "variable", metavar="NAME", help="One field, in a colour map.")
@click.option("--compare", metavar="ORIGINAL",
              help="Also show the original and ten times the error, side by side.")  # fmt: skip
@click.option("--stretch", metavar="P,Q", callback=stretch_callback,
              help="Percentiles of the first and the last colour.")  # fmt: skip
@click.option("--fps", type=click.FloatRange(0.1, 100), default=8.0, show_default=True,
              metavar="N", help="Frames a second.")  # fmt: skip
@click.option("--max-frames", type=click.IntRange(1), metavar="N",
              help="At most N, evenly spaced [default: 600, GIF 120, PNG 24].")  # fmt: skip
@click.option("--size", type=click.IntRange(32, 4096), metavar="N",
              help="Longer side of a panel, to the nearest step of whole pixels "
                   "[default: 480, GIF 384, PNG 192].")  # fmt: skip
@isel_option
@overwrite_option
@json_option
@quiet_option
def preview(src: str, out: Path, **given: Any) -> None:
    """Draw SRC as OUT: .mp4 (plays in every browser), .gif or .png (contact sheet).

    SRC is a cube file, a cube in a dataset (data.tacozip::ID), a URL, or anything that can
    be encoded. It is shown in natural colours where it has the bands, or else in false
    colours, or else its first field in a colour map. Colours mean the same in every frame.
    Missing values are hatched.
    """
    import xvcomp

    names = ("rgb", "index", "variable", "compare", "stretch", "fps", "max_frames", "size")
    keywords = {name: given[name] for name in names}
    with ProgressBar(quiet=given["quiet"]) as bar:
        done = xvcomp.preview(
            src,
            out,
            isel=given["selections"],
            overwrite=given["overwrite"],
            on_progress=bar.update,
            **keywords,
        )
    if given["as_json"]:
        echo_json(done.to_dict())
    elif not given["quiet"]:
        frames = f"{done.frames} of {done.frames_of} frames"
        click.echo(f"{done.path}: {done.label}, {frames}, {format_bytes(done.nbytes)}")
