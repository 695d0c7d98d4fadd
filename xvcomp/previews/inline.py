"""What notebooks show of a cube: a small contact sheet, quickly, and never an error."""

import base64
import io
import logging
import math
from html import escape

import xarray as xr

from ..results import Report
from .channels import Channel
from .opening import Lookable, fields_of, opened
from .pictures import contact_sheet
from .scenes import Scene, choose_scene
from .showing import Show

__all__ = ["inline_html", "report_html"]

_FRAMES = 6
_SIZE = 144
_MAX_NBYTES = 1 << 28
_log = logging.getLogger(__name__)


def inline_html(source: Lookable) -> str:
    """Return an ``<img>`` that holds its data, or a sentence that says why there is none.

    Parameters
    ----------
    source : Dataset, DataArray, path or URL
    """
    try:
        with opened(source) as cube:
            return _picture(cube)
    # A notebook shows this by itself: whatever is wrong, the user did not ask for it.
    except Exception as error:
        _log.debug("no preview", exc_info=True)
        return f"<p>no preview: {escape(str(error))}</p>"


def report_html(report: Report) -> str:
    """Return the numbers of an encoding as a table, and a few frames of the file.

    Parameters
    ----------
    report : Report
        The file may be gone; then there is no picture.
    """
    size = f"{report.nbytes / 1e3:.1f} kB, {report.ratio:.1f} times smaller"
    rows = [("file", report.path), ("size", f"{size}, {report.bpppb:.4f} bpppb")]
    for name, psnr_db in report.set_psnr_db.items():
        worth = "exact" if math.isinf(psnr_db) else f"{psnr_db:.2f} dB"
        rows.append((f"PSNR {name}".strip(), worth))
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for key, value in rows
    )
    return f"<table>{cells}</table>{inline_html(report.path)}"


def _picture(cube: xr.Dataset) -> str:
    scene = choose_scene(fields_of(cube))
    cost = sum(_read_nbytes(channel) for channel in scene.channels)
    if cost > _MAX_NBYTES:
        return f"<p>no preview: drawing it would read about {cost / 1e6:.0f} MB</p>"
    show = Show.of(scene, max_frames=_FRAMES, size=_SIZE)
    frames = list(zip(show.dates, show.panels(), strict=True))
    sheet = contact_sheet(frames, scene.label, show.look, show.unit, show.style(_SIZE), _FRAMES)
    data = io.BytesIO()
    sheet.quantize(128).save(data, format="PNG", optimize=True)
    coded = base64.b64encode(data.getvalue()).decode("ascii")
    return (
        f'<img alt="{escape(_words(scene))}" width="{sheet.width}" style="max-width:100%" '
        f'src="data:image/png;base64,{coded}">'
    )


def _words(scene: Scene) -> str:
    return f"{scene.label}: {min(_FRAMES, scene.first.shape[0])} frames"


def _read_nbytes(channel: Channel) -> int:
    """Estimate what a few frames cost to read: whole chunks, where the array has chunks."""
    array = channel.array
    frames, height, width = channel.shape
    nbytes = height * width * array.dtype.itemsize
    chunks = array.variable.chunksizes or array.encoding.get("preferred_chunks", {})
    span = chunks.get(channel.frame_dim, 1)
    longest = max(span) if isinstance(span, tuple) else int(span)
    # The stretch looks at 16 frames, which the pictures then share.
    return int(min(frames, 16 * longest) * nbytes)
