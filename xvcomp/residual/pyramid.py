"""Fields coded within a bound, or without loss: each sample predicted from coarser ones.

Samples are visited from coarse to fine in time and space (``passes``, ``stencils``). Each
is predicted linearly from its neighbours, from the same place in the nearest known frames
and in the bands before, by weights that were fitted to the data (``weights``). What is left
is rounded to multiples of the step and coded by its expected magnitude (``contexts``).
Predictions are made from rebuilt values, so that errors do not add up. All arithmetic that
a decoder repeats is elementwise, in a fixed order: it gives the same bits everywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

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


class _Coder(ABC):
    """One side of the coding of passes."""

    def __init__(self, steps: Sequence[float], rounded: Sequence[bool], valid: Valid) -> None:
        self._steps = steps
        self._rounded = rounded
        self._valid = valid

    def code(self, each: Pass) -> Coded:
        """Return rebuilt samples, and the roots of their corrections' magnitudes."""
        predicted = combine(each.base, each.features, self.weights(each))
        if self._rounded[each.band]:
            step = self._steps[each.band]
            predicted = np.rint(predicted * step) / step
        k = self.corrections(each, predicted).astype(np.float64)
        return predicted + k, np.sqrt(np.abs(k)).astype(np.float32)

    @abstractmethod
    def weights(self, each: Pass) -> NDArray[np.int64]:
        """Return the weights of a pass's features."""

    @abstractmethod
    def corrections(self, each: Pass, predicted: Field) -> NDArray[np.int64]:
        """Return the corrections of a pass, zero where samples are not valid."""

    def _mask(self, each: Pass) -> Valid:
        return None if self._valid is None else self._valid[each.place]


class _Writer(_Coder):
    def __init__(
        self, codes: Field, steps: Sequence[float], rounded: Sequence[bool], valid: Valid
    ) -> None:
        super().__init__(steps, rounded, valid)
        self._codes = codes
        self._weights = WeightWriter()
        self._contexts = ContextWriter()

    def weights(self, each: Pass) -> NDArray[np.int64]:
        if not each.features:
            return np.zeros(0, np.int64)
        wanted = self._codes[each.place] - each.base
        # Rounding to whole steps leaves a variance of 1/12 in everything rebuilt.
        return self._weights.fit(
            each.kind, each.default, each.features, wanted, self._mask(each), 1 / 12
        )

    def corrections(self, each: Pass, predicted: Field) -> NDArray[np.int64]:
        valid = self._mask(each)
        wanted = np.rint(self._codes[each.place] - predicted)
        k: NDArray[np.int64] = np.clip(wanted, -_LARGEST_K, _LARGEST_K).astype(np.int64)
        if valid is not None:
            k[~valid] = 0
        kind = ("activity", *each.kind)
        roots = np.sqrt(np.abs(k.astype(np.float64)))
        weights = self._weights.fit(kind, each.expected, each.activity, roots, valid, 1e-3)
        contexts = classify(combine(np.zeros(k.shape), each.activity, weights))
        chosen = slice(None) if valid is None else valid.reshape(-1)
        self._contexts.add(k.reshape(-1)[chosen], contexts.reshape(-1)[chosen])
        return k

    def write(self) -> list[bytes]:
        return [self._weights.write(), self._contexts.write()]


class _Reader(_Coder):
    def __init__(
        self,
        parts: Sequence[bytes],
        shape: tuple[int, ...],
        steps: Sequence[float],
        rounded: Sequence[bool],
        valid: Valid,
    ) -> None:
        super().__init__(steps, rounded, valid)
        self._weights = WeightReader(parts[0], count_fits(shape))
        samples = int(np.prod(shape)) if valid is None else int(valid.sum())
        self._contexts = ContextReader(parts[1], samples)

    def weights(self, each: Pass) -> NDArray[np.int64]:
        if not each.features:
            return np.zeros(0, np.int64)
        return self._weights.next(each.kind, each.default)

    def corrections(self, each: Pass, predicted: Field) -> NDArray[np.int64]:
        weights = self._weights.next(("activity", *each.kind), each.expected)
        contexts = classify(combine(np.zeros(predicted.shape), each.activity, weights))
        valid = self._mask(each)
        if valid is None:
            return self._contexts.take(contexts.reshape(-1)).reshape(predicted.shape)
        k = np.zeros(predicted.shape, np.int64)
        k[valid] = self._contexts.take(contexts[valid])
        return k
