"""The published recipe: bands in triples as RGB, through x265 in 12 bit 4:4:4.

Each band is stretched from its own minimum and maximum to 12 bit, NaN becomes the band's minimum,
bands are padded to a multiple of three by repeating the last one, and each triple becomes one
Matroska file: ``gbrp12 -> yuv444p12`` (limited range), libx265 medium, tune psnr. With the PCA,
the components of the bands take the bands' place. Only the video files are counted: the recipe's
own metadata and the matrix of the PCA come for free.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from .coder import BIG, Coder, Encoded, Setting
from .cubes import Cube

__all__ = ["GrayX265", "Seed"]

_MAX_CODE = 4095
_CRFS = (1, 4, 7, 10, 13, 16, 20, 24, 27, 30, 34, 38)
_CRFS_BIG = (1, 7, 16, 27, 34)
_ATTEMPTS = 5
_PACKAGES = ("av", "numpy")

Codes = NDArray[np.uint16]


class Seed(Coder):
    """The recipe, with or without its PCA over the bands."""

    packages = _PACKAGES

    def __init__(self, *, pca: bool) -> None:
        self.name = "seed-pca" if pca else "seed"
        self._pca = pca

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return the published CRF points, more of them, and the highest quality."""
        if self._pca and cube.reference.shape[1] == 1:
            return []
        return _crf_ladder(cube)

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Encode every triple of bands or components."""
        values = _fill_with_minimum(cube)
        pca = _fit_pca(values) if self._pca else None
        codes, low, span = _stretch(values if pca is None else _project(values, *pca))
        streams = [_encode_checked(triple, "yuv444p12le", setting) for triple in _triples(codes)]

        def read() -> NDArray[np.float64]:
            frames = np.concatenate(
                [_decode(stream.data, "gbrp12le") for stream in streams], axis=1
            )
            back = frames[:, : values.shape[1]] / _MAX_CODE * span + low
            if pca is not None:
                basis, mean = pca
                back = np.einsum("tkyx,kb->tbyx", back, basis) + mean
            return back

        return _encoded(streams, read, cube)


class GrayX265(Coder):
    """Plain 12-bit gray x265 medium, one file per band: where the recipe crashes."""

    name = "gray-x265"
    packages = _PACKAGES

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return the recipe's own points."""
        return _crf_ladder(cube)

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Encode every band."""
        codes, low, span = _stretch(_fill_with_minimum(cube))
        bands = [codes[:, band : band + 1] for band in range(codes.shape[1])]
        streams = [_encode_checked(band, "gray12le", setting) for band in bands]

        def read() -> NDArray[np.float64]:
            frames = np.concatenate(
                [_decode(stream.data, "gray12le") for stream in streams], axis=1
            )
            return frames / _MAX_CODE * span + low

        return _encoded(streams, read, cube)


def _crf_ladder(cube: Cube) -> list[Setting]:
    crfs = _CRFS_BIG if cube.samples > BIG else _CRFS
    return [{"qpmax": 0.01}, *({"crf": crf} for crf in crfs)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stream:
    """One file, how many tries it took, and the time of all but one plain encode."""

    data: bytes
    attempts: int
    overhead_seconds: float
    scalar: bool


def _encoded(
    streams: list[_Stream], read: Callable[[], NDArray[np.float64]], cube: Cube
) -> Encoded:
    repeats = sum(stream.attempts - 1 for stream in streams)
    notes: dict[str, str | int] = {"repeated_encodes": repeats} if repeats else {}
    if any(stream.scalar for stream in streams):
        notes["recipe"] = "crashes at this width; run without x265's vector code (asm=0), slower"
    return Encoded(
        nbytes=sum(len(stream.data) for stream in streams),
        decode=lambda: cube.snap(read()),
        read=read,
        notes=notes,
        overhead_seconds=sum(stream.overhead_seconds for stream in streams),
    )


def _fill_with_minimum(cube: Cube) -> NDArray[np.float64]:
    values = np.where(cube.valid, cube.reference, np.inf)
    minimum = values.min(axis=(0, 2, 3), keepdims=True)
    return np.where(cube.valid, cube.reference, np.where(np.isfinite(minimum), minimum, 0.0))


def _fit_pca(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the components (component, band) by falling variance, and the mean (1, band, 1, 1)."""
    pixels = np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])
    mean = pixels.mean(axis=0)
    covariance = np.cov(pixels, rowvar=False)
    _, vectors = np.linalg.eigh(covariance)
    return vectors[:, ::-1].T, mean.reshape(1, -1, 1, 1)


