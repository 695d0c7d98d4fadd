"""Bjøntegaard's rate difference, with monotone (PCHIP) interpolation, and Pareto fronts."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

__all__ = ["bd_rate", "best_front", "pareto_front", "rate_at"]

RdPoint = tuple[float, float]
"""``(bpppb, psnr_db)``."""


def pareto_front(points: Iterable[RdPoint]) -> list[RdPoint]:
    """Return the points that no other beats, by rising rate; both coordinates rise strictly.

    Points of infinite PSNR or no rate are left out: they have no place on a curve.
    """
    front: list[RdPoint] = []
    usable = (p for p in points if np.isfinite(p[1]) and p[0] > 0)
    for rate, psnr_db in sorted(usable, key=lambda p: (p[0], -p[1])):
        if not front or psnr_db > front[-1][1]:
            front.append((rate, psnr_db))
    return front


def best_front(curves: Iterable[Sequence[RdPoint]]) -> list[RdPoint]:
    """Return the best of several curves at every PSNR.

    A point stays only if no other curve, interpolated, gets its PSNR for less. The mere Pareto
    front of all points would be a staircase where two curves are close, worse than either.
    """
    fronts = [pareto_front(points) for points in curves]
    kept = [
        point
        for front in fronts
        for point in front
        if not any(_beats(other, point) for other in fronts if other is not front)
    ]
    return pareto_front(kept)


def _beats(front: Sequence[RdPoint], point: RdPoint) -> bool:
    return len(front) > 1 and rate_at(front, point[1]) < point[0]


def bd_rate(reference: Sequence[RdPoint], test: Sequence[RdPoint]) -> float:
    """Return the mean difference in rate at equal PSNR, in percent; negative is smaller.

    Parameters
    ----------
    reference, test : sequence of (bpppb, psnr_db)
        At least two points each; their Pareto fronts are compared.

    Raises
    ------
    ValueError
        If a front has fewer than two points, or the fronts share no PSNR interval.

    Notes
    -----
    The mean is over log-rate, on the PSNR interval that both fronts cover.

    References
    ----------
    G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.
    """
    curves = [_log_rate_curve(points) for points in (reference, test)]
    low = max(curve.x[0] for curve in curves)
    high = min(curve.x[-1] for curve in curves)
    if low >= high:
        raise ValueError(
            f"the curves share no PSNR interval: {_span(curves[0])} and {_span(curves[1])}"
        )
    areas = [float(curve.integrate(low, high)) for curve in curves]
    return float(np.expm1((areas[1] - areas[0]) / (high - low)) * 100)


def rate_at(points: Sequence[RdPoint], psnr_db: float) -> float:
    """Return the rate in bpppb at a PSNR, NaN outside of what was measured."""
    curve = _log_rate_curve(points)
    return float(np.exp(curve(psnr_db, extrapolate=False)))


def _log_rate_curve(points: Sequence[RdPoint]) -> PchipInterpolator:
    front = pareto_front(points)
    if len(front) < 2:
        raise ValueError(f"a curve needs two points on its Pareto front, got {len(front)}")
    rates, psnrs = np.array(front).T
    return PchipInterpolator(psnrs, np.log(rates))


def _span(curve: PchipInterpolator) -> str:
    return f"{curve.x[0]:.1f} to {curve.x[-1]:.1f} dB"
