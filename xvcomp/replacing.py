"""Put software in the place of an encoder that fails, where the planner chose it itself."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from .errors import CodecError
from .spec import GroupPlan

__all__ = ["or_replaced"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def or_replaced(plan: GroupPlan, work: Callable[[GroupPlan], _T]) -> tuple[GroupPlan, _T]:
    """Do something with a plan; if its encoder fails, with the encoders that may replace it.

    Parameters
    ----------
    plan : GroupPlan
        Its ``fallback`` names the replacements; there are none for an encoder asked for.
    work : callable

    Returns
    -------
    plan : GroupPlan
        The one that worked, with the reason if it is another.
    result
        Of ``work``.

    Raises
    ------
    CodecError
        If the last one fails, too.
    """
    try:
        return plan, work(plan)
    except CodecError as error:
        if not plan.fallback:
            raise
        (codec, bit_depth), *rest = plan.fallback
        why = f"{codec} in place of {plan.codec}, which failed: {error}"
        _log.warning("group %r is coded by %s", plan.name, why)
        other = replace(
            plan,
            codec=codec,
            bit_depth=bit_depth,
            fallback=tuple(rest),
            codecs=tuple(each for each in plan.codecs if each[0] != plan.codec),
            reasons={**plan.reasons, "codec": why},
        )
        return or_replaced(other, work)
