"""Statistics that merge: a cube is measured part by part in constant memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .parallel import map_slabs

__all__ = [
    "ErrorStats",
    "Mean",
    "RelativeError",
    "check_shapes",
    "difference",
    "psnr_db",
    "valid_samples",
]

Array = NDArray[Any]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

_BLOCK = 1 << 18


def psnr_db(mse: float, peak: float) -> float:
    """Peak signal-to-noise ratio, ``10 log10(peak**2 / mse)``, in dB.

    Returns
    -------
    float
        +inf for ``mse == 0`` whatever the peak; -inf for a peak of 0 (constant data)
        with any error; NaN for a NaN ``mse`` (nothing was measured).

    Raises
    ------
    ValueError
        If ``mse`` or ``peak`` is negative.

    Examples
    --------
    >>> psnr_db(mse=1.0, peak=100.0)
    40.0
    """
    if mse < 0 or peak < 0:
        raise ValueError(f"mse and peak must not be negative, got {mse!r} and {peak!r}")
    if math.isnan(mse):
        return math.nan
    if mse == 0:
        return math.inf
    if peak == 0 or math.isinf(mse):
        return -math.inf
    # Two logarithms: the square of the peak could overflow.
    return 20 * math.log10(peak) - 10 * math.log10(mse)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean that merges: ``value`` is NaN as long as nothing was counted."""

    total: float = 0.0
    count: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        """The mean."""
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True, slots=True)
class RelativeError:
    """A relative RMS error that merges: ``sqrt(sum of errors**2 / sum of references**2)``."""

    error_squares: float = 0.0
    reference_squares: float = 0.0
    count: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.error_squares + other.error_squares,
            self.reference_squares + other.reference_squares,
            self.count + other.count,
        )

    @property
    def value(self) -> float:
        """NaN without samples, 0 without error, inf for errors on a zero reference."""
        if not self.count:
            return math.nan
        if self.error_squares == 0:
            return 0.0
        if self.reference_squares == 0:
            return math.inf
        return math.sqrt(self.error_squares / self.reference_squares)


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorStats:
    """Error statistics over valid samples, in float64; ``a + b`` merges two parts.

    Parameters
    ----------
    n_total, n_valid : int
    sum_error, sum_abs, sum_squares : float
        Of decoded minus reference.
    max_error : float
        Largest absolute error.
    ref_min, ref_max : float
        +inf and -inf when there is no valid sample.
    ref_mean, ref_scatter : float
        Mean of the reference, and its sum of squared deviations from that mean: plain
        sums of squares would cancel for a small range on a large offset.
    """

    n_total: int = 0
    n_valid: int = 0
    sum_error: float = 0.0
    sum_abs: float = 0.0
    sum_squares: float = 0.0
    max_error: float = 0.0
    ref_min: float = math.inf
    ref_max: float = -math.inf
    ref_mean: float = 0.0
    ref_scatter: float = 0.0

    @classmethod
    def of(
        cls, reference: Array, decoded: Array, valid: Bool | None = None, threads: int = 1
    ) -> Self:
        """Measure arrays of any shape and any integer or float dtype.

        Parameters
        ----------
        reference, decoded : ndarray, same shape
        valid : ndarray of bool, same shape, optional
            Default: wherever the reference is finite.
        threads : int
            The result is the same with any number.

        Raises
        ------
        ValueError
            If shapes differ.
        """
        check_shapes(reference, decoded, valid)
        blocks = _blocks(reference, decoded, valid)
        return reduce(add, map_slabs(lambda part: cls._of_block(*part), blocks, threads), cls())

    @classmethod
    def _of_block(cls, reference: Array, decoded: Array, valid: Bool) -> Self:
        if reference.dtype.kind == "f":
            valid = valid & np.isfinite(reference)
        n_valid = int(np.count_nonzero(valid))
        if n_valid == 0:
            return cls(n_total=valid.size)
        size = valid.size
        if n_valid < size:
            decoded, reference = decoded[valid], reference[valid]
        error = difference(decoded, reference)
        # A shift first: the mean of values near the largest float must not overflow.
        shift = float(reference[0])
        with np.errstate(over="ignore", invalid="ignore"):
            sum_error = float(error.sum())
            sum_squares = float(np.einsum("i,i->", error, error))
            magnitude = np.abs(error, out=error)
            centred = np.subtract(reference, shift, dtype=np.float64)
            mean = float(np.mean(centred))
            centred -= mean
            return cls(
                n_total=size,
                n_valid=n_valid,
                sum_error=sum_error,
                sum_abs=float(magnitude.sum()),
                sum_squares=sum_squares,
                max_error=float(magnitude.max()),
                ref_min=float(reference.min()),
                ref_max=float(reference.max()),
                ref_mean=shift + mean,
                # A range beyond the largest float: the mean is infinite, and so are deviations.
                ref_scatter=float(np.einsum("i,i->", centred, centred))
                if math.isfinite(mean)
                else math.inf,
            )

    def __add__(self, other: Self) -> Self:
        if not (self.n_valid and other.n_valid):
            kept = self if self.n_valid else other
            return type(self)(**(_fields(kept) | {"n_total": self.n_total + other.n_total}))
        n_valid = self.n_valid + other.n_valid
        apart, share = other.ref_mean - self.ref_mean, other.n_valid / n_valid
        return type(self)(
            n_total=self.n_total + other.n_total,
            n_valid=n_valid,
            sum_error=self.sum_error + other.sum_error,
            sum_abs=self.sum_abs + other.sum_abs,
            sum_squares=self.sum_squares + other.sum_squares,
            max_error=max(self.max_error, other.max_error),
            ref_min=min(self.ref_min, other.ref_min),
            ref_max=max(self.ref_max, other.ref_max),
            ref_mean=self.ref_mean + apart * share,
            # Chan, Golub and LeVeque's update of pairwise variances.
            ref_scatter=self.ref_scatter + other.ref_scatter + apart * apart * self.n_valid * share,
        )

    def scaled(self, scale: float, offset: float = 0.0) -> Self:
        """Express the statistics in other units: ``value * scale + offset``."""
        size = abs(scale)
        ends = sorted((self.ref_min * scale + offset, self.ref_max * scale + offset))
        return type(self)(
            n_total=self.n_total,
            n_valid=self.n_valid,
            sum_error=self.sum_error * scale,
            sum_abs=self.sum_abs * size,
            sum_squares=self.sum_squares * size * size,
            max_error=self.max_error * size,
            ref_min=ends[0] if self.n_valid else math.inf,
            ref_max=ends[1] if self.n_valid else -math.inf,
            ref_mean=self.ref_mean * scale + offset,
            ref_scatter=self.ref_scatter * size * size,
        )

    def times(self, copies: int) -> Self:
        """Count every sample several times, as for a grid that repeats each of them."""
        counted = {
            name: getattr(self, name) * copies
            for name in ("n_total", "n_valid", "sum_error", "sum_abs", "sum_squares", "ref_scatter")
        }
        return type(self)(**(_fields(self) | counted))

    @property
    def mse(self) -> float:
        """Mean squared error; NaN without valid samples, like all means here."""
        return self._mean(self.sum_squares)

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return math.sqrt(self.mse)

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self._mean(self.sum_abs)

    @property
    def bias(self) -> float:
        """Mean of decoded minus reference."""
        return self._mean(self.sum_error)

    @property
    def peak_range(self) -> float:
        """Largest minus smallest valid reference sample; NaN without any."""
        return self.ref_max - self.ref_min if self.n_valid else math.nan

    @property
    def r2(self) -> float:
        """Coefficient of determination, ``1 - sum of errors**2 / scatter``.

        For a constant reference: 1 if there is no error, otherwise -inf.
        """
        if not self.n_valid:
            return math.nan
        if self.sum_squares == 0:
            return 1.0
        return 1 - self.sum_squares / self.ref_scatter if self.ref_scatter else -math.inf

    def psnr_db(self, peak: float | None = None) -> float:
        """PSNR in dB for a peak, by default the range of the reference (``psnr_db``)."""
        return psnr_db(self.mse, self.peak_range if peak is None else peak)

    def _mean(self, total: float) -> float:
        return total / self.n_valid if self.n_valid else math.nan


