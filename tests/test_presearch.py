"""Large cubes are searched on a sample first, and confirmed on the whole."""

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp import presearch


@pytest.fixture
def cube():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :192]
    frames = [
        np.sin((y + t) / 9) + np.cos((x - 2 * t) / 7) + 0.02 * rng.normal(size=y.shape)
        for t in range(24)
    ]
    return xr.Dataset({"a": (("time", "y", "x"), np.stack(frames).astype("f4"), {"units": "1"})})


@pytest.mark.parametrize("target", [xvcomp.Psnr(46), xvcomp.Psnr(48), xvcomp.Bpppb(0.5)])
def test_a_presearch_saves_encodings_of_the_whole(tmp_path, monkeypatch, cube, target):
    def encodes(large):
        monkeypatch.setattr(presearch, "_LARGE", large)
        monkeypatch.setattr(presearch, "_SAMPLE", 64 * 64 * 24)
        report = xvcomp.encode(cube, tmp_path / f"{large}.mp4", target=target, preset="fast")
        if isinstance(target, xvcomp.Psnr):
            assert 0 <= report.set_psnr_db["1"] - target.db <= 0.25
        else:
            assert 0.95 <= report.bpppb / target.bits <= 1
        return report.groups[0].encodes

    # Where noise begins, the size rises eightfold within 4 dB: a window of 5 % is narrow.
    most = 4 if isinstance(target, xvcomp.Psnr) else 5
    assert encodes(1000) <= min(most, encodes(10**9))


def test_a_sample_on_which_the_search_fails_does_no_harm(tmp_path, monkeypatch, cube):
    cube["a"][:, 40:120, 40:150] = 1.0
    monkeypatch.setattr(presearch, "_LARGE", 1000)
    monkeypatch.setattr(presearch, "_SAMPLE", 64 * 64 * 24)
    report = xvcomp.encode(cube, tmp_path / "c.mp4", target=xvcomp.Psnr(45), preset="fast")
    assert report.set_psnr_db["1"] >= 45
