"""Measure coders on cubes, point by point; what is in the output file already is skipped.

``python -m benchmarks.rate_distortion.run --data DIR --out FILE [--cubes A B] [--coders C D]``
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from .coder import Coder, Setting
from .cubes import CUBES, RD_CUBES, Cube, load_cube
from .isolate import CrashError, run_isolated
from .ours import XVCOMP_PRESETS, Xvcomp
from .peers import BitRoundZstd, BloscZstd, Jpeg2000, JpegXL, Pcodec, Sperr, Sz3, Zfp
from .points import Point, Results, measure_errors, run_record
from .seed import GrayX265, Seed

__all__ = ["CODERS", "measure", "measure_missing"]

CODERS: dict[str, Coder] = {
    coder.name: coder
    for coder in (
        Seed(pca=False),
        Seed(pca=True),
        GrayX265(),
        Jpeg2000(),
        JpegXL(),
        Sz3(),
        Sperr(),
        Zfp(),
        BitRoundZstd(),
        BloscZstd(),
        Pcodec(),
        *(Xvcomp(preset) for preset in XVCOMP_PRESETS),
    )
}


def measure(cube: Cube, coder: Coder, setting: Setting) -> Point:
    """Encode, decode and compare once, in a process of its own."""
    point = Point(cube=cube.name, coder=coder.name, setting=setting, versions=coder.versions())
    # Derived arrays are made here, so that no coder pays for them.
    peak = cube.peak
    _ = cube.filled_stored

    def work() -> Point:
        start = perf_counter()
        encoded = coder.encode(cube, setting)
        middle = perf_counter()
        decoded = encoded.decode()
        end = perf_counter()
        errors = measure_errors(cube, decoded)
        return replace(
            point,
            nbytes=encoded.nbytes,
            bpppb=8 * encoded.nbytes / cube.samples,
            psnr_db=errors.psnr_db,
            peak=peak,
            max_error=errors.max_error,
            encode_s=middle - start - encoded.overhead_seconds,
            decode_s=end - middle,
            samples=cube.samples,
            notes=dict(encoded.notes),
        )

    try:
        return run_isolated(work)
    except CrashError as error:
        return replace(point, failed=str(error))


def measure_missing(
    results: Results, out: Path, cube: Cube, coder: Coder, settings: list[Setting]
) -> None:
    """Measure what ``results`` does not hold, writing after every point."""
    versions = coder.versions()
    for setting in settings:
        wanted = Point(cube=cube.name, coder=coder.name, setting=setting, versions=versions)
        if results.has(wanted):
            continue
        point = measure(cube, coder, setting)
        results.add(point)
        results.write(out)
        print(_line(point), flush=True)


def _line(point: Point) -> str:
    head = f"{point.cube:12} {point.coder:14} {dict(point.setting)}"
    if point.failed:
        return f"{head}: FAILED: {point.failed}"
    return (
        f"{head}: {point.bpppb:.4f} bpppb, {point.psnr_db:.2f} dB, max error "
        f"{point.max_error:.4g}, {point.encode_s:.2f} s / {point.decode_s:.2f} s"
    )


def data_folder(argument: Path | None) -> Path:
    """Return ``--data``, or the folder in XVCOMP_DATA; without either, exit with usage."""
    folder = argument or Path(os.environ.get("XVCOMP_DATA", ""))
    if not argument and not os.environ.get("XVCOMP_DATA"):
        sys.exit("no data folder: give --data DIR or set XVCOMP_DATA")
    return folder


def parser(description: str, cubes: tuple[str, ...]) -> argparse.ArgumentParser:
    """Make the options that the benchmark's commands share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="folder of the cubes; default $XVCOMP_DATA")
    parser.add_argument("--out", type=Path, required=True, help="JSON file, extended if there")
    parser.add_argument("--cubes", nargs="+", choices=list(CUBES), default=cubes)
    return parser


def main() -> None:
    """Measure the ladders of the chosen coders."""
    options = parser("Measure rate and distortion.", RD_CUBES)
    options.add_argument("--coders", nargs="+", choices=list(CODERS), default=list(CODERS))
    options.add_argument("--only", help="measure settings of this kind, such as psnr_db")
    arguments = options.parse_args()
    folder = data_folder(arguments.data)
    results = Results.read(arguments.out)
    results.runs.append(run_record(sys.argv[1:]))
    for name in arguments.cubes:
        cube = load_cube(folder, name)
        for coder in (CODERS[key] for key in arguments.coders):
            ladder = coder.ladder(cube)
            chosen = [s for s in ladder if arguments.only is None or arguments.only in s]
            measure_missing(results, arguments.out, cube, coder, chosen)


if __name__ == "__main__":
    main()
