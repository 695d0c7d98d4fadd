"""Write cube files: encode to the targets, mux, decode what was written, then publish."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import sidecar
from .containers.mp4 import Mp4Writer
from .dataset import StoredVariable, pack_mapping
from .pipeline import EncodedGroup
from .pipeline.windows import block_slices
from .spec import BandGroup, Ignored, Manifest, Plan, SidecarEntry, Target
from .version import __version__

__all__ = ["Contents", "write_file"]

_INLINE_SIDECAR = 4096
"""Sidecars up to this size go into the manifest, for a track of their own costs 400 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Everything that goes into a file, encoded groups aside."""

    variables: Sequence[StoredVariable]
    attrs: Any
    encoding: Any
    dims: tuple[tuple[str, int], ...]
    raw_nbytes: int
    target: Target
    notes: tuple[str, ...]
    ignored: tuple[Ignored, ...]
    sidecar_blob: bytes
    sidecar_entries: tuple[SidecarEntry, ...]

    @classmethod
    def of(
        cls,
        dataset: Any,
        variables: Sequence[StoredVariable],
        plan: Plan,
        notes: Sequence[str],
        ignored: Sequence[Ignored] = (),
    ) -> "Contents":
        """Gather what a dataset holds besides coded samples; encodes the sidecar."""
        found = list(notes)
        arrays = {
            v.spec.name: np.asarray(v.variable.values)
            for v in variables
            if v.spec.name in plan.sidecar
        }
        blob, entries = sidecar.encode_blob(arrays)
        portable = {k: v for k, v in dataset.encoding.items() if k != "source"}
        return cls(
            variables=variables,
            attrs=pack_mapping(dataset.attrs, "attribute of the dataset", found),
            encoding=pack_mapping(portable, "encoding of the dataset", found),
            dims=tuple((str(name), int(size)) for name, size in dataset.sizes.items()),
            raw_nbytes=sum(_raw_nbytes(each) for each in variables),
            target=plan.target,
            notes=tuple(found),
            ignored=tuple(ignored),
            sidecar_blob=blob,
            sidecar_entries=entries,
        )


def _raw_nbytes(stored: StoredVariable) -> int:
    return int(stored.variable.size) * int(stored.variable.dtype.itemsize)


def write_file(
    path: Path, contents: Contents, groups: Sequence[EncodedGroup]
) -> tuple[Mp4Writer, int]:
    """Write a complete file under a temporary name.

    Returns
    -------
    writer : Mp4Writer
        Not published yet; the caller verifies ``writer.temporary`` first.
    nbytes : int
    """
    writer = Mp4Writer(path)
    try:
        placed = []
        slot = 1
        for encoded in groups:
            group, slot = _add_group(writer, encoded, slot)
            placed.append(group)
        inline = len(contents.sidecar_blob) <= _INLINE_SIDECAR
        if not inline:
            writer.add_packet(0, 0, contents.sidecar_blob)
        manifest = _manifest(contents, placed, inline)
        return writer, writer.close(manifest.to_json())
    except BaseException:
        writer.abort()
        raise


def _add_group(writer: Mp4Writer, encoded: EncodedGroup, slot: int) -> tuple[BandGroup, int]:
    """Hand a group's segments and packets to the container; returns its place."""
    group = encoded.group
    blocks = len(block_slices(group.shape[2], group.shape[3], group.block))
    streams = len(encoded.windows[0].segments)
    tracks = [writer.add_track(frame_duration=group.fold) for _ in range(blocks * streams)]
    placed = replace(group, first_track=tracks[0] if tracks else 0, slot=slot)
    for window in encoded.windows:
        block = window.window.block
        for number, segment in enumerate(window.segments):
            writer.add_segment(tracks[block * streams + number], bytes(segment))
        for kind, payloads in enumerate((window.masks, window.residuals)):
            for gop, payload in enumerate(payloads):
                if not payload:
                    continue
                frame = window.window.time.start + gop * group.window
                writer.add_packet(frame, slot + 2 * block + kind, bytes(payload))
    if tracks:
        checksum = zlib.crc32(b"".join(writer.description(track) for track in tracks))
        placed = replace(placed, streams_crc32=checksum)
    return placed, slot + 2 * blocks


def _manifest(contents: Contents, groups: Sequence[BandGroup], inline: bool) -> Manifest:
    return Manifest(
        created_by=f"xvcomp {__version__}",
        target=contents.target,
        attrs=contents.attrs,
        encoding=contents.encoding,
        dims=contents.dims,
        variables=tuple(each.spec for each in contents.variables),
        groups=tuple(_without_target(group, contents.target) for group in groups),
        sidecar=contents.sidecar_entries,
        sidecar_crc32=zlib.crc32(contents.sidecar_blob),
        sidecar_data=contents.sidecar_blob if inline else None,
        raw_nbytes=contents.raw_nbytes,
        notes=contents.notes,
        ignored=contents.ignored,
    )


def _without_target(group: BandGroup, common: Target) -> BandGroup:
    """Spare the manifest a target that is the whole file's."""
    return replace(group, target=None) if group.target == common else group
