"""The Zarr v3 codec ``xvcomp``: every chunk of an array is a small video.

>>> import numpy as np, xarray as xr, xvcomp
>>> waves = np.sin(np.arange(8 * 64 * 64).reshape(8, 64, 64) / 500).astype("f4")
>>> cube = xr.Dataset({"t": (("time", "y", "x"), waves)})
>>> codec = xvcomp.zarr_codec(xvcomp.Psnr(50, peak=2))
>>> encoding = {"t": {"serializer": codec, "compressors": None}}
>>> _ = cube.to_zarr({}, encoding=encoding, consolidated=False)
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec

from .chunks import ChunkCoding, decode_chunk, encode_chunk
from .errors import PlanError
from .spec import Lossless, MaxError, Preset, Psnr, Quality, Target

__all__ = ["XvcompCodec", "zarr_codec"]

_TARGETS: dict[str, type[Target]] = {
    "psnr": Psnr,
    "max_error": MaxError,
    "lossless": Lossless,
    "quality": Quality,
}
_KEYS = {"target", "preset", "codec", "fill_values"}


@dataclass(frozen=True)
class XvcompCodec(ArrayBytesCodec):
    """An array-to-bytes codec of Zarr; make one with `zarr_codec`."""

    coding: ChunkCoding
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read the codec's entry in ``zarr.json``.

        Raises
        ------
        PlanError
            If it holds what has no meaning.
        """
        given = dict(data.get("configuration", {}))
        unknown = set(given) - _KEYS
        if data.get("name") != "xvcomp" or unknown or "target" not in given:
            raise PlanError(f"not a configuration of the codec xvcomp: {data!r}")
        try:
            return cls(
                ChunkCoding(
                    target=_target(given["target"]),
                    preset=given.get("preset", "fast"),
                    codec=given.get("codec"),
                    fill_values=tuple(given.get("fill_values", ())),
                )
            )
        except (TypeError, ValueError) as error:
            raise PlanError(f"configuration of the codec xvcomp: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Write the codec's entry in ``zarr.json``."""
        coding = self.coding
        return {
            "name": "xvcomp",
            "configuration": {
                "target": asdict(coding.target),  # type: ignore[call-overload]
                "preset": coding.preset,
                "codec": coding.codec,
                "fill_values": list(coding.fill_values),
            },
        }

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that are no images."""
        native = dtype.to_native_dtype()
        if len(shape) < 2 or native.kind not in "iufb" or native.itemsize > 8:
            raise PlanError(
                f"the codec xvcomp takes numeric arrays of (time, [band,] y, x), got {native} "
                f"of {len(shape)} dims"
            )

    def evolve_from_array_spec(self, array_spec: Any) -> Self:
        """Keep the array's own fill value exact too, unless it is the default of zero."""
        fill = array_spec.fill_value
        known = self.coding.fill_values
        if fill is None or not np.isfinite(fill) or fill == 0 or fill in known:
            return self
        return replace(self, coding=replace(self.coding, fill_values=(*known, fill.item())))

    def compute_encoded_size(self, _input_byte_length: int, _chunk_spec: Any) -> int:
        """Refuse: the size depends on the samples."""
        raise NotImplementedError("the size of a coded chunk is not known beforehand")

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        values = chunk_data.as_numpy_array()
        data = await asyncio.to_thread(encode_chunk, values, self.coding)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        dtype = chunk_spec.dtype.to_native_dtype()
        values = await asyncio.to_thread(
            decode_chunk, chunk_data.to_bytes(), chunk_spec.shape, dtype
        )
        typed = values.astype(dtype, copy=False)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(typed)


def _target(value: object) -> Target:
    if not isinstance(value, Mapping) or value.get("kind") not in _TARGETS:
        raise PlanError(f"target is {value!r}; its kind must be one of {', '.join(_TARGETS)}")
    return _TARGETS[value["kind"]](**value)


def zarr_codec(
    target: Target,
    *,
    chunk_range: bool = False,
    preset: Preset = "fast",
    codec: str | None = None,
    fill_values: Iterable[int | float] = (),
) -> XvcompCodec:
    """Make a serializer for Zarr v3 arrays.

    Parameters
    ----------
    target : Psnr, MaxError, Lossless or Quality
        Kept in every chunk on its own, each decoded and compared before it is stored.
    chunk_range : bool
        Let the peak of a PSNR without one be the range of each chunk.
    preset : {"fast", "balanced", "best"}
    codec : str, optional
        Video codec; ``None`` leaves it to the planner.
    fill_values : iterable of int or float
        Values that stand for missing samples. They come back exactly, as NaN,
        infinities and the array's own fill value do (unless that is the default of 0).

    Returns
    -------
    XvcompCodec
        For ``encoding={"B02": {"serializer": codec, "compressors": None}}``.

    Raises
    ------
    PlanError
        If a PSNR has no peak and ``chunk_range`` is false, or the target speaks of files.
    """
    if isinstance(target, Psnr) and target.peak is None and not chunk_range:
        raise PlanError(
            f"Psnr({target.db:g}) needs a peak, such as Psnr({target.db:g}, peak=10000): no chunk "
            "knows the range of the whole array; or give chunk_range=True"
        )
    coding = ChunkCoding(target=target, preset=preset, codec=codec, fill_values=tuple(fill_values))
    return XvcompCodec(coding)
