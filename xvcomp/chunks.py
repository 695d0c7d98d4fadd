"""Code single arrays to bytes that stand alone, and keep a promise about each of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import masks
from .chunk_stream import pack_stream, unpack_stream
from .codecs.encoders import Encoders
from .errors import ErrorBoundExceeded, PlanError
from .jobs import Job
from .metrics import ErrorStats
from .pipeline import EncodedGroup, GroupInput, VariableInput, prepare
from .planner import VariableFacts, plan, without_video
from .results import Options, Override
from .solving import solve
from .spec import GroupPlan, Lossless, MaxError, Preset, Psnr, Quality, Target

__all__ = ["ChunkCoding", "decode_chunk", "encode_chunk"]

_NAME = "chunk"
_DIMS = ("time", "band", "y", "x")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkCoding:
    """How arrays are coded.

    Parameters
    ----------
    target : Psnr, MaxError, Lossless or Quality
        Holds for every array on its own.
    preset : {"fast", "balanced", "best"}
    codec : str or None
        ``None`` leaves it to the planner.
    fill_values : tuple of int or float
        Values that stand for missing samples, besides NaN and infinities: kept exactly.

    Raises
    ------
    PlanError
        If the target speaks of a file.
    """

    target: Target
    preset: Preset = "fast"
    codec: str | None = None
    fill_values: tuple[int | float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.target, Psnr | MaxError | Lossless | Quality):
            raise PlanError(
                f"target {self.target!r} cannot hold for single chunks; use Psnr, MaxError, "
                "Lossless or Quality"
            )


def encode_chunk(values: NDArray[Any], coding: ChunkCoding) -> bytes:
    """Code an array, decode it again, and compare.

    Parameters
    ----------
    values : ndarray of int, uint, float or bool, shape ([time, [..., ]] y, x)
        Two dims or more; those between the first and the last two are bands.
    coding : ChunkCoding

    Raises
    ------
    PlanError
        If the array has fewer than two dims, or is of another dtype.
    TargetError
        If the target is out of reach.
    ErrorBoundExceeded
        If what came back breaks the promise.
    """
    if values.ndim < 2 or values.dtype.kind not in "iufb" or values.dtype.itemsize > 8:
        raise PlanError(
            f"a chunk must be numeric with two dims or more, got {values.dtype} {values.shape}"
        )
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    plain = native.view(np.uint8) if native.dtype.kind == "b" else native
    samples = np.ascontiguousarray(plain.reshape(_four(plain.shape)))
    fills = _fill_values((*coding.fill_values, *_padding(samples)), samples.dtype)
    encoded = _encode(samples, coding, fills)
    data = pack_stream(encoded, samples.dtype)
    _verify(samples, unpack_stream(data), coding.target, fills)
    return data


def decode_chunk(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Decode what `encode_chunk` returned for an array of this shape and dtype."""
    values = unpack_stream(data)
    coded = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
    if values.dtype != coded or values.shape != _four(shape):
        raise PlanError(
            f"the chunk holds {values.dtype} {values.shape}, the array says {dtype} {shape}"
        )
    return values.reshape(shape).view(np.bool_ if dtype.kind == "b" else coded)


def _four(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    time = shape[0] if len(shape) > 2 else 1
    bands = int(np.prod(shape[1:-2], dtype=np.int64)) if len(shape) > 3 else 1
    return time, bands, shape[-2], shape[-1]


def _padding(samples: NDArray[Any]) -> list[Any]:
    """Return the values of last frames, rows or columns that hold a single value.

    Zarr pads the chunks at an array's end. Padding codes without error, and would lend
    what it does not need to the samples that count: a PSNR must not be met by it.
    """
    ends = [samples[-1:], samples[:, :, -1:], samples[..., -1:]]
    firsts = [end.flat[0] for end in ends if end.size and (end == end.flat[0]).all()]
    return [first.item() for first in firsts]


def _fill_values(values: tuple[int | float, ...], dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Express fill values in the dtype; those that cannot occur in it are left out."""
    found = []
    for value in values:
        if np.isnan(value):
            continue
        if dtype.kind == "f" or np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            found.append(dtype.type(value))
    return tuple(found)


def _encode(samples: NDArray[Any], coding: ChunkCoding, fills: tuple[Any, ...]) -> EncodedGroup:
    def read(time: slice, y: slice, x: slice) -> NDArray[Any]:
        return samples[time, :, y, x]

    variable = VariableInput(
        name=_NAME,
        bands=samples.shape[1],
        dtype=samples.dtype,
        fill_values=fills,
        scale=1.0,
        offset=0.0,
        read=read,
    )
    group = _plan(samples.shape, samples.dtype, coding)
    data = GroupInput(variables=(variable,), shape=samples.shape)
    prepared = prepare(data, span=samples.shape[0], block=group.block, fold=group.fold)
    if prepared.constant and not group.lossless:
        group = without_video(group, "no valid sample differs from another")
    job = Job(plan=group, prepared=prepared)
    (encoded,) = solve(
        [job],
        coding.target,
        lambda groups: sum(each.nbytes for each in groups),
        samples=samples.size,
        raw_nbytes=samples.nbytes,
    )
    return encoded


def _plan(shape: tuple[int, ...], dtype: np.dtype[Any], coding: ChunkCoding) -> GroupPlan:
    facts = VariableFacts(
        name=_NAME, dims=_DIMS, shape=shape, dtype=dtype, attrs={}, is_coord=False,
        distinct=2**16, varies=True,
    )  # fmt: skip
    exact = isinstance(coding.target, Lossless)
    # Lossless variables may be planned into a file's sidecar, which a chunk has not.
    target = Quality(50) if exact else coding.target
    options = Options(
        target=target,
        preset=coding.preset,
        lossy=(_NAME,),
        by_variable={_NAME: Override(codec=coding.codec, gop=shape[0], target=target)},
    )
    (group,) = plan([facts], options, Encoders.of_machine()).groups
    return without_video(group, "asked for") if exact else group


def _verify(
    before: NDArray[Any], after: NDArray[Any], target: Target, fills: tuple[Any, ...]
) -> None:
    """Compare what the bytes decode to with what was to be coded."""
    classes = masks.classify(before, masks.specials_of(before, fills))
    valid = classes == 0
    if before[~valid].tobytes() != after[~valid].tobytes():
        raise ErrorBoundExceeded("missing values of a chunk did not come back as they were")
    stats = ErrorStats.of(before, after, valid)
    if isinstance(target, Lossless) and before.tobytes() != after.tobytes():
        raise ErrorBoundExceeded("a chunk was to be lossless, and is not")
    if isinstance(target, Psnr) and valid.any():
        peak = target.peak or float(np.ptp(before[valid].astype(np.float64))) or 1.0
        if stats.psnr_db(peak) < target.db:
            raise ErrorBoundExceeded(
                f"a chunk came back with {stats.psnr_db(peak):.2f} dB, {target.db} were promised"
            )
    if isinstance(target, MaxError) and target.relative == "absolute":
        worst = stats.max_error
        if worst > target.value:
            raise ErrorBoundExceeded(f"a chunk is off by {worst}, {target.value} was promised")
