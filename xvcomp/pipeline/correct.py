"""The correction layer of one GOP: samples within a bound, with or without a video below.

Whatever was predicted, the result is clipped to the range of the valid samples and cast to
the stored dtype before it is compared: samples that miss the bound even so, or that came
out equal to a fill value, are exceptions, kept to the bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import masks, residual
from ..spec import BandGroup, Planes, ResidualSpec
from .samples import VariableForm, clip, to_dtype
from .slabs import band_slabs, cast_into, slabs
from .wavelets import decode_wavelets, encode_wavelets

__all__ = ["Correction", "Gop", "correct", "encode_correction"]

Field = NDArray[np.float64]

_ZERO, _POSITIVE, _NEGATIVE = range(3)
_LARGEST_K = 2.0**52


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What an encoder is asked for.

    Parameters
    ----------
    spec : ResidualSpec
    limits : tuple of float
        Per variable, the largest error of a valid sample: in stored units, or for ``log``
        relative to the sample. Infinite where only the mean error matters.
    """

    spec: ResidualSpec
    limits: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gop:
    """One GOP of one block as it was read, and as its video came back.

    Parameters
    ----------
    stored : sequence of ndarray, shape (time, band, y, x)
        Per variable.
    classes : ndarray of uint8, shape (time, band, y, x)
        Class 0 is valid.
    filled : ndarray of float64, same shape
        Stored values without gaps.
    base : ndarray of float64, same shape, or None
        Decoded video in stored units.
    """

    stored: Sequence[NDArray[Any]]
    classes: NDArray[np.uint8]
    filled: Field
    base: Field | None = None


def encode_correction(
    group: BandGroup, forms: Sequence[VariableForm], gop: Gop, correction: Correction
) -> bytes:
    """Write the packet with which ``correct`` brings every valid sample within its limit."""
    spec = correction.spec
    valid = None if not gop.classes.any() else gop.classes == 0
    field, signs = (gop.filled, None) if spec.kind == "linear" else _logarithms(gop)
    base = _base(gop.base, forms)
    counted = valid if signs is None else _counted(signs)
    coded = field if base is None else field - base
    body, rebuilt = _encode_field(spec, forms, coded, counted)
    head = b"" if signs is None else residual.encode_codes(signs)
    values = _finish(group, forms, rebuilt if base is None else base + rebuilt, signs)
    exceptions = [
        residual.encode_exceptions(stored, _missed(stored, rebuilt_, ok, limit, spec, special))
        for stored, rebuilt_, ok, limit, special in zip(
            gop.stored,
            values,
            _by_variable(gop.classes == 0, forms),
            correction.limits,
            _specials(group, forms),
            strict=True,
        )
    ]
    return residual.pack([head, body, *exceptions])


def correct(
    group: BandGroup,
    forms: Sequence[VariableForm],
    payload: bytes,
    *,
    out: Sequence[NDArray[Any]],
    classes: NDArray[np.uint8] | None,
    streams: Sequence[Planes],
) -> None:
    """Rebuild the samples of one GOP, special values apart.

    Parameters
    ----------
    payload : bytes
        From ``encode_correction``.
    out : sequence of ndarray, shape (time, band, y, x)
        One per variable, of its stored dtype; written to.
    classes : ndarray of uint8, shape (time, band, y, x), or None
        Of all variables together; ``None`` where every sample is valid.
    streams : sequence of Planes
        Of the decoded video; empty for a group without one.

    Raises
    ------
    ValueError
        If the payload is damaged.
    """
    spec = group.residual
    parts = residual.unpack(payload)
    if spec is None or len(parts) != 2 + len(forms) or len(spec.steps) != len(forms):
        raise ValueError(f"{len(parts)} parts do not correct {len(forms)} variables")
    time, _, height, width = out[0].shape
    shape = (time, sum(form.bands for form in forms), height, width)
    valid = classes == 0 if classes is not None and classes.any() else None
    signs = None
    if spec.kind == "log":
        signs = residual.decode_codes(parts[0], shape, np.dtype(np.uint8))
        valid = _counted(signs)
    decoded = _decode_field(spec, forms, parts[1], shape, valid)
    for span, rows, base in _base_slabs(group, streams, shape):
        _correct_slab(group, forms, decoded, signs, (span, rows), base, out)
    for exceptions, each in zip(parts[2:], out, strict=True):
        residual.decode_exceptions(exceptions, each)


