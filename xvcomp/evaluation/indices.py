"""Errors of normalised difference indices: what users of reflectances compute next."""

from collections.abc import Sequence
from functools import reduce
from itertools import product
from operator import add

from .. import metrics
from ..errors import PlanError
from ..metrics import ErrorStats
from ..parallel import map_ordered
from ..pipeline.windows import Window
from .grouping import Unit
from .pairs import Pair
from .results import IndexScores

__all__ = ["index_scores"]

_RED = ("B04", "B4", "red", "sur_refl_b01")
_GREEN = ("B03", "B3", "green", "sur_refl_b04")
_NIR = ("B08", "B8", "nir", "sur_refl_b02")
_KNOWN = {"NDVI": (_NIR, _RED), "NDWI": (_GREEN, _NIR)}


def index_scores(
    units: Sequence[Unit], wanted: Sequence[tuple[str, str]] | None
) -> tuple[IndexScores, ...]:
    """Measure indices of band pairs, which may lie in different groups.

    Raises
    ------
    PlanError
        If a band that was asked for is not there, or two are not on one grid.
    """
    bands = {pair.name: (pair, unit) for unit in units for pair in unit.pairs}
    chosen = _usual(bands) if wanted is None else [(f"nd({a},{b})", a, b) for a, b in wanted]
    found = []
    for name, a, b in chosen:
        for band in (a, b):
            if band not in bands:
                raise PlanError(
                    f"no band {band!r} to compute an index of; there is {', '.join(bands)}"
                )
        if bands[a][0].shape != bands[b][0].shape:
            raise PlanError(f"{a!r} and {b!r} are not on one grid: no index of them")
        found.append(_scores(name, bands[a][0], bands[b][0], bands[a][1]))
    return tuple(found)


def _usual(bands: dict[str, tuple[Pair, Unit]]) -> list[tuple[str, str, str]]:
    """Find the bands of NDVI and NDWI by the names that they usually have."""
    found = []
    for name, candidates in _KNOWN.items():
        pairs = ((a, b) for a, b in product(*candidates) if a in bands and b in bands)
        usable = [
            (a, b)
            for a, b in pairs
            if bands[a][0].shape == bands[b][0].shape and not bands[a][1].exact
        ]
        found += [(name, *pair) for pair in usable[:1]]
    return found


def _scores(name: str, first: Pair, second: Pair, unit: Unit) -> IndexScores:
    def part(window: Window) -> ErrorStats:
        a, b = first.read(window), second.read(window)
        (ref_a, dec_a), (ref_b, dec_b) = first.unpack(a), second.unpack(b)
        return metrics.index_error(ref_a, ref_b, dec_a, dec_b, a.valid & b.valid)

    errors = reduce(add, map_ordered(part, unit.windows))
    return IndexScores(
        name=name,
        a=first.name,
        b=second.name,
        rmse=errors.rmse,
        mae=errors.mae,
        bias=errors.bias,
        max_error=errors.max_error if errors.n_valid else float("nan"),
        n_valid=errors.n_valid,
    )
