"""``ds.video``: there after ``import xvcomp``, polite to others, the same as the functions."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import xvcomp


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def cube():
    rng = np.random.default_rng(1)
    t, y, x = np.meshgrid(*map(np.arange, (10, 40, 40)), indexing="ij")
    values = 280 + np.sin(t / 3 + y / 9) + np.cos(x / 7) + 0.02 * rng.standard_normal(t.shape)
    return xr.Dataset({"sst": (("time", "y", "x"), values.astype("f4"), {"units": "K"})})


def test_importing_the_library_does_not_import_xarray():
    stdout, _ = python("import sys, xvcomp; print('xarray' in sys.modules)")
    assert stdout.strip() == "False"


@pytest.mark.parametrize("order", ["import xvcomp, xarray", "import xarray, xvcomp"])
def test_the_accessor_is_there_whatever_is_imported_first(order):
    stdout, stderr = python(
        f"{order}\nfor kind in (xarray.Dataset, xarray.DataArray):\n"
        "    print(type(kind().video).__name__, type(kind().xvcomp).__name__)\n"
        "print(type(xarray.__spec__.loader).__name__, type(xarray.__loader__).__name__)"
    )
    *kinds, loaders = stdout.splitlines()
    assert kinds == ["VideoAccessor VideoAccessor"] * 2
    assert "_Loader" not in loaders.split(), "the import hook left itself in xarray"
    assert stderr == ""


def test_an_accessor_of_another_package_is_left_alone_and_named():
    stdout, stderr = python(
        "import xarray\n"
        "class Other: __module__ = 'videolib.accessor'; __init__ = lambda self, obj: None\n"
        "xarray.register_dataset_accessor('video')(Other)\n"
        "import xvcomp\n"
        "print(type(xarray.Dataset().video).__name__, type(xarray.Dataset().xvcomp).__name__)"
    )
    assert stdout.split() == ["Other", "VideoAccessor"]
    assert "videolib" in stderr
    assert ".xvcomp" in stderr


def test_it_encodes_plans_and_evaluates_as_the_functions_do(cube, tmp_path):
    path = tmp_path / "cube.mp4"
    report = cube.video.to_mp4(path, target=xvcomp.Quality(45), preset="fast")
    assert report.nbytes == path.stat().st_size
    assert cube.video.plan(preset="fast") == xvcomp.plan(cube, preset="fast")
    found = cube.video.evaluate(path)
    # As text: Python 3.13 no longer takes a NaN in a dataclass for equal to itself.
    assert repr(found) == repr(xvcomp.evaluate(cube, path))
    assert found.groups[0].psnr_db == pytest.approx(report.groups[0].psnr_db, abs=1e-6)
    opened = xvcomp.open(path)
    assert cube.video.evaluate(opened).groups[0].rmse == pytest.approx(found.groups[0].rmse)


def test_a_data_array_works_too(cube, tmp_path):
    path = tmp_path / "sst.mp4"
    cube.sst.video.to_mp4(path, target=xvcomp.Quality(45), preset="fast")
    by_path = cube.sst.xvcomp.evaluate(path)
    by_array = cube.sst.video.evaluate(xvcomp.open(path).sst)
    assert by_path.groups[0].variables == ("sst",)
    assert by_array.groups[0].psnr_db == pytest.approx(by_path.groups[0].psnr_db)
