"""The encoders that a plan may choose from; the machine is asked only about those it considers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from . import registry
from .abc import Capabilities
from .capabilities import probe

__all__ = ["KINDS", "NEVER", "Encoders"]

KINDS = ("auto", "software", "hardware")
"""What may be asked for besides a name."""

NEVER: Mapping[str, str] = {
    "libjxl": "FFmpeg has no place for JPEG XL in an MP4; libopenjpeg codes frames one by one, too"
}
"""Encoders of FFmpeg that one might look for, and why they cannot be used on any machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoders:
    """Encoders by name, and what is known of each.

    Parameters
    ----------
    software, programs, hardware : tuple of str
        Names: FFmpeg's libraries in this process, encoders of the ffmpeg program, and
        devices; the best first.
    probe : callable
        Finds out what one can do.
    lossless_only : tuple of str
        Those that have no quantiser.
    """

    software: tuple[str, ...]
    programs: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    probe: Callable[[str], Capabilities] = field(default=probe, compare=False)
    lossless_only: tuple[str, ...] = ()

    @classmethod
    def of_machine(cls) -> Self:
        """Return all that the registry knows, registered ones included."""
        names = registry.names()
        kinds = {name: registry.kind(name) for name in names}
        chosen = {kind: tuple(n for n in names if kinds[n] == kind) for kind in kinds.values()}
        exact = tuple(name for name in names if not registry.get(name).quantizers(8))
        return cls(
            software=chosen.get("software", ()),
            programs=chosen.get("program", ()),
            hardware=chosen.get("hardware", ()),
            lossless_only=exact,
        )

    @classmethod
    def of(cls, given: "Encoders | Mapping[str, Sequence[int]]") -> "Encoders":
        """Take names with their bit depths for software that works."""
        if isinstance(given, Encoders):
            return given
        known = {
            name: Capabilities(formats=tuple(("gray", depth) for depth in depths))
            for name, depths in given.items()
        }
        return cls(software=tuple(known), probe=known.__getitem__)

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (*self.software, *self.programs, *self.hardware)

    def depths(self, name: str) -> tuple[int, ...]:
        """Return the bit depths in which an encoder codes lossily here; none if it cannot."""
        if name not in self.names or name in self.lossless_only:
            return ()
        found = self.probe(name)
        return tuple(sorted({depth for _, depth in found.formats})) if found.usable else ()

    def usable(self, names: Sequence[str]) -> list[str]:
        """Return those that code lossily here; each is tried."""
        return [name for name in names if self.depths(name)]

    def why_not(self, name: str) -> str:
        """Say why an encoder that is known cannot be used for a lossy group."""
        if name in self.lossless_only:
            return "it is lossless only, which needs no choice of an encoder"
        return self.probe(name).reason or "no format works"
