"""Judge promises of structural similarity, which only an evaluation of the file can tell of."""

import os
from collections.abc import Mapping

import xarray as xr

from .evaluation import evaluate
from .results import PromiseReport
from .spec import Ssim, Target

__all__ = ["ssim_promises"]


def ssim_promises(
    path: str | os.PathLike[str], dataset: xr.Dataset, stored: bool, targets: Mapping[str, Target]
) -> tuple[PromiseReport, ...]:
    """Measure SSIM on the finished file, where it was promised."""
    wanted = {name: target for name, target in targets.items() if isinstance(target, Ssim)}
    if not wanted:
        return ()
    found = []
    for group in evaluate(dataset, path, stored=stored).groups:
        target = wanted.get(group.name)
        if target is None:
            continue
        kept = not group.ssim < target.value
        problem = f"has an SSIM of {group.ssim:.5f}, {target.value:g} was promised"
        found += [
            PromiseReport(
                variable=name,
                target=target,
                kept=kept,
                found=group.ssim,
                problem="" if kept else problem,
            )
            for name in group.variables
        ]
    return tuple(found)
