"""The peers: image coders per frame, error-bounded compressors per variable, lossless coders.

All are given gap-free data (see ``fill``) and none pays for its mask, its scale factors, its
coordinates or its file's own structure: only compressed payload counts.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import h5py
import hdf5plugin
import imagecodecs
import numpy as np
from numcodecs import Blosc
from numcodecs.bitround import BitRound
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

from .coder import BIG, Coder, Encoded, Setting
from .cubes import Cube, cast

__all__ = [
    "BitRoundZstd",
    "BloscZstd",
    "Jpeg2000",
    "JpegXL",
    "Pcodec",
    "Sperr",
    "Sz3",
    "Zfp",
    "array_shapes",
    "stores_integers",
]

Array = NDArray[Any]

_PSNR_DB = (30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80)
_MAX_CODE = 65535


def _thin(cube: Cube, values: Sequence[float]) -> Sequence[float]:
    """Keep every second value for big cubes."""
    return values[::2] if cube.samples > BIG else values


class _PerFrame(Coder):
    """A 16-bit gray image codec; one common scale for the set, one image per frame and band."""

    packages = ("imagecodecs",)

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Encode every frame of every band by itself."""
        low, high = cube.value_range
        step = (high - low) / _MAX_CODE or 1.0
        codes = np.clip(np.rint((cube.filled - low) / step), 0, _MAX_CODE).astype(np.uint16)
        images = [self._compress(frame, setting) for frame in codes.reshape(-1, *codes.shape[2:])]

        def decode() -> NDArray[np.float64]:
            frames = np.stack([self._decompress(image) for image in images]).reshape(codes.shape)
            return cube.snap(frames * step + low)

        return Encoded(nbytes=sum(map(len, images)), decode=decode)

    def _compress(self, frame: NDArray[np.uint16], setting: Setting) -> bytes:
        raise NotImplementedError

    def _decompress(self, data: bytes) -> NDArray[np.uint16]:
        raise NotImplementedError


class Jpeg2000(_PerFrame):
    """OpenJPEG, raw codestreams, 9/7 wavelet, with an aimed PSNR per frame."""

    name = "jpeg2000"

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return PSNR aims relative to the set's range."""
        low, high = cube.value_range
        shift = 20 * math.log10((high - low) / cube.peak)
        return [{"level_db": round(db + shift)} for db in _thin(cube, _PSNR_DB)]

    def _compress(self, frame: NDArray[np.uint16], setting: Setting) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                frame,
                level=int(setting["level_db"]),
                codecformat="J2K",
                mct=False,
                reversible=False,
            )
        )

    def _decompress(self, data: bytes) -> NDArray[np.uint16]:
        return imagecodecs.jpeg2k_decode(data)


class JpegXL(_PerFrame):
    """libjxl without container, default effort."""

    name = "jpegxl"

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return Butteraugli distances down to the smallest that libjxl takes."""
        distances = (15, 8, 4, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
        return [{"distance": distance} for distance in _thin(cube, distances)]

    def _compress(self, frame: NDArray[np.uint16], setting: Setting) -> bytes:
        return bytes(
            imagecodecs.jpegxl_encode(
                frame, distance=float(setting["distance"]), usecontainer=False
            )
        )

    def _decompress(self, data: bytes) -> NDArray[np.uint16]:
        return imagecodecs.jpegxl_decode(data)


class _Hdf5(Coder):
    """An HDF5 filter; one dataset with one chunk per variable, as float32 in stored units."""

    packages = ("hdf5plugin", "h5py")

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Write each variable to a file in memory."""
        inputs = [
            _shape(values, str(setting["shape"])).astype(np.float32)
            for values in cube.filled_stored
        ]
        blobs = [
            _write_hdf5(values, self._filter(setting, cube, abs(scale), values))
            for values, (scale, _) in zip(inputs, cube.scales, strict=True)
        ]

        def decode() -> NDArray[np.float64]:
            stored = [
                cast(_read_hdf5(blob).reshape(like.swapaxes(0, 1).shape), like.dtype).swapaxes(0, 1)
                for (blob, _), like in zip(blobs, cube.filled_stored, strict=True)
            ]
            return cube.unpack(stored)

        return Encoded(nbytes=sum(nbytes for _, nbytes in blobs), decode=decode)

    def _filter(self, setting: Setting, cube: Cube, scale: float, values: Array) -> Any:
        raise NotImplementedError


def _shape(values: Array, shape: str) -> Array:
    """Bring (time, band, y, x) to what a 3-D or a 4-D coder is given, bands first."""
    by_band = np.ascontiguousarray(values.swapaxes(0, 1))
    if shape == "4d":
        return by_band
    return by_band.reshape(-1, *by_band.shape[2:])


def array_shapes(cube: Cube) -> list[str]:
    """Offer 4-D where a variable has bands of its own."""
    return ["3d", "4d"] if cube.stored[0].shape[1] > 1 else ["3d"]


def _write_hdf5(values: Array, compression: Any) -> tuple[bytes, int]:
    """Return the file's bytes, and those of its one chunk."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        dataset = file.create_dataset(
            "v", data=values, chunks=values.shape, compression=compression
        )
        nbytes = dataset.id.get_storage_size()
    return buffer.getvalue(), nbytes


def _read_hdf5(data: bytes) -> Array:
    with h5py.File(io.BytesIO(data), "r") as file:
        return np.asarray(file["v"][()])


def _bounds(cube: Cube, factor: float) -> list[float]:
    """Return absolute bounds whose errors span the PSNR ladder."""
    return [float(f"{factor * cube.peak * 10 ** (-db / 20):.3g}") for db in _thin(cube, _PSNR_DB)]


class Sz3(_Hdf5):
    """SZ3 by absolute bound, always on float32: on uint16 it takes a quarter more bytes."""

    name = "sz3"

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return bounds in unpacked units; uniform errors have sqrt(3) times less RMSE."""
        return [
            {"absolute": bound, "shape": shape}
            for shape in array_shapes(cube)
            for bound in _bounds(cube, math.sqrt(3))
        ]

    def _filter(self, setting: Setting, cube: Cube, scale: float, values: Array) -> Any:
        del values
        return hdf5plugin.SZ3(absolute=_stored_bound(setting, cube, scale))


