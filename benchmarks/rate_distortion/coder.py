"""What every coder of the benchmark looks like."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from .cubes import Cube

__all__ = ["BIG", "Coder", "Encoded", "Setting", "package_versions"]

Setting = Mapping[str, str | int | float]

BIG = 5_000_000
"""Cubes of more samples get fewer points."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Bytes that count, and how to get the values back.

    ``decode`` returns unpacked values, shape (time, band, y, x), as a reader would see them.
    ``read`` is what a user of the coder calls for them: ``decode`` without what the benchmark
    adds to compare cubes (casts to the stored dtype and back). Without it, it is ``decode``.
    ``overhead_seconds`` is what the benchmark itself spent inside ``encode``, not the coder.
    """

    nbytes: int
    decode: Callable[[], NDArray[np.float64]]
    read: Callable[[], object] | None = None
    notes: Mapping[str, str | int] = field(default_factory=dict)
    overhead_seconds: float = 0.0


class Coder(ABC):
    """One way of compressing a cube, with a ladder of settings."""

    name: str
    packages: tuple[str, ...] = ()

    def versions(self) -> dict[str, str]:
        """Return what a point depends on besides the setting."""
        return package_versions(self.packages)

    @abstractmethod
    def ladder(self, cube: Cube) -> list[Setting]:
        """Return the settings to try on ``cube``."""

    @abstractmethod
    def encode(self, cube: Cube, setting: Setting) -> Encoded:
        """Compress ``cube``; all bytes that a decoder needs are counted, except masks of peers."""


def package_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the installed version of each package."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
