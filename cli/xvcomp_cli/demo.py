"""``xvcomp demo``: the main job, on real data that comes with the package."""

import shutil
from importlib import resources
from pathlib import Path

import click

from .options import example
from .progress import ProgressBar
from .render import format_bytes, plan_text, report_text

__all__ = ["demo"]

_CROP = "s2_be1_crop"


@click.command(
    short_help="Run the main job on bundled data.", epilog=example("xvcomp demo --out demo-out")
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-out"),
              show_default=True, help="Folder for the files; made when missing.")  # fmt: skip
def demo(out: Path) -> None:
    """Encode, decode and verify a Sentinel-2 cube, and show what came of it.

    Contains modified Copernicus Sentinel data 2017-2018.
    """
    import xvcomp
    from xvcomp.sinks import write_dataset
    from xvcomp.sources import open_source

    source, video, decoded = (out / f"{_CROP}{end}" for end in (".nc", ".mp4", "_decoded.nc"))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(resources.files("xvcomp").joinpath("data", f"{_CROP}.nc")), source)
    with open_source(source) as cube, ProgressBar() as bar:
        planned = xvcomp.plan(cube, stored=True)
        report = xvcomp.encode(cube, video, stored=True, overwrite=True, on_progress=bar.update)
        xvcomp.verify(video, cube, stored=True, on_progress=bar.update)
    with xvcomp.open(video, decode_cf=False) as back:
        write_dataset(back, decoded, overwrite=True)
    click.echo(plan_text(planned))
    click.echo(f"\n{report_text(report)}\n\nverified: the file was decoded and compared")
    for path, what in ((source, "the cube"), (video, "as video"), (decoded, "and back")):
        click.echo(f"  {path.resolve()}  {format_bytes(path.stat().st_size)}  {what}")
