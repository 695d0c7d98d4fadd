"""The post-filter benchmark finds what a filter can gain, and nothing where there is nothing."""

import numpy as np
import pytest

from benchmarks.rate_distortion.postfilter import gains


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(6, 20, 24))


def test_a_wrong_factor_is_undone_by_a_gain(noise):
    found = gains(noise, 0.8 * noise + 0.1)
    assert min(found.values()) > 60


def test_independent_errors_of_a_smooth_field_are_averaged_away(noise):
    t, y, x = np.ogrid[:6, :20, :24]
    smooth = np.sin(x / 8) * np.cos(y / 9) + t / 20
    found = gains(smooth, smooth + 0.1 * noise)
    assert found["gain"] < 0.5
    assert found["full"] > found["symmetric"] > 4


def test_errors_unlike_their_neighbours_leave_nothing_to_gain(noise):
    errors = np.random.default_rng(1).normal(size=noise.shape)
    found = gains(noise, noise + 0.1 * errors)
    assert max(found.values()) < 0.5
