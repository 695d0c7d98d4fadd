"""Dates and times of Python and of cftime."""

import datetime as dt
import importlib
import sys
from collections.abc import Callable
from typing import Any

from .walk import finders, packers, unpackers

__all__: list[str] = []


def _pack_datetime(value: dt.datetime, path: str) -> Any:
    return {"$datetime": [value.isoformat(), value.fold, *_pack_zone(value.tzinfo, path)]}


def _pack_time(value: dt.time, path: str) -> Any:
    return {"$time": [value.isoformat(), value.fold, *_pack_zone(value.tzinfo, path)]}


def _pack_zone(zone: object, path: str) -> list[Any]:
    """Keep fixed offsets by the text itself, and named zones by their name."""
    if zone is None or isinstance(zone, dt.timezone):
        return []
    name = getattr(zone, "key", None)
    if not isinstance(name, str):
        raise TypeError(f"time zone {zone!r} at {path} cannot be kept")
    return [name]


def _unpack_moment(kind: Any) -> Callable[[Any], Any]:
    def unpack(body: Any) -> Any:
        text, fold, *zone = body
        value = kind.fromisoformat(text).replace(fold=fold)
        if not zone:
            return value
        from zoneinfo import ZoneInfo

        return value.replace(tzinfo=ZoneInfo(zone[0]))

    return unpack


def _pack_timedelta(value: dt.timedelta, path: str) -> Any:
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


def _cftime_packer(value: object) -> Callable[[Any, str], Any] | None:
    cftime = sys.modules.get("cftime")
    found = cftime is not None and isinstance(value, cftime.datetime)
    return _pack_cftime if found else None


def _pack_cftime(value: Any, path: str) -> Any:
    parts = (value.year, value.month, value.day, value.hour, value.minute, value.second)
    kind = type(value).__name__
    calendar = [value.calendar, bool(value.has_year_zero)]
    return {"$cftime": [kind, [int(p) for p in (*parts, value.microsecond)], *calendar]}


def _unpack_cftime(body: Any) -> Any:
    try:
        cftime = importlib.import_module("cftime")
    except ImportError:
        raise ValueError("this value is a cftime date: pip install cftime") from None
    kind, parts, calendar, year_zero = body
    if kind == "datetime":
        return cftime.datetime(*parts, calendar=calendar, has_year_zero=year_zero)
    if not (isinstance(kind, str) and kind.startswith("Datetime")):
        raise ValueError(f"{kind!r} is no class of cftime dates")
    return getattr(cftime, kind)(*parts, has_year_zero=year_zero)


packers |= {
    dt.datetime: _pack_datetime,
    dt.date: lambda value, path: {"$date": value.isoformat()},
    dt.time: _pack_time,
    dt.timedelta: _pack_timedelta,
}
finders.append(_cftime_packer)
unpackers |= {
    "$datetime": _unpack_moment(dt.datetime),
    "$date": dt.date.fromisoformat,
    "$time": _unpack_moment(dt.time),
    "$timedelta": lambda body: dt.timedelta(*body),
    "$cftime": _unpack_cftime,
}
