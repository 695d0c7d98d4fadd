"""xvcomp itself, through its public API: every byte of the finished file counts."""

import math
import subprocess
import tempfile
from pathlib import Path

import xarray as xr

from .coder import BIG, Coder, Encoded, Setting
from .cubes import Cube

__all__ = ["XVCOMP_PRESETS", "Xvcomp"]

XVCOMP_PRESETS = ("fast", "balanced", "best")
_PSNR_DB = (22, 28, 34, 38, 42, 46, 50, 55, 60, 65, 70, 75)
_BEYOND_DB = (65, 70, 75)
"""PSNRs that only a target asks for: a nominal quality is always a video's."""

_PSNR_DB_BIG = (34, 42, 50, 60, 75)


class Xvcomp(Coder):
    """One preset, aiming at a PSNR or keeping a bound."""

    packages = ("av", "pcodec")

    def __init__(self, preset: str) -> None:
        self.name = f"xvcomp-{preset}"
        self._preset = preset

    def versions(self) -> dict[str, str]:
        """Return the library's revision too: its points go stale with every change."""
        return {**super().versions(), "xvcomp": _revision()}

    def ladder(self, cube: Cube) -> list[Setting]:
        """Return qualities, and for preset best high PSNRs, in dB on the benchmark's own peak."""
        ladder = _PSNR_DB_BIG if cube.samples > BIG else _PSNR_DB
        if self._preset != "best":
            return [{"quality_db": db} for db in ladder]
        below: list[Setting] = [{"quality_db": db} for db in ladder if db < _BEYOND_DB[0]]
        return below + [{"psnr_db": db} for db in _BEYOND_DB]

    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Write the cube's Dataset to a file, and keep its bytes."""
        import xvcomp

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cube.mp4"
            xvcomp.encode(
                cube.dataset,
                path,
                stored=True,
                target=_target(cube, setting),
                preset=self._preset,
                overwrite=True,
            )
            data = path.read_bytes()
        return Encoded(
            nbytes=len(data),
            decode=lambda: cube.from_dataset(_read(data)),
            read=lambda: _read(data),
        )


def _read(data: bytes) -> xr.Dataset:
    import xvcomp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        path.write_bytes(data)
        with xvcomp.open(path, decode_cf=False) as dataset:
            return dataset.load()


def _target(cube: Cube, setting: Setting) -> object:
    import xvcomp

    if "bound" in setting:
        return xvcomp.MaxError(float(setting["bound"]))
    if "lossless" in setting:
        return xvcomp.Lossless()
    if "psnr_db" in setting:
        return xvcomp.Psnr(float(setting["psnr_db"]), peak=cube.peak)
    # The library's peak is the range of the data.
    low, high = cube.value_range
    return xvcomp.Quality(float(setting["quality_db"]) + 20 * math.log10((high - low) / cube.peak))


def _revision() -> str:
    """Return the last commit that touched the library, marked when the tree differs from it."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    revision = git("log", "-1", "--format=%h", "--", "xvcomp")
    changed = git("status", "--porcelain", "--", "xvcomp")
    return f"{revision}+changes" if changed else revision
