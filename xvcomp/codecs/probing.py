"""Find out what an encoder really does: encode and decode tiny clips, and compare.

Runs in the calling process. Encoders have crashed on odd parameters, so callers want
``capabilities.probe``, which runs ``python -m xvcomp.codecs.probing NAME``.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError, CodecUnavailable
from ..spec import Chroma, Planes
from ._frames import allocate_planes
from .abc import Capabilities, StreamParams
from .pyav import PyavCodec
from .segments import split

__all__ = ["made_planes", "probe_formats"]

_N_FRAMES = 3
_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_ALIGNMENTS = (2, 8, 16, 32, 64)


def made_planes(
    chroma: Chroma, bit_depth: int, shape: tuple[int, int, int], *, seed: int = 0
) -> Planes:
    """Return a clip of drifting waves and noise over the whole range of codes.

    Parameters
    ----------
    chroma : {"gray", "420", "444"}
    bit_depth : int
    shape : (int, int, int)
        Frames, height and width.
    """
    top = 2**bit_depth - 1
    rng = np.random.default_rng(seed)
    planes = allocate_planes(chroma, *shape)
    for number, plane in enumerate(planes):
        t, y, x = np.ogrid[tuple(slice(n) for n in plane.shape)]
        wave = (
            np.sin((x + 2 * t) / (5 + number))
            + np.cos((y - t) / 7)
            + rng.normal(0, 0.05, plane.shape)
        )
        plane[...] = np.clip((wave + 2) / 4, 0, 1) * top
        plane[0, 0, 0], plane[-1, -1, -1] = 0, top
    return planes


def probe_formats(codec: PyavCodec) -> Capabilities:
    """Try every chroma and depth that ``codec`` names.

    Returns
    -------
    Capabilities
        With the reason of the first failure where nothing works.
    """
    formats: list[tuple[Chroma, int]] = []
    lossless: list[tuple[Chroma, int]] = []
    reasons: list[str] = []
    for chroma, depth in ((c, d) for c in codec.chromas for d in codec.depths):
        worked = []
        for quantizer in _quantizers(codec, depth):
            try:
                _round_trip(codec, chroma, depth, quantizer, codec.probe_size)
            except CodecError as error:
                reasons.append(str(error))
            else:
                worked.append(quantizer)
        if any(q is not None for q in worked) or (worked and not codec.quantizers(depth)):
            formats.append((chroma, depth))
        if None in worked:
            lossless.append((chroma, depth))
    if not formats:
        why = f"it needs {codec.needs}: {reasons[0]}" if codec.needs else reasons[0]
        return Capabilities(device=codec.device, via=codec.via, reason=why)
    odd = tuple(_odd(codec, formats))
    return Capabilities(
        formats=tuple(formats),
        lossless=tuple(lossless),
        min_size=_smallest(codec, *formats[0]),
        max_size=codec.max_size,
        odd_sizes=odd,
        align=2 if odd else _alignment(codec, *formats[0]),
        device=codec.device,
        via=codec.via,
        reads_anywhere=codec.reads_anywhere,
        pix_fmts=tuple(dict.fromkeys(_pix_fmt(codec, *each) for each in formats)),
    )


def _pix_fmt(codec: PyavCodec, chroma: Chroma, depth: int) -> str:
    params = StreamParams(chroma=chroma, bit_depth=depth, quantizer=None, gop=1)
    return codec.carrier(params).pix_fmt


def _quantizers(codec: PyavCodec, depth: int) -> list[int | None]:
    """One quantiser that leaves a visible but small error, and lossless."""
    steps = codec.quantizers(depth)
    wanted = 2**depth / 64
    lossy = [min(steps, key=lambda q: abs(steps[q] - wanted))] if steps else []
    return [*lossy, None] if codec.tries_lossless else [*lossy]


def _round_trip(
    codec: PyavCodec, chroma: Chroma, depth: int, quantizer: int | None, size: tuple[int, int]
) -> None:
    planes = made_planes(chroma, depth, (_N_FRAMES, *size))
    params = StreamParams(
        chroma=chroma, bit_depth=depth, quantizer=quantizer, preset="fast", gop=2, threads=1
    )
    info, gops = split(codec.encode(planes, params))
    decoded = codec.decode([packet for gop in gops for packet in gop], info, chroma=chroma)
    # Coarse steps err by less than step**2 / 12; a factor of 12 catches garbage only.
    allowed = 0.0 if quantizer is None else codec.quantizers(depth)[quantizer] ** 2
    worst = max(_mse(a, b) for a, b in zip(planes, decoded, strict=True))
    if worst > allowed:
        raise CodecError(
            f"{codec.name} at {chroma} {depth} bits, quantizer {quantizer}, came back with a "
            f"mean squared error of {worst:.1f} codes, {allowed:.1f} was allowed"
        )


def _mse(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> float:
    return float(np.mean(np.square(a.astype(np.float64) - b)))


def _works(codec: PyavCodec, chroma: Chroma, depth: int, size: tuple[int, int]) -> bool:
    try:
        _round_trip(codec, chroma, depth, _quantizers(codec, depth)[0], size)
    except CodecError:
        return False
    return True


def _smallest(codec: PyavCodec, chroma: Chroma, depth: int) -> tuple[int, int]:
    """Start at the size that the class promises; encoders crash below theirs."""
    low = codec.min_size
    sizes = [low, *((max(s, low[0]), max(s, low[1])) for s in _SIZES if s > min(low))]
    for size in sizes:
        if _works(codec, chroma, depth, size):
            return size
    raise CodecUnavailable(f"{codec.name} takes no size up to {_SIZES[-1]}")


def _odd(codec: PyavCodec, formats: Iterable[tuple[Chroma, int]]) -> list[Chroma]:
    size = (codec.probe_size[0] + 1, codec.probe_size[1] + 1)
    by_chroma = dict(formats)
    return [c for c, depth in by_chroma.items() if _works(codec, c, depth, size)]


def _alignment(codec: PyavCodec, chroma: Chroma, depth: int) -> int:
    """Find the multiple that sizes must be of: some devices round frames up, and say so nowhere."""
    high, wide = (-(-n // 64) * 64 for n in codec.probe_size)
    for align in _ALIGNMENTS:
        if _works(codec, chroma, depth, (high + align, wide + align)):
            return align
    raise CodecUnavailable(f"{codec.name} takes no size near {high} x {wide}")


def _main(name: str) -> None:
    """Be the child of ``capabilities.probe``: one line of JSON on stdout."""
    import av

    from . import registry

    # The reason of a failure, such as a missing driver, is in FFmpeg's log only.
    av.logging.set_level(av.logging.ERROR)
    try:
        found = registry.get(name).probe()
    except CodecError as error:
        found = Capabilities(reason=str(error))
    sys.stdout.write("\n" + json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