def _project(
    values: NDArray[np.float64], basis: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.einsum("tbyx,kb->tkyx", values - mean, basis))


def _stretch(
    values: NDArray[np.float64],
) -> tuple[Codes, NDArray[np.float64], NDArray[np.float64]]:
    """Stretch each band to 12 bit; return codes, minimum and range, the latter (1, band, 1, 1)."""
    low = values.min(axis=(0, 2, 3), keepdims=True)
    span = values.max(axis=(0, 2, 3), keepdims=True) - low
    span = np.where(span > 0, span, 1.0)
    return np.rint((values - low) / span * _MAX_CODE).astype(np.uint16), low, span


def _triples(codes: Codes) -> list[Codes]:
    missing = -codes.shape[1] % 3
    padded = np.concatenate([codes, *([codes[:, -1:]] * missing)], axis=1)
    return [padded[:, i : i + 3] for i in range(0, padded.shape[1], 3)]


def _encode_checked(codes: Codes, pix_fmt: str, setting: Setting) -> _Stream:
    """Encode again if frames came back as garbage, and keep the best try.

    x265 corrupts frames at random when they are exactly one CTU wide. The recipe does not look;
    here it gets its best result, so that its curve shows the recipe and not the bug.
    """
    best, best_error, attempts = b"", np.inf, 0
    source = "gbrp12le" if codes.shape[1] == 3 else "gray12le"
    start = perf_counter()
    while attempts < _ATTEMPTS:
        attempts += 1
        begin = perf_counter()
        data = _encode(codes, pix_fmt, setting)
        plain_seconds = perf_counter() - begin
        error = np.square(_decode(data, source).astype(np.float64) - codes).mean(axis=(1, 2, 3))
        if error.mean() < best_error:
            best, best_error = data, float(error.mean())
        if error.max() <= 20 * np.median(error) + 100:
            break
    overhead = perf_counter() - start - plain_seconds
    return _Stream(
        data=best,
        attempts=attempts,
        overhead_seconds=overhead,
        scalar=_crashes(codes.shape[3]),
    )


def _options(setting: Setting, width: int) -> Mapping[str, str]:
    parameters = ["log-level=none"]
    if _crashes(width):
        parameters.append("asm=0")
    options = {"preset": "medium", "tune": "psnr"}
    if "crf" in setting:
        options["crf"] = str(setting["crf"])
    else:
        parameters.append(f"qpmax={setting['qpmax']}")
    return {**options, "x265-params": ":".join(parameters)}


def _crashes(width: int) -> bool:
    """Whether x265's 12-bit vector code writes past its buffers: 4.2 does at 33 to 48 wide.

    The recipe crashes there, sooner or later. Without that code the stream is the same, but late.
    """
    return 33 <= width <= 48


def _encode(codes: Codes, pix_fmt: str, setting: Setting) -> bytes:
    """Encode frames (time, plane, y, x) to one Matroska file."""
    buffer = io.BytesIO()
    options = dict(_options(setting, codes.shape[3]))
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("libx265", rate=30, options=options)
        stream.height, stream.width = codes.shape[2:]
        stream.pix_fmt = pix_fmt
        convert = _Converter(_to_frame(codes[0]), pix_fmt)
        for index, planes in enumerate(codes):
            frame = convert(_to_frame(planes))
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


class _Converter:
    """Convert pixel formats in a filter graph, as the ffmpeg program does."""

    def __init__(self, like: av.VideoFrame, pix_fmt: str) -> None:
        self._same = like.format.name == pix_fmt
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=like.width, height=like.height, format=like.format, time_base=Fraction(1, 30)
        )
        convert = self._graph.add("format", pix_fmt)
        sink = self._graph.add("buffersink")
        source.link_to(convert)
        convert.link_to(sink)
        self._graph.configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._same:
            return frame
        self._graph.vpush(frame)
        return self._graph.vpull()


def _to_frame(planes: Codes) -> av.VideoFrame:
    if planes.shape[0] == 1:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(planes[0]), format="gray12le")
    return av.VideoFrame.from_ndarray(
        np.ascontiguousarray(np.moveaxis(planes, 0, -1)), format="gbrp12le"
    )


def _decode(data: bytes, pix_fmt: str) -> Codes:
    """Decode a file to frames (time, plane, y, x)."""
    frames = []
    convert = None
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            convert = convert or _Converter(frame, pix_fmt)
            array = convert(frame).to_ndarray()
            frames.append(array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0))
    return np.stack(frames)
