"""What every test may use: the bundled cube, real cubes where there are some, tools."""

import os
import shutil
import signal
from importlib import resources
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("XVCOMP_DATA"):
        return
    skip = pytest.mark.skip(reason="slow: set XVCOMP_DATA to a folder of real cubes")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def pytest_configure():
    # A job that a script starts in the background is told to ignore Ctrl-C, and so are its
    # children: tests that interrupt them would wait in vain.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def crop() -> Path:
    """Path of the Sentinel-2 cube that comes with the package."""
    return Path(str(resources.files("xvcomp").joinpath("data", "s2_be1_crop.nc")))


@pytest.fixture
def data_dir() -> Path:
    """Folder of real cubes; skips where there is none."""
    folder = os.environ.get("XVCOMP_DATA")
    if not folder:
        pytest.skip("set XVCOMP_DATA to a folder of real cubes")
    return Path(folder)


@pytest.fixture
def require_tool():
    """Return a function that skips without a program, or fails where tools are required."""

    def require(name: str) -> str:
        found = shutil.which(name)
        if found:
            return found
        if os.environ.get("XVCOMP_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{name} is required here (XVCOMP_REQUIRE_TOOLS=1) but not installed")
        pytest.skip(f"{name} is not installed")

    return require
