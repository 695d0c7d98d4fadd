"""Read cube files: any part of any variable, decoding no more GOPs than it needs."""

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import sidecar
from .codecs import registry
from .containers.abc import ContainerReader
from .containers.mp4 import Mp4Reader
from .dataset import coded_dtype
from .errors import ContainerError
from .inputs import extra_dims, to_dims
from .pipeline import DecodePart, VariableForm, decode_part
from .pipeline.parallel import cpu_count, map_ordered
from .pipeline.windows import block_slices
from .planes import chroma_of
from .spec import BandGroup, Manifest, Planes, VariableSpec

__all__ = ["CubeFile"]

_CACHE_BYTES = 1 << 28


class CubeFile:
    """An open cube file.

    Safe to share between threads; pickles by its source.

    Parameters
    ----------
    source : str, path or binary file
        Anything that `containers.mp4.Mp4Reader` opens.
    cache_bytes : int
        Decoded GOPs to keep for the next read.

    Raises
    ------
    ContainerError
        If it is not an xvcomp file, or damaged.
    """

    def __init__(self, source: Any, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._source = source
        self._cache_bytes = cache_bytes
        self.reader: ContainerReader = Mp4Reader(source)
        self.manifest = Manifest.from_json(self.reader.manifest)
        self._specs = {spec.name: spec for spec in self.manifest.variables}
        self._groups = {name: group for group in self.manifest.groups for name in group.variables}
        self._cache = _Cache(cache_bytes)
        self._lock = threading.Lock()
        self._sidecar: dict[str, NDArray[Any]] | None = None
        self._check()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self._source, self._cache_bytes))

    def _check(self) -> None:
        """Refuse a manifest that does not fit the file around it."""
        for group in self.manifest.groups:
            missing = [name for name in group.variables if name not in self._specs]
            if missing:
                raise ContainerError(f"group {group.name!r} names unknown variables: {missing}")
            last = group.first_track + group.checksums.shape[0]
            if group.first_track < 0 or last > len(self.reader.tracks):
                raise ContainerError(f"group {group.name!r} has tracks that the file lacks")

    def group_of(self, name: str) -> BandGroup | None:
        """Return the group that codes a variable; ``None`` for one in the sidecar."""
        return self._groups.get(name)

    def forms(self, group: BandGroup) -> list[VariableForm]:
        """Return the band count and dtype of each variable of a group."""
        return [
            VariableForm(self._bands(self._specs[name], group), coded_dtype(self._specs[name]))
            for name in group.variables
        ]

    def _bands(self, spec: VariableSpec, group: BandGroup) -> int:
        sizes = dict(zip(spec.dims, spec.shape, strict=True))
        return int(np.prod([sizes[d] for d in extra_dims(spec.dims, group)], dtype=np.int64))

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

    def read(self, name: str, time: slice, y: slice, x: slice) -> NDArray[Any]:
        """Read a box of a coded variable, with the variable's own dims.

        Parameters
        ----------
        name : str
        time, y, x : slice
            In the variable's own frames, rows and columns; without steps. Extra dims
            come whole.

        Raises
        ------
        ContainerError
            If a part that is needed is damaged.
        """
        group, spec = self._groups[name], self._specs[name]
        number = group.variables.index(name)
        rows, columns = group.repeat
        coded_y = slice(y.start // rows, -(-y.stop // rows))
        coded_x = slice(x.start // columns, -(-x.stop // columns))
        values = self._assemble(group, number, time, coded_y, coded_x)
        top, left = y.start - coded_y.start * rows, x.start - coded_x.start * columns
        size = (top + y.stop - y.start, left + x.stop - x.start)
        whole = to_dims(values, spec, group, size)
        keep: list[slice] = [slice(None)] * whole.ndim
        keep[spec.dims.index(str(group.y_dim))] = slice(top, None)
        keep[spec.dims.index(str(group.x_dim))] = slice(left, None)
        return whole[tuple(keep)]

    def _assemble(
        self, group: BandGroup, number: int, time: slice, y: slice, x: slice
    ) -> NDArray[Any]:
        """Paste the decoded parts that a box touches."""
        form = self.forms(group)[number]
        shape = (time.stop - time.start, form.bands, y.stop - y.start, x.stop - x.start)
        out = np.empty(shape, dtype=form.dtype)
        blocks = block_slices(group.shape[2], group.shape[3], group.block)
        gops = range(time.start // group.window, -(-time.stop // group.window))
        tasks = [
            (gop, block)
            for block, (ys, xs) in enumerate(blocks)
            if ys.start < y.stop and y.start < ys.stop and xs.start < x.stop and x.start < xs.stop
            for gop in gops
        ]
        parts = map_ordered(lambda task: self.part(group, *task), tasks)
        for (gop, block), part in zip(tasks, parts, strict=True):
            frames = slice(gop * group.window, gop * group.window + part[number].shape[0])
            _paste(out, part[number], (time, y, x), (frames, *blocks[block]))
        return out

    def part(self, group: BandGroup, gop: int, block: int) -> list[NDArray[Any]]:
        """Decode one GOP of one block: all variables of the group."""
        key = (group.name, gop, block)
        known = self._cache.get(key)
        if known is not None:
            return known
        ys, xs = block_slices(group.shape[2], group.shape[3], group.block)[block]
        start = gop * group.window
        frames = min(group.window, group.shape[0] - start)
        part = DecodePart(
            shape=(frames, ys.stop - ys.start, xs.stop - xs.start),
            streams=self._streams(group, gop, block),
            masks=self._payload(group, gop, block, 0),
            residuals=self._payload(group, gop, block, 1),
        )
        values = decode_part(group, self.forms(group), part)
        self._cache.put(key, values)
        return values

    def _streams(self, group: BandGroup, gop: int, block: int) -> list[Planes]:
        if group.layout is None:
            return []
        blocks = len(block_slices(group.shape[2], group.shape[3], group.block))
        per_block = group.checksums.shape[0] // blocks
        first = group.first_track + block * per_block
        return [self._stream(group, track, gop) for track in range(first, first + per_block)]

    def _stream(self, group: BandGroup, track: int, gop: int) -> Planes:
        if len(self.reader.gops(track)) != group.n_gops or group.layout is None:
            raise ContainerError(
                f"track {track} has {len(self.reader.gops(track))} GOPs, the manifest "
                f"says {group.n_gops}"
            )
        packets = self.reader.read_gops(track, gop, gop + 1)[0]
        expected = group.checksums.numpy()[track - group.first_track, gop]
        _check_sum(packets, int(expected), f"track {track}, GOP {gop}")
        codec = registry.get(group.codec)
        planes = codec.decode(
            packets,
            self.reader.tracks[track],
            chroma=chroma_of(group.layout.kind),
            threads=1 if group.n_gops > 1 else cpu_count(),
        )
        frames = min(group.gop, group.n_stream_frames - gop * group.gop)
        if len(planes[0]) != frames:
            raise ContainerError(
                f"track {track}, GOP {gop} decodes to {len(planes[0])} frames, not {frames}"
            )
        return planes

    def _payload(self, group: BandGroup, gop: int, block: int, kind: int) -> tuple[bytes, ...]:
        if (group.mask, group.residual)[kind] is None:
            return ()
        payload = self.reader.read_packet(gop * group.window, group.slot + 2 * block + kind)
        expected = group.packet_checksums.numpy()[block, kind, gop]
        what = f"{('mask', 'residual')[kind]} packet of group {group.name!r}, GOP {gop}"
        _check_sum([payload], int(expected), what)
        return (payload,)

    def close(self) -> None:
        """Give the file back."""
        self.reader.close()


def _reopen(source: Any, cache_bytes: int) -> CubeFile:
    return CubeFile(source, cache_bytes=cache_bytes)


def _check_sum(packets: Sequence[bytes], expected: int, what: str) -> None:
    value = 0
    for packet in packets:
        value = zlib.crc32(packet, value)
    if value != expected:
        raise ContainerError(f"{what} is damaged: its checksum does not match")


def _paste(
    out: NDArray[Any],
    part: NDArray[Any],
    wanted: tuple[slice, slice, slice],
    place: tuple[slice, slice, slice],
) -> None:
    """Copy what two boxes (time, y, x) have in common."""
    to, come = [], []
    for want, have in zip(wanted, place, strict=True):
        low, high = max(want.start, have.start), min(want.stop, have.stop)
        to.append(slice(low - want.start, high - want.start))
        come.append(slice(low - have.start, high - have.start))
    out[to[0], :, to[1], to[2]] = part[come[0], :, come[1], come[2]]


class _Cache:
    """Decoded parts, the least recently used thrown out first."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._parts: OrderedDict[Any, list[NDArray[Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> list[NDArray[Any]] | None:
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key]
            return None

    def put(self, key: Any, part: list[NDArray[Any]]) -> None:
        size = sum(values.nbytes for values in part)
        if size > self._budget // 2:
            return
        with self._lock:
            if key in self._parts:
                return
            self._parts[key] = part
            self._used += size
            while self._used > self._budget:
                _, old = self._parts.popitem(last=False)
                self._used -= sum(values.nbytes for values in old)
