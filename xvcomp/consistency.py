"""Whether a manifest agrees with itself and with the tracks around it.

Checksums tell damage. This is for files that were made to mislead: nothing is allocated,
and no loop is run, by a number that has not been held against the others.
"""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from .dataset import coded_dtype
from .errors import ContainerError
from .inputs import extra_dims
from .planes import geometry
from .spec import BandGroup, Manifest, StreamInfo, VariableSpec
from .transforms.interpolating import coarse_size

__all__ = ["check_manifest"]

_LARGEST = 2**62
# Encoders have a smallest frame, and pad to whole blocks.
_SPARE_PIXELS = 512


def check_manifest(manifest: Manifest, tracks: Sequence[StreamInfo]) -> None:
    """Refuse a manifest in which one number contradicts another.

    Raises
    ------
    ContainerError
        Naming the variable or the group.
    """
    specs: dict[str, VariableSpec] = {}
    sizes: dict[str, int] = {}
    for spec in manifest.variables:
        _check_variable(spec, sizes)
        if spec.name in specs:
            raise ContainerError(f"there are two variables {spec.name!r}")
        specs[spec.name] = spec
    coded = [name for group in manifest.groups for name in group.variables]
    kept = [entry.name for entry in manifest.sidecar]
    if sorted(coded + kept) != sorted(specs):
        odd = set(coded + kept) ^ set(specs) or {n for n in specs if (coded + kept).count(n) > 1}
        raise ContainerError(f"variables that are not coded exactly once: {sorted(odd)}")
    for group in manifest.groups:
        _check_group(group, specs, tracks)


