"""What was tried beside what xvcomp does, and gains too little to be built.

``python -m benchmarks.rate_distortion.alternatives --data DIR --out FILE [--cubes A B]``

* ``seasons``: a KLT of its own for each quarter of a series, which must begin with a GOP, against
  one KLT for all with GOPs as long as xvcomp makes them; ``seasons_same_gops`` with a GOP per
  quarter on both sides. Only video packets count: bases are free here.
* ``pairs``: bands of half the resolution as the chroma of 4:2:0 frames whose luma are the others,
  against two streams. Places that are left over hold mid-grey, and the same quantisers are used.

BD-rates are against what xvcomp does: positive numbers are more bits.
"""

import math
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import xvcomp
from xvcomp.codecs import registry
from xvcomp.codecs.abc import StreamParams
from xvcomp.codecs.segments import split
from xvcomp.reading import CubeFile

from .bdrate import RdPoint, bd_rate
from .cubes import Cube
from .points import measure_errors
from .rows import Row, measure_rows, options
from .tune import recorded

__all__ = ["chroma_pairs", "seasons"]

_CUBES = ("be1_10bands", "earthnet", "modis", "s1", "globcurrent")
_PSNR_DB = (32, 38, 44, 50)
_QUANTIZERS = (4, 10, 16, 22)
_PARTS = 4
_LARGEST = 2**12 - 1
"""Code: `recorded` streams have 12 bits."""

_TILE = 32
"""Of the shared Sentinel-2 cube's 20 m bands, which alone are tried."""


