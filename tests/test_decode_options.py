"""``xvcomp decode`` of a part: positions, variables, clear refusals."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import xvcomp
from xvcomp.parts import GroupParts
from xvcomp_cli.main import cli


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    values = np.random.default_rng(0).normal(size=(24, 30, 40)).cumsum(axis=2).astype(np.float32)
    cube = xr.Dataset(
        {"a": (("time", "y", "x"), values), "b": (("time", "y", "x"), values + 1)},
        {"time": np.arange(24), "x": np.arange(40.0)},
    )
    target = tmp_path_factory.mktemp("decode") / "cube.mp4"
    xvcomp.encode(cube, target, target=xvcomp.Quality(40), preset="fast", gop=6)
    return target


def run(*arguments):
    return CliRunner().invoke(cli, ["decode", *map(str, arguments)])


@pytest.mark.parametrize("name", ["part.nc", "part.zarr"])
def test_a_part_is_decoded_by_the_gops_that_it_needs(path, tmp_path, monkeypatch, name):
    gops = []
    decode = GroupParts.decode

    def counting(self, part, packets, **options):
        gops.append(part.gop)
        return decode(self, part, packets, **options)

    monkeypatch.setattr(GroupParts, "decode", counting)
    done = run(path, tmp_path / name, "--isel", "time=13:17", "--isel", "x=-8:", "--vars", "b")
    assert done.exit_code == 0, done.output
    assert gops == [2]
    expected = xvcomp.open(path)[["b"]].isel(time=slice(13, 17), x=slice(-8, None))
    with xr.open_dataset(tmp_path / name) as back:
        xr.testing.assert_identical(back.load(), expected.load())


def test_a_single_position_drops_its_dim(path, tmp_path):
    assert run(path, tmp_path / "one.nc", "--isel", "time=-1").exit_code == 0
    with xr.open_dataset(tmp_path / "one.nc") as back:
        assert back["a"].dims == ("y", "x")
        assert int(back["time"]) == 23


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--isel", "time"], "is not like time=10"),
        (["--isel", "time=1:2:3:4"], "is not like time=10"),
        (["--isel", "time=0:9:0"], "is not like time=10"),
        (["--isel", "level=1"], "no dim 'level'"),
        (["--isel", "time=24"], "time=24 is outside of 24"),
        (["--vars", "c"], "no variable 'c'; the cube has a, b"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_written(
    path, tmp_path, arguments, message
):
    done = run(path, tmp_path / "out.nc", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []
