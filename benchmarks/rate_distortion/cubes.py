"""The benchmark cubes: what is compressed, what counts as valid, and the peak of its PSNR."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .fill import fill_gaps

__all__ = ["CUBES", "FRACTIONS", "RD_CUBES", "Cube", "load_cube"]

FRACTIONS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
"""Error bounds that are measured, as parts of the peak."""


@dataclass(frozen=True, kw_only=True)
class Cube:
    """One quality set of one file.

    Parameters
    ----------
    name : str
        The benchmark's name for it, such as ``be1_10bands``.
    dataset : xarray.Dataset
        Stored values (not unpacked) with their CF attrs, and the coordinates.
    variables : tuple of str
        What is coded, in order; all share units, so that one PSNR speaks of them.
    frame_dim : str
        The dimension that plays time; dimensions that are neither it nor the last two are bands.
    peak : float or None
        In unpacked units; ``None`` is the range of the valid samples.
    """

    name: str
    dataset: xr.Dataset
    variables: tuple[str, ...]
    frame_dim: str = "time"
    peak_override: float | None = None

    @cached_property
    def stored(self) -> tuple[NDArray[np.generic], ...]:
        """Stored values of each variable, shape (time, band, y, x)."""
        return tuple(self._to_tbyx(self.dataset[name]) for name in self.variables)

    @cached_property
    def scales(self) -> tuple[tuple[float, float], ...]:
        """``(scale_factor, add_offset)`` of each variable."""
        attrs = [self.dataset[name].attrs for name in self.variables]
        return tuple(
            (float(a.get("scale_factor", 1)), float(a.get("add_offset", 0))) for a in attrs
        )

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Samples that count: finite and not the fill value. Shape (time, band, y, x)."""
        parts = []
        for name, values in zip(self.variables, self.stored, strict=True):
            fill = self.dataset[name].attrs.get("_FillValue")
            good = np.isfinite(values)
            parts.append(good if fill is None or np.isnan(fill) else good & (values != fill))
        return np.concatenate(parts, axis=1)

    @cached_property
    def reference(self) -> NDArray[np.float64]:
        """Unpacked values, shape (time, band, y, x); invalid samples hold no meaning."""
        return self.unpack(self.stored)

    @cached_property
    def filled(self) -> NDArray[np.float64]:
        """``reference`` with smooth values under the invalid samples."""
        return fill_gaps(self.reference, self.valid)

    @cached_property
    def filled_stored(self) -> tuple[NDArray[np.generic], ...]:
        """``filled`` in each variable's stored units and dtype."""
        return self.pack(self.filled)

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest valid sample, unpacked."""
        values = self.reference[self.valid]
        return float(values.min()), float(values.max())

    @property
    def peak(self) -> float:
        """Peak of the PSNR, in unpacked units."""
        low, high = self.value_range
        return high - low if self.peak_override is None else self.peak_override

    @property
    def samples(self) -> int:
        """All samples, valid or not: the denominator of bpppb."""
        return int(self.reference.size)

    def unpack(self, stored: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
        """Turn stored arrays, one per variable, into unpacked values (time, band, y, x)."""
        parts = [
            values.astype(np.float64) * scale + offset
            for values, (scale, offset) in zip(stored, self.scales, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def pack(self, values: NDArray[np.floating]) -> tuple[NDArray[np.generic], ...]:
        """Turn unpacked values (time, band, y, x) into stored arrays, rounded to their dtype."""
        ends = np.cumsum([part.shape[1] for part in self.stored])
        parts = np.split(values, ends[:-1], axis=1)
        return tuple(
            cast((part - offset) / scale, like.dtype)
            for part, like, (scale, offset) in zip(parts, self.stored, self.scales, strict=True)
        )

    def snap(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what a reader would see: ``values`` after the cast to the stored dtype."""
        return self.unpack(self.pack(values))

    def from_dataset(self, dataset: xr.Dataset) -> NDArray[np.float64]:
        """Read a decoded Dataset as unpacked values, whether it was unpacked already or not."""
        stored = []
        for name, like, (scale, offset) in zip(
            self.variables, self.stored, self.scales, strict=True
        ):
            values = self._to_tbyx(dataset[name]).astype(np.float64)
            unpacked = np.issubdtype(like.dtype, np.integer) and dataset[name].dtype.kind == "f"
            stored.append((values - offset) / scale if unpacked else values)
        return self.unpack(stored)

    def _to_tbyx(self, variable: xr.DataArray) -> NDArray[np.generic]:
        y, x = variable.dims[-2:]
        bands = [dim for dim in variable.dims if dim not in (self.frame_dim, y, x)]
        ordered = np.asarray(variable.transpose(self.frame_dim, *bands, y, x).values)
        shape = (ordered.shape[0], -1, *ordered.shape[-2:])
        reshaped: NDArray[np.generic] = ordered.reshape(shape)
        return reshaped


