"""Choose between codecs and foldings by trial: encode a sample each way and compare.

A sample is a crop in space with much of its time, for what is to be compared is how codecs
and transforms use time. Candidates are encoded at one quantiser step, where they differ in
size and in error; those that are always needed are encoded at the same time. Along the slope
between size and error, each candidate's size is moved to the same error. Where steep and flat
slopes would tell differently, it is measured with one more encoding of the plan as it was, or
between two trials of a rival that differ enough. (A
Lagrangian with the encoders' own factor misjudged that slope by up to a half.) A codec whose finest
quantiser is coarser than the step ends where it can do no more: size and slope say nothing
of what it would take from there on, so one that reaches further is better at any size.

Trials of a small cube take longer than its encoding. The preset best makes all of them;
balanced tries another codec only where a sample is a small part of the cube, and only that
folding from which an estimate without an encoder expects much.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .codecs import registry
from .errors import CodecError
from .estimating import folding_gain
from .excerpts import sample_of
from .parallel import map_ordered
from .pipeline import EncodedGroup, GroupInput, Prepared, prepare, trial
from .planner import choices
from .replacing import or_replaced
from .results import Override
from .spec import GroupPlan, Preset

__all__ = ["Trial", "choose", "reaches_further", "span_of", "stretch_of", "tries"]

_log = logging.getLogger(__name__)

_TELLING = 0.3
"""Octaves of size between two trials whose presets differ, so that they tell a slope."""

_SLOPE_STEP = 1.35
"""The slope is measured between the step and one wider by this: about 2 dB."""

_DB_PER_OCTAVE = (2.0, 30.0)
"""Slopes, in dB per doubling of the size, are taken to lie within this range."""

_SAMPLES: dict[Preset, tuple[int, int]] = {
    "fast": (400_000, 800_000),
    "balanced": (250_000, 800_000),
    "best": (3_000_000, 3_000_000),
}
"""Least and most samples of a trial; between them, an eighth of the cube."""

# Shorter samples misjudge large foldings, which leave few frames to predict from.
_LEAST_FRAMES: dict[Preset, int] = {"fast": 96, "balanced": 96, "best": 192}
_SHARE = 8
_AFFORDABLE: dict[Preset, float] = {"fast": 0.0, "balanced": 1 / 32, "best": math.inf}
"""Part of the cube that a sample may be, so that codecs are tried on it."""

_ESTIMATED = 200_000
"""Samples of which the gain of a folding is estimated."""

_ESTIMATED_SIDE = 24

_PROMISING = 0.75
"""Estimated ratios of sizes from which on foldings are tried: estimates are too good by 14 %."""

_ALIKE = 1.05
"""Of foldings whose estimates differ by less, the smallest is tried: it reads faster."""

_CLOSE, _CLOSE_FOLD = 1.4, 1.3
"""Codecs and foldings whose sizes differ less by quicker trials are compared at the preset."""

_RIVALS = 3
"""Each costs one more encoding of the sample at the slow preset."""

_NOISE_PER_STEP = 0.8
"""Decibels of error per decibel of step, about."""

_MARGIN = 0.99
"""A candidate must be better by 1 %: less is within what a sample can tell."""

_SHORTFALL_DB = 1.0
"""A codec at its finest falls short where another errs by so much less; encoders differ by less."""

_FURTHER = "it reaches further than "

_MIN_SEGMENT_FRAMES = 32
"""Encoder runs are at least this long, for starting one costs as much as some frames."""

_MANY = 16
"""Frames of the large folding that is tried first."""

_TRIAL_PRESET: dict[Preset, Preset] = {
    "fast": "fast",
    "balanced": "balanced",
    "best": "balanced",
}

_TRIAL_OPTIONS = {"libx265": {"x265-params": "rd=4:subme=2:me=hex:ref=3:max-merge=4:min-cu-size=8"}}
"""What trials add to a preset that stands for a more thorough one: with less, x265 gains too
little from folding (on hourly temperatures a tenth)."""

_SAVED: dict[tuple[str, Preset], float] = {
    ("libx265", "best"): 0.89,
    ("libsvtav1", "best"): 0.965,
}
"""Size at the preset itself over that at the one that trials take, at equal error.

