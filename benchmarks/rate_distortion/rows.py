"""Measure one row for each cube, and write all of them after each: such runs take long."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .cubes import RD_CUBES, Cube, load_cube
from .points import run_record

__all__ = ["Row", "measure_rows", "options"]

Row = dict[str, Any]


def options(doc: str | None, cubes: tuple[str, ...] = RD_CUBES) -> argparse.ArgumentParser:
    """Make the options of a script: where cubes are, which ones, and where rows go."""
    from .run import parser

    return parser((doc or "").splitlines()[0], cubes)


def measure_rows(
    given: argparse.Namespace,
    row_of: Callable[[Cube], Row],
    summary: Callable[[Sequence[Row]], Row] = lambda rows: {},
) -> Row:
    """Measure the chosen cubes, print each row but its points, and return what was written."""
    from .run import data_folder

    rows: list[Row] = []
    whole: Row = {}
    for name in given.cubes:
        load = round(os.getloadavg()[0], 2)
        cube = load_cube(data_folder(given.data), name)
        rows.append({"cube": name, "load": load, **row_of(cube)})
        shown = {key: value for key, value in rows[-1].items() if key != "points"}
        print(json.dumps(shown, default=str), flush=True)
        whole = {"run": run_record(sys.argv[1:]), **summary(rows), "rows": rows}
        given.out.write_text(json.dumps(whole, indent=1, default=str) + "\n", encoding="utf-8")
    return whole
