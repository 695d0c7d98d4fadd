"""The page of a sweep: one HTML file that needs no network and no other file."""

import math
from collections.abc import Iterable
from html import escape
from importlib import resources
from typing import Any

import xarray as xr

from ..previews.colours import Colours
from . import frames, png, strict
from .points import Sweep, SweepPoint
from .svg import Dot, Series, line_plot, number

__all__ = ["page_html", "write_page"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#555555")
_DASHES = {"fast": "2 4", "balanced": "7 4", "best": ""}
_MAX_PICTURES = 48
_SMALL = (500, 340)
_STAR = "\u2605 "


def write_page(sweep: Sweep, dataset: xr.Dataset, *, stored: bool) -> None:
    """Write ``report.html`` into the sweep's folder.

    Parameters
    ----------
    sweep : Sweep
    dataset : Dataset
        The original, for the frames.
    stored : bool
        Its values are as on disk.
    """
    sweep.report.write_text(page_html(sweep, _pictures(sweep, dataset, stored)), encoding="utf-8")


def _pictures(sweep: Sweep, dataset: xr.Dataset, stored: bool) -> dict[str, Any]:
    """Draw the frames of as many points as a page can hold, those of the front first."""
    front = {point.key for point in sweep.front}
    usable = [point for point in sweep.points if point.error is None]
    shown = sorted(usable, key=lambda point: point.key not in front)[:_MAX_PICTURES]
    if not shown:
        return {"subjects": {}, "pictures": {}}
    first = sweep.folder / shown[0].file
    chosen = frames.subjects(dataset, first, stored=stored)
    originals = frames.originals(dataset, first, chosen, stored=stored)
    return {
        "subjects": {
            each.name: {
                "unit": each.unit,
                "caption": each.caption,
                "original": originals[each.name],
                "low": number(each.low),
                "high": number(each.high),
                "sampled": len(each.sample),
            }
            for each in chosen
        },
        "pictures": {point.key: _drawn(sweep, point, dataset, chosen, stored) for point in shown},
    }


def _drawn(
    sweep: Sweep, point: SweepPoint, dataset: xr.Dataset, chosen: list[Any], stored: bool
) -> dict[str, Any]:
    drawn = frames.draw(dataset, sweep.folder / point.file, chosen, stored=stored)
    return {
        name: {
            "decoded": one.decoded,
            "error": one.error,
            "limit": number(one.limit),
            "rmse": number(one.rmse),
            "histogram": one.histogram,
        }
        for name, one in drawn.items()
    }


def page_html(sweep: Sweep, pictures: dict[str, Any]) -> str:
    """Build the page from the points and what ``write_page`` has drawn."""
    front = sweep.front
    keys = [key for key in (p.key for p in front) if key in pictures["pictures"]]
    data = {
        **pictures,
        "names": {point.key: _name(point) for point in sweep.points},
        "commands": {point.key: _words(point.command) for point in sweep.points},
        "first": keys[len(keys) // 2] if keys else next(iter(pictures["pictures"]), ""),
    }
    title = f"Sweep of {sweep.source.rsplit('/', 1)[-1]}"
    body = [
        _heading(title, sweep),
        _rate_section(sweep),
        _small_plots(sweep),
        _table(sweep, front),
        _frames_section(sweep, data),
        _failures(sweep),
    ]
    # "</" would end the script element early.
    script = strict.dumps(data).replace("</", "<\\/")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_resource('page.css')}</style></head>"
        f'<body><main>{"".join(body)}</main><div id="tip" role="status"></div>'
        f'<script type="application/json" id="data">{script}</script>'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _heading(title: str, sweep: Sweep) -> str:
    context = sweep.context
    dims = " \u00d7 ".join(f"{size} {dim}" for dim, size in context.get("dims", {}).items())
    jobs, cores = context.get("jobs", 1), context.get("cores", 1)
    facts = {
        "cube": f"{dims}, {len(context.get('variables', ()))} variables",
        "in memory": f"{context.get('nbytes', 0) / 1e6:.1f} MB",
        "points": str(sum(point.error is None for point in sweep.points)),
        "xvcomp": str(context.get("xvcomp", "")),
        "times": f"{jobs} at a time on {cores} cores",
    }
    listed = "".join(f"<span>{key} <b>{escape(value)}</b></span>" for key, value in facts.items())
    return f'<h1>{escape(title)}</h1><div class="facts">{listed}</div>'


def _name(point: SweepPoint) -> str:
    return f"{point.codec} {point.preset}, quality {point.quality_db:g}"


def _short_name(point: SweepPoint) -> str:
    return f"{point.codec} {point.preset} {point.quality_db:g}"


def _words(command: str) -> str:
    """Let a command wrap between words only: browsers break after hyphens too."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))


def _text(point: SweepPoint) -> str:
    return (
        f"{_name(point)}\n{_decimals(point.psnr_db)} dB, {point.bpppb:.4f} bpppb, "
        f"{point.ratio:.1f}x smaller\nSSIM {_decimals(point.ssim, 4)}, encode "
        f"{point.encode_seconds:.2f} s, decode {point.decode_seconds:.2f} s"
    )


def _decimals(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)


def _series(sweep: Sweep, x: str, y: str) -> list[Series]:
    """Make a line of each codec and preset."""
    front = {point.key for point in sweep.front}
    codecs = list(dict.fromkeys(point.codec for point in sweep.points))
    lines: dict[tuple[str, str], list[Dot]] = {}
    for point in sweep.points:
        if point.error is not None:
            continue
        dot = Dot(
            x=getattr(point, x),
            y=getattr(point, y),
            key=point.key,
            text=_text(point),
            on_front=point.key in front,
        )
        lines.setdefault((point.codec, point.preset), []).append(dot)
    return [
        Series(
            name=f"{codec} {preset}",
            colour=_COLOURS[codecs.index(codec) % len(_COLOURS)],
            dash=_DASHES.get(preset, ""),
            dots=tuple(dots),
        )
        for (codec, preset), dots in lines.items()
    ]


def _legend(series: Iterable[Series]) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-series="{escape(each.name)}">'
        f'<svg width="34" height="12" aria-hidden="true"><line x1="0" x2="34" y1="6" y2="6" '
        f'stroke="{each.colour}" stroke-width="2" stroke-dasharray="{each.dash}"/>'
        f'<circle cx="17" cy="6" r="4" fill="{each.colour}"/></svg>{escape(each.name)}</button>'
        for each in series
    )
    return f'<div class="legend">{buttons}</div>'


def _rate_section(sweep: Sweep) -> str:
    series = _series(sweep, "bpppb", "psnr_db")
    plot = line_plot(
        series,
        "bits per pixel per band of the whole file (bpppb)",
        "PSNR (dB) of the worst quality set",
        log_x=True,
        title="Rate-distortion plot",
    )
    return (
        "<section><h2>Rate and distortion</h2><p>Up and to the left is better. Dots with a dark "
        "rim are on the Pareto front. Hover for values, click to see frames; a click on the "
        f"legend hides a line.</p>{plot}{_legend(series)}</section>"
    )


def _small_plots(sweep: Sweep) -> str:
    seconds = line_plot(
        _series(sweep, "psnr_db", "encode_seconds"),
        "PSNR (dB) of the worst quality set",
        "time to encode (s)",
        log_y=True,
        title="Time plot",
        size=_SMALL,
    )
    ssim = line_plot(
        _series(sweep, "bpppb", "ssim"),
        "bits per pixel per band (bpppb)",
        "SSIM of the worst group",
        log_x=True,
        size=_SMALL,
    )
    return (
        '<div class="two"><section><h2>Time</h2><p>What each quality takes to encode; lower is '
        f"faster.</p>{seconds}</section><section><h2>Structure</h2><p>Structural similarity at "
        f"each rate.</p>{ssim}</section></div>"
    )


def _table(sweep: Sweep, front: tuple[SweepPoint, ...]) -> str:
    head = "".join(
        f'<th class="n">{text}</th>'
        for text in ("bpppb", "ratio", "PSNR (dB)", "SSIM", "encode (s)", "decode (s)")
    )
    rows = "".join(
        f'<tr data-key="{escape(point.key)}"><td>{escape(_short_name(point))}</td>'
        + "".join(
            f'<td class="n">{text}</td>'
            for text in (
                f"{point.bpppb:.4f}",
                f"{point.ratio:.1f}",
                _decimals(point.psnr_db),
                _decimals(point.ssim, 4),
                f"{point.encode_seconds:.2f}",
                f"{point.decode_seconds:.2f}",
            )
        )
        + f"<td><code>{_words(point.command)}</code></td></tr>"
        for point in front
    )
    return (
        f"<section><h2>Pareto front</h2><p>{len(front)} of {len(sweep.points)} points: none of "
        'the others is both smaller and better. Click a row to see its frames.</p><div class="'
        'scroll"><table id="front"><thead><tr><th>encoding, quality</th>'
        f"{head}<th>command</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _frames_section(sweep: Sweep, data: dict[str, Any]) -> str:
    if not data["pictures"]:
        return ""
    front = {point.key for point in sweep.front}
    points = "".join(
        f'<option value="{escape(p.key)}">{_STAR if p.key in front else ""}'
        f"{escape(_name(p))}: {_decimals(p.psnr_db)} dB, {p.bpppb:.4f} bpppb</option>"
        for p in sweep.points
        if p.key in data["pictures"]
    )
    names = "".join(f"<option>{escape(name)}</option>" for name in data["subjects"])
    value_scale = _scale(png.SEQUENTIAL, 'class="value-low"', 'class="value-high"')
    error_scale = _scale(png.DIVERGING, 'id="error-low"', 'id="error-high"')
    return (
        '<section><h2>Frames</h2><div class="controls"><label>Encoding <select id="point">'
        f'{points}</select></label><label>Variable <select id="variable">{names}</select>'
        '</label></div><div class="frames">'
        + _figure("original", "Original", value_scale)
        + _figure("decoded", "Decoded", value_scale)
        + _figure("error", "Error", error_scale)
        + '</div><div class="below"><div><h2>Errors</h2><p>Counts on a logarithmic scale; the '
        'outermost bars hold the 0.5 % beyond.</p><div id="histogram"></div></div>'
        '<div><h2>Command</h2><p>Makes this file.</p><code id="command"></code></div></div>'
        "</section>"
    )


def _figure(name: str, title: str, scale: str) -> str:
    return (
        f'<figure><img id="{name}" alt="{title} frame">{scale}<figcaption><b>{title}</b> '
        f'<span id="{name}-caption"></span></figcaption></figure>'
    )


def _scale(colours: Colours, low: str, high: str) -> str:
    return (
        f'<div class="bar-scale" style="background:{png.gradient_css(colours)}"></div>'
        f'<div class="ends"><span {low}></span><span {high}></span></div>'
    )


def _failures(sweep: Sweep) -> str:
    failed = [point for point in sweep.points if point.error is not None]
    if not failed:
        return ""
    listed = "".join(
        f'<li>{escape(_name(point))}: <span class="error">{escape(str(point.error))}</span></li>'
        for point in failed
    )
    return f"<section><h2>Could not be made</h2><ul>{listed}</ul></section>"
