"""Strict JSON: numbers that are not finite become "inf", "-inf" and "nan"."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["dumps", "plain"]


def plain(value: Any) -> Any:
    """Return what strict JSON can hold; ``float`` reads the strings back."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return str(value)


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write strict JSON."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)
