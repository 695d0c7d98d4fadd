"""Random windows for training: of the right shape, repeatable, and cheap to draw."""

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.parts import GroupParts


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    grid = np.mgrid[0:40, 0:30, 0:36]
    field = (np.sin(grid[2] / 5) * 10 + grid[0]).astype(np.float32)
    cube = xr.Dataset(
        {"a": (("time", "y", "x"), field), "b": (("time", "band", "y", "x"), field[:, None])},
        {"time": np.arange(40), "n": ("time", np.arange(40))},
    )
    target = tmp_path_factory.mktemp("samples") / "cube.mp4"
    xvcomp.encode(cube, target, target=xvcomp.Psnr(50), preset="fast", gop=8)
    return target


WINDOW = {"time": 4, "y": 16, "x": 20}


def test_windows_have_the_size_that_was_asked_for(path):
    (sample,) = xvcomp.samples(path, WINDOW, count=1)
    assert {name: values.shape for name, values in sample.items()} == {
        "a": (4, 16, 20),
        "b": (4, 1, 16, 20),
    }


def test_a_seed_repeats_its_windows_and_another_draws_others(path):
    def draw(seed):
        return [sample["a"] for sample in xvcomp.samples(path, WINDOW, count=6, seed=seed)]

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_windows_come_from_everywhere(path):
    opened = xvcomp.open(path)["a"].load()
    firsts = [s["a"][0, 0, 0] for s in xvcomp.samples(path, WINDOW, count=200, reuse=1)]
    assert min(firsts) < opened[4].max()
    assert max(firsts) > opened[30].min()


def test_variables_share_what_was_decoded(path, monkeypatch):
    seen = []
    decode = GroupParts.decode

    def counting(self, part, packets, **options):
        seen.append(part)
        return decode(self, part, packets, **options)

    monkeypatch.setattr(GroupParts, "decode", counting)
    list(xvcomp.samples(path, {"time": 1, "y": 16, "x": 20}, count=8, reuse=8))
    assert len(seen) <= 2


def test_changing_a_sample_changes_no_other(path):
    drawn = xvcomp.samples(path, {"time": 40, "y": 30, "x": 36}, count=2)
    first = next(drawn)
    first["a"][:] = 0
    assert next(drawn)["a"].any()


@pytest.mark.parametrize(
    ("window", "options", "message"),
    [
        ({"level": 2}, {}, "no dim 'level'"),
        ({"time": 41}, {}, "41 does not fit into 40"),
        ({"time": 0}, {}, "0 does not fit"),
        (WINDOW, {"variables": ["c"]}, "no variable 'c'"),
        (WINDOW, {"reuse": 0}, "reuse must be at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(path, window, options, message):
    with pytest.raises(xvcomp.PlanError, match=message):
        next(xvcomp.samples(path, window, **options))
