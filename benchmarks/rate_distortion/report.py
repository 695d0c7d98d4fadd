"""Turn measured points into Markdown and a plot.

``python -m benchmarks.rate_distortion.report FILE... --markdown OUT.md --plot OUT.png``
"""

import argparse
from pathlib import Path

from .cubes import RD_CUBES
from .ours import XVCOMP_PRESETS
from .plots import draw
from .points import Results
from .run import CODERS
from .tables import (
    bd_rate_table,
    bounds_table,
    equal_psnr_table,
    psnr_table,
    speed_table,
)

__all__ = ["markdown"]

_OURS = tuple(f"xvcomp-{preset}" for preset in XVCOMP_PRESETS)
_PEERS = ("jpeg2000", "jpegxl", "sz3", "sperr", "zfp", "bitround+zstd")


def markdown(rd: Results, bounds: Results) -> str:
    """Write all tables that the points allow."""
    sections = {
        "BD-rate against the seed's best front": bd_rate_table(rd, [*_OURS, "gray-x265", *_PEERS]),
        "PSNR in dB at a rate": psnr_table(rd, _OURS),
        "Bits of xvcomp-best over a peer's at equal PSNR, the worst of 35 to 75 dB":
            equal_psnr_table(rd, "xvcomp-best", ("jpeg2000", "sz3", "sperr")),
        "Speed, over all points of the ladders": speed_table(rd, list(CODERS)),
    }  # fmt: skip
    if bounds.points:
        coders = ["sz3", "sperr", "zfp", *_OURS]
        sections["bpppb under a bound on the error"] = bounds_table(bounds, coders, "xvcomp-best")
    failures = _failures(rd, bounds)
    if failures:
        sections["Failures"] = failures
    return "\n".join(f"### {title}\n\n{body}" for title, body in sections.items())


def _failures(*all_results: Results) -> str:
    lines = [
        f"- {point.cube}, {point.coder}, {dict(point.setting)}: {point.failed}\n"
        for results in all_results
        for point in results.points.values()
        if point.failed
    ]
    return "".join(lines)


def main() -> None:
    """Write the report of the given result files."""
    parser = argparse.ArgumentParser(description="Report on measured points.")
    parser.add_argument("files", nargs="+", type=Path, help="JSON of the run command")
    parser.add_argument("--bounds", nargs="*", type=Path, default=[], help="JSON of bounds")
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="PNG file")
    arguments = parser.parse_args()
    rd = Results.read(*arguments.files)
    arguments.markdown.write_text(markdown(rd, Results.read(*arguments.bounds)))
    if arguments.plot:
        measured = {point.cube for point in rd.points.values()}
        draw(rd, [cube for cube in RD_CUBES if cube in measured], arguments.plot)


if __name__ == "__main__":
    main()
