"""What a file promises for each variable, and whether it holds against the original."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from .errors import ErrorBoundExceeded
from .metrics import ErrorStats
from .results import GroupReport, PromiseReport, Report
from .spec import BandGroup, Bpppb, Lossless, Manifest, MaxError, Psnr, Ratio, Target

__all__ = ["Compared", "check_promises", "promised", "promises_of", "stats_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One variable of a part, as decoded, against its original; parts add up.

    Parameters
    ----------
    stats : ErrorStats
        In unpacked units, over the samples that count.
    gaps : int
        Missing values that did not come back as they were.
    changed : int
        Stored values whose bits differ; counted where they must not.
    past : int
        Valid samples past a bound.
    worst : float
        Largest error over the magnitude of its sample, where a bound is on that.
    """

    stats: ErrorStats
    gaps: int = 0
    changed: int = 0
    past: int = 0
    worst: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            stats=self.stats + other.stats,
            gaps=self.gaps + other.gaps,
            changed=self.changed + other.changed,
            past=self.past + other.past,
            worst=max(self.worst, other.worst),
        )


def stats_of(compared: Mapping[str, Sequence[Compared]]) -> dict[str, list[ErrorStats]]:
    """Return the errors alone, per group."""
    return {name: [each.stats for each in found] for name, found in compared.items()}


def promised(manifest: Manifest) -> dict[str, Target]:
    """Return the target of each group, as its file records it."""
    return {group.name: group.target or manifest.target for group in manifest.groups}


def promises_of(
    report: Report,
    groups: Sequence[BandGroup],
    targets: Mapping[str, Target],
    compared: Mapping[str, Sequence[Compared]],
) -> tuple[PromiseReport, ...]:
    """Judge every promise that the numbers of a report can tell of: all but SSIM.

    Parameters
    ----------
    report : Report
        Measured on the finished file.
    groups : sequence of BandGroup
        Of the file.
    targets : Mapping[str, Target]
        Per group.
    compared : Mapping[str, sequence of Compared]
        Per group, each of its variables.
    """
    by_name = {group.name: group for group in report.groups}
    found = [
        _judged(report, by_name[group.name], targets[group.name], name, each)
        for group in groups
        for name, each in zip(group.variables, compared[group.name], strict=True)
    ]
    return (*(each for each in found if each is not None), *_of_size(report))


def _judged(
    report: Report, group: GroupReport, target: Target, name: str, each: Compared
) -> PromiseReport | None:
    """Judge one variable; gaps are a promise of every file."""
    target, found, problem = _measured(report, group, target, each)
    if each.gaps:
        problem = f"missing values did not come back where they were ({each.gaps} samples)"
    if math.isnan(found) and not problem:
        return None
    return PromiseReport(
        variable=name, target=target, kept=not problem, found=found, problem=problem
    )


def _measured(
    report: Report, group: GroupReport, target: Target, each: Compared
) -> tuple[Target, float, str]:
    """Return what is promised, what was found, and what is wrong with it."""
    if group.lossless:
        problem = f"was to be lossless, and is not ({each.changed} values differ)"
        return Lossless(), float(each.changed), problem if each.changed else ""
    if isinstance(target, MaxError):
        pointwise = target.relative == "pointwise"
        worst = each.worst if pointwise else each.stats.max_error
        of = {"absolute": "", "range": " of the range", "pointwise": " of each sample"}
        problem = (
            f"is off by up to {worst:g}{of['pointwise'] if pointwise else ''}; promised: "
            f"{target.value:g}{of[target.relative]} ({each.past} samples are past that)"
        )
        return target, worst, problem if each.past else ""
    if isinstance(target, Psnr):
        reached = report.set_psnr_db.get(group.quality_set, math.nan)
        problem = f"has {reached:.2f} dB in its quality set, {target.db:g} were promised"
        return target, reached, problem if reached < target.db else ""
    return target, math.nan, ""


def _of_size(report: Report) -> list[PromiseReport]:
    """Judge what was promised for the whole file."""
    target, problem, found = report.target, "", math.nan
    if isinstance(target, Bpppb):
        found = report.bpppb
        if found > target.bits:
            problem = f"the file has {found:.4f} bpppb, {target.bits:g} were promised"
    elif isinstance(target, Ratio):
        found = report.ratio
        if found < target.ratio:
            problem = f"the file is {found:.1f} times smaller, {target.ratio:g} were promised"
    if math.isnan(found):
        return []
    return [
        PromiseReport(variable="", target=target, kept=not problem, found=found, problem=problem)
    ]


def check_promises(report: Report) -> None:
    """Refuse a file that breaks a promise.

    Raises
    ------
    ErrorBoundExceeded
        With the report; the message names what is broken.
    """
    broken = [each for each in report.promises if not each.kept]
    if broken:
        words = [f"{each.variable!r} {each.problem}" if each.variable else each.problem
                 for each in broken[:3]]  # fmt: skip
        more = f"; and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ErrorBoundExceeded("; ".join(words) + more, report)
