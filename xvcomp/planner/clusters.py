"""Which variables are coded together: those of one grid and unit that correlate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import PlanError
from ..results import Options, Override
from ..spec import Interpolation
from .facts import VariableFacts
from .overrides import group_of

__all__ = ["check_same_grid", "clusters", "group_name", "quality_set", "why_group"]

_CORRELATED = 0.2


def clusters(
    lossy: Sequence[VariableFacts], options: Options, named: Mapping[str, str]
) -> list[list[VariableFacts]]:
    """Group variables; ``named`` maps variables to the user's own groups."""
    kinds: dict[tuple[Any, ...], list[VariableFacts]] = {}
    for each in lossy:
        kinds.setdefault(_kind(each, options, named), []).append(each)
    found: list[list[VariableFacts]] = []
    for kind, members in kinds.items():
        found += [members] if kind[0] == "named" else _correlated(members)
    return found


def _kind(each: VariableFacts, options: Options, named: Mapping[str, str]) -> tuple[Any, ...]:
    """Variables with the same key may share a group."""
    if each.name in named:
        return ("named", named[each.name])
    own = each.name if each.name in options.by_variable else None
    grid = (each.dims, each.shape, each.repeat, each.interpolation)
    return ("auto", grid, quality_set(each, options), own)


def quality_set(each: VariableFacts, options: Options) -> str:
    """Name the set of variables that share a quality target: those of equal units."""
    if options.per_variable or each.name in options.by_variable:
        return each.name
    group = group_of(each.name, options)
    if group is not None and options.by_group.get(group, Override()).target is not None:
        return group
    return str(each.attrs.get("units", ""))


def _correlated(members: list[VariableFacts]) -> list[list[VariableFacts]]:
    """Split variables into clusters whose members are linked by correlation."""
    clusters: list[list[VariableFacts]] = []
    for each in members:
        linked = [c for c in clusters if any(_correlation(each, o) >= _CORRELATED for o in c)]
        rest = [c for c in clusters if c not in linked]
        clusters = [*rest, [*(v for c in linked for v in c), each]]
    order = {each.name: i for i, each in enumerate(members)}
    for cluster in clusters:
        cluster.sort(key=lambda each: order[each.name])
    return sorted(clusters, key=lambda cluster: order[cluster[0].name])


def _correlation(first: VariableFacts, second: VariableFacts) -> float:
    if first.sample is None or second.sample is None or first.sample.shape != second.sample.shape:
        return 0.0
    both = np.isfinite(first.sample) & np.isfinite(second.sample)
    a, b = first.sample[both], second.sample[both]
    if a.size < 8 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(a, b)[0, 1]))


def check_same_grid(members: Sequence[VariableFacts]) -> None:
    """Refuse a user's group whose variables do not fit into one cube."""
    first = members[0]
    for each in members[1:]:
        if each.dims != first.dims or each.shape != first.shape:
            raise PlanError(
                f"{first.name!r} {first.dims} and {each.name!r} {each.dims} are not on one "
                "grid: put them in different groups"
            )


def group_name(members: Sequence[VariableFacts]) -> str:
    """Name a group after its first and last variable."""
    names = [each.name for each in members]
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def why_group(
    members: Sequence[VariableFacts], repeat: tuple[int, int], field: Interpolation | None
) -> str:
    """Say what holds a group together."""
    rows, columns = repeat if field is None else field.factors
    native = "" if rows == columns == 1 else f", stored at 1/{rows} x 1/{columns} resolution"
    if field is not None:
        native += f" and interpolated ({field.kernel})"
    if len(members) == 1:
        return "on its own" + native
    return f"{len(members)} correlated variables of one grid and unit" + native
