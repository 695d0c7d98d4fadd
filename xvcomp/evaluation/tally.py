"""Mergeable sums of one frame of one variable, and the numbers that they make."""

from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..metrics import ErrorStats, Mean, RelativeError

__all__ = ["FrameScale", "Tally", "numbers", "tally_frame", "total"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Sums that merge with ``+``; ``errors`` is in unpacked units."""

    errors: ErrorStats = field(default_factory=ErrorStats)
    ssim: Mean = field(default_factory=Mean)
    gradient: RelativeError = field(default_factory=RelativeError)
    spectrum: Mean = field(default_factory=Mean)
    angle: Mean = field(default_factory=Mean)
    lost: int = 0
    invented: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(
            errors=self.errors + other.errors,
            ssim=self.ssim + other.ssim,
            gradient=self.gradient + other.gradient,
            spectrum=self.spectrum + other.spectrum,
            angle=self.angle + other.angle,
            lost=self.lost + other.lost,
            invented=self.invented + other.invented,
        )


@dataclass(frozen=True, slots=True)
class FrameScale:
    """What SSIM refers to: the peak of the quality set and its smallest valid value."""

    peak: float
    low: float


def total(tallies: Any) -> Tally:
    """Add up any number of tallies."""
    return reduce(add, tallies, Tally())


def tally_frame(
    reference: NDArray[np.float64],
    decoded: NDArray[np.float64],
    valid: NDArray[np.bool_],
    scale: FrameScale,
) -> Tally:
    """Measure the structure of one frame of one variable.

    Parameters
    ----------
    reference, decoded : ndarray of float64, shape (band, y, x)
        In unpacked units; decoded samples that are missing are NaN.
    valid : ndarray of bool, same shape
    scale : FrameScale
    """
    ssim, spectrum = Mean(), Mean()
    for ref, dec, mask in zip(reference, decoded, valid, strict=True):
        # Classes and bands without valid samples have no range to speak of.
        if np.isfinite(scale.peak):
            ssim += metrics.ssim_frame(ref, dec, mask, scale.peak, offset=scale.low)
        spectrum += metrics.power_spectrum_error(ref, dec, mask)
    return Tally(
        ssim=ssim, spectrum=spectrum, gradient=metrics.gradient_error(reference, decoded, valid)
    )


def numbers(tally: Tally, peak: float) -> dict[str, Any]:
    """Turn sums into the fields that all scores share."""
    errors = tally.errors
    return {
        "psnr_db": errors.psnr_db(peak),
        "peak": peak,
        "rmse": errors.rmse,
        "mae": errors.mae,
        "bias": errors.bias,
        "max_error": errors.max_error if errors.n_valid else float("nan"),
        "r2": errors.r2,
        "ssim": tally.ssim.value,
        "dssim": metrics.dssim(tally.ssim.value),
        "gradient_error": tally.gradient.value,
        "power_spectrum_error_db": tally.spectrum.value,
        "valid_fraction": errors.n_valid / errors.n_total if errors.n_total else float("nan"),
        "n_valid": errors.n_valid,
        "n_lost": tally.lost,
        "n_invented": tally.invented,
    }