Means of BD-rates over six cubes for x265, over two for SVT-AV1 (see ``codecs.settings``).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One candidate, measured on the sample and scaled up to the group.

    ``ceiling`` is the finest step of its codec, where a finer one was asked for.
    """

    plan: GroupPlan
    nbytes: float
    noise_db: float
    ceiling: float | None = None


def span_of(plan: GroupPlan, data: GroupInput) -> int:
    """Return the frames of the variable in one encoder run: whole GOPs, and not too few."""
    frames = plan.gop * plan.fold
    samples = frames * data.shape[1] * plan.block[0] * plan.block[1]
    fitting = data.memory.window_samples // samples
    gops = 1 if plan.lossless else min(_MIN_SEGMENT_FRAMES // plan.gop, fitting)
    return frames * max(1, gops)


def stretch_of(part: Prepared, span: float) -> float:
    """Return how much wider the whole's range is than a part's."""
    return max(1.0, span / part.span) if part.span > 0 else 1.0


def choose(
    plan: GroupPlan,
    data: GroupInput,
    step: float,
    on_trial: Callable[[Trial], None] | None = None,
    *,
    span: float = 0.0,
) -> GroupPlan:
    """Try the alternatives of a plan, and return the best with the reason.

    Parameters
    ----------
    plan : GroupPlan
        Its ``alternatives`` name what may be changed.
    data : GroupInput
    step : float
        In unpacked units; the comparison holds near it.
    on_trial : callable, optional
        Called after each trial.
    span : float
        Width of the widest band's range in all of the data, of which trials see a part.
    """
    whole = math.prod(data.shape)
    least, most = _SAMPLES[plan.preset]
    frames = _LEAST_FRAMES[plan.preset]
    sample = sample_of(data, min(max(whole // _SHARE, least), most), least_frames=frames)
    share = whole / math.prod(sample.shape)
    if 1 / share > _AFFORDABLE[plan.preset]:
        plan = replace(plan, codecs=())
    if plan.folds and plan.preset != "best":
        plan = _with_promising_folds(plan, data, step)
    if not tries(plan):
        return plan
    trials = _Trials(sample, share, step, on_trial, span)
    folds = _first_folds(_folds(plan, sample.shape[0]))
    folded = [_folded(plan, fold, sample) for fold in folds]
    trials.ahead([plan, *folded, *_other_codecs(plan)])
    first = trials.start(plan)
    best = _choose_codec(trials, first.plan, _choose_fold(trials, first))
    return trials.played_off(best).plan


def tries(plan: GroupPlan) -> bool:
    """Say whether a plan leaves anything to trials."""
    return len(plan.codecs) > 1 or len(plan.folds) > 1


def _with_promising_folds(plan: GroupPlan, data: GroupInput, step: float) -> GroupPlan:
    """Leave only the folding to try from which an estimate expects most, if that is much."""
    sample = sample_of(
        data, _ESTIMATED, least_side=_ESTIMATED_SIDE, least_frames=_LEAST_FRAMES[plan.preset]
    )
    time, _, height, width = sample.coded_shape
    folds = _folds(plan, time)
    if not folds or min(height, width) < 8:
        return replace(plan, folds=())
    prepared = prepare(sample, span=time, block=(sample.shape[2], sample.shape[3]))
    values = prepared.read(prepared.windows[0]).filled

    def gains(some: Sequence[int]) -> dict[int, float]:
        try:
            with np.errstate(all="ignore"):
                found = folding_gain(values, data.weights, step, some)
        except np.linalg.LinAlgError:
            # Values so large that their squares overflow: nothing can be expected.
            found = {}
        return {fold: found.get(fold, math.inf) for fold in some}

    found = gains(_first_folds(folds))
    if not min(found.values()) <= _PROMISING:
        why = "an estimate: folding would gain little or nothing"
        return _with_reason(replace(plan, folds=()), "fold", why)
    found |= gains([fold for fold in folds if fold not in found])
    best = min(fold for fold in found if found[fold] <= _ALIKE * min(found.values()))
    return replace(plan, folds=(1, best))


def _choose_codec(trials: "_Trials", plan: GroupPlan, best: Trial) -> Trial:
    """Try the other codecs, with the folding that suits the planned one and without."""
    bases = {best.plan.fold: best.plan, 1: plan}.values()
    for pair in zip(*map(_other_codecs, bases), strict=True):
        for other in pair:
            best = trials.better(best, other, "codec")
    return best


def _other_codecs(base: GroupPlan) -> list[GroupPlan]:
    instead = ((base.codec, base.bit_depth), *base.fallback)
    return [
        replace(base, codec=codec, bit_depth=bit_depth, fallback=instead)
        for codec, bit_depth in base.codecs
        if codec != base.codec
    ]


_Key = tuple[str, int, int]


def _key(plan: GroupPlan) -> _Key:
    """Name what trials change."""
    return plan.codec, plan.bit_depth, plan.fold


@dataclass(slots=True)
class _Trials:
    sample: GroupInput
    share: float
    step: float
    on_trial: Callable[[Trial], None] | None
    span: float = 0.0
    _first: Trial | None = None
    _slope: float | None = None
    _found: dict[_Key, Trial | CodecError] = field(default_factory=dict)
    _prepared: dict[int, Prepared] = field(default_factory=dict)

    def start(self, plan: GroupPlan) -> Trial:
        """Encode the sample as planned."""
        _, first = or_replaced(plan, self.run)
        self._first = first
        return first

    def ahead(self, plans: Sequence[GroupPlan]) -> None:
        """Encode the sample in several ways at the same time; `run` then only looks them up."""

        def tried(plan: GroupPlan) -> Trial | CodecError:
            try:
                return self._encoded(plan, self.step)
            except CodecError as error:
                return error

        new = [plan for plan in plans if _key(plan) not in self._found]
        for plan in new:
            self._of_sample(plan)
        for plan, found in zip(new, map_ordered(tried, new), strict=True):
            self._found[_key(plan)] = found

    def run(self, plan: GroupPlan) -> Trial:
        """Encode the sample, if that has not been done."""
        found = self._found.get(_key(plan)) or self._encoded(plan, self.step)
        if isinstance(found, CodecError):
            raise found
        found = replace(found, plan=plan)
        if self.on_trial is not None:
            self.on_trial(found)
        return found

    def _encoded(self, plan: GroupPlan, step: float, preset: Preset | None = None) -> Trial:
        prepared = self._of_sample(plan)
        block = (self.sample.shape[2], self.sample.shape[3])
        used = preset or _TRIAL_PRESET[plan.preset]
        options = _TRIAL_OPTIONS.get(plan.codec) if used != plan.preset else None
        found = trial(prepared, replace(plan, block=block, preset=used), step, options=options)
        if found.ceiling is not None and _finest(plan, plan.preset) < _finest(plan, used):
            # A thorough preset may go on from where a quick one ends.
            return self._encoded(plan, step, plan.preset)
        saved = _SAVED.get((plan.codec, plan.preset), 1.0) if used != plan.preset else 1.0
        return _measured(plan, found, self.share, saved)

    def _of_sample(self, plan: GroupPlan) -> Prepared:
        """Read the sample, once for every folding."""
        prepared = self._prepared.get(plan.fold)
        if prepared is None:
            block = (self.sample.shape[2], self.sample.shape[3])
            span = span_of(replace(plan, block=block), self.sample)
            prepared = prepare(self.sample, span=span, block=block, fold=plan.fold)
            prepared.stretch = stretch_of(prepared, self.span)
            self._prepared[plan.fold] = prepared
        return prepared

    def better(self, best: Trial, plan: GroupPlan, what: str) -> Trial:
        """Return the better of two, with the reason."""
        try:
            other = self.run(plan)
        except CodecError as error:
            _log.warning("group %r is not coded by %s: %s", plan.name, plan.codec, error)
            return best
        wins, why = self._compared(best, other, what)
        if what == "codec" and other.plan.codec == best.plan.codec:
            # Two foldings of one codec: why it is this codec has been said already.
            why = best.plan.reasons["codec"]
        winner = other if wins else best
        return replace(winner, plan=_with_reason(winner.plan, what, why))

    def _compared(self, best: Trial, other: Trial, what: str) -> tuple[bool, str]:
        """Say whether the other is better, and why the winner is."""
        if _outreaches(other, best, what):
            return True, _FURTHER + _name(best.plan, what)
        if _outreaches(best, other, what):
            return False, best.plan.reasons.get(what) or f"{_name(other.plan, what)} ends earlier"
        gain = 1 - self._size_ratio(other, best)
        if gain > 1 - _MARGIN:
            return True, f"a trial: {gain:.0%} below {_name(best.plan, what)}"
        return False, f"a trial: {1 - 1 / (1 - gain):.0%} below {_name(other.plan, what)}"

    def played_off(self, best: Trial) -> Trial:
        """Compare what is close once more at the preset itself, at about equal errors.

        What a thorough preset saves differs by kind of data: between codecs by up to a fifth,
        between foldings by up to a tenth.
        """
        preset = best.plan.preset
        rivals = [] if _TRIAL_PRESET[preset] == preset else self._rivals(best)
        if not rivals:
            return best
        aim_db = best.noise_db
        try:
            own = self._encoded(best.plan, self.step, preset)
        except CodecError as error:
            _log.warning("%s is not compared again: %s", best.plan.codec, error)
            return best
        for rival in rivals:
            db = (aim_db - rival.noise_db) / _NOISE_PER_STEP
            try:
                theirs = self._encoded(rival.plan, self.step * 10 ** (db / 20), preset)
            except CodecError as error:
                _log.warning("%s is not compared again: %s", rival.plan.codec, error)
                continue
            gain = 1 - self._size_ratio(theirs, own, _slope_between(rival, theirs))
            if gain > 1 - _MARGIN:
                what = "fold" if rival.plan.codec == best.plan.codec else "codec"
                why = f"a trial: {gain:.0%} below {_name(best.plan, what)}"
                plan = _with_reason(replace(rival.plan, reasons=best.plan.reasons), what, why)
                best, own = replace(rival, plan=plan), theirs
        return best

    def _rivals(self, best: Trial) -> list[Trial]:
        """Return what comes near and reaches as far, the nearest first."""
        found = []
        for each in self._found.values():
            if isinstance(each, CodecError) or _key(each.plan) == _key(best.plan):
                continue
            what = "fold" if each.plan.codec == best.plan.codec else "codec"
            if _outreaches(each, best, what) or _outreaches(best, each, what):
                continue
            ratio = self._size_ratio(each, best)
            if ratio < (_CLOSE_FOLD if what == "fold" else _CLOSE):
                found.append((ratio, each))
        return [each for _, each in sorted(found, key=lambda pair: pair[0])][:_RIVALS]

    def _size_ratio(self, one: Trial, other: Trial, slope: float | None = None) -> float:
        """Return the ratio of two candidates' sizes at the same error.

        Where every slope tells the same, the ratio nearest to 1 is returned, and the slope
        is not measured, if none is known.
        """
        if slope is not None:
            return _at_slope(one, other, slope)
        steep, flat = (_at_slope(one, other, slope) for slope in _DB_PER_OCTAVE)
        if max(steep, flat) < _MARGIN:
            return max(steep, flat)
        if min(steep, flat) > 1:
            return min(steep, flat)
        return _at_slope(one, other, self._db_per_octave())

    def _db_per_octave(self) -> float:
        """Measure what a bit is worth to the plan as it was, once."""
        if self._slope is None:
            assert self._first is not None  # there is something to compare with
            first = self._first
            wider = max(self.step, first.ceiling or 0.0) * _SLOPE_STEP
            second = self._encoded(first.plan, wider)
            octaves = math.log2(first.nbytes / second.nbytes)
            slope = (second.noise_db - first.noise_db) / octaves if octaves > 0 else 6.0
            self._slope = _plausible(slope)
        return self._slope


def _slope_between(one: Trial, other: Trial) -> float | None:
    """Return what a bit is worth between two trials of a candidate, if they tell."""
    octaves = math.log2(other.nbytes / one.nbytes)
    gained_db = one.noise_db - other.noise_db
    if abs(octaves) < _TELLING or gained_db * octaves <= 0:
        return None
    return _plausible(gained_db / octaves)


def _plausible(slope: float) -> float:
    return min(max(slope, _DB_PER_OCTAVE[0]), _DB_PER_OCTAVE[1])


def _at_slope(one: Trial, other: Trial, db_per_octave: float) -> float:
    """Return the ratio of two candidates' sizes, moved to the same error along a slope."""
    octaves = (one.noise_db - other.noise_db) / db_per_octave
    return float(one.nbytes / other.nbytes * 2**octaves)


