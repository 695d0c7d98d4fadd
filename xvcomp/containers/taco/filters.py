"""Conditions on the columns of a dataset's table: ``cloud<0.2``, ``split=train``."""

import re
from dataclasses import dataclass
from typing import Any

from ...errors import PlanError
from .rows import import_pyarrow

__all__ = ["Condition", "parse_condition", "to_expression"]

_FORM = re.compile(r"\s*(.+?)\s*(==|!=|>=|<=|=|>|<|~)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A column compared with a value.

    Parameters
    ----------
    operator : str
        ``==``, ``!=``, ``>=``, ``<=``, ``>``, ``<``, or ``~`` for text that holds another,
        also in a list: ``xvcomp:bands~B08``.
    value : str
        As text; the column says of what type. Empty: what is missing.
    """

    column: str
    operator: str
    value: str


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    PlanError
        If it is none.

    Examples
    --------
    >>> parse_condition("cloud <= 0.2")
    Condition(column='cloud', operator='<=', value='0.2')
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise PlanError(f"{text!r} is not like cloud<=0.2, split=train or id~cube")
    column, operator, value = found.groups()
    return Condition(column=column, operator="==" if operator == "=" else operator, value=value)


def to_expression(condition: Condition, schema: Any) -> Any:
    """Return a condition as pyarrow wants it.

    Raises
    ------
    PlanError
        If there is no such column, or its values cannot be compared with that.
    """
    arrow = import_pyarrow()
    from pyarrow import compute

    if condition.column not in schema.names:
        known = ", ".join(name for name in schema.names if not name.startswith("internal:"))
        raise PlanError(f"there is no column {condition.column!r}; known: {known}")
    kind, field = schema.field(condition.column).type, compute.field(condition.column)
    if not condition.value and condition.operator in ("==", "!="):
        return field.is_null() if condition.operator == "==" else field.is_valid()
    if condition.operator == "~":
        listed = arrow.types.is_list(kind) and arrow.types.is_string(kind.value_type)
        if not (listed or arrow.types.is_string(kind)):
            raise PlanError(f"column {condition.column!r} holds {kind}; ~ is for text")
        text = compute.binary_join(field, ",") if listed else field
        return compute.match_substring(text, condition.value)
    value = _scalar(condition, kind)
    return {
        "==": field == value,
        "!=": field != value,
        ">=": field >= value,
        "<=": field <= value,
        ">": field > value,
        "<": field < value,
    }[condition.operator]


def _scalar(condition: Condition, kind: Any) -> Any:
    arrow = import_pyarrow()
    text = _time(condition.value) if arrow.types.is_timestamp(kind) else condition.value
    try:
        if arrow.types.is_integer(kind):
            # Whole numbers compare with fractions, too.
            whole = text.lstrip("+-").isdigit()
            return arrow.scalar(text).cast(kind if whole else arrow.float64())
        if arrow.types.is_nested(kind) or arrow.types.is_binary(kind):
            raise PlanError(f"column {condition.column!r} holds {kind}, which cannot be compared")
        return arrow.scalar(text).cast(kind)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
        raise PlanError(
            f"column {condition.column!r} holds {kind}; {condition.value!r} is none"
        ) from error


def _time(text: str) -> str:
    """Write a time as pyarrow reads it: a year or a month begins with its first day."""
    # Times in the table are UTC, without saying so.
    plain = text.removesuffix("Z")
    return plain + {4: "-01-01", 7: "-01"}.get(len(plain), "")
