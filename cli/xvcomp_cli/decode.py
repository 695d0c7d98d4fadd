"""``xvcomp decode``: a cube file, or a part of it, back to NetCDF or Zarr."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import example, isel_option, names_option, overwrite_option, quiet_option
from .render import format_bytes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["decode"]


@click.command(
    short_help="Decode a cube file to NetCDF or Zarr.",
    epilog=example(
        "xvcomp decode cube.mp4 cube.nc",
        "xvcomp decode cube.mp4 crop.zarr --isel time=10:20 --isel x=0:256 --vars B02,B03",
    ),
)
@click.argument("src")
@click.argument("dst", type=click.Path(path_type=Path))
@isel_option
@names_option("--vars", "variables", help="Only these variables (and the coordinates).")
@click.option("--hwaccel", metavar="DEVICE",
              help="Decode on cuda, vaapi ... if that is bit-exact here.")  # fmt: skip
@overwrite_option
@quiet_option
def decode(
    src: str,
    dst: Path,
    *,
    selections: dict[str, int | slice],
    variables: tuple[str, ...] | None,
    hwaccel: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Decode the cube file SRC (a path or a URL) to DST: .nc (NetCDF4), .zarr (v3) or .zarr.zip.

    Values are written as they were stored: packed integers stay packed, with their
    scale_factor, add_offset and _FillValue. Cubes larger than memory are written as they
    are decoded, where dask is installed. A selection decodes only the GOPs it needs.
    """
    import xvcomp
    from xvcomp.sinks import check_sink, write_dataset

    check_sink(dst, overwrite=overwrite)
    with xvcomp.open(src, decode_cf=False, hwaccel=hwaccel) as cube:
        chosen = _chosen(cube, variables, selections)
        write_dataset(chosen, dst, overwrite=overwrite)
        count = len(chosen.data_vars)
    if not quiet:
        click.echo(f"{dst}: {count} variables, {format_bytes(_size(dst))}")


def _chosen(
    cube: "xr.Dataset", variables: tuple[str, ...] | None, selections: dict[str, int | slice]
) -> "xr.Dataset":
    for dim, wanted in selections.items():
        if dim not in cube.sizes:
            raise click.UsageError(
                f"--isel: there is no dim {dim!r}; the cube has {', '.join(map(str, cube.sizes))}"
            )
        if isinstance(wanted, int) and not -cube.sizes[dim] <= wanted < cube.sizes[dim]:
            raise click.UsageError(f"--isel: {dim}={wanted} is outside of {cube.sizes[dim]}")
    missing = [name for name in variables or () if name not in cube.variables]
    if missing:
        known = ", ".join(map(str, cube.data_vars))
        raise click.UsageError(f"--vars: there is no variable {missing[0]!r}; the cube has {known}")
    return (cube if variables is None else cube[list(variables)]).isel(selections)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