def reaches_further(plan: GroupPlan) -> bool:
    """Say whether the codec was chosen because what was planned cannot reach the quality."""
    return plan.reasons.get("codec", "").startswith(_FURTHER)


def _finest(plan: GroupPlan, preset: Preset) -> float:
    """Return the width of the finest quantiser that pays, in codes."""
    codec = registry.get(plan.codec)
    return min(codec.worthwhile(plan.bit_depth, preset).values(), default=0.0)


def _outreaches(one: Trial, other: Trial, what: str) -> bool:
    """Say whether a candidate gets where the other cannot.

    Where neither reaches the step, the finer codec is better, for corrections start from it;
    foldings are then compared by size.
    """
    short = other.ceiling is not None and other.noise_db > one.noise_db + _SHORTFALL_DB
    return short and (one.ceiling is None or what == "codec")


def _name(plan: GroupPlan, what: str) -> str:
    return plan.codec if what == "codec" else f"fold {plan.fold}"


def _with_reason(plan: GroupPlan, what: str, why: str) -> GroupPlan:
    return replace(plan, reasons={**plan.reasons, what: why})


def _measured(plan: GroupPlan, encoded: EncodedGroup, share: float, saved: float) -> Trial:
    squares = sum(stats.sum_squares for stats in encoded.stats)
    described = len(encoded.group.klt.matrix.data) if encoded.group.klt is not None else 0
    found = encoded.group.post_filter
    described += len(found.weights.data) if found else 0
    noise_db = 10 * math.log10(squares) if squares > 0 else -math.inf
    nbytes = encoded.nbytes * share * saved + described
    return Trial(plan=plan, nbytes=nbytes, noise_db=noise_db, ceiling=encoded.ceiling)


