"""The tuning script compares settings on the streams that a cube is coded as."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.rate_distortion.tune import SETTINGS, Setting, compared, measured, recorded


def _curve(factor: float, seconds: float) -> list[dict[str, float]]:
    times = {f"{key}_seconds": seconds for key in ("cpu", "wall", "decode")}
    return [{"bits": factor * 2.0**i, "psnr_db": 30.0 + 6 * i, **times} for i in range(5)]


def test_settings_are_compared_at_equal_error():
    found = compared({"a": _curve(1, 2.0), "b": _curve(1.1, 0.5), "c": []}, "a")
    assert found["a"] == {"bd_rate": 0, "cpu": 1, "wall": 1, "decode": 1}
    assert found["b"] == {"bd_rate": pytest.approx(10), "cpu": 0.25, "wall": 0.25, "decode": 0.25}
    assert "c" not in found


def test_streams_of_a_cube_are_encoded_at_coarser_and_finer_steps():
    t, y, x = np.ogrid[:24, :64, :96]
    rng = np.random.default_rng(0)
    values = np.sin(x / 9 + t / 5) * np.cos(y / 7) + 0.01 * rng.normal(size=(24, 64, 96))
    cube = xr.Dataset({"a": (("time", "y", "x"), values.astype("f4"), {"units": "K"})})
    streams = recorded(cube)
    assert sum(planes[0].size for planes, _ in streams) >= values.size
    for setting in (SETTINGS["x265 ultrafast"], Setting(codec="libsvtav1")):
        fine, coarse = (measured(streams, setting, factor) for factor in (1, 8))
        assert fine.bits > coarse.bits
        assert fine.psnr_db > coarse.psnr_db
