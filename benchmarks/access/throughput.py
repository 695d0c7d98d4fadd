"""What decoding costs beside the video decoder: the whole pipeline against bare PyAV.

::

    XVCOMP_DATA=... python -m benchmarks.access.throughput --json throughput.json

Both run in one thread on the same packets. Seconds are of processor time, the best of
five: other work on the machine does not count. Bare PyAV stops at frames in FFmpeg's
memory; ``planes`` copies them to numpy; ``pipeline`` gives checked samples.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

import xvcomp
from xvcomp.codecs import registry
from xvcomp.codecs.decoding import _decoded, _open_decoder
from xvcomp.parts import GroupParts, Part
from xvcomp.planes import chroma_of
from xvcomp.reading import CubeFile

from ..output import write_json

CUBES: dict[str, tuple[str, ...]] = {
    "seviri_hrv_5min_a": ("hrv",),
    "s2_worldcereal_be1": ("B02", "B03", "B04", "B08"),
    "era5_t2m_uk_hourly": ("t2m",),
    "ocean_globcurrent_agulhas": ("u", "v"),
}
REPEATS = 5


def best_seconds(work: Callable[[], None]) -> float:
    found = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def streams(parts: GroupParts) -> list[tuple[int, list[bytes]]]:
    """List the packets of every GOP of every track."""
    group = parts.group
    return [
        (track, list(packets))
        for track in range(group.first_track, group.first_track + group.checksums.shape[0])
        for gop in range(group.n_gops)
        for packets in parts.reader.read_gops(track, gop, gop + 1)
    ]


def measure(path: Path) -> dict[str, Any]:
    cube = CubeFile(path, cache_bytes=0)
    group = cube.manifest.groups[0]
    parts = GroupParts(cube.reader, group, tuple(cube.forms(group)))
    listed = [Part(g, b) for g in range(group.n_gops) for b in range(len(parts.blocks))]
    packets, fetched = streams(parts), parts.fetch(listed)
    codec, tracks, chroma = registry.get(group.codec), cube.reader.tracks, chroma_of("tiled")

    def bare() -> None:
        for track, own in packets:
            for _ in _decoded(_open_decoder(tracks[track], 1), own):
                pass

    def planes() -> None:
        for track, own in packets:
            codec.decode(own, tracks[track], chroma=chroma, threads=1)

    def pipeline() -> None:
        for part, own in zip(listed, fetched, strict=True):
            parts.decode(part, own)

    samples = math.prod(group.shape)
    seconds = {f.__name__: best_seconds(f) for f in (bare, planes, pipeline)}
    speeds = {f"{k}_msamples_per_s": round(samples / s / 1e6, 1) for k, s in seconds.items()}
    return {
        "codec": group.codec, "shape": list(group.shape), "components": group.klt.n_components,
        **speeds, "pipeline_vs_bare": round(seconds["bare"] / seconds["pipeline"], 2),
        "pipeline_vs_planes": round(seconds["planes"] / seconds["pipeline"], 2),
    }  # fmt: skip


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quality", type=float, default=45.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for name, own in CUBES.items():
        source = xr.open_dataset(Path(os.environ["XVCOMP_DATA"]) / f"{name}.nc", decode_cf=False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cube.mp4"
            xvcomp.encode(
                source[list(own)], path, stored=True, preset="fast", codec="libx265",
                target=xvcomp.Quality(given.quality),
            )  # fmt: skip
            found[name] = measure(path)
    write_json(found, given.json)


if __name__ == "__main__":
    main()