def _base_slabs(
    group: BandGroup, streams: Sequence[Planes], shape: tuple[int, int, int, int]
) -> Iterator[tuple[slice, slice, Field | None]]:
    """Cut a GOP into slabs, each with what the video says of it, if there is one."""
    time, bands, height, width = shape
    if group.klt is not None:
        yield from band_slabs(group, streams, (time, height, width))
    else:
        for span, rows in slabs(time, height, bands * width):
            yield span, rows, None


def _correct_slab(
    group: BandGroup,
    forms: Sequence[VariableForm],
    decoded: Sequence[tuple[NDArray[Any], float]],
    signs: NDArray[np.uint8] | None,
    place: tuple[slice, slice],
    base: Field | None,
    out: Sequence[NDArray[Any]],
) -> None:
    """Add corrections to a slab, and cast it to samples."""
    span, rows = place
    start = 0
    for (field, step), form, low, high, target in zip(
        decoded, forms, group.valid_min, group.valid_max, out, strict=True
    ):
        bands = slice(start, start + form.bands)
        start += form.bands
        values = np.multiply(field[span, :, rows], step, dtype=np.float64)
        if base is not None:
            known = base[:, bands]
            values += np.rint(known, out=known) if _whole(form) else known
        if signs is not None:
            values = _signed(values, signs[span, bands, rows])
        with np.errstate(invalid="ignore", over="ignore"):
            cast_into(values, low, high, target[span, :, rows])


def _signed(logarithms: Field, signs: NDArray[np.uint8]) -> Field:
    """Turn logarithms of magnitudes back into values."""
    magnitudes = np.where(signs == _ZERO, 0.0, residual.exp2(logarithms))
    return np.where(signs == _NEGATIVE, -magnitudes, magnitudes)


def _by_variable(bands: NDArray[Any], forms: Sequence[VariableForm]) -> list[NDArray[Any]]:
    """Cut an array (time, band, y, x) into variables."""
    ends = np.cumsum([form.bands for form in forms])[:-1]
    return np.split(bands, ends, axis=1)


def _base(base: Field | None, forms: Sequence[VariableForm]) -> Field | None:
    """Round the bands of integer variables, so that their corrections are integers."""
    if base is None:
        return None
    parts = _by_variable(base, forms)
    return np.concatenate(
        [np.rint(part) if _whole(form) else part for part, form in zip(parts, forms, strict=True)],
        axis=1,
    )


def _whole(form: VariableForm) -> bool:
    return form.dtype.kind in "iu"


def _logarithms(gop: Gop) -> tuple[Field, NDArray[np.uint8]]:
    """Return binary logarithms of magnitudes without gaps, and the signs."""
    values = np.where(gop.classes == 0, gop.filled, 0.0)
    signs = np.where(values > 0, _POSITIVE, np.where(values < 0, _NEGATIVE, _ZERO))
    some = signs != _ZERO
    logs = np.log2(np.abs(values), where=some, out=np.zeros(values.shape))
    return logs if some.all() else masks.fill(logs, some), signs.astype(np.uint8)