def stores_integers(cube: Cube) -> bool:
    """Whether the stored dtype is an integer."""
    return cube.stored[0].dtype.kind in "iu"


def _stored_bound(setting: Setting, cube: Cube, scale: float) -> float:
    """Return the bound in stored units.

    ``absolute`` is passed on as it is. ``bound`` is a promise about what a reader sees: values
    stored as integers are rounded after decoding, so that the largest integer in the bound is
    passed. ``widened`` adds just under 1/2, which that rounding takes back: a trick that SZ3's
    users do not play, but could.
    """
    if "absolute" in setting:
        return float(setting["absolute"]) / scale
    bound = float(setting["bound"]) / scale
    if not stores_integers(cube):
        return bound
    integer = math.floor(bound + 1e-9)
    return integer + 0.49 if setting.get("widened") or not integer else float(integer)


class Sperr(_Hdf5):
    """SPERR by PSNR (best for mean squared error) or by absolute bound; float32, 3-D."""

    name = "sperr"

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return PSNR aims on the set's peak."""
        return [{"psnr_db": db, "shape": "3d"} for db in _thin(cube, _PSNR_DB)]

    def _filter(self, setting: Setting, cube: Cube, scale: float, values: Array) -> Any:
        if "bound" in setting:
            return hdf5plugin.Sperr(absolute=_stored_bound(setting, cube, scale))
        # SPERR's PSNR is relative to the chunk's own range; the set wants one MSE for all.
        own_range = float(values.max() - values.min()) * scale
        shift = 20 * math.log10(own_range / cube.peak) if own_range > 0 else 0.0
        return hdf5plugin.Sperr(peak_signal_to_noise_ratio=float(setting["psnr_db"]) + shift)


class Zfp(_Hdf5):
    """ZFP by absolute accuracy, float32."""

    name = "zfp"

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return accuracies; ZFP's errors stay far below them."""
        return [
            {"absolute": bound, "shape": shape}
            for shape in array_shapes(cube)
            for bound in _bounds(cube, 10.0)
        ]

    def _filter(self, setting: Setting, cube: Cube, scale: float, values: Array) -> Any:
        del values
        return hdf5plugin.Zfp(accuracy=_stored_bound(setting, cube, scale))


class BitRoundZstd(Coder):
    """Keep some mantissa bits of the unpacked float32 values, then Blosc-zstd."""

    name = "bitround+zstd"
    packages = ("numcodecs",)

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return numbers of mantissa bits."""
        bits = _thin(cube, (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14))
        return [{"keepbits": n} for n in bits if n <= 9 or cube.samples <= BIG]

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Round and compress each band."""
        rounder, blosc = BitRound(int(setting["keepbits"])), _blosc()
        values = np.ascontiguousarray(cube.filled.swapaxes(0, 1), dtype=np.float32)
        blobs = [blosc.encode(rounder.encode(band)) for band in values]

        def decode() -> NDArray[np.float64]:
            bands = [np.frombuffer(blosc.decode(blob), np.float32) for blob in blobs]
            return cube.snap(np.stack(bands).reshape(values.shape).swapaxes(0, 1))

        return Encoded(nbytes=sum(map(len, blobs)), decode=decode)


class _Lossless(Coder):
    """A lossless coder of the stored values, gaps included, one buffer per variable."""

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return the one setting."""
        del cube
        return [{"lossless": 1}]

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Compress each variable."""
        del setting
        codecs = [self._pair(values) for values in cube.stored]
        blobs = [
            compress(np.ascontiguousarray(values.swapaxes(0, 1)))
            for (compress, _), values in zip(codecs, cube.stored, strict=True)
        ]

        def decode() -> NDArray[np.float64]:
            stored = [
                np.frombuffer(expand(blob), like.dtype)
                .reshape(like.swapaxes(0, 1).shape)
                .swapaxes(0, 1)
                for (_, expand), blob, like in zip(codecs, blobs, cube.stored, strict=True)
            ]
            return cube.unpack(stored)

        return Encoded(nbytes=sum(map(len, blobs)), decode=decode)

    def _pair(self, values: Array) -> tuple[Callable[[Array], bytes], Callable[[bytes], Any]]:
        raise NotImplementedError


class BloscZstd(_Lossless):
    """Blosc with zstd 9 and bit shuffle."""

    name = "blosc-zstd"
    packages = ("numcodecs",)

    def _pair(self, values: Array) -> tuple[Callable[[Array], bytes], Callable[[bytes], Any]]:
        del values
        blosc = _blosc()
        return blosc.encode, blosc.decode


class Pcodec(_Lossless):
    """pcodec at its default level."""

    name = "pcodec"
    packages = ("pcodec",)

    def _pair(self, values: Array) -> tuple[Callable[[Array], bytes], Callable[[bytes], Any]]:
        del values
        return _compress_pcodec, standalone.simple_decompress


def _compress_pcodec(values: Array) -> bytes:
    return bytes(standalone.simple_compress(values.ravel(), ChunkConfig()))


def _blosc() -> Blosc:
    return Blosc(cname="zstd", clevel=9, shuffle=Blosc.BITSHUFFLE)
