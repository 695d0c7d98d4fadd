"""Turn measurements into the report that users see."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from . import metrics
from .metrics import ErrorStats
from .reading import CubeFile
from .results import GroupReport, Report, VariableReport
from .spec import BandGroup, Manifest, Target

__all__ = ["GroupWork", "group_samples", "make_report"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupWork:
    """What encoding a group took; zeros for a file that was only read."""

    encodes: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0


def group_samples(group: BandGroup, manifest: Manifest) -> int:
    """Count the samples of a group's variables, valid or not, on their own grid."""
    shapes = {spec.name: spec.shape for spec in manifest.variables}
    return sum(int(np.prod(shapes[name], dtype=np.int64)) for name in group.variables)


def _group_raw_nbytes(group: BandGroup, manifest: Manifest) -> int:
    """Count the bytes of a group's variables in memory, as they are stored."""
    return sum(
        int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        for spec in manifest.variables
        if spec.name in group.variables
    )


def make_report(
    cube: CubeFile,
    path: str,
    target: Target,
    stats: Mapping[str, Sequence[ErrorStats]],
    *,
    work: Mapping[str, GroupWork] | None = None,
    encode_seconds: float = 0.0,
    verify_seconds: float = 0.0,
) -> Report:
    """Sum up a file.

    Parameters
    ----------
    cube : CubeFile
    path : str
        The name to report.
    target : Target
    stats : Mapping
        Per group, the errors of its variables, over coded samples and in unpacked units.
    work : Mapping, optional
        Per group.
    """
    manifest, nbytes = cube.manifest, cube.reader.nbytes
    done = work or {}
    lossy = [group for group in manifest.groups if not group.lossless]
    totals, peaks = _sets(lossy, stats, done)
    groups = tuple(
        _group_report(cube, group, stats[group.name], peaks, done) for group in manifest.groups
    )
    samples = sum(group_samples(group, manifest) for group in manifest.groups)
    payload = sum(group.nbytes for group in groups)
    sidecar = sum(entry.nbytes for entry in manifest.sidecar)
    return Report(
        path=path,
        target=target,
        nbytes=nbytes,
        raw_nbytes=manifest.raw_nbytes,
        ratio=metrics.ratio(manifest.raw_nbytes, nbytes),
        bpppb=metrics.bpppb(nbytes, samples) if samples else math.nan,
        sidecar_nbytes=sidecar,
        overhead_nbytes=nbytes - payload - sidecar,
        groups=groups,
        set_psnr_db={name: total.psnr_db(peaks[name]) for name, total in totals.items()},
        set_peak=peaks,
        encode_seconds=encode_seconds,
        verify_seconds=verify_seconds,
        notes=manifest.notes,
    )


def _sets(
    groups: Sequence[BandGroup],
    stats: Mapping[str, Sequence[ErrorStats]],
    work: Mapping[str, GroupWork],
) -> tuple[dict[str, ErrorStats], dict[str, float]]:
    """Add the errors up over each quality set, and find its peak."""
    totals: dict[str, ErrorStats] = {}
    peaks: dict[str, float] = {}
    for group in groups:
        counted = reduce(add, stats[group.name]).times(group.repeat[0] * group.repeat[1])
        known = totals.get(group.quality_set)
        totals[group.quality_set] = counted if known is None else known + counted
        given = group.measured.get("peak")
        if given is not None:
            peaks[group.quality_set] = given
    for name, total in totals.items():
        peaks.setdefault(name, total.peak_range)
    return totals, peaks


def _group_report(
    cube: CubeFile,
    group: BandGroup,
    stats: Sequence[ErrorStats],
    peaks: Mapping[str, float],
    work: Mapping[str, GroupWork],
) -> GroupReport:
    total = reduce(add, stats)
    peak = peaks.get(group.quality_set, total.peak_range)
    nbytes = _group_nbytes(cube, group)
    done = work.get(group.name, GroupWork())
    return GroupReport(
        name=group.name,
        variables=group.variables,
        quality_set=group.quality_set,
        lossless=group.lossless,
        codec=group.codec,
        preset=group.preset,
        quantizer=group.quantizer,
        bit_depth=group.quantization.bit_depth if group.quantization else None,
        layout=group.layout.kind if group.layout else None,
        components=group.klt.n_components if group.klt else 0,
        shape=group.shape,
        nbytes=nbytes,
        bpppb=metrics.bpppb(nbytes, group_samples(group, cube.manifest)),
        psnr_db=total.psnr_db(peak),
        peak=peak,
        rmse=total.rmse,
        max_error=total.max_error,
        encodes=done.encodes,
        encode_seconds=done.encode_seconds,
        decode_seconds=done.decode_seconds,
        raw_nbytes=_group_raw_nbytes(group, cube.manifest),
        by_variable=tuple(
            _variable_report(name, each, peak)
            for name, each in zip(group.variables, stats, strict=True)
        ),
    )


def _variable_report(name: str, stats: ErrorStats, peak: float) -> VariableReport:
    return VariableReport(
        name=name,
        psnr_db=stats.psnr_db(peak),
        peak=peak,
        rmse=stats.rmse,
        max_error=stats.max_error,
        valid_fraction=stats.n_valid / stats.n_total if stats.n_total else math.nan,
    )


def _group_nbytes(cube: CubeFile, group: BandGroup) -> int:
    """Count the bytes of a group's packets: video, masks and residuals."""
    last = group.first_track + group.checksums.shape[0]
    video = sum(
        packet.nbytes
        for track in range(group.first_track, last)
        for gop in cube.reader.gops(track)
        for packet in gop.packets
    )
    blocks = group.packet_checksums.shape[0]
    slots = range(group.slot, group.slot + 2 * blocks)
    return video + sum(
        cube.reader.packet_nbytes(frame, slot)
        for frame, slot in cube.reader.packet_keys()
        if slot in slots
    )