def seasons(cube: Cube, parts: int = _PARTS) -> Row:
    """Compare a basis per part of a series with one for all of it."""
    frames = cube.dataset.sizes[cube.frame_dim]
    length = -(-frames // parts)
    spans = [slice(start, start + length) for start in range(0, frames, length)]
    peak = cube.peak
    own = [
        replace(cube, dataset=cube.dataset.isel({cube.frame_dim: span}), peak_override=peak)
        for span in spans
    ]
    whole = [_coded([cube], db, None) for db in _PSNR_DB]
    cut = [_coded([cube], db, length) for db in _PSNR_DB]
    apart = [_coded(own, db, length) for db in _PSNR_DB]
    return {
        "bd_rate_percent": round(bd_rate(whole, apart), 1),
        "bd_rate_percent_same_gops": round(bd_rate(cut, apart), 1),
        "whole": [*map(_point, whole)],
        "cut": [*map(_point, cut)],
        "apart": [*map(_point, apart)],
    }


def _coded(cubes: Sequence[Cube], db: float, gop: int | None) -> RdPoint:
    """Encode cubes at one step; returns bits per sample of all, and their PSNR."""
    nbytes, squares, valid = 0, 0.0, 0
    peak = cubes[0].peak
    for cube in cubes:
        if not cube.valid.any():
            continue
        low, high = cube.value_range
        if low == high:
            raise ValueError(f"a part of {cube.name} does not vary: its step has no quality")
        target = xvcomp.Quality(db + 20 * math.log10((high - low) / peak))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cube.mp4"
            xvcomp.encode(
                cube.dataset,
                path,
                stored=True,
                target=target,
                preset="fast",
                codec="libx265",
                gop=gop,
                fold=1,
            )
            nbytes += _packet_nbytes(path)
            with xvcomp.open(path, decode_cf=False) as opened:
                found = measure_errors(cube, cube.from_dataset(opened.load()))
        count = int(np.count_nonzero(cube.valid))
        squares += count * 10 ** (-found.psnr_db / 10)
        valid += count
    samples = sum(cube.samples for cube in cubes)
    return 8 * nbytes / samples, -10 * math.log10(squares / valid)


def _packet_nbytes(path: Path) -> int:
    with closing(CubeFile(path)) as file:
        tracks = range(len(file.reader.tracks))
        gops = [gop for track in tracks for gop in file.reader.gops(track)]
        return sum(place.nbytes for gop in gops for place in gop.packets)


def chroma_pairs(cube: Cube) -> Row | None:
    """Compare 4:2:0 frames with two streams; ``None`` without tiles of 64 and of 32 pixels."""
    streams = recorded(cube.dataset)
    by_size = sorted({planes[0].size: (planes[0], params) for planes, params in streams}.items())
    if len(by_size) != 2 or not _is_pair(*(each[0] for _, each in by_size)):
        return None
    (_, (coarse, coarse_params)), (_, (fine, params)) = by_size
    tiles = [
        coarse[:, top : top + _TILE, left : left + _TILE]
        for top in range(0, coarse.shape[1], _TILE)
        for left in range(0, coarse.shape[2], _TILE)
    ]
    half = -(-len(tiles) // 2)
    size = (fine.shape[1] // 2, fine.shape[2] // 2)
    chroma = [_mosaic(some, size, params.bit_depth) for some in (tiles[:half], tiles[half:])]
    used = replace(params, preset="balanced", chroma="420", threads=0)
    apart, joined = [], []
    for quantizer in _QUANTIZERS:
        alone = [
            _encoded((planes,), replace(each, preset="balanced", threads=0), quantizer)
            for planes, each in ((fine, params), (coarse, coarse_params))
        ]
        apart.append(_joined([sum(each[0] for each in alone)], [each[1] for each in alone], fine))
        together = _encoded((fine, *chroma), used, quantizer)
        joined.append(_joined([together[0]], [together[1]], fine))
    return {
        "bd_rate_percent": round(bd_rate(apart, joined), 1),
        "apart": [*map(_point, apart)],
        "joined": [*map(_point, joined)],
    }


def _is_pair(coarse: NDArray[np.uint16], fine: NDArray[np.uint16]) -> bool:
    """Say whether tiles of one stream fit into the chroma of the other."""
    places = fine[0].size // (2 * _TILE) ** 2
    fits = all(side % (2 * _TILE) == 0 for side in fine.shape[1:])
    fits = fits and all(side % _TILE == 0 for side in coarse.shape[1:])
    tiles = coarse[0].size // _TILE**2
    return fits and len(coarse) == len(fine) and 2 <= tiles <= 2 * places


def _mosaic(
    tiles: Sequence[NDArray[np.uint16]], size: tuple[int, int], bit_depth: int
) -> NDArray[np.uint16]:
    """Lay tiles row by row; what is left over is mid-grey."""
    plane = np.full((len(tiles[0]), *size), 1 << (bit_depth - 1), dtype=np.uint16)
    columns = size[1] // _TILE
    for number, tile in enumerate(tiles):
        row, column = (_TILE * k for k in divmod(number, columns))
        plane[:, row : row + _TILE, column : column + _TILE] = tile
    return plane


def _encoded(
    planes: tuple[NDArray[np.uint16], ...], params: StreamParams, quantizer: int
) -> tuple[int, float]:
    """Return the bytes of packets, and the sum of squared errors."""
    codec = registry.get("libx265")
    segment = codec.encode(planes, replace(params, quantizer=quantizer))
    info, gops = split(segment)
    packets = [packet for gop in gops for packet in gop]
    back = codec.decode(packets, info, chroma=params.chroma, threads=1)
    squares = [
        float(np.square(plane.astype(np.float64) - got).sum())
        for plane, got in zip(planes, back, strict=True)
    ]
    return sum(map(len, packets)), math.fsum(squares)


def _joined(nbytes: Sequence[int], squares: Sequence[float], like: NDArray[np.uint16]) -> RdPoint:
    """Return bits per sample of the fine bands, and a PSNR over as many samples."""
    mse = math.fsum(squares) / like.size
    return 8 * sum(nbytes) / like.size, 20 * math.log10(_LARGEST) - 10 * math.log10(mse)


def _point(point: RdPoint) -> dict[str, float]:
    return {"bits": round(point[0], 5), "psnr_db": round(point[1], 3)}


def _row(cube: Cube) -> Row:
    found = {"seasons": seasons(cube), "pairs": chroma_pairs(cube)}
    kept = {name: each for name, each in found.items() if each is not None}
    rates = {name: each["bd_rate_percent"] for name, each in kept.items()}
    rates["seasons_same_gops"] = kept["seasons"]["bd_rate_percent_same_gops"]
    return rates | {"points": kept}


def main() -> None:
    """Measure all cubes, writing after each."""
    measure_rows(options(__doc__, _CUBES).parse_args(), _row)


if __name__ == "__main__":
    main()
