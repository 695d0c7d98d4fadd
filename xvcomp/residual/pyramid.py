"""Fields coded within a bound, or without loss: each sample predicted from coarser ones.

Samples are visited from coarse to fine in time and space (``passes``, ``stencils``). Each
is predicted linearly from its neighbours, from the same place in the nearest known frames
and in the bands before, by weights that were fitted to the data (``weights``). What is left
is rounded to multiples of the step and coded by its expected magnitude (``contexts``).
Predictions are made from rebuilt values, so that errors do not add up. All arithmetic that
a decoder repeats is elementwise, in a fixed order: it gives the same bits everywhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contexts import ContextReader, ContextWriter, classify
from .framing import join_varints, pack, split_varints, unpack, unzigzag, zigzag
from .passes import Coded, Pass, count_fits, walk
from .weights import WeightReader, WeightWriter, combine

__all__ = ["decode_pyramid", "encode_pyramid"]

Field = NDArray[np.float64]
Valid = NDArray[np.bool_] | None

_LARGEST_K = 2.0**52


def encode_pyramid(
    values: Field, steps: Sequence[float], *, rounded: Sequence[bool], valid: Valid = None
) -> tuple[bytes, Field]:
    """Code gap-free bands to within half a step.

    Parameters
    ----------
    values : ndarray of float64, shape (time, band, y, x)
        Finite everywhere.
    steps : sequence of float
        Per band, positive.
    rounded : sequence of bool
        Per band, whether values and step are integers; then so is the result.
    valid : ndarray of bool, same shape, optional
        Samples that matter; the others cost nothing, and come back as predicted.

    Returns
    -------
    payload : bytes
    rebuilt : ndarray of float64, same shape
        Exactly what ``decode_pyramid`` gives. Up to rounding errors of float64, within
        half a step of every valid sample.
    """
    widths = np.array(steps, dtype=np.float64)[:, None, None]
    codes = values / widths
    centres = [_centre(codes[:, band], _part(valid, band)) for band in range(len(steps))]
    codes -= np.array(centres, dtype=np.float64)[:, None, None]
    writer = _Writer(codes, steps, rounded, valid)
    rebuilt = walk(values.shape, writer.code)
    head = join_varints(zigzag(centre) for centre in centres)
    return pack([head, *writer.write()]), _scaled(rebuilt, centres, widths, rounded)


def decode_pyramid(
    payload: bytes,
    shape: tuple[int, ...],
    steps: Sequence[float],
    *,
    rounded: Sequence[bool],
    valid: Valid = None,
) -> Field:
    """Undo ``encode_pyramid``.

    Raises
    ------
    ValueError
        If the payload is damaged, or was made for another shape or mask.
    """
    parts = unpack(payload)
    if len(parts) != 3 or len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"a pyramid of shape {shape} has 3 parts, got {len(parts)}")
    codes, rest = split_varints(parts[0], len(steps))
    if rest:
        raise ValueError(f"{len(rest)} bytes follow the centres")
    centres = [unzigzag(code) for code in codes]
    reader = _Reader(parts[1:], shape, steps, rounded, valid)
    # Damaged weights may blow values up; they are garbage then, but no crash.
    with np.errstate(all="ignore"):
        rebuilt = walk(shape, reader.code)
        return _scaled(rebuilt, centres, np.array(steps)[:, None, None], rounded)


def _centre(codes: Field, valid: Valid) -> int:
    chosen = codes if valid is None else codes[valid]
    return int(np.rint(chosen.mean())) if chosen.size else 0


def _part(valid: Valid, band: int) -> Valid:
    return None if valid is None else valid[:, band]


def _scaled(
    rebuilt: Field, centres: Sequence[int], widths: Field, rounded: Sequence[bool]
) -> Field:
    """Return to the values' own units, as (time, band, y, x)."""
    moved = rebuilt.transpose(1, 0, 2, 3) + np.array(centres, dtype=np.float64)[:, None, None]
    moved *= widths
    for band, whole in enumerate(rounded):
        if whole:
            np.rint(moved[:, band], out=moved[:, band])
    return moved


