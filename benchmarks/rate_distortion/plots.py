"""Rate-distortion plots, one panel per cube."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .points import Results
from .tables import SEED, curve

__all__ = ["draw"]

_STYLES: Mapping[str, dict[str, Any]] = {
    "seed": {"color": "black", "linewidth": 2},
    "gray-x265": {"color": "gray", "linestyle": "--"},
    "xvcomp-fast": {"color": "#fdae61", "linewidth": 2},
    "xvcomp-balanced": {"color": "#f46d43", "linewidth": 2},
    "xvcomp-best": {"color": "#d73027", "linewidth": 2},
    "jpeg2000": {"color": "#4575b4"},
    "jpegxl": {"color": "#74add1"},
    "sz3": {"color": "#1a9850"},
    "sperr": {"color": "#66bd63"},
    "zfp": {"color": "#a6d96a"},
    "bitround+zstd": {"color": "#b2abd2"},
}
_COLUMNS = 3
_RATE_LIMITS = (0.01, 10)
_PSNR_LIMITS = (28, 82)


def draw(results: Results, cubes: Sequence[str], path: Path) -> None:
    """Draw the Pareto front of every coder on every cube to a PNG file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = math.ceil(len(cubes) / _COLUMNS)
    figure, axes = plt.subplots(
        rows, _COLUMNS, figsize=(5 * _COLUMNS, 3.6 * rows), squeeze=False, layout="constrained"
    )
    handles: dict[str, Any] = {}
    for axis, cube in zip(axes.flat, cubes, strict=False):
        handles.update(_draw_cube(axis, results, cube))
    for axis in axes.flat[len(cubes) :]:
        axis.axis("off")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_cube(axis: Any, results: Results, cube: str) -> dict[str, Any]:
    """Draw one panel; return a line for each coder that is in it."""
    handles = {}
    for coder, style in _STYLES.items():
        front = curve(results, cube, SEED if coder == "seed" else (coder,))
        if front:
            (line,) = axis.plot(*zip(*front, strict=True), marker=".", markersize=4, **style)
            handles["seed (best of both)" if coder == "seed" else coder] = line
    axis.set(title=cube, xscale="log", xlim=_RATE_LIMITS, ylim=_PSNR_LIMITS)
    axis.set(xlabel="rate (bpppb)", ylabel="PSNR (dB)")
    axis.grid(visible=True, alpha=0.3)
    return handles
