"""Read cube files: any part of any variable, decoding no more GOPs than it needs."""

import itertools
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import sidecar
from .codecs.hwdecode import check_hwaccel
from .consistency import check_manifest
from .containers.abc import ContainerReader
from .containers.mp4 import Mp4Reader
from .dataset import coded_dtype
from .errors import ContainerError
from .inputs import extra_dims, to_dims
from .parallel import cpu_count, map_ordered
from .part_cache import PartCache, shared_cache
from .parts import GroupParts, Part, batches
from .pipeline import VariableForm
from .selection import Wanted, flat_bands, paste
from .spec import BandGroup, Manifest, VariableSpec

__all__ = ["CubeFile"]

_SERIAL = itertools.count()


class CubeFile:
    """An open cube file.

    Safe to share between threads; pickles by its source.

    Parameters
    ----------
    source : str, path, bytes, binary file or RangeSource
        Anything that `containers.mp4.Mp4Reader` opens.
    cache_bytes : int or None
        Decoded bytes to keep for the next read, of this file alone. ``None``: the cache
        of the process, 256 MiB that all open files share.
    storage_options : Mapping or None
        Handed to fsspec; for URLs only.
    hwaccel : str or None
        Decode on such a device, ``cuda`` for one, where it was seen to be bit-exact.

    Raises
    ------
    ContainerError
        If it is not an xvcomp file, or damaged.
    """

    def __init__(
        self,
        source: Any,
        *,
        cache_bytes: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        hwaccel: str | None = None,
    ) -> None:
        self._arguments = (source, cache_bytes, storage_options, hwaccel)
        if hwaccel is not None:
            check_hwaccel(hwaccel)
        self.reader: ContainerReader = Mp4Reader(source, storage_options)
        self.manifest = Manifest.from_json(self.reader.manifest)
        self.identity = zlib.crc32(self.reader.manifest.encode())
        self._specs = {spec.name: spec for spec in self.manifest.variables}
        self._groups = {name: group for group in self.manifest.groups for name in group.variables}
        self._cache = shared_cache() if cache_bytes is None else PartCache(cache_bytes)
        self._serial = next(_SERIAL)
        self._lock = threading.Lock()
        self._sidecar: dict[str, NDArray[Any]] | None = None
        self._check()
        self._parts = {
            group.name: GroupParts(self.reader, group, tuple(self.forms(group)), hwaccel)
            for group in self.manifest.groups
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, self._arguments)

    def _check(self) -> None:
        """Refuse a manifest that does not fit the file around it."""
        try:
            check_manifest(self.manifest, self.reader.tracks)
        # Attributes that are no mapping have none of its methods.
        except (ContainerError, ValueError, AttributeError) as error:
            raise ContainerError(f"the file contradicts itself: {error}") from error

    def group_of(self, name: str) -> BandGroup | None:
        """Return the group that codes a variable; ``None`` for one in the sidecar."""
        return self._groups.get(name)

    def forms(self, group: BandGroup) -> list[VariableForm]:
        """Return the band count and dtype of each variable of a group."""
        return [
            VariableForm(_band_count(self._specs[name], group), coded_dtype(self._specs[name]))
            for name in group.variables
        ]

    def sidecar(self) -> dict[str, NDArray[Any]]:
        """Return the losslessly kept variables; read once."""
        with self._lock:
            if self._sidecar is None:
                self._sidecar = self._read_sidecar()
            return self._sidecar

    def _read_sidecar(self) -> dict[str, NDArray[Any]]:
        manifest = self.manifest
        if not manifest.sidecar:
            return {}
        blob = manifest.sidecar_data
        if blob is None:
            blob = self.reader.read_packet(0, 0)
        if zlib.crc32(blob) != manifest.sidecar_crc32:
            raise ContainerError("the sidecar (coordinates and small variables) is damaged")
        forms = {spec.name: (spec.dtype, spec.shape) for spec in manifest.variables}
        try:
            return sidecar.decode_blob(blob, manifest.sidecar, forms)
        except ValueError as error:
            raise ContainerError(f"the sidecar is damaged: {error}") from error

    def read(self, name: str, selection: Mapping[str, Any]) -> NDArray[Any]:
        """Read a selection of a coded variable.

        Parameters
        ----------
        name : str
        selection : Mapping[str, slice or array of int]
            Per dim of the variable; dims are selected independently (outer indexing).
            What is missing comes whole.

        Returns
        -------
        ndarray
            With all dims of the variable, in its order.

        Raises
        ------
        ContainerError
            If a part that is needed is damaged.
        """
        group, spec = self._groups[name], self._specs[name]
        sizes = dict(zip(spec.dims, spec.shape, strict=True))
        wanted = {d: Wanted.of(selection.get(d, slice(None)), n) for d, n in sizes.items()}
        extra = extra_dims(spec.dims, group)
        axes = (
            wanted.get(str(group.frame_dim), Wanted.of(0, 1)),
            flat_bands([wanted[d] for d in extra], [sizes[d] for d in extra]),
            wanted[str(group.y_dim)].coarser(group.repeat[0]),
            wanted[str(group.x_dim)].coarser(group.repeat[1]),
        )
        values = self._gather(group, group.variables.index(name), axes)
        return to_dims(values, spec, group, {dim: len(each) for dim, each in wanted.items()})

    def _gather(
        self, group: BandGroup, number: int, axes: tuple[Wanted, Wanted, Wanted, Wanted]
    ) -> NDArray[Any]:
        """Paste together what the parts that a selection touches hold of it."""
        source = self._parts[group.name]
        out = np.empty([len(axis) for axis in axes], dtype=source.forms[number].dtype)
        parts = _touched(source, axes) if out.size else []
        for part, values in self._decoded(source, parts):
            ys, xs = source.blocks[part.block]
            frames = source.frames(part)
            places = [
                axes[0].within(frames.start, frames.stop),
                axes[1].within(0, source.forms[number].bands),
                axes[2].within(ys.start, ys.stop),
                axes[3].within(xs.start, xs.stop),
            ]
            paste(out, [to for to, _ in places], values[number], [come for _, come in places])
        return out

    def _decoded(
        self, source: GroupParts, parts: Sequence[Part]
    ) -> Iterator[tuple[Part, Sequence[NDArray[Any]]]]:
        """Decode parts side by side; neighbours are fetched in one request."""
        for batch in batches(parts, source):
            unknown = [part for part in batch if self._key(source, part) not in self._cache]
            # A single part is fetched by whoever decodes it, so that no thread does it twice.
            fetched = source.fetch(unknown) if len(unknown) > 1 else []
            packets = dict(zip(unknown, fetched, strict=False))

            def work(
                part: Part, packets: Mapping[Part, list[bytes]] = packets, alone: bool = not fetched
            ) -> Sequence[NDArray[Any]]:
                threads = cpu_count() if alone else 1
                return self._part(source, part, packets.get(part), threads)

            yield from zip(batch, map_ordered(work, batch), strict=True)

    def _part(
        self, source: GroupParts, part: Part, packets: list[bytes] | None, threads: int
    ) -> Sequence[NDArray[Any]]:
        def make() -> list[NDArray[Any]]:
            found = source.fetch([part])[0] if packets is None else packets
            return _decoded(source, part, found, threads)

        return self._cache.get(self._key(source, part), make)

    def _key(self, source: GroupParts, part: Part) -> tuple[Any, ...]:
        return (self._serial, source.group.name, part.gop, part.block)

    def part(
        self, group: BandGroup, gop: int, block: int, *, threads: int = 1
    ) -> Sequence[NDArray[Any]]:
        """Decode one GOP of one block, without keeping it: all variables of the group."""
        source, part = self._parts[group.name], Part(gop, block)
        return _decoded(source, part, source.fetch([part])[0], threads)

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        self._cache.forget(self._serial)
        self.reader.close()


def _decoded(
    source: GroupParts, part: Part, packets: Sequence[bytes], threads: int
) -> list[NDArray[Any]]:
    try:
        return source.decode(part, packets, threads=threads)
    except MemoryError as error:
        raise ContainerError(
            f"GOP {part.gop} of group {source.group.name!r} does not fit into memory: {error}"
        ) from error


def _reopen(
    source: Any, cache_bytes: int | None, storage_options: Any, hwaccel: str | None
) -> CubeFile:
    return CubeFile(
        source, cache_bytes=cache_bytes, storage_options=storage_options, hwaccel=hwaccel
    )


def _band_count(spec: VariableSpec, group: BandGroup) -> int:
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    return int(np.prod([sizes[d] for d in extra_dims(spec.dims, group)], dtype=np.int64))


def _touched(source: GroupParts, axes: tuple[Wanted, Wanted, Wanted, Wanted]) -> list[Part]:
    """List the parts that hold a wanted sample, in the order of the file."""
    group = source.group
    across = -(-group.shape[3] // group.block[1])
    rows, columns = axes[2].parts(group.block[0]), axes[3].parts(group.block[1])
    return [
        Part(gop, row * across + column)
        for gop in axes[0].parts(group.window)
        for row in rows
        for column in columns
    ]