def _choose_fold(trials: _Trials, best: Trial) -> Trial:
    """Compare a small and a large folding with none, and go on from the best to its neighbours.

    What varies slowly may lose by folding a few frames, and gain by folding many.
    """
    folds = _folds(best.plan, trials.sample.shape[0])
    nearby = _first_folds(folds)
    tried: set[int] = set()
    while nearby:
        plans = [_folded(best.plan, fold, trials.sample) for fold in nearby]
        trials.ahead(plans)
        for plan in plans:
            best = trials.better(best, plan, "fold")
        tried.update(nearby)
        nearby = [fold for fold in _neighbours(folds, best.plan.fold) if fold not in tried]
    return best


def _first_folds(folds: Sequence[int]) -> list[int]:
    return sorted({folds[0], max(f for f in folds if f <= max(folds[0], _MANY))}) if folds else []


def _neighbours(folds: Sequence[int], fold: int) -> list[int]:
    if fold not in folds:
        return []
    at = folds.index(fold)
    return [*folds[max(0, at - 1) : at], *folds[at + 1 : at + 2]]


def _folds(plan: GroupPlan, time: int) -> list[int]:
    """Leave out what leaves too few frames for a video to predict from.

    Preset best tries a single frame, too, where the plan names it (`choices.folds_to_try`).
    """
    single = plan.preset == "best" and time <= choices.SHORT
    return [
        fold for fold in plan.folds if fold > 1 and (time // fold >= 4 or (single and fold == time))
    ]


def _folded(plan: GroupPlan, fold: int, data: GroupInput) -> GroupPlan:
    """Fold more, with GOPs of as many stream frames.

    Each GOP then spans more time and costs a reader of one frame more, but short GOPs
    would cost the gain.
    """
    time, bands, _, _ = data.shape
    gop, _ = choices.gop(Override(), plan.preset, time, bands, plan.block, fold, data.memory)
    return replace(plan, fold=fold, gop=gop, transform="klt")
