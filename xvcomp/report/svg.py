"""Plots as SVG text: lines with markers on linear or logarithmic axes, and histograms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Dot", "Series", "distribution", "histogram", "line_plot", "number"]

_SIZE = (1040, 430)
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 18, 14, 52
_LOG_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8))


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One point: where it lies, what it is called, and what hovering shows."""

    x: float
    y: float
    key: str
    text: str
    on_front: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A line through dots."""

    name: str
    colour: str
    dash: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """An axis from ``low`` to ``high`` over ``start`` to ``stop`` pixels."""

    label: str
    log: bool
    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, v = self.low, self.high, value
        if self.log:
            low, high, v = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (v - low) / (high - low) * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values along the axis."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high)


def _axis(values: Sequence[float], label: str, log: bool, start: float, stop: float) -> Axis:
    usable = [v for v in values if math.isfinite(v) and (v > 0 or not log)] or [1.0]
    low, high = min(usable), max(usable)
    if log:
        # At least a factor of two, for ticks to lie within.
        spare = max(1.15, math.sqrt(2.2 * low / high))
        low, high = low / spare, high * spare
    else:
        pad = 0.06 * (high - low) or 1.0
        low, high = low - pad, high + pad
    return Axis(label=label, log=log, low=low, high=high, start=start, stop=stop)


def _log_ticks(low: float, high: float) -> list[float]:
    """Return the coarsest set of round numbers with at least four inside."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside: list[float] = []
    for digits in _LOG_DIGITS:
        inside = [v for d in decades for v in (m * 10.0**d for m in digits) if low <= v <= high]
        if len(inside) >= 4:
            break
    return inside


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 7
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def number(value: float) -> str:
    """Write a number with up to four digits."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    text = f"{value:.4g}"
    return f"{float(text):.0f}" if "e" in text else text


def line_plot(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    title: str = "",
    size: tuple[int, int] = _SIZE,
) -> str:
    """Draw lines with dots that tell their values.

    Parameters
    ----------
    series : sequence of Series
        Dots that are not finite are left out.
    x_label, y_label : str
        With units.
    log_x, log_y : bool
    title : str
        For those who cannot see it.
    size : (int, int)
        Width and height in pixels.
    """
    width, height = size
    dots = [dot for each in series for dot in each.dots]
    x = _axis([d.x for d in dots], x_label, log_x, _LEFT, width - _RIGHT)
    y = _axis([d.y for d in dots], y_label, log_y, height - _BOTTOM, _TOP)
    parts = [
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title or y_label)}">',
        *_grid(x, y),
        *(_line(each, x, y) for each in series),
        *(_marks(each, x, y) for each in series),
        "</svg>",
    ]
    return "".join(parts)


def _grid(x: Axis, y: Axis) -> list[str]:
    bottom, left, right = y.start, x.start, x.stop
    parts = []
    for tick in x.ticks:
        at = f"{x.at(tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="{bottom + 18}" text-anchor="middle">'
            f"{number(tick)}</text>"
        )
    for tick in y.ticks:
        at = f"{y.at(tick):.1f}"
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at}" y2="{at}"/>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{at}" dy="4" text-anchor="end">'
            f"{number(tick)}</text>"
        )
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{(left + right) / 2}" y="{bottom + 42}" '
        f'text-anchor="middle">{escape(x.label)}</text>'
        f'<text class="label" transform="translate(16 {middle}) rotate(-90)" '
        f'text-anchor="middle">{escape(y.label)}</text>'
        f'<path class="axis" d="M{left} {_TOP}V{bottom}H{right}"/>'
    )
    return parts


def _drawable(series: Series, x: Axis, y: Axis) -> list[Dot]:
    return [
        dot
        for dot in series.dots
        if math.isfinite(dot.x)
        and math.isfinite(dot.y)
        and (dot.x > 0 or not x.log)
        and (dot.y > 0 or not y.log)
    ]


def _line(series: Series, x: Axis, y: Axis) -> str:
    dots = sorted(_drawable(series, x, y), key=lambda dot: dot.x)
    path = " ".join(f"{x.at(dot.x):.1f},{y.at(dot.y):.1f}" for dot in dots)
    return (
        f'<polyline data-series="{escape(series.name)}" points="{path}" fill="none" '
        f'stroke="{series.colour}" stroke-width="2" stroke-dasharray="{series.dash}"/>'
    )


def _marks(series: Series, x: Axis, y: Axis) -> str:
    """Draw the dots over all lines; those of the front have a dark rim."""
    return "".join(
        f'<circle class="dot{" front" if dot.on_front else ""}" tabindex="0" '
        f'data-series="{escape(series.name)}" data-key="{escape(dot.key)}" '
        f'data-text="{escape(dot.text)}" cx="{x.at(dot.x):.1f}" cy="{y.at(dot.y):.1f}" '
        f'r="5" fill="{series.colour}"/>'
        for dot in _drawable(series, x, y)
    )


def distribution(
    edges: Sequence[float],
    counts: Sequence[int],
    x_label: str,
    y_label: str,
    *,
    size: tuple[int, int] = _SIZE,
) -> str:
    """Draw bars: how often values fall between each two edges.

    Parameters
    ----------
    edges : sequence of float, length n + 1
        Finite and rising.
    counts : sequence of int, length n
    x_label, y_label : str
        With units.
    size : (int, int)
        Width and height in pixels.
    """
    width, height = size
    x = Axis(label=x_label, log=False, low=edges[0], high=edges[-1], start=_LEFT,
             stop=width - _RIGHT)  # fmt: skip
    y = Axis(label=y_label, log=False, low=0.0, high=1.08 * max(4, *counts),
             start=height - _BOTTOM, stop=_TOP)  # fmt: skip
    bars = "".join(
        f'<rect class="bar" x="{x.at(low) + 0.5:.2f}" y="{y.at(count):.1f}" '
        f'width="{max(1.0, x.at(high) - x.at(low) - 1):.2f}" '
        f'height="{y.start - y.at(count):.1f}"><title>{number(low)} to {number(high)}: {count}'
        "</title></rect>"
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
        if count
    )
    grid = "".join(_grid(x, y))
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Distribution of {escape(x_label)}">{grid}{bars}</svg>'
    )


def histogram(counts: Sequence[int], limit: float, unit: str) -> str:
    """Draw how often errors from ``-limit`` to ``limit`` occur, on a logarithmic scale."""
    width, height, left, bottom, top = 420, 170, 40, 36, 10
    most = max(1, *counts)
    decades = max(1, math.ceil(math.log10(most)))
    inner, tall = width - left - 10, height - bottom - top
    bar = inner / len(counts)
    parts = [
        f'<svg class="histogram" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Histogram of errors">'
    ]
    for decade in range(0, decades + 1, max(1, decades // 3)):
        at = f"{top + tall * (1 - decade / decades):.1f}"
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - 10}" y1="{at}" y2="{at}"/>'
            f'<text class="tick" x="{left - 6}" y="{at}" dy="4" text-anchor="end">'
            f"1e{decade}</text>"
        )
    for position, count in enumerate(counts):
        if count:
            # A single count is as high as a tenth of a decade, or it would not show.
            tallness = tall * max(0.1, math.log10(count)) / decades
            parts.append(
                f'<rect class="bar" x="{left + position * bar:.2f}" width="{bar * 0.9:.2f}" '
                f'y="{top + tall - tallness:.1f}" height="{tallness:.1f}"/>'
            )
    for share, value in ((0.0, -limit), (0.5, 0.0), (1.0, limit)):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(
            f'<text class="tick" x="{left + share * inner:.1f}" y="{height - bottom + 16}" '
            f'text-anchor="{anchor}">{number(value)}</text>'
        )
    label = f"error, decoded minus original{f' ({unit})' if unit else ''}"
    parts.append(
        f'<text class="tick" x="{left + inner / 2}" y="{height - 4}" '
        f'text-anchor="middle">{escape(label)}</text></svg>'
    )
    return "".join(parts)