def _fields(stats: ErrorStats) -> dict[str, Any]:
    """Shallow copy of all fields, to make a changed one from."""
    return {name: getattr(stats, name) for name in ErrorStats.__slots__}


def check_shapes(reference: Array, decoded: Array, valid: Bool | None) -> None:
    """Refuse to broadcast: it would weigh samples wrongly in silence."""
    shapes = {reference.shape, decoded.shape} | ({valid.shape} if valid is not None else set())
    if len(shapes) > 1:
        raise ValueError(f"shapes must be equal, got {sorted(shapes)}")


def valid_samples(reference: Array, valid: Bool | None) -> Bool:
    """Apply the definition of a valid sample."""
    finite = np.isfinite(reference)
    return finite if valid is None else finite & valid


def _blocks(
    reference: Array, decoded: Array, valid: Bool | None
) -> Iterator[tuple[Array, Array, Bool]]:
    """Cut into flat pieces, so that the float64 copies stay small."""
    flat_reference, flat_decoded = reference.reshape(-1), decoded.reshape(-1)
    flat_valid = None if valid is None else valid.reshape(-1)
    for start in range(0, reference.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        ref = flat_reference[part]
        yield ref, flat_decoded[part], np.isfinite(ref) if flat_valid is None else flat_valid[part]


def difference(decoded: Array, reference: Array) -> Float:
    """Subtract in float64; what is not finite becomes an infinite error."""
    wide = decoded.dtype.kind in "iu" and decoded.dtype.itemsize == 8
    if wide and decoded.dtype == reference.dtype:
        # Differences of 64-bit integers need 65 bits: the magnitude modulo 2**64 is exact.
        upper, lower = np.maximum(decoded, reference), np.minimum(decoded, reference)
        magnitude = (upper.view(np.uint64) - lower.view(np.uint64)).astype(np.float64)
        return np.where(decoded < reference, -magnitude, magnitude)
    with np.errstate(over="ignore", invalid="ignore"):
        error: Float = np.subtract(decoded, reference, dtype=np.float64)
    finite = np.isfinite(error)
    if not finite.all():
        error[~finite] = np.inf
    return error
