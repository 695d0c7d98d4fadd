"""``xvcomp decode``: a cube file back to NetCDF or Zarr."""

from pathlib import Path

import click

from .options import example, overwrite_option, quiet_option
from .render import format_bytes

__all__ = ["decode"]


@click.command(
    short_help="Decode a cube file to NetCDF or Zarr.",
    epilog=example("xvcomp decode cube.mp4 cube.nc", "xvcomp decode cube.mp4 cube.zarr"),
)
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dst", type=click.Path(path_type=Path))
@overwrite_option
@quiet_option
def decode(src: Path, dst: Path, *, overwrite: bool, quiet: bool) -> None:
    """Decode the cube file SRC to DST: .nc (NetCDF4), .zarr (v3) or .zarr.zip.

    Values are written as they were stored: packed integers stay packed, with their
    scale_factor, add_offset and _FillValue.
    """
    import xvcomp
    from xvcomp.sinks import check_sink, write_dataset

    check_sink(dst, overwrite=overwrite)
    with xvcomp.open(src, decode_cf=False) as cube:
        write_dataset(cube, dst, overwrite=overwrite)
        count = len(cube.data_vars)
    if not quiet:
        click.echo(f"{dst}: {count} variables, {format_bytes(_size(dst))}")


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
