"""Manifests that were changed, as no encoder writes them."""

import contextlib
import dataclasses

from xvcomp.consistency import check_manifest
from xvcomp.reading import CubeFile


def check_changed(path, **changes):
    """Check the manifest of a file of one group as it is, and with the group changed."""
    with contextlib.closing(CubeFile(path)) as file:
        manifest, tracks = file.manifest, file.reader.tracks
    check_manifest(manifest, tracks)
    (group,) = manifest.groups
    changed = dataclasses.replace(manifest, groups=(dataclasses.replace(group, **changes),))
    check_manifest(changed, tracks)
