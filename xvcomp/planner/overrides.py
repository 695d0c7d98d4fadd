"""What the user decided for a variable, its group, or all groups."""

from collections.abc import Sequence
from dataclasses import replace

from ..results import Options, Override
from .facts import VariableFacts

__all__ = ["group_of", "override", "own_choice"]


def group_of(name: str, options: Options) -> str | None:
    """Return the group that the user put a variable in."""
    groups = (options.groups or {}).items()
    return next((group for group, names in groups if name in names), None)


def own_choice(name: str, options: Options) -> Override | None:
    """Return what the user decided for a variable, or else for its group."""
    group = group_of(name, options)
    return options.by_variable.get(name) or (options.by_group.get(group) if group else None)


def override(members: Sequence[VariableFacts], options: Options) -> Override:
    """Combine the choices for all groups with those for one variable or group."""
    own = own_choice(members[0].name, options)
    if own is None:
        return replace(options.defaults, target=None)
    fields = Override.__dataclass_fields__
    merged = {
        key: getattr(own, key) if getattr(own, key) is not None else getattr(options.defaults, key)
        for key in fields
    }
    return Override(**{**merged, "target": own.target})
