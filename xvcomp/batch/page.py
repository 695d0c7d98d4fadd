"""The report of a batch: JSON, and one HTML file that needs nothing else."""

import math
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from .. import report
from ..errors import XvcompError
from ..previews.colours import Colours
from ..report import frames, png, strict, svg
from .items import BatchResult, CubeResult
from .job import opened
from .workspace import Workspace

__all__ = ["page_html", "worst", "write_report"]

_PLOT = (500, 300)
_BINS = 24
_SHOWN = 8
_ROWS = 100


def write_report(
    result: BatchResult, space: Workspace, *, group: str | None, scratch: Path
) -> None:
    """Write the report of a batch beside its result.

    Parameters
    ----------
    result : BatchResult
    space : Workspace
        Holds the cube files, for the previews.
    group : str or None
        Of the sources.
    scratch : Path
        For copies of remote sources.
    """
    pictures = {cube.id: _preview(cube, space, group, scratch) for cube in worst(result.done)}
    text = strict.dumps(result.to_dict(), indent=1) + "\n"
    result.report_json.write_text(text, encoding="utf-8")
    result.report_html.write_text(page_html(result, pictures), encoding="utf-8")


def worst(cubes: Sequence[CubeResult], count: int = _SHOWN) -> list[CubeResult]:
    """Return the cubes to look at first: of the lowest PSNR, and of the lowest ratio."""
    lossy = [cube for cube in cubes if math.isfinite(cube.psnr_db)]
    by_quality = sorted(lossy, key=lambda cube: (cube.psnr_db, cube.id))[: count // 2]
    by_ratio = sorted(cubes, key=lambda cube: (cube.ratio, cube.id))
    rest = [cube for cube in by_ratio if cube not in by_quality]
    return [*by_quality, *rest[: count - len(by_quality)]]


def _preview(cube: CubeResult, space: Workspace, group: str | None, scratch: Path) -> str:
    """Draw a frame of a cube, original, decoded and error; say why if that cannot be."""
    path = space.cube(cube.id)
    try:
        with opened(cube.source, group, scratch) as (dataset, _):
            chosen = frames.subjects(dataset, path, stored=True)[:1]
            if not chosen:
                return "<p>Nothing in it is lossy.</p>"
            subject = chosen[0]
            original = frames.originals(dataset, path, chosen, stored=True)[subject.name]
            drawn = frames.draw(dataset, path, chosen, stored=True)[subject.name]
    except (XvcompError, OSError, RuntimeError, ValueError) as error:
        return f'<p class="error">No preview: {escape(str(error))}</p>'
    low, high, limit = (svg.number(v) for v in (subject.low, subject.high, drawn.limit))
    unit = f" {escape(subject.unit)}" if subject.unit else ""
    figures = (
        ("Original", original, png.SEQUENTIAL, low, high),
        ("Decoded", drawn.decoded, png.SEQUENTIAL, low, high),
        ("Error", drawn.error, png.DIVERGING, f"-{limit}", limit),
    )
    return (
        f"<p>{escape(subject.name)}, {escape(subject.caption)}; RMSE "
        f'{svg.number(drawn.rmse)}{unit}</p><div class="frames">'
        + "".join(_figure(*each) for each in figures)
        + "</div>"
    )


def _figure(title: str, uri: str, colours: Colours, low: str, high: str) -> str:
    return (
        f'<figure><img alt="{title} frame" src="{uri}"><div class="bar-scale" '
        f'style="background:{png.gradient_css(colours)}"></div><div class="ends"><span>{low}'
        f"</span><span>{high}</span></div><figcaption><b>{title}</b></figcaption></figure>"
    )


def page_html(result: BatchResult, pictures: dict[str, str]) -> str:
    """Build the page.

    Parameters
    ----------
    result : BatchResult
    pictures : dict of str
        HTML of the previews by id, in the order in which they are shown.
    """
    title = f"Batch {result.out.name}"
    style = resources.files(report.__name__).joinpath("page.css").read_text(encoding="utf-8")
    style += ".bar { fill: var(--accent); } td.why { white-space: normal; }\n"
    style += ".looks { max-width: 760px; } h3 { font-size: 15px; margin: 22px 0 0; }\n"
    body = [
        _heading(title, result),
        _failures(result.failures),
        _distributions(result.done),
        _previews(result.done, pictures),
        _table(result.done),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _heading(title: str, result: BatchResult) -> str:
    total = result.to_dict()
    facts = {
        "cubes": f"{len(result.done)} made, {len(result.failures)} failed",
        "in memory": _size(total["raw_nbytes"]),
        "as video": _size(total["nbytes"]),
        "smaller": f"{total['ratio']:.1f} times" if result.done else "-",
        "this run": f"{result.made} cubes in {result.seconds:.0f} s",
        "xvcomp": str(result.context.get("xvcomp", "")),
    }
    listed = "".join(f"<span>{key} <b>{escape(value)}</b></span>" for key, value in facts.items())
    return f'<h1>{escape(title)}</h1><div class="facts">{listed}</div>'


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.3g} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:.3g} MB"