class _Writer:
    """Predicts and corrects pass by pass, and keeps what the decoder needs."""

    def __init__(
        self, codes: Field, steps: Sequence[float], rounded: Sequence[bool], valid: Valid
    ) -> None:
        self._codes = codes
        self._steps = steps
        self._rounded = rounded
        self._valid = valid
        self._weights = WeightWriter()
        self._contexts = ContextWriter()

    def code(self, each: Pass) -> Coded:
        """Return rebuilt samples, and the roots of their corrections' magnitudes."""
        wanted = self._codes[each.place]
        valid = None if self._valid is None else self._valid[each.place]
        part = each.part(slice(None))
        predicted = part.base
        features = list(part.features)
        if features:
            # Rounding to whole steps leaves a variance of 1/12 in everything rebuilt.
            weights = self._weights.fit(
                each.kind, each.default, features, wanted - part.base, valid, 1 / 12
            )
            predicted = combine(part.base, features, weights)
        if self._rounded[each.band]:
            _to_whole(predicted, self._steps[each.band])
        wanted -= predicted
        np.rint(wanted, out=wanted)
        k = np.clip(wanted, -_LARGEST_K, _LARGEST_K, out=wanted)
        if valid is not None:
            k[~valid] = 0
        roots = np.sqrt(np.abs(k))
        self._add(each, k, roots, list(part.activity), valid)
        predicted += k
        return predicted, roots.astype(np.float32)

    def _add(
        self, each: Pass, k: Field, roots: Field, activity: list[NDArray[Any]], valid: Valid
    ) -> None:
        """Keep corrections with their contexts."""
        kind = ("activity", *each.kind)
        weights = self._weights.fit(kind, each.expected, activity, roots, valid, 1e-3)
        contexts = classify(combine(np.zeros(k.shape), activity, weights))
        chosen = slice(None) if valid is None else valid.reshape(-1)
        self._contexts.add(k.reshape(-1)[chosen].astype(np.int64), contexts.reshape(-1)[chosen])

    def write(self) -> list[bytes]:
        return [self._weights.write(), self._contexts.write()]


class _Reader:
    """Repeats the predictions of a writer, part by part, and corrects them."""

    def __init__(
        self,
        parts: Sequence[bytes],
        shape: tuple[int, ...],
        steps: Sequence[float],
        rounded: Sequence[bool],
        valid: Valid,
    ) -> None:
        self._steps = steps
        self._rounded = rounded
        self._valid = valid
        self._weights = WeightReader(parts[0], count_fits(shape))
        samples = int(np.prod(shape)) if valid is None else int(valid.sum())
        self._contexts = ContextReader(parts[1], samples)

    def code(self, each: Pass) -> Coded:
        """Return rebuilt samples, and the roots of their corrections' magnitudes."""
        weights = np.zeros(0, np.int64)
        if each.default:
            weights = self._weights.next(each.kind, each.default)
        expected = self._weights.next(("activity", *each.kind), each.expected)
        valid = None if self._valid is None else self._valid[each.place]
        values, roots = np.empty(each.shape), np.empty(each.shape, np.float32)
        for span in each.spans():
            part = each.part(span)
            predicted = combine(part.base, part.features, weights)
            if self._rounded[each.band]:
                _to_whole(predicted, self._steps[each.band])
            contexts = classify(combine(np.zeros(predicted.shape), part.activity, expected))
            k = self._corrections(contexts, None if valid is None else valid[span])
            np.add(predicted, k, out=values[span])
            roots[span] = np.sqrt(np.abs(k, dtype=np.float64))
        return values, roots

    def _corrections(self, contexts: NDArray[np.uint8], valid: Valid) -> NDArray[Any]:
        if valid is None:
            return self._contexts.take(contexts.reshape(-1)).reshape(contexts.shape)
        k = np.zeros(contexts.shape, np.int64)
        k[valid] = self._contexts.take(contexts[valid])
        return k


def _to_whole(predicted: Field, step: float) -> None:
    """Round predictions of integers, in place."""
    predicted *= step
    np.rint(predicted, out=predicted)
    predicted /= step
