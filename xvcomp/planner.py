"""Decide how each variable of a cube is kept, and say why. Nothing is encoded here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PlanError
from .results import Options, Override
from .spec import (
    Bpppb,
    GroupPlan,
    LayoutKind,
    Lossless,
    MaxError,
    Plan,
    Psnr,
    Quality,
    Ratio,
    Ssim,
    Target,
)

__all__ = ["DEFAULT_TARGET", "VariableFacts", "frame_axes", "plan", "without_video"]

DEFAULT_TARGET = Psnr(50.0)

_TIME_NAMES = ("time", "t", "valid_time", "date", "datetime", "step", "month", "year")
_SUBSTITUTES = (
    "realization",
    "member",
    "number",
    "ensemble",
    "level",
    "depth",
    "lev",
    "plev",
    "pressure",
    "height",
    "z",
)
_Y_NAMES = ("y", "lat", "latitude", "northing", "row", "rows", "rlat", "j", "nj")
_X_NAMES = ("x", "lon", "longitude", "easting", "column", "cols", "col", "rlon", "i", "ni")
_UNIT_LIKE = ("units", "scale_factor", "add_offset", "standard_name")
_FLAG_LIKE = ("flag_values", "flag_masks", "flag_meanings")
_CLASS_NAMES = ("mask", "class", "flag", "quality", "qa", "scl", "label", "category", "landcover")

_FEW_VALUES = 16
_MANY_VALUES = 64
_SMALL = 1 << 15
"""Bytes below which a variable is not worth a video: a track's own overhead would eat it."""
_CORRELATED = 0.2
_MAX_WINDOW_SAMPLES = 32_000_000
_LOSSLESS_WINDOW_SAMPLES = 4_000_000
_MAX_BLOCK = 2048
_BLOCK = 1024
_GOPS = {"fast": 48, "balanced": 96, "best": 256}
_MAX_KLT_BANDS = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class VariableFacts:
    """What the planner may know of a variable.

    Parameters
    ----------
    name : str
    dims : tuple of str
    shape : tuple of int
    dtype : numpy.dtype
        Of the stored samples.
    attrs : Mapping
        CF attributes of the stored form.
    is_coord : bool
    distinct : int
        Different valid values in the sample.
    varies : bool
        Whether the sample holds at least two different valid values.
    repeat : (int, int)
        Rows and columns over which every value is repeated (native resolution).
    sample : ndarray of float64, shape (n,), or None
        Values at places that are the same for all variables of the same dims and shape;
        NaN where invalid.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    is_coord: bool
    distinct: int = 0
    varies: bool = False
    repeat: tuple[int, int] = (1, 1)
    sample: NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def frame_axes(dims: Sequence[str], shape: Sequence[int]) -> tuple[str | None, str, str] | None:
    """Name the frame axis and the two image axes; ``None`` for what is no image.

    "Time" means the frame axis: where a cube has no time, a level or a member serves,
    or else its longest other axis.
    """
    if len(dims) < 2:
        return None
    y = next((d for d in dims if d.lower() in _Y_NAMES or d.lower().startswith("y")), None)
    x = next((d for d in dims if d.lower() in _X_NAMES or d.lower().startswith("x")), None)
    time = next((d for d in dims if d.lower() in _TIME_NAMES or d.lower().startswith("time")), None)
    if y is None or x is None or y == x:
        rest = [d for d in dims if d != time]
        if len(rest) < 2:
            return None
        y, x = rest[-2:]
    others = [d for d in dims if d not in (y, x)]
    if time is None and others:
        sizes = dict(zip(dims, shape, strict=True))
        named = [d for d in others if d.lower() in _SUBSTITUTES]
        time = max(named or others, key=lambda d: sizes[d])
    return time, y, x


def plan(
    facts: Sequence[VariableFacts], options: Options, codecs: Mapping[str, Sequence[int]]
) -> Plan:
    """Plan a cube.

    Parameters
    ----------
    facts : sequence of VariableFacts
    options : Options
    codecs : Mapping[str, sequence of int]
        Usable codecs and their bit depths in a single plane.

    Raises
    ------
    PlanError
        If an option names what is not there, or cannot be done.
    """
    _check_names(facts, options)
    target = options.target or DEFAULT_TARGET
    sidecar: dict[str, str] = {}
    lossy: list[VariableFacts] = []
    exact: list[tuple[VariableFacts, str]] = []
    for each in facts:
        role, reason = _role(each, options, target)
        if role == "sidecar":
            sidecar[each.name] = reason
        elif role == "lossless":
            exact.append((each, reason))
        else:
            lossy.append(each)
    groups = [
        *_lossy_groups(lossy, options, target, codecs),
        *(_lossless_group(each, reason, options) for each, reason in exact),
    ]
    return Plan(groups=tuple(groups), sidecar=sidecar, target=target)


def _check_names(facts: Sequence[VariableFacts], options: Options) -> None:
    known = {each.name for each in facts}
    grouped = [name for names in (options.groups or {}).values() for name in names]
    asked = [*options.lossy, *options.lossless, *options.by_variable, *grouped]
    for name in asked:
        if name not in known:
            data = ", ".join(sorted(each.name for each in facts if not each.is_coord))
            raise PlanError(f"there is no variable {name!r}; the cube has {data or 'none'}")
    twice = {name for name in grouped if grouped.count(name) > 1}
    if twice:
        raise PlanError(f"variables in more than one group: {', '.join(sorted(twice))}")
    both = set(options.lossy) & set(options.lossless)
    if both:
        raise PlanError(f"both lossy and lossless: {', '.join(sorted(both))}")


def _role(each: VariableFacts, options: Options, target: Target) -> tuple[str, str]:
    """Return lossy, lossless or sidecar, and the reason."""
    axes = frame_axes(each.dims, each.shape)
    numeric = each.dtype.kind in "iufb"
    forced = each.name in options.lossy
    if forced and (axes is None or each.dtype.kind not in "iuf" or each.is_coord):
        raise PlanError(
            f"{each.name!r} cannot be lossy: it is {_what(each)}; only numeric data "
            "variables with two image dims can"
        )
    if each.is_coord:
        return "sidecar", "coordinate"
    if not numeric or each.dtype.itemsize > 8:
        return "sidecar", f"dtype {each.dtype} is not numeric"
    if axes is None or 0 in each.shape:
        return "sidecar", "no image dims" if axes is None else "empty"
    if not forced and axes[0] is None:
        return "sidecar", "static field"
    if not forced and each.nbytes < _SMALL:
        return "sidecar", f"only {each.nbytes} bytes"
    return _lossy_or_not(each, options, target, forced)


def _what(each: VariableFacts) -> str:
    if each.is_coord:
        return "a coordinate"
    return f"of dtype {each.dtype} with dims {each.dims}"


def _lossy_or_not(
    each: VariableFacts, options: Options, target: Target, forced: bool
) -> tuple[str, str]:
    if each.name in options.lossless:
        return "lossless", "asked for"
    own = (_own(each.name, options) or Override()).target
    if isinstance(own or target, Lossless):
        return "lossless", "target is lossless"
    if forced or own is not None:
        return "lossy", "asked for"
    if each.dtype.kind == "b":
        return "lossless", "boolean"
    if any(key in each.attrs for key in _FLAG_LIKE):
        return "lossless", "CF flags"
    if each.dtype.kind == "f":
        return "lossy", "floating point"
    return _integer_role(each)


def _integer_role(each: VariableFacts) -> tuple[str, str]:
    if each.distinct <= _FEW_VALUES:
        return "lossless", f"integers with {each.distinct} distinct values"
    if any(key in each.attrs for key in _UNIT_LIKE):
        return "lossy", "integers with units"
    words = each.name.lower()
    if any(word in words for word in _CLASS_NAMES):
        return "lossless", "integers named like classes or flags"
    if each.distinct <= _MANY_VALUES:
        return "lossless", f"integers without units, {each.distinct} distinct values"
    return "lossy", f"integers with more than {_MANY_VALUES} values look like measurements"


def _lossy_groups(
    lossy: list[VariableFacts],
    options: Options,
    target: Target,
    codecs: Mapping[str, Sequence[int]],
) -> list[GroupPlan]:
    named = {name: key for key, names in (options.groups or {}).items() for name in names}
    clusters: dict[tuple[Any, ...], list[VariableFacts]] = {}
    for each in lossy:
        clusters.setdefault(_kind(each, options, named), []).append(each)
    groups = []
    for key, members in clusters.items():
        parts = [members] if key[0] == "named" else _correlated(members)
        groups += [_lossy_group(part, options, target, codecs, named) for part in parts]
    return groups


def _kind(each: VariableFacts, options: Options, named: Mapping[str, str]) -> tuple[Any, ...]:
    """Variables with the same key may share a group."""
    if each.name in named:
        return ("named", named[each.name])
    own = each.name if each.name in options.by_variable else None
    repeat = _repeat(each, options)
    return ("auto", each.dims, each.shape, repeat, _quality_set(each, options), own)


def _repeat(each: VariableFacts, options: Options) -> tuple[int, int]:
    return each.repeat


def _quality_set(each: VariableFacts, options: Options) -> str:
    """Name the set of variables that share a quality target: those of equal units."""
    if options.per_variable or each.name in options.by_variable:
        return each.name
    group = _group_of(each.name, options)
    if group is not None and options.by_group.get(group, Override()).target is not None:
        return group
    return str(each.attrs.get("units", ""))


def _group_of(name: str, options: Options) -> str | None:
    """Return the group that the user put a variable in."""
    groups = (options.groups or {}).items()
    return next((group for group, names in groups if name in names), None)


def _own(name: str, options: Options) -> Override | None:
    """Return what the user decided for a variable, or else for its group."""
    group = _group_of(name, options)
    return options.by_variable.get(name) or (options.by_group.get(group) if group else None)


def _correlated(members: list[VariableFacts]) -> list[list[VariableFacts]]:
    """Split variables into clusters whose members are linked by correlation."""
    clusters: list[list[VariableFacts]] = []
    for each in members:
        linked = [c for c in clusters if any(_correlation(each, o) >= _CORRELATED for o in c)]
        rest = [c for c in clusters if c not in linked]
        clusters = [*rest, [*(v for c in linked for v in c), each]]
    order = {each.name: i for i, each in enumerate(members)}
    for cluster in clusters:
        cluster.sort(key=lambda each: order[each.name])
    return sorted(clusters, key=lambda cluster: order[cluster[0].name])


def _correlation(first: VariableFacts, second: VariableFacts) -> float:
    if first.sample is None or second.sample is None or first.sample.shape != second.sample.shape:
        return 0.0
    both = np.isfinite(first.sample) & np.isfinite(second.sample)
    a, b = first.sample[both], second.sample[both]
    if a.size < 8 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(a, b)[0, 1]))


def _lossy_group(
    members: list[VariableFacts],
    options: Options,
    target: Target,
    codecs: Mapping[str, Sequence[int]],
    named: Mapping[str, str],
) -> GroupPlan:
    first = members[0]
    _check_same_grid(members)
    axes = frame_axes(first.dims, first.shape)
    assert axes is not None  # _role has sent everything else elsewhere
    own = _override(members, options)
    preset = own.preset or options.preset
    goal = own.target or target
    codec, why_codec = _codec(own, goal, codecs)
    bit_depth, why_depth = _bit_depth(own, codec, codecs)
    repeat = _repeat(first, options)
    time, bands, height, width = group_shape(members, axes, repeat)
    fold = own.fold or 1
    if fold > time:
        raise PlanError(f"cannot fold {fold} frames: {first.name!r} has {time}")
    block = _block(height, width)
    gop, why_gop = _gop(own, preset, time, bands, block, fold)
    transform, why_transform = _transform(own, bands * fold)
    layout, why_layout = _layout(own, codec)
    return GroupPlan(
        name=named.get(first.name, _group_name(members)),
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
        block=block,
        quality_set=_quality_set(first, options),
        reasons={
            "group": _why_group(members, repeat),
            "codec": why_codec,
            "bit_depth": why_depth,
            "gop": why_gop,
            "transform": why_transform,
            "layout": why_layout,
        },
    )


def _check_same_grid(members: Sequence[VariableFacts]) -> None:
    first = members[0]
    for each in members[1:]:
        if each.dims != first.dims or each.shape != first.shape:
            raise PlanError(
                f"{first.name!r} {first.dims} and {each.name!r} {each.dims} are not on one "
                "grid: put them in different groups"
            )


def group_shape(
    members: Sequence[VariableFacts], axes: tuple[str | None, str, str], repeat: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the (time, bands, y, x) that some variables make when coded together."""
    first = members[0]
    sizes = dict(zip(first.dims, first.shape, strict=True))
    time = sizes[axes[0]] if axes[0] is not None else 1
    extra = int(np.prod([n for d, n in sizes.items() if d not in axes], dtype=np.int64))
    height, width = -(-sizes[axes[1]] // repeat[0]), -(-sizes[axes[2]] // repeat[1])
    return time, extra * len(members), height, width


def _override(members: Sequence[VariableFacts], options: Options) -> Override:
    """Combine the choices for all groups with those for one variable or group."""
    own = _own(members[0].name, options)
    if own is None:
        return replace(options.defaults, target=None)
    fields = Override.__dataclass_fields__
    merged = {
        key: getattr(own, key) if getattr(own, key) is not None else getattr(options.defaults, key)
        for key in fields
    }
    return Override(**{**merged, "target": own.target})


def _codec(own: Override, target: Target, codecs: Mapping[str, Sequence[int]]) -> tuple[str, str]:
    if own.codec is not None:
        if own.codec not in codecs:
            raise PlanError(
                f"codec {own.codec!r} cannot be used here; usable: {', '.join(sorted(codecs))} "
                "(see `xvcomp codecs`)"
            )
        return own.codec, "asked for"
    if not codecs:
        raise PlanError("no video codec works on this machine: see `xvcomp codecs`")
    low = _is_low_rate(target)
    preferred = ["libsvtav1", "libx265"] if low else ["libx265", "libsvtav1"]
    for name in [*preferred, "libx264", *sorted(codecs)]:
        if name in codecs:
            why = "AV1 is ahead at low rates" if low else "12 bits reach high quality"
            return name, why if name == preferred[0] else "the best of those that work here"
    raise PlanError("no video codec works on this machine: see `xvcomp codecs`")


def _is_low_rate(target: Target) -> bool:
    match target:
        case Psnr(db=db) | Quality(db=db):
            return db < 38
        case Bpppb(bits=bits):
            return bits <= 0.15
        case Ratio(ratio=ratio):
            return ratio >= 150
        case _:
            return False


def _bit_depth(own: Override, codec: str, codecs: Mapping[str, Sequence[int]]) -> tuple[int, str]:
    depths = codecs[codec]
    if own.bit_depth is not None:
        if own.bit_depth not in depths:
            raise PlanError(
                f"{codec} cannot code {own.bit_depth} bits here; it can code "
                f"{', '.join(map(str, sorted(depths)))}"
            )
        return own.bit_depth, "asked for"
    # Depths over 12 exist for lossless codecs; their frames only get larger.
    best = max((depth for depth in depths if depth <= 12), default=max(depths))
    return best, f"the deepest that {codec} codes"


def _block(height: int, width: int) -> tuple[int, int]:
    if max(height, width) <= _MAX_BLOCK:
        return height, width
    return min(height, _BLOCK), min(width, _BLOCK)


def _gop(
    own: Override, preset: str, time: int, bands: int, block: tuple[int, int], fold: int
) -> tuple[int, str]:
    frames = -(-time // fold)
    if own.gop is not None:
        if own.gop < 1:
            raise PlanError(f"a GOP has at least 1 frame, got {own.gop}")
        return min(own.gop, frames), "asked for"
    fits = max(1, _MAX_WINDOW_SAMPLES // (bands * fold * block[0] * block[1]))
    longest = _GOPS[preset]
    if fits < min(frames, longest):
        return fits, "as many frames as fit into memory at a time"
    if frames <= longest:
        return frames, "the cube is short: one GOP"
    # Equal GOPs: a short last one would pay for a keyframe of its own.
    return -(-frames // -(-frames // longest)), f"preset {preset}: up to {longest} frames"


def _transform(own: Override, bands: int) -> tuple[Any, str]:
    if own.transform is not None:
        return own.transform, "asked for"
    if bands == 1:
        return "none", "one band"
    if bands > _MAX_KLT_BANDS:
        return "none", f"{bands} bands: the matrix would cost too much"
    return "klt", f"decorrelates {bands} bands"


def _layout(own: Override, codec: str) -> tuple[LayoutKind, str]:
    if own.layout is not None:
        return own.layout, "asked for"
    return "tiled", "one stream, one index, no chroma limits"


def _group_name(members: Sequence[VariableFacts]) -> str:
    names = [each.name for each in members]
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def _why_group(members: Sequence[VariableFacts], repeat: tuple[int, int]) -> str:
    native = "" if repeat == (1, 1) else f", stored at 1/{repeat[0]} x 1/{repeat[1]} resolution"
    if len(members) == 1:
        return "on its own" + native
    return f"{len(members)} correlated variables of one grid and unit" + native


def _lossless_group(each: VariableFacts, reason: str, options: Options) -> GroupPlan:
    axes = frame_axes(each.dims, each.shape)
    assert axes is not None  # _role has sent everything else elsewhere
    time, bands, height, width = group_shape([each], axes, (1, 1))
    block = _block(height, width)
    fits = max(1, _LOSSLESS_WINDOW_SAMPLES // (bands * block[0] * block[1]))
    own = _own(each.name, options) or options.defaults
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


def is_bound(target: Target) -> bool:
    """Whether a target speaks of every single sample."""
    return isinstance(target, MaxError | Lossless)


def is_search(target: Target) -> bool:
    """Whether a target needs several encodings to be met."""
    return isinstance(target, Psnr | Bpppb | Ratio | Ssim)
