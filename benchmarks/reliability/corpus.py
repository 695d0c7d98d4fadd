"""Small cube files, one of each kind that the format knows, to be frozen or damaged."""

import datetime as dt
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xvcomp

__all__ = ["KINDS", "Kind", "described", "encoded", "tiny"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A cube and how it is encoded.

    ``make`` returns the same cube each time. ``codec`` must be there for it.
    """

    make: Callable[[], xr.Dataset]
    options: dict[str, Any] = field(default_factory=dict)
    codec: str | None = None


def _field(time: int, height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Make a pattern that moves, with a little noise."""
    rng = np.random.default_rng(seed)
    t, y, x = np.ogrid[:time, :height, :width]
    moving = np.sin((y + t) / 5 + seed) + np.cos((x - 2 * t) / 4)
    return moving + 0.05 * rng.standard_normal((time, height, width))


def _coords(time: int, height: int, width: int) -> dict[str, Any]:
    return {
        "time": np.datetime64("2021-06-01", "ns") + np.arange(time) * np.timedelta64(5, "D"),
        "y": 5e6 - 10.0 * np.arange(height),
        "x": 4e5 + 10.0 * np.arange(width),
    }


def _cube(bands: int, shape: tuple[int, int, int], *, dtype: str = "f4") -> xr.Dataset:
    made = {}
    for band in range(bands):
        values = 500 * _field(*shape) * (1 + 0.2 * band) + 20 * _field(*shape, seed=band + 1)
        attrs = {"units": "1", "long_name": f"band {band}"}
        made[f"B{band:02}"] = (("time", "y", "x"), (values + 2000).astype(dtype), attrs)
    return xr.Dataset(made, _coords(*shape), {"title": "made", "Conventions": "CF-1.10"})


def _gaps() -> xr.Dataset:
    """NaN, an infinity and a packed variable with a fill value."""
    cube = _cube(1, (6, 24, 32))
    rng = np.random.default_rng(3)
    cube["B00"].values[rng.random((6, 24, 32)) < 0.1] = np.nan
    cube["B00"].values[2, 3, 4] = np.inf
    packed = (200 * _field(6, 24, 32, 9)).astype("f4").clip(-400, 400)
    packed[:, 5:9, 7:20] = np.nan
    cube["packed"] = (("time", "y", "x"), packed, {"units": "K"})
    cube["packed"].encoding = {"dtype": "int16", "scale_factor": 0.5, "_FillValue": np.int16(-999)}
    return cube


def _repeated() -> xr.Dataset:
    """A coarser grid that was repeated, beside a fine one."""
    cube = _cube(1, (6, 32, 32))
    coarse = 900 * _field(6, 16, 16, 4) + 3000
    fine = coarse.repeat(2, 1).repeat(2, 2).astype("f4")
    cube["swir"] = (("time", "y", "x"), fine, {"units": "1"})
    return cube


def _classes() -> xr.Dataset:
    """Whole numbers in patches, and floats with gaps, to be kept to the bit."""
    fields = 40 * _field(12, 24, 32) + 3 * _field(12, 24, 32, 5)
    cube = xr.Dataset(coords=_coords(12, 24, 32))
    cube["counts"] = (("time", "y", "x"), np.round(fields / 4).astype("i2"), {"units": "1"})
    halves = (np.round(fields / 8) / 2).astype("f4")
    halves[:, 3:6, 4:9] = np.nan
    cube["halves"] = (("time", "y", "x"), halves, {"units": "m"})
    cube["wet"] = (("time", "y", "x"), fields > 20)
    return cube


def _sidecar() -> xr.Dataset:
    """Strings, cftime dates, objects, a class map, numbers of the other byte order."""
    cube = _cube(1, (6, 24, 32))
    times = xr.date_range("2001-02-25", periods=6, calendar="noleap", use_cftime=True)
    cube = cube.assign_coords(time=times)
    cube["sensor"] = ("time", np.array(["S2A", None, "S2B", "été", "", "S2A"], dtype=object))
    cube["tile"] = ((), "32TQM")
    cube["seen"] = ("time", np.array([f"2020-01-0{d}" for d in range(1, 7)], "M8[s]"))
    rng = np.random.default_rng(7)
    cube["scl"] = (("y", "x"), rng.integers(0, 11, (8, 8)).repeat(3, 0).repeat(4, 1).astype("u1"))
    cube["dem"] = (("y", "x"), np.round(_field(1, 24, 32)[0] * 90).astype(">f4"))
    cube["spatial_ref"] = ((), 0, {"crs_wkt": 'PROJCS["WGS 84 / UTM zone 32N"]', "epsg": 32632})
    cube.attrs |= {"made": dt.date(2021, 1, 2).isoformat(), "bounds": np.array([1.5, np.nan])}
    return cube


def _smooth() -> xr.Dataset:
    """Fields without high frequencies, which a post-filter can tell from noise."""
    t, y, x = np.ogrid[:8, :48, :64]
    waves = np.sin(x / 5 + t / 9) * np.cos(y / 6) + np.sin(x / 7 + y / 4 - t / 5)
    fields = np.stack([280 + 10 * waves, 250 + 8 * waves**2], axis=1).astype("f4")
    return xr.Dataset({"t": (("time", "level", "y", "x"), fields)}, _coords(8, 48, 64))


def _interpolated() -> xr.Dataset:
    """A coarser grid that was interpolated linearly, and a part of it cut out."""
    coarse = 900 * _field(6, 46, 54, 4) + 3000
    for axis in (1, 2):
        low, high = (np.take(coarse, range(k, coarse.shape[axis] - 1 + k), axis) for k in (0, 1))
        pairs = np.stack([0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high], axis + 1)
        shape = list(low.shape)
        shape[axis] *= 2
        coarse = pairs.reshape(shape)
    fine = np.rint(coarse[:, 1:, 2:]).astype("u2")
    return xr.Dataset({"B11": (("time", "y", "x"), fine, {"units": "1"})}, _coords(*fine.shape))


def _waves() -> xr.Dataset:
    """Make few dates of fields with energy at all scales, with a gap."""
    rng = np.random.default_rng(7)
    rows, columns = np.meshgrid(np.fft.fftfreq(48), np.fft.rfftfreq(63), indexing="ij")
    frequency = np.hypot(rows, columns)
    waves = np.fft.rfft2(rng.normal(size=(2, 2, 48, 63))) / np.maximum(frequency, 0.02) ** 3
    values = np.fft.irfft2(waves * (frequency < 0.3), s=(48, 63))
    values = np.asarray(300 * values / np.abs(values).max(), dtype="f4")
    values[:, :, 10:14, 5:11] = np.nan
    dims = ("time", "level", "y", "x")
    return xr.Dataset({"wind": (dims, values, {"units": "m s-1"})})


KINDS: dict[str, Kind] = {
    "x265": Kind(
        make=lambda: _cube(3, (12, 24, 32)),
        options={"target": xvcomp.Quality(45), "codec": "libx265", "gop": 4},
        codec="libx265",
    ),
    "av1": Kind(
        make=lambda: _cube(2, (8, 64, 64)),
        options={"target": xvcomp.Quality(40), "codec": "libsvtav1", "gop": 4},
        codec="libsvtav1",
    ),
    "lossless": Kind(
        make=_classes,
        options={"target": xvcomp.Lossless(), "gop": 4},
    ),
    "bounded": Kind(
        make=lambda: _cube(2, (8, 24, 32)),
        options={"target": xvcomp.MaxError(2.0), "codec": "libx265", "gop": 4},
        codec="libx265",
    ),
    "gaps": Kind(
        make=_gaps,
        options={"target": xvcomp.Quality(45), "codec": "libx265", "gop": 3},
        codec="libx265",
    ),
    "folded": Kind(
        make=lambda: _cube(1, (12, 24, 32)),
        options={"target": xvcomp.Quality(45), "codec": "libx265", "gop": 2, "fold": 3},
        codec="libx265",
    ),
    "repeated": Kind(
        make=_repeated,
        options={"target": xvcomp.Quality(45), "codec": "libx265", "gop": 3},
        codec="libx265",
    ),
    "wavelets": Kind(
        make=_waves,
        options={"target": xvcomp.Psnr(72), "preset": "fast"},
    ),
    "interpolated": Kind(
        make=_interpolated,
        options={"target": xvcomp.Quality(45), "codec": "libx265", "gop": 3},
        codec="libx265",
    ),
    "filtered": Kind(
        make=_smooth,
        options={
            "target": xvcomp.Quality(42),
            "codec": "libx265",
            "gop": 4,
            "fold": 1,
            "preset": "best",
        },
        codec="libx265",
    ),
    "blocks": Kind(
        make=lambda: _cube(1, (4, 128, 160)),
        options={"target": xvcomp.Quality(40), "codec": "libx265", "gop": 2, "tile": 64},
        codec="libx265",
    ),
    "sidecar": Kind(
        make=_sidecar,
        options={
            "target": xvcomp.Quality(45),
            "codec": "libx265",
            "gop": 3,
            "lossy": ("B00",),
        },
        codec="libx265",
    ),
}


def tiny() -> xr.Dataset:
    """Return the smallest cube that is still a video, for what is done thousands of times."""
    return _cube(1, (2, 16, 16))


def encoded(kind: str) -> bytes:
    """Encode a cube; returns the file."""
    chosen = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.mp4"
        xvcomp.encode(chosen.make(), path, **{"preset": "fast", **chosen.options})
        return path.read_bytes()


def described(source: Any) -> dict[str, Any]:
    """Say of everything that a file decodes to what it is, with a checksum of the values."""
    with xvcomp.open(source, decode_cf=False) as opened:
        found = {str(name): _described(each) for name, each in opened.variables.items()}
        return {"attrs": repr(opened.attrs), "variables": found}


def _described(variable: xr.Variable) -> dict[str, Any]:
    values = variable.values
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    plain = repr(values.tolist()).encode() if values.dtype.hasobject else little.tobytes()
    return {
        "dims": list(variable.dims),
        "dtype": values.dtype.str,
        "shape": list(values.shape),
        "sha256": hashlib.sha256(plain).hexdigest(),
        "first": [str(each) for each in values.ravel()[:4]],
        "attrs": repr(variable.attrs),
    }
