"""From facts and options to a plan."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..codecs.encoders import Encoders
from ..errors import PlanError
from ..memory import Memory
from ..results import Options
from ..spec import GroupPlan, Interpolation, Lossless, MaxError, Plan, Psnr, Quality, Target
from ..transforms.interpolating import is_small
from . import choices
from .clusters import check_same_grid, clusters, group_name, quality_set, why_group
from .encoder import choose_encoder, encoders_to_try, replacements
from .facts import VariableFacts, frame_axes, group_shape
from .naming import resolve
from .overrides import override, own_choice
from .roles import role

__all__ = ["DEFAULT_TARGET", "plan", "without_video"]

DEFAULT_TARGET = Psnr(50.0)

_FINE_DB = 48.0
"""From here on, bands that were interpolated are coded apart from others of their units: for ten
bands of Sentinel-2 files grew by 57 % at 35 dB, by 25 at 40, by 1 at 45, and shrank by 20 at 50.
"""

_MAX_BLOCKS = 2047
"""Of all groups: a frame has 4096 slots for packets, and a block takes two."""


def plan(
    facts: Sequence[VariableFacts],
    options: Options,
    codecs: Encoders | Mapping[str, Sequence[int]],
) -> Plan:
    """Plan a cube.

    Parameters
    ----------
    facts : sequence of VariableFacts
    options : Options
    codecs : Encoders, or Mapping[str, sequence of int]
        What may be chosen from; as a mapping, software that works and its bit depths.

    Raises
    ------
    PlanError
        If an option names what is not there, or cannot be done.
    """
    options = resolve(
        options,
        [each.name for each in facts if not each.is_coord],
        [each.name for each in facts if each.is_coord],
    )
    _check_names(options)
    facts = _usable(facts, options)
    encoders = Encoders.of(codecs)
    target = options.target or DEFAULT_TARGET
    sidecar: dict[str, str] = {}
    lossy: list[VariableFacts] = []
    exact: list[tuple[VariableFacts, str]] = []
    sizes = Counter[object]()
    for each in facts:
        sizes[each.dims, each.shape] += 0 if each.is_coord else each.nbytes
    for each in facts:
        kind, reason = role(each, options, target, sizes[each.dims, each.shape])
        if kind == "sidecar":
            sidecar[each.name] = reason
        elif kind == "lossless":
            exact.append((each, reason))
        else:
            lossy.append(each)
    named = {name: key for key, names in (options.groups or {}).items() for name in names}
    groups = [
        *(
            _lossy_group(members, options, target, encoders, named)
            for members in clusters(lossy, options, named)
        ),
        *(_lossless_group(each, reason, options) for each, reason in exact),
    ]
    _check_blocks(groups, {each.name: each for each in facts})
    _check_group_names(groups)
    if not groups:
        _check_worth(facts, sidecar)
    return Plan(groups=tuple(groups), sidecar=sidecar, target=target)


def _check_worth(facts: Sequence[VariableFacts], sidecar: Mapping[str, str]) -> None:
    """Refuse cubes in which nothing could ever be a video; small ones are kept as they are."""
    reasons = {each.name: sidecar[each.name] for each in facts if not each.is_coord}
    never = ("not numeric", "no image dims", "empty")
    if reasons and all(any(word in why for word in never) for why in reasons.values()):
        listed = ", ".join(f"{name} ({why})" for name, why in reasons.items())
        raise PlanError(
            f"nothing here can be coded as video: {listed}; it takes numbers with two image dims"
        )


def _check_group_names(groups: Sequence[GroupPlan]) -> None:
    counts = Counter(group.name for group in groups)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise PlanError(f"two groups are called {twice[0]!r}: give yours another name")


def _check_blocks(groups: Sequence[GroupPlan], facts: Mapping[str, VariableFacts]) -> None:
    """Refuse more blocks than a file has places for their packets."""
    total = 0
    for group in groups:
        first = facts[group.variables[0]]
        sizes = dict(zip(first.dims, first.shape, strict=True))
        rows, columns = (
            -(-sizes[str(dim)] // (length * repeat))
            for dim, length, repeat in zip(
                (group.y_dim, group.x_dim), group.block, group.repeat, strict=True
            )
        )
        total += rows * columns
    if total > _MAX_BLOCKS:
        raise PlanError(f"{total} tiles are too many, a file holds {_MAX_BLOCKS}: use larger ones")


def _check_names(options: Options) -> None:
    grouped = [name for names in (options.groups or {}).values() for name in names]
    twice = {name for name in grouped if grouped.count(name) > 1}
    if twice:
        raise PlanError(f"variables in more than one group: {', '.join(sorted(twice))}")
    both = set(options.lossy) & set(options.lossless)
    if both:
        raise PlanError(f"both lossy and lossless: {', '.join(sorted(both))}")


def _lossy_group(
    members: list[VariableFacts],
    options: Options,
    target: Target,
    encoders: Encoders,
    named: Mapping[str, str],
) -> GroupPlan:
    first = members[0]
    check_same_grid(members)
    axes = frame_axes(first.dims, first.shape)
    assert axes is not None  # _role has sent everything else elsewhere
    own = override(members, options)
    preset = own.preset or options.preset
    goal = own.target or target
    codec, why_codec = choose_encoder(own, preset, goal, encoders)
    bit_depth, why_depth = choices.bit_depth(own, codec, encoders)
    repeat = first.repeat
    time, bands, height, width = group_shape(members, axes, repeat)
    fold = own.fold or 1
    if fold > time:
        raise PlanError(f"cannot fold {fold} frames: {first.name!r} has {time}")
    memory = Memory(options.memory)
    block = choices.block(own, -(-time // fold), bands * fold, (height, width), memory)
    gop, why_gop = choices.gop(own, preset, time, bands, block, fold, memory)
    transform, why_transform = choices.transform(own, bands * fold)
    layout, why_layout = choices.layout(own)
    interpolation = _interpolation(members, block, (height, width))
    return GroupPlan(
        name=named.get(first.name, group_name(members)),
        variables=tuple(each.name for each in members),
        target=goal,
        frame_dim=axes[0],
        y_dim=axes[1],
        x_dim=axes[2],
        transform=transform,
        layout=layout,
        codec=codec,
        preset=preset,
        bit_depth=bit_depth,
        gop=gop,
        fold=fold,
        repeat=repeat,
        interpolation=interpolation,
        block=block,
        quality_set=quality_set(first, options),
        reasons={
            "group": why_group(members, repeat, interpolation),
            "codec": why_codec,
            "bit_depth": why_depth,
            "gop": why_gop,
            "transform": why_transform,
            "layout": why_layout,
        },
        codecs=encoders_to_try(own, preset, goal, encoders),
        fallback=replacements(own, codec, goal, encoders),
        folds=choices.folds_to_try(own, preset, time, bands, axes[0]),
    )


def _usable(facts: Sequence[VariableFacts], options: Options) -> list[VariableFacts]:
    """Forget interpolations that would cost more than they gain.

    Rounding breaks small bounds. Frames that are mostly border gain nothing; and bands apart from
    others of their units and size lose what they have in common, which counts at low qualities.
    """
    kept = [each if _gains(each, options) else replace(each, interpolation=None) for each in facts]
    mixed = {_likes(each, options) for each in kept if each.interpolation is None}
    return [
        replace(each, interpolation=None)
        if _likes(each, options) in mixed and not _is_fine(_target(each, options))
        else each
        for each in kept
    ]


def _likes(each: VariableFacts, options: Options) -> tuple[Any, ...]:
    return each.is_coord, each.dims, each.shape, each.repeat, quality_set(each, options)


def _target(each: VariableFacts, options: Options) -> Target:
    return override([each], options).target or options.target or DEFAULT_TARGET


def _is_fine(target: Target) -> bool:
    return isinstance(target, Psnr | Quality) and target.db >= _FINE_DB


def _gains(each: VariableFacts, options: Options) -> bool:
    if each.interpolation is None or isinstance(_target(each, options), MaxError | Lossless):
        return False
    axes = frame_axes(each.dims, each.shape)
    assert axes is not None  # or it has no interpolation
    return is_small(each.interpolation, *group_shape([each], axes, (1, 1))[2:])


def _interpolation(
    members: Sequence[VariableFacts], block: tuple[int, int], size: tuple[int, int]
) -> Interpolation | None:
    """Return what made all members, if blocks can begin where coarse pixels do."""
    field = members[0].interpolation
    if field is None or any(each.interpolation != field for each in members):
        return None
    if block == size:
        return field
    aligned = not any(n % factor for n, factor in zip(block, field.factors, strict=True))
    return replace(field, edges="open") if aligned else None


def _lossless_group(each: VariableFacts, reason: str, options: Options) -> GroupPlan:
    axes = frame_axes(each.dims, each.shape)
    assert axes is not None  # _role has sent everything else elsewhere
    time, bands, height, width = group_shape([each], axes, (1, 1))
    own = own_choice(each.name, options) or options.defaults
    memory = Memory(options.memory)
    block = choices.block(own, time, bands, (height, width), memory)
    fits = max(1, memory.packet_samples // (bands * block[0] * block[1]))
    return GroupPlan(
        name=each.name,
        variables=(each.name,),
        target=Lossless(),
        frame_dim=axes[0],
        y_dim=axes[1],
        x_dim=axes[2],
        transform="none",
        layout="gray",
        codec="none",
        preset=options.preset,
        bit_depth=8,
        gop=min(own.gop or fits, time),
        block=block,
        quality_set=each.name,
        reasons={"group": "on its own", "target": reason},
    )


def without_video(group: GroupPlan, reason: str) -> GroupPlan:
    """Turn a lossy group into a lossless one of packets, for which a codec has no use."""
    return replace(
        group,
        target=Lossless(),
        codec="none",
        transform="none",
        gop=group.gop * group.fold,
        fold=1,
        reasons={**group.reasons, "target": reason},
    )
