"""Compare error-bounded coders at the same absolute bounds, and lossless ones at none.

``python -m benchmarks.rate_distortion.bounds --data DIR --out FILE [--cubes A] [--coders C]``
"""

import sys

from .coder import Setting
from .cubes import FRACTIONS, Cube, load_cube
from .peers import array_shapes, stores_integers
from .points import Results, run_record
from .run import CODERS, data_folder, measure_missing, parser

__all__ = ["BOUND_CUBES", "bound_settings"]

"""Bounds as fractions of the cube's peak (its range; for be1 10000 DN)."""

BOUND_CUBES = (
    "be1_4bands", "be1_10bands", "earthnet", "ndvi", "s1", "modis", "seviri",
    "mrms", "knmi", "t2m", "erai_uv", "erai_z", "glosea4", "globcurrent",
)  # fmt: skip

_LOSSLESS = ("blosc-zstd", "pcodec")
_BOUNDED = ("sz3", "sperr", "zfp")


def bound_settings(cube: Cube, coder: str) -> list[Setting]:
    """Return a coder's settings for every bound; variants of a peer compete, the best counts."""
    if coder in _LOSSLESS:
        return [{"lossless": 1}]
    bounds = [float(f"{fraction * cube.peak:.6g}") for fraction in FRACTIONS]
    variants = _variants(cube, coder)
    settings: list[Setting] = [
        {"bound": bound, **variant} for bound in bounds for variant in variants
    ]
    return settings if coder in _BOUNDED else [*settings, {"lossless": 1}]


def _variants(cube: Cube, coder: str) -> list[dict[str, str | int]]:
    """Return the shapes, and for integers the widened bound, that a peer may choose from."""
    if coder not in _BOUNDED:
        return [{}]
    shapes = ["3d"] if coder == "sperr" else array_shapes(cube)
    widenings: list[dict[str, str | int]] = [{}]
    if stores_integers(cube):
        widenings.append({"widened": 1})
    return [{"shape": shape, **widening} for shape in shapes for widening in widenings]


def main() -> None:
    """Measure the chosen coders at every bound."""
    options = parser("Measure bytes under error bounds.", BOUND_CUBES)
    options.add_argument(
        "--coders", nargs="+", choices=list(CODERS), default=[*_BOUNDED, *_LOSSLESS]
    )
    arguments = options.parse_args()
    folder = data_folder(arguments.data)
    results = Results.read(arguments.out)
    results.runs.append(run_record(sys.argv[1:]))
    for name in arguments.cubes:
        cube = load_cube(folder, name)
        for coder in arguments.coders:
            settings = bound_settings(cube, coder)
            measure_missing(results, arguments.out, cube, CODERS[coder], settings)


if __name__ == "__main__":
    main()
