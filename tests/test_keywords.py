"""What is given from Python is taken as it is meant, or refused in a sentence."""

import numpy as np
import pytest
import xarray as xr

import xvcomp
from xvcomp.keywords import checked


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"preset": "quick"}, "preset is 'quick'; allowed: fast, balanced, best"),
        ({"layout": "mosaic"}, "layout is 'mosaic'; allowed: tiled"),
        ({"transform": "pca"}, "allowed: klt, none"),
        ({"gop": "5"}, "gop is '5'; give a whole number"),
        ({"gop": True}, "give a whole number"),
        ({"fold": 2.5}, "give a whole number"),
        ({"tile": -3}, "from 1 up"),
        ({"target": 45}, r"give one of .*Psnr.*, such as Psnr\(45\)"),
        ({"codec": 5}, "codec is 5; give a name"),
        ({"lossless": 5}, "names of variables"),
        ({"groups": "a"}, "variables of each group"),
        ({"by_variable": {"a": 45}}, "an Override"),
        ({"memory": "lots"}, "give bytes, such as 2GB"),
        ({"colour": "red"}, "unknown options: colour"),
        ({"encoder": "libx265", "codec": "libx264"}, "they are one option"),
    ],
)
def test_what_makes_no_sense_is_refused(keywords, message):
    with pytest.raises(xvcomp.PlanError, match=message):
        checked(keywords)


def test_one_name_is_one_variable_and_none_says_nothing():
    given = checked({"variables": "B02", "lossy": ["a", "b"], "gop": np.int64(8), "fold": None})
    assert given == {"variables": ("B02",), "lossy": ("a", "b"), "gop": 8}
    assert checked({"encoder": "libx265"}) == {"codec": "libx265"}


@pytest.mark.parametrize("source", [None, 5, [], object()])
def test_what_is_no_source_is_a_type_error(source):
    with pytest.raises(TypeError, match="a path, a URL, its bytes or a seekable binary file"):
        xvcomp.open(source)


@pytest.mark.parametrize(
    ("dims", "dtype", "message"),
    [((0, 1, 2), "f4", "names of dimensions"), (("t", "y", "x"), "longdouble", "float64")],
)
def test_cubes_that_no_file_keeps_are_refused(dims, dtype, message, tmp_path):
    ds = xr.Dataset({"v": (dims, np.ones((2, 16, 16), dtype))})
    with pytest.raises(xvcomp.PlanError, match=message):
        xvcomp.encode(ds, tmp_path / "c.mp4")


def test_an_encoding_that_names_no_dtype_changes_nothing(tmp_path):
    values = np.random.default_rng(0).random((4, 16, 16))
    ds = xr.Dataset({"v": (("t", "y", "x"), values, {}, {"dtype": "bogus"})})
    xvcomp.encode(ds, tmp_path / "c.mp4", target=xvcomp.Lossless())
    np.testing.assert_array_equal(xvcomp.open(tmp_path / "c.mp4").v, values)
