"""BD-rate: the benchmark's yardstick."""

import sys
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are not part of the installed package.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.rate_distortion.bdrate import bd_rate, best_front, pareto_front, rate_at

CURVE = [(0.1, 34.0), (0.2, 38.0), (0.5, 43.0), (1.0, 47.0)]


def scaled(factor: float) -> list[tuple[float, float]]:
    return [(rate * factor, psnr_db) for rate, psnr_db in CURVE]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.7])
def test_a_curve_at_a_constant_factor_of_the_rate_differs_by_that_factor(factor):
    assert bd_rate(CURVE, scaled(factor)) == pytest.approx((factor - 1) * 100)


def test_swapping_the_curves_inverts_the_ratio():
    other = [(0.08, 35.0), (0.3, 41.0), (0.9, 48.0)]
    there, back = bd_rate(CURVE, other), bd_rate(other, CURVE)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)


def test_only_the_shared_psnr_interval_counts():
    line = [(2.0 ** (db / 6), float(db)) for db in range(30, 61, 6)]
    half_above_45 = [(2.0 ** (db / 6) / 2, float(db)) for db in range(48, 79, 6)]
    assert bd_rate(line, half_above_45) == pytest.approx(-50)


def test_curves_without_a_shared_interval_are_refused():
    with pytest.raises(ValueError, match=r"34\.0 to 47\.0 dB and 50\.0 to 55\.0 dB"):
        bd_rate(CURVE, [(1.0, 50.0), (2.0, 55.0)])


def test_one_point_is_no_curve():
    with pytest.raises(ValueError, match="two points"):
        bd_rate(CURVE, [(0.1, 40.0), (0.2, 39.0)])


def test_front_keeps_what_nothing_beats():
    beaten = [(0.3, 37.0), (0.2, 37.5), (0.6, 43.0)]
    assert pareto_front([*beaten, *reversed(CURVE)]) == CURVE


def test_front_leaves_out_lossless_points():
    assert pareto_front([*CURVE, (5.0, np.inf), (6.0, np.nan)]) == CURVE


def test_best_front_of_close_curves_is_the_better_one_and_no_staircase():
    worse = [(rate * 1.1, psnr_db + 0.05) for rate, psnr_db in CURVE]
    assert set(worse) & set(pareto_front([*CURVE, *worse]))
    assert best_front([CURVE, worse]) == [*CURVE, worse[-1]]


def test_best_front_of_crossing_curves_takes_each_where_it_is_better():
    flat = [(0.05, 34.0), (0.3, 38.0), (3.0, 43.0)]
    front = best_front([CURVE, flat])
    assert front == [(0.05, 34.0), *CURVE[1:]]


def test_rate_at_a_measured_psnr_is_the_measured_rate():
    assert rate_at(CURVE, 43.0) == pytest.approx(0.5)
    assert np.isnan(rate_at(CURVE, 50.0))
