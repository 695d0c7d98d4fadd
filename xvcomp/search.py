"""Find the quality that just meets a target, in as few encodings as possible.

The search knows no codec. It is given ``evaluate(q)``, whose value rises with ``q``
(a nominal quality in dB), and a goal: a window for the value. It yields what it
measures, so that whoever calls may show it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from .errors import TargetError

__all__ = ["Goal", "Point", "Update", "search"]

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """The window in which a value must end up.

    Parameters
    ----------
    low, high : float
        Any value in ``[low, high]`` ends the search.
    promise : {"at_least", "at_most"}
        Which end is a promise: where the window cannot be hit, the search settles for
        the nearest value with ``value >= low`` or ``value <= high``.
    what : str
        Name and unit of the value, for messages.
    """

    low: float
    high: float
    promise: Literal["at_least", "at_most"]
    what: str

    def met(self, value: float) -> bool:
        """Whether the promise holds, inside the window or not."""
        return value >= self.low if self.promise == "at_least" else value <= self.high

    def inside(self, value: float) -> bool:
        """Whether the value lies in the window."""
        return self.low <= value <= self.high

    @property
    def aim(self) -> float:
        """Where to aim: inside the window, nearer to the end that is no promise's edge."""
        return self.low + 0.4 * (self.high - self.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class Point(Generic[P]):
    """One measurement. ``finest`` says that a higher ``q`` than this one would change nothing."""

    q: float
    value: float
    payload: P
    finest: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Update(Generic[P]):
    """What the search tells after each measurement; ``final`` marks the answer."""

    point: Point[P]
    evaluations: int
    final: bool


@dataclass(slots=True)
class _State(Generic[P]):
    goal: Goal
    lowest: float
    highest: float
    points: list[Point[P]] = field(default_factory=list)

    def best(self) -> Point[P] | None:
        """Return the point nearest to the goal among those that keep the promise."""
        kept = [p for p in self.points if self.goal.met(p.value)]
        if not kept:
            return None
        sign = 1 if self.goal.promise == "at_least" else -1
        return min(kept, key=lambda p: sign * p.q)

    def below(self) -> Point[P] | None:
        """Return the best point under the window."""
        under = [p for p in self.points if p.value < self.goal.low]
        return max(under, key=lambda p: p.q, default=None)

    def above(self) -> Point[P] | None:
        """Return the lowest point over the window."""
        over = [p for p in self.points if p.value > self.goal.high]
        return min(over, key=lambda p: p.q, default=None)


def search(
    evaluate: Callable[[float], Point[P]],
    goal: Goal,
    *,
    start: float,
    slope: float = 1.0,
    bounds: tuple[float, float] = (-20.0, 200.0),
    max_evaluations: int = 9,
) -> Iterator[Update[P]]:
    """Search for a point whose value lies in the goal's window.

    Parameters
    ----------
    evaluate : callable
        Measures one ``q``; values must not fall as ``q`` rises, but for noise.
    goal : Goal
    start : float
        First ``q``.
    slope : float
        Expected change of the value per unit of ``q``.
    bounds : (float, float)
        Limits of ``q``.
    max_evaluations : int

    Yields
    ------
    Update
        One per measurement; the last one is final.

    Raises
    ------
    TargetError
        If no point keeps the promise; ``best`` is the nearest one.
    """
    state: _State[P] = _State(goal, *bounds)
    q = min(max(start, bounds[0]), bounds[1])
    for count in range(1, max_evaluations + 1):
        point = evaluate(q)
        state.points.append(point)
        if point.finest:
            state.highest = min(state.highest, point.q)
        following = None if goal.inside(point.value) else _next_q(state, slope)
        if following is None or count == max_evaluations:
            break
        yield Update(point=point, evaluations=count, final=False)
        q = following
    yield Update(point=_answer(state), evaluations=len(state.points), final=True)


def _answer(state: _State[P]) -> Point[P]:
    best = state.best()
    if best is not None:
        return best
    goal = state.goal
    edge = goal.low if goal.promise == "at_least" else goal.high
    nearest = min(state.points, key=lambda p: abs(p.value - edge))
    raise TargetError(
        f"{goal.what}: {edge:.4g} is out of reach, the nearest point has {nearest.value:.4g}",
        best=nearest,
    )


_RESOLUTION = 0.005
"""Differences of ``q`` below this change nothing that could be measured."""


def _next_q(state: _State[P], slope: float) -> float | None:
    """Choose where to measure next; ``None`` when there is nowhere left."""
    below, above = state.below(), state.above()
    if below is not None and above is not None:
        return _between(state, below, above)
    point = below or above
    assert point is not None  # the last point was outside the window
    move = (state.goal.aim - _finite(point.value, state.goal)) / _local_slope(state, slope)
    if len(state.points) > 2:
        # All on one side: the curve is flatter than it looked, so stride out.
        move = math.copysign(max(abs(move), 0.3 * 2.0 ** (len(state.points) - 2)), move)
    q = point.q + move
    q = min(max(q, state.lowest), state.highest)
    tried = any(abs(p.q - q) < _RESOLUTION for p in state.points)
    return None if tried else q


def _finite(value: float, goal: Goal) -> float:
    """Replace an infinite value (no error at all) by one that leads far away from it."""
    return value if math.isfinite(value) else goal.high + math.copysign(20.0, value)


def _between(state: _State[P], below: Point[P], above: Point[P]) -> float | None:
    """Interpolate, by the Illinois rule: an end that stays counts half as far each time.

    Otherwise a bent curve is approached from one side, in ever smaller steps.
    """
    gap = above.q - below.q
    if gap < _RESOLUTION:
        return None
    if not (math.isfinite(above.value) and math.isfinite(below.value)):
        return below.q + gap / 2
    stay = 0.5 ** (_run_on_one_side(state) - 1)
    under = (state.goal.aim - below.value) * (stay if state.points[-1] is above else 1.0)
    over = (above.value - state.goal.aim) * (stay if state.points[-1] is below else 1.0)
    share = under / (under + over)
    # Stay off the ends, where noise could make the search stand still.
    return below.q + gap * min(max(share, 0.08), 0.92)


def _run_on_one_side(state: _State[P]) -> int:
    """Count the latest points that lie on the same side of the window."""
    sides = [point.value > state.goal.high for point in reversed(state.points)]
    return next((n for n, side in enumerate(sides) if side != sides[0]), len(sides))


def _local_slope(state: _State[P], slope: float) -> float:
    """Measure the slope from the two latest points, within reason."""
    if len(state.points) < 2:
        return slope
    first, second = state.points[-2:]
    rise, run = second.value - first.value, second.q - first.q
    if not math.isfinite(rise) or run == 0:
        return slope
    return min(max(rise / run, slope / 4), slope * 4)
