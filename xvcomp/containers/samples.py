"""The sample tables of a track: size, place, time and kind of each packet.

References
----------
ISO/IEC 14496-12:2022, section 8.6 (time), 8.7 (data).
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .boxes import find, full_box, require

__all__ = ["Samples", "pack_samples", "unpack_samples"]

_Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """One value per sample, in the order of the file, unless said otherwise.

    Parameters
    ----------
    sizes : ndarray of int64
        In bytes.
    durations : ndarray of int64
        Decoding time to the next sample, in ticks of the track.
    shifts : ndarray of int64
        Presentation time less decoding time, in ticks; may be negative.
    keyframes : ndarray of int64
        Indices of the samples that need no other, increasing.
    chunk_lengths : ndarray of int64, shape (chunks,)
        Samples in each chunk; the samples of a chunk lie one after the other.
    chunk_offsets : ndarray of int64, shape (chunks,)
        Positions in the file.
    """

    sizes: _Ints
    durations: _Ints
    shifts: _Ints
    keyframes: _Ints
    chunk_lengths: _Ints
    chunk_offsets: _Ints

    def offsets(self) -> _Ints:
        """Return the position in the file of each sample."""
        starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1]))
        first = np.cumsum(self.chunk_lengths) - self.chunk_lengths
        # An empty chunk at the end would look up a sample that does not exist.
        within = starts - np.repeat(starts[np.minimum(first, len(starts) - 1)], self.chunk_lengths)
        return np.asarray(np.repeat(self.chunk_offsets, self.chunk_lengths) + within, np.int64)


def _ints(values: ArrayLike) -> _Ints:
    return np.asarray(values, dtype=np.int64)


def _runs(values: _Ints) -> tuple[_Ints, _Ints]:
    """Run-length code: how often, and what."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    return np.diff(starts, append=len(values)), values[starts]


def _table(kind: bytes, version: int, columns: list[_Ints], dtype: str = ">u4") -> bytes:
    rows = np.stack(columns, axis=-1)
    if (rows.astype(dtype) != rows).any():
        raise ValueError(f"{kind.decode()}: {rows.max()} does not fit into the format's numbers")
    rows = rows.astype(dtype)
    return full_box(kind, version, 0, struct.pack(">I", len(rows)), rows.tobytes())


def pack_samples(samples: Samples) -> bytes:
    """Return the tables as boxes, ready to follow ``stsd`` in ``stbl``."""
    tables = [_table(b"stts", 0, list(_runs(samples.durations)))]
    if samples.shifts.any():
        # Version 1 has signed shifts, so no edit list has to move the first frame to zero.
        tables.append(_table(b"ctts", 1, list(_runs(samples.shifts)), ">i4"))
    if len(samples.keyframes) < len(samples.sizes):
        tables.append(_table(b"stss", 0, [samples.keyframes + 1]))
    counts, lengths = _runs(samples.chunk_lengths)
    first_chunk = 1 + np.cumsum(counts) - counts
    tables.append(_table(b"stsc", 0, [first_chunk, lengths, np.ones_like(lengths)]))
    sizes = samples.sizes.astype(">u4").tobytes()
    tables.append(full_box(b"stsz", 0, 0, struct.pack(">II", 0, len(samples.sizes)), sizes))
    wide = bool(samples.chunk_offsets.max(initial=0) >= 2**32)
    kind, dtype = (b"co64", ">u8") if wide else (b"stco", ">u4")
    tables.append(_table(kind, 0, [samples.chunk_offsets], dtype))
    return b"".join(tables)


def _read_table(data: memoryview, columns: int, dtype: str = ">u4") -> NDArray[Any]:
    """Read rows; their number is checked against the box before anything is allocated."""
    (rows,) = struct.unpack_from(">I", data, 4)
    table = np.frombuffer(data[8:], dtype, count=rows * columns)
    return table.reshape(rows, columns).astype(np.int64)


def _expand(counts: _Ints, values: _Ints, n_samples: int, what: str) -> _Ints:
    # Checked first: a damaged count would otherwise ask for gigabytes.
    if int(counts.sum()) != n_samples or counts.min(initial=0) < 0:
        raise ValueError(f"{what} speaks of {int(counts.sum())} samples, not {n_samples}")
    return np.repeat(values, counts)


def _read_sizes(data: memoryview, nbytes_file: int) -> _Ints:
    size, count = struct.unpack_from(">II", data, 4)
    if size == 0:
        return _ints(np.frombuffer(data[12:], ">u4", count=count))
    if size * count > nbytes_file:
        raise ValueError(f"{count} samples of {size} bytes are more than the file holds")
    return np.full(count, size, np.int64)


def _read_chunk_lengths(data: memoryview, n_chunks: int, n_samples: int) -> _Ints:
    first, lengths, _ = _read_table(data, 3).T
    counts = np.diff(first - 1, append=n_chunks)
    if n_samples and (first[:1].tolist() != [1] or (counts <= 0).any()):
        raise ValueError("chunks are out of order")
    chunk_lengths = _expand(counts, lengths, n_chunks, "stsc") if len(counts) else lengths
    if int(chunk_lengths.sum()) != n_samples:
        raise ValueError(f"chunks hold {int(chunk_lengths.sum())} samples, not {n_samples}")
    return chunk_lengths


def _read_chunk_offsets(stbl: memoryview) -> _Ints:
    wide = find(stbl, b"co64")
    if wide is not None:
        return _ints(_read_table(wide, 1, ">i8")[:, 0])
    return _ints(_read_table(require(stbl, b"stco"), 1)[:, 0])


def unpack_samples(stbl: memoryview, nbytes_file: int) -> Samples:
    """Read the tables of one track.

    Raises
    ------
    ValueError
        If a table is missing, contradicts another, or claims more than
        ``nbytes_file`` can hold.
    """
    sizes = _read_sizes(require(stbl, b"stsz"), nbytes_file)
    n = len(sizes)
    counts, durations = _read_table(require(stbl, b"stts"), 2).T
    shifts = np.zeros(n, np.int64)
    if (ctts := find(stbl, b"ctts")) is not None:
        runs, values = _read_table(ctts, 2, ">i4").T
        shifts = _expand(runs, values, n, "ctts")
    keyframes = np.arange(n)
    if (stss := find(stbl, b"stss")) is not None:
        keyframes = _read_table(stss, 1)[:, 0] - 1
        if (np.diff(keyframes, prepend=-1) <= 0).any() or keyframes[-1:] >= n:
            raise ValueError("keyframes are out of order")
    chunk_offsets = _read_chunk_offsets(stbl)
    return Samples(
        sizes=sizes,
        durations=_expand(counts, durations, n, "stts"),
        shifts=shifts,
        keyframes=_ints(keyframes),
        chunk_lengths=_read_chunk_lengths(require(stbl, b"stsc"), len(chunk_offsets), n),
        chunk_offsets=chunk_offsets,
    )
