"""The search meets its goal in few evaluations, knowing nothing but numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xvcomp.errors import TargetError
from xvcomp.search import Goal, Point, search

WINDOW = 0.25


def _goal(target, promise="at_least"):
    low, high = (target, target + WINDOW) if promise == "at_least" else (target - WINDOW, target)
    return Goal(low=low, high=high, promise=promise, what="PSNR in dB")


def _run(curve, goal, start, finest=math.inf, **keywords):
    def evaluate(q):
        reached = min(q, finest)
        return Point(q=q, value=curve(reached), payload=reached, finest=q >= finest)

    return list(search(evaluate, goal, start=start, **keywords))


@given(
    target=st.floats(25, 60),
    gain=st.floats(0.5, 1.3),
    shift=st.floats(-6, 12),
    ripple=st.floats(0, 0.15),
    promise=st.sampled_from(["at_least", "at_most"]),
)
def test_smooth_curves_end_in_the_window_within_six_evaluations(
    target, gain, shift, ripple, promise
):
    def curve(q):
        return gain * q + shift + ripple * math.sin(q)

    updates = _run(curve, _goal(target, promise), start=target)
    assert updates[-1].final
    assert _goal(target, promise).inside(updates[-1].point.value)
    assert len(updates) <= 6


def test_a_first_guess_inside_the_window_ends_the_search_at_once():
    updates = _run(lambda q: q, _goal(45), start=45.1)
    assert [update.final for update in updates] == [True]


def test_a_curve_with_jumps_keeps_the_promise_next_to_the_jump():
    updates = _run(lambda q: 40.0 if q < 43 else 47.0, _goal(45), start=40)
    assert updates[-1].point.value == 47.0
    assert 43 <= updates[-1].point.q < 43.5


@pytest.mark.parametrize(("steepness", "target", "most"), [(5, 10, 8), (3, 50, 11)])
def test_curves_that_rise_ever_steeper_do_not_creep_up_from_one_side(steepness, target, most):
    goal = Goal(low=target, high=1.01 * target, promise="at_least", what="a made value")
    updates = _run(
        lambda q: math.expm1(q / steepness),
        goal,
        start=0.0,
        slope=target / 20,
        max_evaluations=40,
    )
    assert goal.inside(updates[-1].point.value)
    assert len(updates) <= most  # plain false position takes three and four more


def test_a_jump_over_a_size_limit_ends_below_it():
    updates = _run(lambda q: 40.0 if q < 43 else 47.0, _goal(45, "at_most"), start=50)
    assert updates[-1].point.value == 40.0


def test_the_ceiling_of_a_codec_is_an_error_that_holds_the_best_point():
    with pytest.raises(TargetError, match="out of reach") as caught:
        _run(lambda q: q, _goal(70), start=50, finest=60)
    assert caught.value.best.value == 60


def test_exact_results_lead_downwards_to_the_window():
    updates = _run(lambda q: math.inf if q > 50 else q, _goal(45), start=60)
    assert _goal(45).inside(updates[-1].point.value)


def test_the_number_of_evaluations_is_bounded():
    updates = _run(lambda q: 44.9 if q < 50 else 60.0, _goal(45), start=45, max_evaluations=7)
    assert len(updates) == 7
    assert updates[-1].point.value == 60.0


def test_a_curve_that_is_flat_before_it_rises_is_followed():
    updates = _run(lambda q: 44.9 if q < 60 else q - 15, _goal(45), start=45)
    assert _goal(45).met(updates[-1].point.value)


def test_every_measurement_is_told_and_only_the_last_is_final():
    updates = _run(lambda q: 0.6 * q + 12, _goal(45), start=40)
    assert [update.evaluations for update in updates] == list(range(1, len(updates) + 1))
    assert [update.final for update in updates] == [False] * (len(updates) - 1) + [True]


def test_what_lies_above_the_ceiling_is_not_tried_twice():
    def evaluate(q):
        reached = min(q, 60.0)
        return Point(q=reached, value=reached, payload=None, finest=q >= 60)

    updates = list(search(evaluate, _goal(58, "at_most"), start=90))
    assert _goal(58, "at_most").inside(updates[-1].point.value)
    assert len(updates) == 2
    with pytest.raises(TargetError) as caught:
        list(search(evaluate, _goal(70), start=90))
    assert caught.value.best.value == 60