def _failures(failed: Sequence[CubeResult]) -> str:
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{escape(cube.id)}</td><td>{escape(str(cube.kind))}</td>"
        f'<td class="why error">{escape(str(cube.reason))}</td></tr>'
        for cube in failed
    )
    return (
        f"<section><h2>Could not be made: {len(failed)}</h2><p>All others are complete. Once the "
        "cause is gone, start the same command with --retry-failed.</p>"
        '<div class="scroll"><table><thead><tr><th>cube</th><th>kind</th><th>reason</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _distributions(done: Sequence[CubeResult]) -> str:
    if not done:
        return ""
    exact = sum(cube.psnr_db == math.inf for cube in done)
    note = f" {exact} came back exactly, and are not in this plot." if exact else ""
    ratio = _plot([cube.ratio for cube in done], "times smaller than in memory")
    psnr = _plot([cube.psnr_db for cube in done], "PSNR (dB) of the worst quality set")
    return (
        '<div class="two"><section><h2>Ratio</h2><p>How much smaller each cube became.</p>'
        f"{ratio}</section><section><h2>Quality</h2><p>As measured on each finished file.{note}"
        f"</p>{psnr}</section></div>"
    )


def _plot(values: Sequence[float], label: str) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "<p>There is no finite value.</p>"
    low, high = min(finite), max(finite)
    pad = 0.02 * (high - low) or max(abs(low), 1.0) / 50
    counts, edges = np.histogram(finite, bins=_BINS, range=(low - pad, high + pad))
    return svg.distribution(
        [float(e) for e in edges], [int(c) for c in counts], label, "cubes", size=_PLOT
    )


def _previews(done: Sequence[CubeResult], pictures: dict[str, str]) -> str:
    if not pictures:
        return ""
    by_id = {cube.id: cube for cube in done}
    shown = "".join(
        f"<h3>{escape(name)}: {_db(by_id[name].psnr_db)}, {by_id[name].ratio:.1f} times smaller"
        f"</h3>{html}"
        for name, html in pictures.items()
    )
    return (
        "<section><h2>Worst first</h2><p>Cubes of the lowest PSNR, then of the lowest ratio.</p>"
        f'<div class="looks">{shown}</div></section>'
    )


def _db(psnr_db: float) -> str:
    if math.isnan(psnr_db):
        return "nothing lossy"
    return "exact" if math.isinf(psnr_db) else f"{psnr_db:.2f} dB"


def _table(done: Sequence[CubeResult]) -> str:
    """List the cubes, worst quality first, as many as a page can hold."""
    if not done:
        return ""
    ranked = sorted(done, key=lambda cube: (math.isnan(cube.psnr_db), cube.psnr_db, cube.ratio))
    columns: tuple[tuple[str, Callable[[CubeResult], str]], ...] = (
        ("size (kB)", lambda cube: f"{cube.nbytes / 1e3:.1f}"),
        ("ratio", lambda cube: f"{cube.ratio:.1f}"),
        ("bpppb", lambda cube: f"{cube.bpppb:.4f}"),
        ("PSNR", lambda cube: _db(cube.psnr_db)),
        ("max error", lambda cube: svg.number(cube.max_error)),
        ("seconds", lambda cube: f"{cube.seconds:.2f}"),
    )
    head = "".join(f'<th class="n">{escape(name)}</th>' for name, _ in columns)
    rows = "".join(
        f"<tr><td>{escape(cube.id)}</td>"
        + "".join(f'<td class="n">{text(cube)}</td>' for _, text in columns)
        + f"<td>{escape(cube.source)}</td></tr>"
        for cube in ranked[:_ROWS]
    )
    more = f" The first {_ROWS} of {len(done)}; the JSON file has all." if len(done) > _ROWS else ""
    return (
        f'<section><h2>Cubes</h2><p>Worst quality first.{more}</p><div class="scroll"><table>'
        f"<thead><tr><th>cube</th>{head}<th>source</th></tr></thead><tbody>{rows}</tbody></table>"
        "</div></section>"
    )