def cast(values: NDArray[np.floating], dtype: np.dtype) -> NDArray[np.generic]:
    """Cast to ``dtype``, rounding and clipping for integers."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(dtype)


def _open(path: Path) -> xr.Dataset:
    """Read a whole file with its values as stored."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: give the folder by --data")
    with xr.open_dataset(path, mask_and_scale=False, engine="netcdf4") as dataset:
        return dataset.load()


def _simple(
    file: str, variables: tuple[str, ...], frame_dim: str = "time"
) -> Callable[[Path, str], Cube]:
    """Make a loader for variables taken as they are."""

    def load(folder: Path, name: str) -> Cube:
        dataset = _open(folder / f"{file}.nc")[list(variables)]
        return Cube(name=name, dataset=dataset, variables=variables, frame_dim=frame_dim)

    return load


_BANDS_10M = ("B02", "B03", "B04", "B08")
_BANDS_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")


def _be1(folder: Path, name: str) -> Cube:
    """Load be1's four 10 m bands, and for ``be1_10bands`` the 20 m bands repeated to 10 m."""
    source = _open(folder / "s2_worldcereal_be1.nc")
    dataset = source[list(_BANDS_10M)]
    variables: tuple[str, ...] = _BANDS_10M
    if name == "be1_10bands":
        variables = (*_BANDS_10M, *_BANDS_20M)
        for band in _BANDS_20M:
            repeated = source[band].values.repeat(2, axis=1).repeat(2, axis=2)
            dataset[band] = (("time", "y", "x"), repeated, source[band].attrs)
    # 10000 DN is reflectance 1.0, the usual peak for Sentinel-2.
    return Cube(name=name, dataset=dataset, variables=variables, peak_override=1.0)


CUBES: Mapping[str, Callable[[Path, str], Cube]] = {
    "be1_10bands": _be1,
    "be1_4bands": _be1,
    "earthnet": _simple("s2_earthnet_ood_a", ("B02", "B03", "B04", "B8A")),
    "ndvi": _simple("s2_eolearn_ndvi", ("ndvi",)),
    "s1": _simple("s1_worldcereal_be1", ("VV", "VH")),
    "modis": _simple("modis_sinop_vi_16day", ("ndvi", "evi")),
    "seviri": _simple("seviri_hrv_5min_a", ("hrv",)),
    "mrms": _simple("radar_mrms_us_a", ("precip_rate",)),
    "knmi": _simple("radar_knmi_nl", ("precip",)),
    "t2m": _simple("era5_t2m_uk_hourly", ("t2m",)),
    "erai_uv": _simple("erai_uvz", ("u", "v")),
    "erai_z": _simple("erai_uvz", ("z",)),
    "glosea4": _simple("glosea4_tsurf_ens", ("tsurf",)),
    "globcurrent": _simple("ocean_globcurrent_agulhas", ("u", "v")),
}

RD_CUBES = tuple(name for name in CUBES if name != "be1_4bands")


def load_cube(folder: Path, name: str) -> Cube:
    """Load a benchmark cube.

    Raises
    ------
    KeyError
        If there is no cube of that name.
    FileNotFoundError
        If its file is not in ``folder``.
    """
    if name not in CUBES:
        raise KeyError(f"no cube {name!r}; there are {', '.join(CUBES)}")
    return CUBES[name](folder, name)
