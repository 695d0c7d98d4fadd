"""The campaign's table from its results: ``python -m benchmarks.reliability.report``.

Writes the section between the marks of ``xvcomp/docs/reliability.md`` anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from .abuse import leaks

__all__ = ["table"]

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "xvcomp" / "docs" / "reliability.md"
START, END = "<!-- campaign -->", "<!-- end of campaign -->"

_WHAT = {
    "file": "any byte of a whole file",
    "boxes": "tables of the header, its checksum forged",
    "manifest": "the manifest, its checksum forged",
    "packets": "mask and residual packets, behind their checksums",
    "video": "video packets, behind their checksums",
    "sidecar": "coordinates and small variables, behind their checksum",
    "typed_json": "attributes and encodings",
    "dataset": "TACO header, tables, index, description",
    "xarrayvideo_tag": "metadata of xarrayvideo",
}


def _number(value: int) -> str:
    return f"{value:,}"


def _fuzzed(found: dict[str, Any]) -> list[str]:
    rows = [
        "| fuzzed | inputs | refused | read as it was | read as forged | losses | memory |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    total = lost = 0
    for name, what in _WHAT.items():
        each = found[name]
        total, lost = total + each["inputs"], lost + each["losses"]
        counts = (each[key] for key in ("inputs", "refused", "right", "valid", "losses"))
        cells = " | ".join(_number(count) for count in counts)
        rows.append(f"| {what} | {cells} | +{each['peak_growth_mib']:.0f} MiB |")
    rows.append(f"| **all** | **{_number(total)}** | | | | **{lost}** | |")
    return rows


def _others(kills: dict[str, Any], abuse: dict[str, Any]) -> list[str]:
    rows = ["| fault | tried | losses |", "|---|---|--:|"]
    for kind in ("encode", "decode"):
        each = kills[kind]
        tried = f"{each['killed']} kills at random moments"
        rows.append(f"| SIGKILL during {kind} | {tried} | {each['losses']} |")
    each = kills["batch"]
    tried = f"{each['killed']} kills at random moments, {each['files']} files verified after"
    rows.append(f"| SIGKILL during batch | {tried} | {each['losses']} |")
    inputs = sum(each["inputs"] for each in abuse["regions"].values())
    lost = sum(each["losses"] for each in abuse["regions"].values())
    kinds = len(abuse["regions"])
    rows.append(
        f"| a bit flipped, or cut, by region | {_number(inputs)} in {kinds} files | {lost} |"
    )
    each = abuse["crowd"]
    crowd = f"{each['threads']} threads, {each['processes']} processes"
    rows.append(f"| many readers of one file | {crowd} | {each['losses']} |")
    each = abuse["soak"]
    marks = each["cycle_rss_mib_fds_threads"]
    (first, rss, files, threads), (_, rss_after, files_after, threads_after) = marks[0], marks[-1]
    rows.append(
        f"| {_number(each['cycles'])} cycles of encode and read | memory {rss} MiB after {first}, "
        f"{rss_after} MiB at the end; open files {files} and {files_after}; "
        f"threads {threads} and {threads_after} | {len(leaks(each))} |"
    )
    return rows


def table() -> str:
    """Return the tables as Markdown."""
    found = [json.loads((RESULTS / f"{n}.json").read_text()) for n in ("fuzz", "kill", "abuse")]
    return "\n".join([*_fuzzed(found[0]), "", *_others(*found[1:])])


def main() -> int:
    """Write the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
