"""The version of the package, read from its installed metadata."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("xvcomp")
except PackageNotFoundError:
    __version__ = "0+unknown"