def _check_variable(spec: VariableSpec, sizes: dict[str, int]) -> None:
    what = f"variable {spec.name!r}"
    try:
        itemsize = np.dtype(spec.dtype).itemsize
    # numpy parses lists of fields as Python, and complains as Python does.
    except (TypeError, ValueError, SyntaxError) as error:
        raise ContainerError(f"{what} has no dtype {spec.dtype!r}: {error}") from None
    if len(set(spec.dims)) != len(spec.dims) or len(spec.dims) != len(spec.shape):
        raise ContainerError(f"{what} has dims {spec.dims} and shape {spec.shape}")
    if min(spec.shape, default=0) < 0 or math.prod(spec.shape) * itemsize > _LARGEST:
        raise ContainerError(f"{what} cannot have the shape {spec.shape}")
    for dim, size in zip(spec.dims, spec.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise ContainerError(f"{what} has {size} along {dim!r}, others have {sizes[dim]}")


def _check_group(
    group: BandGroup, specs: Mapping[str, VariableSpec], tracks: Sequence[StreamInfo]
) -> None:
    what = f"group {group.name!r}"
    bands = [_bands_of(specs[name], group) for name in group.variables]
    if sum(bands) != group.shape[1]:
        raise ContainerError(f"{what} has {sum(bands)} bands, not {group.shape[1]}")
    blocks = math.prod(
        -(-size // block) for size, block in zip(group.shape[2:], group.block, strict=True)
    )
    if group.mask is not None or group.residual is not None:
        _check_shape(group, "packet checksums", group.packet_checksums.shape, blocks, 2)
    streams = _check_transform(group, tracks)
    _check_shape(group, "checksums", group.checksums.shape, blocks * streams)
    _check_specials(group, specs)
    for each in (group.checksums, group.packet_checksums):
        if np.dtype(each.dtype) != np.uint32:
            raise ContainerError(f"{what} has checksums of {each.dtype}, not uint32")


def _check_specials(group: BandGroup, specs: Mapping[str, VariableSpec]) -> None:
    if group.mask is None:
        return
    found = [
        (len(each.shape), np.dtype(each.dtype).newbyteorder("=")) for each in group.mask.specials
    ]
    if found != [(1, coded_dtype(specs[name])) for name in group.variables]:
        raise ContainerError(
            f"group {group.name!r} has special values of other dtypes than its own"
        )


def _check_shape(group: BandGroup, name: str, shape: tuple[int, ...], *lengths: int) -> None:
    expected = (*lengths, group.n_gops) if lengths != (0,) else (0, 0)
    if shape != expected:
        raise ContainerError(f"group {group.name!r} has {name} of {shape}, not {expected}")


def _bands_of(spec: VariableSpec, group: BandGroup) -> int:
    """Return how many bands a variable has; its other dims must be those of the group."""
    what = f"variable {spec.name!r} of group {group.name!r}"
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    axes = [group.y_dim, group.x_dim] + ([group.frame_dim] if group.frame_dim is not None else [])
    if len(set(axes)) != len(axes) or not set(axes) <= set(sizes):
        raise ContainerError(f"{what} has dims {spec.dims}, its group is along {axes}")
    time = sizes[group.frame_dim] if group.frame_dim is not None else 1
    rows, columns = sizes[str(group.y_dim)], sizes[str(group.x_dim)]
    found = (time, -(-rows // group.repeat[0]), -(-columns // group.repeat[1]))
    if found != (group.shape[0], *group.shape[2:]):
        raise ContainerError(f"{what} has the shape {spec.shape}, its group {group.shape}")
    dtype = coded_dtype(spec)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ContainerError(f"{what} is of {spec.dtype}, which is never coded as video")
    return math.prod(sizes[dim] for dim in extra_dims(spec.dims, group))


def _coded_block(group: BandGroup) -> tuple[int, int]:
    """Return the size of the largest block on the grid that is coded."""
    height, width = (min(a, b) for a, b in zip(group.block, group.shape[2:], strict=True))
    if not group.interpolation:
        return height, width
    what = f"group {group.name!r}"
    if group.residual is not None or group.repeat != (1, 1):
        raise ContainerError(f"{what} is interpolated, and also corrected or repeated")
    for length, whole, factor in zip(
        group.block, group.shape[2:], group.interpolation.factors, strict=True
    ):
        if length < whole and (length % factor or group.interpolation.edges == "clamp"):
            raise ContainerError(f"{what} has blocks that begin between samples of its grid")
    return coarse_size(group.interpolation, height, width)


def _check_transform(group: BandGroup, tracks: Sequence[StreamInfo]) -> int:
    """Check what a video is decoded by; returns the streams of a block."""
    what = f"group {group.name!r}"
    parts = (group.layout, group.klt, group.quantization)
    if group.layout is None or group.klt is None or group.quantization is None:
        described = any(part is not None for part in parts)
        described = described or bool(group.post_filter) or bool(group.interpolation)
        if described or group.residual is None:
            raise ContainerError(f"{what} lacks what it takes to decode it")
        return 0
    if group.post_filter and group.residual is not None:
        raise ContainerError(f"{what} is filtered, and also corrected")
    if group.post_filter and group.post_filter.weights.shape[0] not in (1, group.shape[1]):
        raise ContainerError(
            f"{what} has a filter of {group.post_filter.weights.shape[0]} bands, not "
            f"{group.shape[1]}"
        )
    components = group.klt.n_components
    if group.klt.matrix.shape[0] != group.shape[1] * group.fold:
        raise ContainerError(f"{what} has a transform of {group.klt.matrix.shape[0]} bands")
    if len(group.quantization.offsets) != components:
        raise ContainerError(f"{what} has offsets that are not those of {components} components")
    height, width = _coded_block(group)
    whole = geometry(group.layout, components, height, width, (1, 1))
    first, last = group.first_track, group.first_track + group.checksums.shape[0]
    if first < 0 or last > len(tracks):
        raise ContainerError(f"{what} has tracks that the file lacks")
    for info in tracks[first:last]:
        if (
            info.height > whole.frame[0] + _SPARE_PIXELS
            or info.width > whole.frame[1] + _SPARE_PIXELS
        ):
            raise ContainerError(
                f"{what} has frames of {whole.frame}, a track {(info.height, info.width)}"
            )
    expected = group.streams_crc32
    found = zlib.crc32(b"".join(info.description for info in tracks[first:last]))
    if expected not in (None, found):
        raise ContainerError(f"{what} has tracks whose headers are damaged")
    return whole.streams