def _counted(signs: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    some: NDArray[np.bool_] = signs != _ZERO
    return None if some.all() else some


def _bands(values: Sequence[Any], forms: Sequence[VariableForm]) -> list[Any]:
    """Repeat what is known per variable for each of its bands."""
    return [value for value, form in zip(values, forms, strict=True) for _ in range(form.bands)]


def _encode_field(
    spec: ResidualSpec,
    forms: Sequence[VariableForm],
    field: Field,
    valid: NDArray[np.bool_] | None,
) -> tuple[bytes, Field]:
    """Code values to within half a step, or by wavelets; returns what is rebuilt, too."""
    if spec.coder == "pyramid":
        steps, rounded = _bands(spec.steps, forms), _rounded(spec, forms)
        return residual.encode_pyramid(field, steps, rounded=rounded, valid=valid)
    if spec.coder == "wavelets":
        return encode_wavelets(field, _bands(spec.steps, forms))
    multiples = np.rint(field / _widths(spec, forms))
    k = np.clip(multiples, -_LARGEST_K, _LARGEST_K).astype(np.int64)
    if valid is not None:
        k[~valid] = 0
    parts = _by_variable(k, forms)
    if spec.coder == "lattice":
        kept = [None] * len(forms) if valid is None else _by_variable(valid, forms)
        payloads = [
            residual.encode_lattice(part, valid=own) for part, own in zip(parts, kept, strict=True)
        ]
    else:
        payloads = [residual.encode_ints(part) for part in parts]
    return residual.pack(payloads), k * _widths(spec, forms)


def _decode_field(
    spec: ResidualSpec,
    forms: Sequence[VariableForm],
    payload: bytes,
    shape: tuple[int, int, int, int],
    valid: NDArray[np.bool_] | None,
) -> list[tuple[NDArray[Any], float]]:
    """Decode each variable's corrections: numbers, and what to multiply them by."""
    if spec.coder == "pyramid":
        steps, rounded = _bands(spec.steps, forms), _rounded(spec, forms)
        field = residual.decode_pyramid(payload, shape, steps, rounded=rounded, valid=valid)
        return [(part, 1.0) for part in _by_variable(field, forms)]
    if spec.coder == "wavelets":
        field = decode_wavelets(payload, shape, _bands(spec.steps, forms))
        return [(part, 1.0) for part in _by_variable(field, forms)]
    payloads = residual.unpack(payload)
    time, _, height, width = shape
    sizes = [(time, form.bands, height, width) for form in forms]
    if spec.coder == "lattice":
        kept = [None] * len(forms) if valid is None else _by_variable(valid, forms)
        parts = [
            residual.decode_lattice(each, size, valid=own)
            for each, size, own in zip(payloads, sizes, kept, strict=True)
        ]
    else:
        parts = [
            residual.decode_narrow_ints(each, size)
            for each, size in zip(payloads, sizes, strict=True)
        ]
    return list(zip(parts, spec.steps, strict=True))


def _rounded(spec: ResidualSpec, forms: Sequence[VariableForm]) -> list[bool]:
    return _bands([spec.kind == "linear" and _whole(form) for form in forms], forms)


def _widths(spec: ResidualSpec, forms: Sequence[VariableForm]) -> Field:
    return np.array(_bands(spec.steps, forms), dtype=np.float64)[:, None, None]


def _finish(
    group: BandGroup,
    forms: Sequence[VariableForm],
    rebuilt: Field,
    signs: NDArray[np.uint8] | None,
) -> list[NDArray[Any]]:
    """Turn rebuilt values into samples: of their sign, in range, in the stored dtype."""
    if signs is not None:
        rebuilt = _signed(rebuilt, signs)
    with np.errstate(invalid="ignore"):
        return [
            to_dtype(clip(part, low, high), form.dtype)
            for part, form, low, high in zip(
                _by_variable(rebuilt, forms), forms, group.valid_min, group.valid_max, strict=True
            )
        ]


def _specials(group: BandGroup, forms: Sequence[VariableForm]) -> list[NDArray[Any]]:
    if group.mask is None:
        return [np.zeros(0, form.dtype) for form in forms]
    return [special.numpy() for special in group.mask.specials]


def _missed(
    stored: NDArray[Any],
    rebuilt: NDArray[Any],
    valid: NDArray[np.bool_],
    limit: float,
    spec: ResidualSpec,
    specials: NDArray[Any],
) -> NDArray[np.bool_]:
    """Find the valid samples that are off by more than the limit, or look like a gap."""
    truth = stored.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(truth - rebuilt.astype(np.float64))
        allowed = limit * np.abs(truth) if spec.kind == "log" else limit
        missed: NDArray[np.bool_] = ~(error <= allowed)
    if specials.size:
        missed |= np.isin(rebuilt, specials)
    return missed & valid
