"""The benchmark of what was not built tells a gain where there is one."""

import numpy as np
import pytest
import xarray as xr

from benchmarks.rate_distortion.alternatives import _is_pair, _mosaic, chroma_pairs, seasons
from benchmarks.rate_distortion.cubes import Cube


def _waves(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Smooth noise of unit variance, new in each frame."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=shape))
    y, x = (np.fft.fftfreq(size) for size in shape[1:])
    low = (y**2)[:, None] + x**2 < 0.15**2
    values = np.fft.ifft2(spectrum * low).real
    return values / values.std()


def _cube(first: np.ndarray, second: np.ndarray) -> Cube:
    names = ("a", "b")
    variables = {
        name: (("time", "y", "x"), values.astype("f4"))
        for name, values in zip(names, (first, second), strict=True)
    }
    return Cube(name="made", dataset=xr.Dataset(variables), variables=names)


def test_bands_whose_correlation_turns_around_gain_from_a_basis_per_part():
    shared, own = _waves(0, (16, 64, 96)), _waves(1, (16, 64, 96))
    sign = np.repeat([1.0, -1.0], 8)[:, None, None]
    found = seasons(_cube(shared, sign * shared + 0.1 * own), parts=2)
    assert found["bd_rate_percent_same_gops"] < -15


def test_bands_that_are_correlated_alike_gain_nothing():
    shared, own = _waves(0, (16, 64, 96)), _waves(1, (16, 64, 96))
    found = seasons(_cube(shared, shared + 0.1 * own), parts=2)
    assert found["bd_rate_percent_same_gops"] == pytest.approx(0, abs=3)


def test_bands_of_half_the_resolution_are_tried_as_chroma():
    noise = np.random.default_rng(3)
    # Without noise the fine bands would pass for interpolated ones.
    fine = np.stack([_waves(k, (40, 64, 64)) for k in range(2)])
    fine += 0.1 * noise.normal(size=fine.shape)
    coarse = np.stack([_waves(9 + k, (40, 32, 32)) for k in range(2)])
    coarse += 0.1 * noise.normal(size=coarse.shape)
    repeated = coarse.repeat(2, axis=2).repeat(2, axis=3)
    variables = {
        name: (("time", "band", "y", "x"), bands.swapaxes(0, 1).astype("f4"))
        for name, bands in (("fine", fine), ("repeated", repeated))
    }
    cube = Cube(name="made", dataset=xr.Dataset(variables), variables=tuple(variables))
    found = chroma_pairs(cube)
    assert found is not None
    assert abs(found["bd_rate_percent"]) < 10
    assert len(found["joined"]) == len(found["apart"]) == 4


def test_there_is_no_chroma_without_such_bands():
    assert chroma_pairs(_cube(_waves(0, (18, 64, 64)), _waves(1, (18, 64, 64)))) is None


def test_tiles_fill_chroma_row_by_row_and_grey_what_is_left():
    tiles = [np.full((3, 32, 32), number, np.uint16) for number in (5, 6, 7)]
    plane = _mosaic(tiles, (64, 64), 12)
    np.testing.assert_array_equal(plane[0, ::32, ::32], [[5, 6], [7, 2048]])
    np.testing.assert_array_equal(plane[:, :32, 32:], tiles[1])


@pytest.mark.parametrize(
    ("coarse", "fine", "fits"),
    [
        ((9, 96, 64), (9, 128, 128), True),
        ((9, 32, 32), (9, 64, 64), False),
        ((9, 40, 64), (9, 128, 128), False),
        ((9, 64, 64), (9, 128, 96), False),
        ((8, 64, 64), (9, 128, 128), False),
        ((9, 96, 96), (9, 128, 128), False),
    ],
)
def test_only_tiles_that_fit_are_pairs(coarse, fine, fits):
    assert _is_pair(*(np.zeros(shape, np.uint16) for shape in (coarse, fine))) == fits
