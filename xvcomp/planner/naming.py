"""Patterns among the names in options -> the variables of one cube.

A recipe for a collection names variables that not every cube of it has: ``cloudmask*``
stands for whichever there are, and with ``optional`` what does not occur is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..errors import PlanError
from ..results import Options, Override

__all__ = ["resolve"]

_MAGIC = frozenset("*?[")


def resolve(options: Options, data: Sequence[str], coords: Sequence[str] = ()) -> Options:
    """Replace patterns by the names that match them.

    Parameters
    ----------
    options : Options
        Names may be patterns of `fnmatch`, which match case by case, among data
        variables only.
    data, coords : sequence of str
        Variables of the cube.

    Returns
    -------
    Options
        Where a variable is named twice, its own name wins over patterns, and the first
        pattern over later ones.

    Raises
    ------
    PlanError
        If a name or a pattern stands for nothing, and options are not ``optional``.
    """

    def expand(name: str) -> tuple[str, ...]:
        if name in data or name in coords:
            return (name,)
        found = tuple(each for each in data if fnmatchcase(each, name)) if _is_pattern(name) else ()
        if not found and not options.optional:
            what = f"no variable matches {name!r}" if _is_pattern(name) else _missing(name)
            raise PlanError(f"{what}; the cube has {', '.join(sorted(data)) or 'none'}")
        return found

    groups, by_group = _groups(options, expand)
    return replace(
        options,
        lossy=_flat(options.lossy, options.lossless, expand),
        lossless=_flat(options.lossless, options.lossy, expand),
        by_variable=_by_variable(options.by_variable, expand),
        groups=groups,
        by_group=by_group,
    )


def _is_pattern(name: str) -> bool:
    return not _MAGIC.isdisjoint(name)


def _missing(name: str) -> str:
    return f"there is no variable {name!r}"


def _flat(
    names: Iterable[str], opposite: Iterable[str], expand: Callable[[str], tuple[str, ...]]
) -> tuple[str, ...]:
    """Expand names; a pattern leaves out what the opposite option names as it is."""
    exact = {name for name in opposite if not _is_pattern(name)}
    return tuple(
        dict.fromkeys(
            found
            for name in names
            for found in expand(name)
            if not (_is_pattern(name) and found in exact)
        )
    )


def _by_variable(
    choices: Mapping[str, Override], expand: Callable[[str], tuple[str, ...]]
) -> dict[str, Override]:
    found: dict[str, Override] = {}
    for name in sorted(choices, key=_is_pattern):
        for each in expand(name):
            found.setdefault(each, choices[name])
    return found


def _groups(
    options: Options, expand: Callable[[str], tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]] | None, dict[str, Override]]:
    if options.groups is None:
        return None, dict(options.by_group)
    exact = {name for names in options.groups.values() for name in names if not _is_pattern(name)}
    taken: set[str] = set()
    found: dict[str, tuple[str, ...]] = {}
    for group, names in options.groups.items():
        members: list[str] = []
        for name in names:
            pattern = _is_pattern(name)
            # A name given twice as such stays, so that the planner can refuse it.
            own = [v for v in expand(name) if not (pattern and v in exact | taken)]
            taken.update(own if pattern else ())
            members += own
        if members:
            found[group] = tuple(members)
    return found, {name: own for name, own in options.by_group.items() if name in found}
