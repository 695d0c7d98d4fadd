"""The same codec for Zarr v2, as a compressor of numcodecs."""

from typing import Any, Self

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_ndarray, ndarray_copy

from .chunk_stream import unpack_stream
from .chunks import encode_chunk
from .zarr_serializer import XvcompCodec

__all__ = ["XvcompCompressor"]


class XvcompCompressor(Codec):  # type: ignore[misc]
    """A compressor of numcodecs, for arrays of (time, [band,] y, x).

    Parameters
    ----------
    codec : XvcompCodec
        What `xvcomp.zarr_codec` returns. The array's own fill value is not known here:
        name it among its ``fill_values``.

    Examples
    --------
    >>> import xvcomp, zarr
    >>> compressor = XvcompCompressor(xvcomp.zarr_codec(xvcomp.Psnr(50, peak=1000)))
    >>> array = zarr.create_array({}, shape=(8, 64, 64), chunks=(8, 64, 64), dtype="f4",
    ...                           zarr_format=2, compressors=compressor)
    """

    codec_id = "xvcomp"

    def __init__(self, codec: XvcompCodec) -> None:
        self.codec = codec

    def encode(self, buf: Any) -> bytes:
        """Code a chunk, and check it; see `chunks.encode_chunk`."""
        return encode_chunk(np.ascontiguousarray(ensure_ndarray(buf)), self.codec.coding)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode a chunk; the array that asks for it knows its shape."""
        values = np.ascontiguousarray(unpack_stream(ensure_ndarray(buf).tobytes()))
        return ndarray_copy(values, out)

    def get_config(self) -> dict[str, Any]:
        """Return what ``.zarray`` says."""
        return {"id": self.codec_id, **self.codec.to_dict()["configuration"]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Read what ``.zarray`` says."""
        return cls(XvcompCodec.from_dict({"name": "xvcomp", "configuration": config}))
