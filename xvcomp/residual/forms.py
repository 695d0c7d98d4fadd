"""Arrays as small unsigned integers: the exact integer form that needs the fewest bits.

Measured fields are often integers in disguise: decimals (``0.1 * k``), dyadic fractions
(GRIB packing), half floats kept as floats, multiples of ten. Each form is only used
after it was seen to give every bit back.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bits import from_ordered, ordered_dtype, to_ordered
from .framing import join_varints, split_varints, unzigzag, zigzag

__all__ = ["Form", "find_form", "forward", "inverse", "read_form", "write_form"]

_ORDERED, _DYADIC, _DECIMAL, _NARROW = range(4)
_UNSIGNED = tuple(np.dtype(f"u{size}") for size in (1, 2, 4, 8))
_MAX_DECIMALS = 8
_EXACT = 2.0**53


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """``value = f(offset + factor * code)``.

    Parameters
    ----------
    kind : int
        What ``f`` is: the bits themselves (in order), ``k / 2**exponent``,
        ``k / 10**exponent``, or a float of ``exponent`` bytes.
    offset, factor : int
    width : int
        Bytes of a code: 1, 2, 4 or 8.
    """

    kind: int
    exponent: int
    offset: int
    factor: int
    width: int


def write_form(form: Form) -> bytes:
    """Write a form in a few bytes."""
    numbers = (form.kind, zigzag(form.exponent), form.offset, form.factor, form.width)
    return join_varints(numbers)


def read_form(data: bytes) -> Form:
    """Undo ``write_form``; raises ``ValueError`` for what is no form."""
    (kind, exponent, offset, factor, width), rest = split_varints(data, 5)
    if rest or kind > _NARROW or width not in (1, 2, 4, 8) or exponent > 4096:
        raise ValueError(f"damaged form of numbers: {data!r}")
    return Form(kind=kind, exponent=unzigzag(exponent), offset=offset, factor=factor, width=width)


def find_form(values: NDArray[Any]) -> Form:
    """Find the form with the fewest bits; floats must be finite and hold no -0.0."""
    forms = [_reduced(values, _ORDERED, 0)]
    if values.dtype.kind == "f":
        forms += [_reduced(values, *kind) for kind in _float_kinds(values)]
    return min(forms, key=lambda form: form.width)


def forward(values: NDArray[Any], form: Form) -> NDArray[Any]:
    """Map values to codes of ``form.width`` bytes."""
    ordered = to_ordered(_carrier(values, form.kind, form.exponent))
    codes = (ordered - ordered.dtype.type(form.offset)) // ordered.dtype.type(form.factor)
    narrow: NDArray[Any] = codes.astype(f"u{form.width}")
    return narrow


def inverse(codes: NDArray[Any], form: Form, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo ``forward``; raises ``ValueError`` if the form does not suit ``dtype``."""
    carrier = _carrier_dtype(dtype, form)
    unsigned = ordered_dtype(carrier)
    if max(form.offset, form.factor) >> (8 * unsigned.itemsize):
        raise ValueError(f"damaged form of numbers: {form} does not fit {dtype}")
    ordered = codes.astype(unsigned) * unsigned.type(form.factor) + unsigned.type(form.offset)
    carried = from_ordered(ordered, carrier)
    with np.errstate(over="ignore"):
        if form.kind == _DYADIC:
            return np.ldexp(carried.astype(np.float64), -form.exponent).astype(dtype)
        if form.kind == _DECIMAL:
            return (carried / 10.0**form.exponent).astype(dtype)
    return carried.astype(dtype, copy=False)


def _carrier_dtype(dtype: np.dtype[Any], form: Form) -> np.dtype[Any]:
    if form.kind == _ORDERED:
        return dtype
    if dtype.kind != "f":
        raise ValueError(f"damaged form of numbers: {form} does not suit {dtype}")
    if form.kind == _NARROW:
        if form.exponent not in (2, 4):
            raise ValueError(f"damaged form of numbers: floats of {form.exponent} bytes")
        return np.dtype(f"f{form.exponent}")
    return np.dtype(np.int64)


def _carrier(values: NDArray[Any], kind: int, exponent: int) -> NDArray[Any]:
    if kind == _ORDERED:
        return values
    if kind == _NARROW:
        with np.errstate(over="ignore"):
            return values.astype(f"f{exponent}")
    wide = values.astype(np.float64)
    scaled = np.ldexp(wide, exponent) if kind == _DYADIC else np.rint(wide * 10.0**exponent)
    return scaled.astype(np.int64)


def _reduced(values: NDArray[Any], kind: int, exponent: int) -> Form:
    """Take the offset and the common factor out of the integers of a kind."""
    ordered = to_ordered(_carrier(values, kind, exponent))
    offset = int(ordered.min())
    span = ordered - ordered.dtype.type(offset)
    # The common factor of a few samples is a multiple of that of all.
    factor = int(np.gcd.reduce(span.reshape(-1)[:4096]))
    if factor != 1:
        factor = int(np.gcd.reduce(span.reshape(-1))) or 1
    top = int(span.max()) // factor
    width = next(dtype.itemsize for dtype in _UNSIGNED if not top >> (8 * dtype.itemsize))
    return Form(kind=kind, exponent=exponent, offset=offset, factor=factor, width=width)


def _float_kinds(values: NDArray[Any]) -> list[tuple[int, int]]:
    """List the kinds that give every value of an array of floats back."""
    kinds = [(_NARROW, size) for size in (2, 4) if size < values.dtype.itemsize]
    exponent = _dyadic_exponent(values)
    kinds += [(_DYADIC, exponent)] if exponent is not None else []
    kinds += [(_DECIMAL, places) for places in range(_MAX_DECIMALS + 1)]
    sample = values.reshape(-1)[:: max(1, values.size // 1024)]
    found = []
    for kind in kinds:
        if _survives(sample, *kind) and _survives(values, *kind):
            found.append(kind)
            if kind[0] == _DECIMAL:
                break
    return found


def _survives(values: NDArray[Any], kind: int, exponent: int) -> bool:
    form = Form(kind=kind, exponent=exponent, offset=0, factor=1, width=8)
    with np.errstate(over="ignore"):
        wide = np.abs(values.astype(np.float64))
        top = float(np.ldexp(wide, exponent).max()) if kind == _DYADIC else 0.0
        top = float((wide * 10.0**exponent).max()) if kind == _DECIMAL else top
    if not top < _EXACT:
        return False
    back = inverse(forward(values, form), form, values.dtype)
    return bool((to_ordered(back) == to_ordered(values)).all())


def _dyadic_exponent(values: NDArray[Any]) -> int | None:
    """Return the smallest e for which ``values * 2**e`` are all integers."""
    fractions, powers = np.frexp(values[values != 0].astype(np.float64))
    if fractions.size == 0:
        return None
    mantissas = np.abs(np.ldexp(fractions, 53)).astype(np.int64)
    zeros = np.log2((mantissas & -mantissas).astype(np.float64)).astype(np.int64)
    exponent = int((53 - zeros - powers).max())
    return exponent if -math.inf < exponent <= 1024 else None
