"""``xvcomp info``: what is in a cube file, from its header alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import example, json_option
from .render import echo_json, format_bytes, format_target, table

if TYPE_CHECKING:
    from xvcomp.spec import BandGroup, Manifest

__all__ = ["info"]


@click.command(
    short_help="Show what a cube file holds.",
    epilog=example("xvcomp info cube.mp4", "xvcomp info cube.mp4 --json"),
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def info(file: Path, *, as_json: bool) -> None:
    """Show what FILE holds: dims, groups, codecs and what was promised. Decodes nothing."""
    import xvcomp

    found = xvcomp.info(file)
    if as_json:
        echo_json(found.to_dict())
    else:
        click.echo(_text(file, found.nbytes, found.manifest))


def _text(file: Path, nbytes: int, manifest: "Manifest") -> str:
    dims = ", ".join(f"{name} {size}" for name, size in manifest.dims)
    ratio = manifest.raw_nbytes / nbytes
    parts = [
        f"{file}: {format_bytes(nbytes)}, {ratio:.1f} times smaller than "
        f"{format_bytes(manifest.raw_nbytes)}\n"
        f"format {manifest.format_version}, written by {manifest.created_by}\n"
        f"target: {format_target(manifest.target)}\n"
        f"dims: {dims or 'none'}"
    ]
    if manifest.groups:
        header = ["group", "variables", "shape", "codec", "bits", "layout", "gop", "fold"]
        parts.append(table(header, [_group_row(group) for group in manifest.groups]))
    if manifest.sidecar:
        rows = [[entry.name, entry.coder, format_bytes(entry.nbytes)] for entry in manifest.sidecar]
        parts.append(table(("beside the video", "coder", "size"), rows))
    return "\n\n".join(parts + [f"note: {note}" for note in manifest.notes])


def _coder(group: "BandGroup") -> str:
    """Name what codes a group, and how finely."""
    if group.residual is not None and not group.lossless:
        what = "steps" if group.residual.coder != "wavelets" else "wavelets"
        base = "" if group.codec == "none" else f"{group.codec} q{group.quantizer} + "
        return base + what
    return group.codec + (" lossless" if group.quantizer is None else f" q{group.quantizer}")


def _group_row(group: "BandGroup") -> list[str]:
    return [
        group.name,
        ",".join(group.variables),
        "x".join(str(size) for size in group.shape),
        _coder(group),
        "-" if group.quantization is None else str(group.quantization.bit_depth),
        "-" if group.layout is None else group.layout.kind,
        str(group.gop),
        str(group.fold),
    ]
